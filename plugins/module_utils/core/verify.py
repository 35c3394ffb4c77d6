# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which answers count: the order of the checks, which copy may answer, and when a VM may be called recovered."""

from __future__ import annotations

import typing as t
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core.checks import Check
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import CheckResult, ServiceReading
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import GuestOutcome, GuestWait

# One id, or all the words by which the copy may call itself (platform id, name).
Expected: t.TypeAlias = t.Union[str, Collection[str], None]
_ORDER = {"tcp": 0, "http": 1}
NO_CHECK = "no check is declared (dr_checks): nothing but the guest can vouch for it"


def in_order(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Sort ports before HTTP; within a kind the inventory's order stays."""
    return tuple(sorted(checks, key=lambda check: _ORDER[check.kind]))


def judge_copy(result: CheckResult, expected: Expected) -> CheckResult:
    """Turn an answer of the wrong copy into a failed check that says who answered.

    An answer that does not tell its copy passes: only a declared ``identity`` can tell, and the probe insists on it.
    """
    wanted = _words(expected)
    if not result.is_ok or result.copy is None or not wanted or result.copy.casefold() in wanted:
        return result
    meant = " or ".join(_spelled(expected))
    return replace(result, is_ok=False, detail=f"the wrong copy answers: {result.copy}, expected {meant}")


def read_service(results: Sequence[CheckResult], expected: Expected = None) -> ServiceReading:
    """Conclude from one round of checks; every declared check must be ok, by the copy that is meant."""
    if not results:
        return ServiceReading(answers=None, reason=NO_CHECK)
    judged = tuple(judge_copy(result, expected) for result in results)
    failed = [result for result in judged if not result.is_ok]
    if failed:
        reason = "; ".join(f"{result.check}: {result.detail}" for result in failed)
        return ServiceReading(answers=False, reason=reason, checks=judged)
    copies = dict.fromkeys(result.copy for result in judged if result.copy)
    by = f", answered by {', '.join(copies)}" if copies else ""
    count = "1 check is" if len(judged) == 1 else f"{len(judged)} checks are"
    return ServiceReading(answers=True, reason=f"{count} ok{by}", checks=judged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    name: str  # "power" | "guest" | "service"
    is_ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """``is_by_service`` false on a passed one: only the guest vouches, because no check is declared."""

    is_ok: bool
    is_by_service: bool
    reason: str
    stages: tuple[Stage, ...]


def verify(power: Power, guest: GuestWait | None, service: ServiceReading | None) -> Verification:
    """Judge power, guest, service in this order; the first that fails is the reason and ends it.

    A silent guest does not fail a service that answers: tools may be missing in the guest. ``guest`` and ``service`` are
    None where they were not asked, which never counts as good.
    """
    answers = service is not None and service.answers is True
    stages: list[Stage] = []
    for stage in (_power(power), _guest(guest, answers), _service(service)):
        stages.append(stage)
        if not stage.is_ok:
            break
    last = stages[-1]
    reason = last.detail if last.is_ok else f"{last.name}: {last.detail}"
    return Verification(is_ok=last.is_ok, is_by_service=last.is_ok and answers, reason=reason, stages=tuple(stages))


def _power(power: Power) -> Stage:
    return Stage(name="power", is_ok=power is Power.ON, detail=f"power is {power}")


def _guest(guest: GuestWait | None, answers: bool) -> Stage:
    if guest is None:
        return Stage(name="guest", is_ok=answers, detail="not asked")
    has_fallen = guest.outcome in (GuestOutcome.CRASHED, GuestOutcome.POWERED_OFF)
    is_ok = guest.outcome is GuestOutcome.ALIVE or (answers and not has_fallen)
    return Stage(name="guest", is_ok=is_ok, detail=f"{guest.outcome}: {guest.evidence}")


def _service(service: ServiceReading | None) -> Stage:
    if service is None:
        return Stage(name="service", is_ok=False, detail="not asked")
    return Stage(name="service", is_ok=service.answers is not False, detail=service.reason)


def _spelled(expected: Expected) -> list[str]:
    words = [expected] if isinstance(expected, str) else list(expected or ())
    return [word for word in words if word]


def _words(expected: Expected) -> frozenset[str]:
    return frozenset(word.casefold() for word in _spelled(expected))
