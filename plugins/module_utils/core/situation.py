# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that a decision looks at, gathered before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import (
    Capacity,
    Diagnosis,
    FenceProof,
    Loss,
    ServiceReading,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.history import Past
from ansible_collections.ferragosto.dr.plugins.module_utils.core.runs import Run
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import StateView
from ansible_collections.ferragosto.dr.plugins.module_utils.core.words import Accept, Contract, Policy

# The parts of a recovery, in their order (semantics.md, "Procedure").
STEPS = ("restart", "fence", "promote", "verify", "reverse", "migrate", "verify_home", "reprotect", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """Another VM that this one needs. In play: this very playbook run recovers it, in an earlier wave."""

    name: str
    is_healthy: bool
    reason: str
    is_in_play: bool = False
    has_ended: bool = False  # in play, and its own run is over


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceOutlook:
    """Whether the production copy can be proven off: its hypervisor can be commanded, or a proof is there already."""

    is_provable: bool
    reason: str

    @classmethod
    def of(cls, found: FenceProof | str) -> FenceOutlook:
        """Take the proof, or the words that say why there is none."""
        if isinstance(found, str):
            return cls(is_provable=False, reason=found)
        return cls(is_provable=True, reason=found.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeOutlook:
    """Whether the production host can take the VM back."""

    is_sound: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """An interrupted run of ``recover`` that this command continues. ``done`` holds parts out of STEPS."""

    run_id: str
    has_acted: bool = False  # the fence was begun: whether to promote is no longer a question
    restarts_done: int = 0
    done: frozenset[str] = frozenset()
    last_step: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known of one VM at the moment of decision.

    ``loss`` belongs to the chosen recovery point; None with ``loss_why`` (and ``loss_next``) when there is none.
    ``job_disabled`` tells how the vendor's job is known to be off, "" when it is not; where the platform itself replicates
    (``drives_replication``) the promotion stops it. ``refusals`` are the platform's, by operation: power, promote, migrate,
    migrate_live, migrate_cold.
    """

    vm: str
    diagnosis: Diagnosis
    state: StateView
    service: ServiceReading
    contract: Contract
    fence: FenceOutlook
    loss: Loss | None = None
    loss_why: str = "no recovery point was found"
    loss_next: str = "check dr_replica, or restore from a backup"
    policy: Policy = field(default_factory=Policy)
    accept: Accept = field(default_factory=Accept)
    capacity: Capacity | None = None
    dependencies: tuple[Dependency, ...] = ()
    job_disabled: str = ""
    drives_replication: bool = False
    way: str = ""  # chosen for the promotion, or gone already; "" where it was not looked at
    way_why: str = ""  # what it costs, or why there is none
    approved_by: str = ""
    refusals: Mapping[str, str] = field(default_factory=dict)
    resume: Resume | None = None
    home: HomeOutlook = field(default_factory=lambda: HomeOutlook(is_sound=False, reason="it was not looked at"))
    past: Past = field(default_factory=Past)

    @property
    def restarts_left(self) -> int:
        done = self.resume.restarts_done if self.resume is not None else 0
        return max(0, self.policy.restarts - done)


def resume_of(run: Run | None) -> Resume | None:
    """Tell how far an open run of ``recover`` came; None when there is none to continue.

    A part counts as done only when a later one was begun: running a part again is a no-op, skipping an unfinished one is
    not. No mark says it: the clock stops at a part's first sign, where the part itself has more to do.
    """
    if run is None or not run.is_open or run.op != "recover":
        return None
    phases = {step.phase for step in run.steps_done} | ({run.dangling.phase} if run.dangling is not None else set())
    done = set()
    if phases & {"promote", "reprotect", "migrate"}:
        done.add("fence")
    if phases & {"reprotect", "migrate"}:  # on its way home, or its data are
        done |= {"promote", "verify"}
    if "T12" in run.marks:  # verified at home: the step after the migration
        done.add("migrate")
        done |= {"reverse"} if "reprotect" in phases else set()
    return Resume(
        run_id=run.run_id,
        has_acted=run.has_acted,
        restarts_done=run.restarts_ended,
        done=frozenset(done),
        last_step=run.last_step,
    )
