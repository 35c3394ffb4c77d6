# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the journal's records say about the runs of a VM: where a run is, what it did, what was there before it."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from ansible_collections.ferragosto.dr.plugins.module_utils.core import marks
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.core.owner import Owner
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import (
    Former,
    Lease,
    Record,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import Trail

ACTING = frozenset({"fence", "promote", "migrate", "reprotect", "undo", "commit"})  # phases that change a copy's role
RESTART = "restart"
NOT_ENDED = frozenset({"refused", "failed", "interrupted"})  # an undo that closed so has undone nothing

_ATTEMPT = re.compile(r"\b(?:attempt|restart|reset)\D{0,10}(\d+)", re.IGNORECASE)
_FORMER = tuple(f.name for f in fields(Former))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRef:
    phase: str
    step: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    kind: str  # "data_loss" | "unfenced" | "job_disabled" | "approval"
    reason: str
    by: str
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as its records tell it.

    ``dangling`` has an intent without a result: it may or may not have had its effect. A restart has ended once it was
    waited for and verified (a record of kind "attempt"), not when the reset itself returned.
    """

    run_id: str
    vm_key: str
    op: str
    opened_at_s: float
    alert_at_s: float
    production_id: str = ""
    replica_id: str = ""
    by: str = ""
    rto_s: float | None = None  # what the contract promises
    undoes: str = ""  # for an undo: the run it takes back
    steps_done: tuple[StepRef, ...] = ()  # in order of their last result without an error
    dangling: StepRef | None = None
    phases: frozenset[str] = frozenset()  # of which a step was begun, whatever came of it
    restarts_started: int = 0
    restarts_ended: int = 0
    marks: Mapping[str, float] = field(default_factory=dict)  # "T0" -> seconds since the epoch, the first of each
    consents: tuple[Consent, ...] = ()
    resumed: int = 0
    stopped: str = ""  # why it last stopped; "" while it goes on
    outcome: str = ""  # "" while it is open
    why: str = ""
    has_acted: bool = False  # a copy's role was changed, or may have been

    @property
    def is_open(self) -> bool:
        return not self.outcome

    @property
    def last_step(self) -> str:
        return self.steps_done[-1].step if self.steps_done else ""

    @property
    def ids(self) -> tuple[str | None, str | None]:
        """Return the platform's ids of the production copy and the replica, as the run found them at its start."""
        return (self.production_id or None, self.replica_id or None)

    @property
    def stamped_as(self) -> tuple[str, ...]:
        """Return the run ids that the copies this run works on may bear: its own, and that of the run it takes back."""
        return (self.run_id, self.undoes) if self.undoes else (self.run_id,)

    def consent(self, kind: str) -> Consent | None:
        return next((c for c in self.consents if c.kind == kind), None)


def read_run(records: Sequence[Record], run_id: str) -> Run | None:
    """Read one run out of the records of one VM, oldest first; None when it was never opened."""
    own = [r for r in records if r.run_id == run_id]
    opened = _first(own, "run_opened")
    if opened is None:
        return None
    body = opened.body
    closed = _last(own, "run_closed")
    return Run(
        run_id=run_id,
        vm_key=opened.vm_key,
        op=str(body.get("op", "")),
        opened_at_s=opened.at_s,
        alert_at_s=float(body.get("alert_at_s") or opened.at_s),
        production_id=_noted(own, "production_id"),
        replica_id=_noted(own, "replica_id"),
        by=str(body.get("by") or ""),
        rto_s=_promised(own, "rto_s"),
        undoes=str(body.get("undoes") or ""),
        steps_done=_steps_done(own),
        dangling=_dangling(own),
        phases=frozenset(str(r.body.get("phase", "")) for r in own if r.kind == "intent"),
        restarts_started=len(_restarts_started(own)),
        restarts_ended=len({r.body.get("attempt") for r in own if r.kind == "attempt"}),
        marks=marks.marks(own),
        consents=_consents(own),
        resumed=sum(r.kind == "run_resumed" for r in own),
        stopped=_stopped(own),
        outcome=str(closed.body.get("outcome") or "closed") if closed is not None else "",
        why=str(closed.body.get("why") or "") if closed is not None else "",
        has_acted=any(r.kind == "intent" and r.body.get("phase") in ACTING for r in own),
    )


def open_run(records: Sequence[Record]) -> Run | None:
    """Return the newest run that was opened and not closed; a run that was undone is over, though it never closed."""
    closed = {r.run_id: str(r.body.get("outcome", "")) for r in records if r.kind == "run_closed"}
    opened = [r for r in records if r.kind == "run_opened"]
    undone = {r.body.get("undoes") for r in opened if r.run_id in closed and closed[r.run_id] not in NOT_ENDED}
    for record in reversed(opened):
        if record.run_id not in closed and record.run_id not in undone:
            return read_run(records, record.run_id)
    return None


def last_run(records: Sequence[Record]) -> Run | None:
    """Return the run opened last, open or closed."""
    opened = _last(records, "run_opened")
    return read_run(records, opened.run_id) if opened is not None else None


def last_acting(records: Sequence[Record]) -> str:
    """Return the id of the newest run that fenced or promoted a copy, or began to; "" without one."""
    acting = [r.run_id for r in records if r.kind == "intent" and r.body.get("phase") in ("fence", "promote")]
    return acting[-1] if acting else ""


def trail(records: Sequence[Record], lease: Lease | None, owner: Owner | None) -> Trail:
    """Tell ``states.derive`` what the journal knows of a VM; ``lease`` as read before one's own was taken."""
    run = open_run(records) or last_run(records)
    known = frozenset(r.run_id for r in records if r.kind == "run_opened")
    if run is None:
        return Trail(known_runs=known)
    return Trail(
        run_id=run.run_id,
        op=run.op,
        is_open=run == open_run(records),
        has_acted=run.has_acted,
        last_step=run.last_step,
        is_alive=lease is not None,
        is_ours=lease is not None and (lease.is_ours or (owner is not None and _is_same(lease.owner, owner))),
        known_runs=known,
    )


def former(records: Sequence[Record], run_id: str, phase: str, copy: str = "") -> Former:
    """Gather what a copy was before ``phase`` of a run touched it: of each fact, the first that an intent noted.

    ``copy`` is a step's target or the platform's id (``id`` in ``before``); "" takes the whole phase.
    """
    seen: dict[str, t.Any] = {}
    for record in _steps(records, run_id, "intent", phase):
        before = record.body.get("before") or {}
        if copy and copy not in (record.body.get("target"), before.get("id")):
            continue
        for key in _FORMER:
            if before.get(key) is not None:
                # A step run again after an interruption sees our own change: only its first look counts.
                seen.setdefault(key, before[key])
    if "datastores" in seen:
        seen["datastores"] = tuple(seen["datastores"])
    return Former(**seen)


def chosen(records: Sequence[Record]) -> RecoveryPoint | None:
    """Return the recovery point a run chose, as it was then: its replica may show none any more once it is promoted.

    A resumed run keeps it unless a person names another.
    """
    found = _last(records, "chosen")
    if found is None:
        return None
    body = found.body
    return RecoveryPoint(
        id=str(body["id"]),
        name=str(body.get("name") or body["id"]),
        created_at_s=float(body.get("created_at_s") or 0.0),
    )


def chosen_way(records: Sequence[Record]) -> str:
    """Return the way a run promotes by, "" before it chose one: two ways in one run would make two copies."""
    chosen = _last(records, "chosen")
    return str(chosen.body.get("way") or "") if chosen is not None else ""


def is_dangling(records: Sequence[Record], run_id: str, phase: str, step: str, target: str) -> bool:
    """Tell whether the last record of this step in this run is an intent without a result."""
    ref = StepRef(phase=phase, step=step, target=target)
    last = [r for r in records if r.run_id == run_id and r.kind in ("intent", "result") and _ref(r) == ref][-1:]
    return bool(last) and last[0].kind == "intent"


def _steps(records: Iterable[Record], run_id: str, kind: str, phase: str) -> Iterable[Record]:
    return (r for r in records if r.run_id == run_id and r.kind == kind and r.body.get("phase") == phase)


def _ref(record: Record) -> StepRef:
    body = record.body
    return StepRef(phase=str(body.get("phase", "")), step=str(body.get("step", "")), target=str(body.get("target", "")))


def _steps_done(own: Sequence[Record]) -> tuple[StepRef, ...]:
    done: dict[StepRef, None] = {}
    for record in own:
        if record.kind in ("intent", "result"):
            done.pop(_ref(record), None)
        if record.kind == "result" and not record.body.get("error"):
            done[_ref(record)] = None
    return tuple(done)


def _dangling(own: Sequence[Record]) -> StepRef | None:
    waiting: dict[StepRef, None] = {}
    for record in own:
        if record.kind == "intent":
            waiting[_ref(record)] = None
        elif record.kind == "result":
            waiting.pop(_ref(record), None)
    return next(reversed(waiting), None)


def restart_began_at_s(records: Sequence[Record], run_id: str) -> float | None:
    """Return when a run last set out to restart the VM: of a restart that was cut off, before the interruption."""
    begun = [r.at_s for r in _steps(records, run_id, "intent", RESTART)]
    return begun[-1] if begun else None


def _restarts_started(own: Sequence[Record]) -> set[str]:
    """Tell attempts apart by the number in their step's name; without one, each intent is an attempt of its own."""
    found: set[str] = set()
    for record in own:
        if record.kind == "intent" and record.body.get("phase") == RESTART:
            number = _ATTEMPT.search(str(record.body.get("step", "")))
            found.add(number[1] if number else f"record {record.seq}")
    return found


def promised(own: Sequence[Record]) -> dict[str, t.Any]:
    """Return the contract of a run: as it was opened, or as it was continued where a single command had begun it."""
    keys = ("rto_s", "rpo_s", "rto_from")
    bodies = [r.body for r in own if r.kind in ("run_opened", "run_resumed") and r.body.get("rto_s")]
    return {key: bodies[0].get(key) for key in keys} if bodies else {}


def _promised(own: Sequence[Record], key: str) -> float | None:
    value = promised(own).get(key)
    return None if value is None else float(value)


def _noted(own: Sequence[Record], key: str) -> str:
    """Return an id as it was opened or first decided with."""
    found = (str(r.body.get(key) or "") for r in own if r.kind in ("run_opened", "decided"))
    return next((value for value in found if value), "")


def _consents(own: Sequence[Record]) -> tuple[Consent, ...]:
    return tuple(
        Consent(
            kind=str(r.body.get("kind", "")),
            reason=str(r.body.get("reason", "")),
            by=str(r.body.get("by", "")),
            at_s=r.at_s,
        )
        for r in own
        if r.kind == "consent"
    )


def _stopped(own: Sequence[Record]) -> str:
    last = [r for r in own if r.kind in ("run_opened", "run_resumed", "run_stopped", "run_closed")][-1:]
    return str(last[0].body.get("why") or "") if last and last[0].kind == "run_stopped" else ""


def _is_same(one: Owner, other: Owner) -> bool:
    return (one.host, one.boot_id, one.pid, one.started) == (other.host, other.boot_id, other.pid, other.started)


def _first(records: Iterable[Record], kind: str) -> Record | None:
    return next((r for r in records if r.kind == kind), None)


def _last(records: Sequence[Record], kind: str) -> Record | None:
    return _first(reversed(records), kind)
