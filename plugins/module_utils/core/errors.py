# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong, told so that the technician knows the next move."""

from __future__ import annotations

import typing as t


class DrError(Exception):
    """An attempt that failed: what was tried, why it failed, what to do next."""

    code: t.ClassVar[str] = "error"

    def __init__(self, *, what: str, why: str, next: str) -> None:
        super().__init__(f"{what}: {why}. Next: {next}")
        self.what = what
        self.why = why
        self.next = next

    def as_dict(self) -> dict[str, str]:
        return {"code": self.code, "what": self.what, "why": self.why, "next": self.next}


class BadInput(DrError):
    """A variable, name or right that is wrong; nothing was touched."""

    code = "bad_input"


class SiteUnreachable(DrError):
    """An endpoint gave no answer: its VMs are *unknown*, not down."""

    code = "site_unreachable"


class NotReplicated(DrError):
    """There is no replica, or none that can be promoted."""

    code = "not_replicated"


class SplitBrainRisk(DrError):
    """The production copy is not proven off."""

    code = "split_brain_risk"


class Refused(DrError):
    """A rule forbids the operation in the present state."""

    code = "refused"


class StepFailed(DrError):
    """A step was tried and the state read afterwards is not the desired one."""

    code = "step_failed"


class ProviderFault(DrError):
    """The hypervisor answered with an error, in the vendor's words, or its answer was lost.

    ``is_answer_lost`` is true when the call may have had its effect: the state must be read again, never the call repeated.
    ``has_cure`` is false when ``next`` is advice for want of better: a step then gives its own.
    """

    code = "provider_fault"

    def __init__(self, *, what: str, why: str, next: str, is_answer_lost: bool = False, has_cure: bool = True) -> None:
        super().__init__(what=what, why=why, next=next)
        self.is_answer_lost = is_answer_lost
        self.has_cure = has_cure


class JournalFault(DrError):
    """The journal cannot be read or written; nothing may be changed without it."""

    code = "journal_fault"


class LeaseHeld(DrError):
    """Another controller works on this VM."""

    code = "lease_held"


class Interrupted(DrError):
    """This controller is going away (or its parent is gone); the run can be resumed."""

    code = "interrupted"


class PlanCycle(DrError):
    """VMs that depend on each other in a circle; none of them could be first."""

    code = "plan_cycle"
