# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One way to change anything: look, write the intent, act, look again, write the result.

Running any list of steps again is a no-op where the hypervisor already shows the desired state; what a killed controller left
behind is finished or found finished. An answer that got lost is settled by looking, never by repeating the call.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, StepFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a look at the hypervisor showed: is the step's desired state there, and the facts that say so."""

    is_done: bool
    seen: Mapping[str, t.Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One desired state, how to see it, and the one act that brings it about.

    ``look`` reads the hypervisor, never a cache. ``calls`` are the exact vendor calls ``act`` would make, for check mode and
    the journal. ``next`` is the technician's move when the step fails.
    """

    name: str  # lower-case verb phrase: "power on", "disconnect the NICs"
    target: str  # "gestionale_replica on esx2"
    calls: tuple[str, ...]
    look: Callable[[], Sight]
    act: Callable[[], None]
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    step: str
    target: str
    changed: bool
    before: Mapping[str, t.Any]
    after: Mapping[str, t.Any]
    calls: tuple[str, ...]
    took_s: float


class StepLog(t.Protocol):
    """Where intents and results go: the journal, bound to one VM and one run."""

    def intent(self, step: Step, before: Mapping[str, t.Any]) -> None: ...

    def result(self, step: Step, after: Mapping[str, t.Any], *, error: str | None, took_s: float) -> None: ...

    def is_dangling(self, step: Step) -> bool:
        """Tell whether the last record of this step in this run is an intent without a result."""


def run_steps(
    steps: Iterable[Step],
    *,
    log: StepLog,
    now_s: Callable[[], float],
    progress: Callable[[str], None],
    guard: Callable[[], None],
) -> list[StepDone]:
    """Bring every step's desired state about, in order.

    ``guard`` runs before each act and raises when this controller may no longer act (lease lost, parent gone).
    Raises StepFailed when a step was tried and its state is not there afterwards.
    """
    done: list[StepDone] = []
    for step in steps:
        before = step.look()
        if before.is_done:
            if log.is_dangling(step):
                log.result(step, before.seen, error=None, took_s=0.0)
                progress(f"{step.name}: {step.target}: found done")
            done.append(_record(step, before, before, changed=False, took_s=0.0))
            continue
        guard()
        log.intent(step, before.seen)
        progress(f"{step.name}: {step.target}")
        started = now_s()
        after = _act(step, log, now_s, started)
        took_s = now_s() - started
        log.result(step, after.seen, error=None, took_s=took_s)
        done.append(_record(step, before, after, changed=True, took_s=took_s))
    return done


def predict_steps(steps: Iterable[Step]) -> list[StepDone]:
    """Look only: which steps would act, and with which calls (check mode)."""
    found: list[StepDone] = []
    for step in steps:
        sight = step.look()
        found.append(_record(step, sight, sight, changed=not sight.is_done, took_s=0.0))
    return found


def _act(step: Step, log: StepLog, now_s: Callable[[], float], started: float) -> Sight:
    """Act once, then let the state that is read decide: also an error may come after the effect, or beside it.

    Whatever else ends the act (this process, the endpoint) leaves the intent without a result: the next look settles it.
    """
    cause: ProviderFault | None = None
    try:
        step.act()
    except ProviderFault as fault:
        cause = fault
    except StepFailed as failure:
        log.result(step, {}, error=str(failure), took_s=now_s() - started)
        raise
    try:
        after = step.look()
    except ProviderFault:
        if cause is None:
            raise
        # What failed first is what the technician must know; the intent stays without a result, and the next look settles it.
        raise StepFailed(
            what=f"{step.name}: {step.target}", why=cause.why, next=cause.next if cause.has_cure else step.next
        ) from cause
    if after.is_done:
        return after
    why = cause.why if cause else f"the call ended well, but the state read afterwards is {_say(after.seen)}"
    is_told = cause is not None and not cause.is_answer_lost
    log.result(step, after.seen, error=str(cause) if cause and is_told else why, took_s=now_s() - started)
    advice = cause.next if cause and is_told and cause.has_cure and cause.next else step.next
    raise StepFailed(what=f"{step.name}: {step.target}", why=why, next=advice) from cause


def _say(seen: Mapping[str, t.Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in seen.items()) or "not the desired one"


def _record(step: Step, before: Sight, after: Sight, *, changed: bool, took_s: float) -> StepDone:
    calls: Sequence[str] = step.calls if changed else ()
    return StepDone(
        step=step.name,
        target=step.target,
        changed=changed,
        before=before.seen,
        after=after.seen,
        calls=tuple(calls),
        took_s=round(took_s, 3),
    )
