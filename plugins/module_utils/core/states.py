# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""States of a protected VM: derived from what the hypervisors show, the stamps and the journal; never a flag someone sets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase


class State(StrEnum):
    UNPROTECTED = "unprotected"
    SEEDING = "seeding"
    READY = "ready"
    DEGRADED = "degraded"
    TESTING = "testing"
    FAILING_OVER = "failing_over"
    FAILOVER = "failover"
    COMMITTED = "committed"
    FAILING_BACK = "failing_back"
    FAILBACK = "failback"
    FOUND_RUNNING = "found_running"
    INTERRUPTED = "interrupted"
    SPLIT_BRAIN = "split_brain"


class Op(StrEnum):
    PROTECT = "protect"
    TEST = "test"
    FAILOVER = "failover"
    PLANNED_FAILOVER = "planned_failover"
    REPAIR = "repair"
    CLEANUP = "cleanup"
    UNDO = "undo"
    COMMIT = "commit"
    FAILBACK = "failback"
    REPROTECT = "reprotect"
    ADOPT = "adopt"
    RESUME = "resume"
    RESOLVE = "resolve"


# semantics.md, "States of a protected VM"; a state not named here allows nothing.
LEGAL: dict[State, frozenset[Op]] = {
    State.UNPROTECTED: frozenset({Op.PROTECT}),
    State.SEEDING: frozenset(),
    State.READY: frozenset({Op.TEST, Op.FAILOVER, Op.PLANNED_FAILOVER}),
    State.DEGRADED: frozenset({Op.TEST, Op.FAILOVER, Op.PLANNED_FAILOVER, Op.REPAIR}),
    State.TESTING: frozenset({Op.CLEANUP}),
    State.FAILING_OVER: frozenset(),
    State.FAILOVER: frozenset({Op.UNDO, Op.COMMIT, Op.FAILBACK}),
    State.COMMITTED: frozenset({Op.REPROTECT}),
    State.FAILING_BACK: frozenset(),
    State.FAILBACK: frozenset({Op.COMMIT, Op.UNDO}),
    State.FOUND_RUNNING: frozenset({Op.ADOPT}),
    State.INTERRUPTED: frozenset({Op.RESUME, Op.UNDO}),
    State.SPLIT_BRAIN: frozenset({Op.RESOLVE}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """What the journal knows of the last run of a VM; made by ``journal`` readers, empty without one.

    ``has_acted`` is true once an intent that changes a copy's role (fence or later) was written. ``is_alive`` says that the
    controller holding the lease lives; ``is_ours`` that it is the one asking.
    """

    run_id: str = ""
    op: str = ""
    is_open: bool = False
    has_acted: bool = False
    last_step: str = ""
    is_alive: bool = False
    is_ours: bool = False
    known_runs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class StateView:
    state: State
    reason: str
    op: str = ""  # for interrupted: which operation
    step: str = ""  # and after which step

    def legal(self) -> tuple[str, ...]:
        return tuple(sorted(LEGAL[self.state]))

    def require(self, op: Op, vm: str) -> None:
        """Raise Refused with the state, its reason and the legal list, when ``op`` is not legal now."""
        if op in LEGAL[self.state]:
            return
        allowed = ", ".join(self.legal()) or "nothing but waiting"
        raise Refused(
            what=f"{op} {vm}",
            why=f"its state is {self.state}: {self.reason}",
            next=f"legal in this state: {allowed}",
        )


def derive(pair: Pair, trail: Trail, *, now_s: float, rpo_s: float) -> StateView:
    """Derive the state of one protected VM from what is shown now."""
    production, replica = pair.production, pair.replica
    if replica is None:
        return _without_replica(pair)
    if production is not None and _is_live(production, pair) and _is_live(replica, pair):
        return StateView(
            state=State.SPLIT_BRAIN,
            reason=f"both copies are powered on with a connected NIC ({production.host} and {replica.host})",
        )
    if replica.stamps.get(stamps.PHASE) == Phase.COMMITTED:
        return _committed(pair, replica)
    if trail.is_open and trail.has_acted:
        return _in_run(trail)
    foreign = _foreign_run(pair, trail)
    if foreign and not replica.stamps.get(stamps.PHASE) in (Phase.FAILOVER, Phase.FAILBACK):
        return StateView(
            state=State.INTERRUPTED,
            op="failover",
            reason=f"stamped by run {foreign}, which this journal has not closed",
        )
    if replica.power is Power.OFF:
        return _at_rest(pair, replica, now_s=now_s, rpo_s=rpo_s)
    return _replica_on(pair, replica)


def _without_replica(pair: Pair) -> StateView:
    if not pair.is_replica_reachable:
        return StateView(state=State.DEGRADED, reason="the replica's endpoint does not answer: its replica is unknown")
    return StateView(state=State.UNPROTECTED, reason="no replica was found")


def _is_live(vm: Vm, pair: Pair) -> bool:
    return vm.is_live(pair.isolated)


def _committed(pair: Pair, replica: Vm) -> StateView:
    if replica.host == pair.production_node:
        return StateView(state=State.UNPROTECTED, reason="committed at home; it has no replica until a new one is made")
    return StateView(state=State.COMMITTED, reason=f"the promoted replica on {replica.host} is production now")


def _in_run(trail: Trail) -> StateView:
    back = trail.op in ("failback", "undo_failback")
    if trail.is_alive:
        state = State.FAILING_BACK if back else State.FAILING_OVER
        whose = "this run" if trail.is_ours else "another controller"
        return StateView(state=state, reason=f"{whose} works on it ({trail.run_id})", op=trail.op, step=trail.last_step)
    after = f" after {trail.last_step!r}" if trail.last_step else ""
    return StateView(
        state=State.INTERRUPTED, reason=f"run {trail.run_id} stopped{after}", op=trail.op, step=trail.last_step
    )


def _foreign_run(pair: Pair, trail: Trail) -> str:
    """Return the run stamped on a copy that is neither closed here nor explained by the phase."""
    for vm, key in ((pair.replica, stamps.RUN), (pair.production, stamps.FENCED)):
        run = vm.stamps.get(key, "") if vm is not None else ""
        if run:
            return run
    return ""


def _at_rest(pair: Pair, replica: Vm, *, now_s: float, rpo_s: float) -> StateView:
    points = replica.vendor_points()
    if not points:
        return StateView(state=State.SEEDING, reason="the replica has no recovery point yet")
    age_s = now_s - points[-1].created_at_s
    if age_s > rpo_s:
        return StateView(
            state=State.DEGRADED,
            reason=f"the newest recovery point is {age_s / 3600:.1f} h old, the contract allows {rpo_s / 3600:.1f} h",
        )
    return StateView(state=State.READY, reason=f"newest recovery point {age_s / 3600:.1f} h old, within the RPO")


def _replica_on(pair: Pair, replica: Vm) -> StateView:
    phase = replica.stamps.get(stamps.PHASE)
    production = pair.production
    if phase == Phase.TESTING:
        return StateView(state=State.TESTING, reason="a test copy runs in the bubble")
    if phase == Phase.FAILBACK:
        return StateView(
            state=State.FAILBACK,
            reason=f"the promoted replica runs at home on {replica.host}, uncommitted (means: relocate)",
        )
    if phase == Phase.FAILOVER:
        return StateView(state=State.FAILOVER, reason=f"the replica serves from {replica.host}, uncommitted")
    if production is None:
        if _is_live(replica, pair):
            return StateView(
                state=State.SPLIT_BRAIN,
                reason=f"the replica runs on {replica.host} and the production copy cannot be seen: fencing is unproven",
            )
        return StateView(
            state=State.FOUND_RUNNING, reason=f"the replica was found running on {replica.host}, no run of ours"
        )
    if production.power is Power.ON:
        return StateView(
            state=State.TESTING,
            reason=f"the replica runs on {replica.host} without a production network, no run of ours",
        )
    if production.power is Power.OFF:
        return StateView(
            state=State.FOUND_RUNNING, reason=f"the replica was found running on {replica.host}, no run of ours"
        )
    return StateView(
        state=State.SPLIT_BRAIN,
        reason=f"the replica runs on {replica.host}, the production copy is {production.power}: fencing is unproven",
    )
