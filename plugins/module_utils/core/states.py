# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""States of a protected VM: derived from what the hypervisors show, the stamps and the journal; never a flag someone sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps, ways
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, Pair, Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.points import FOREIGN
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
    """What the journal knows of the last run of a VM; made by ``runs.trail``, empty without one.

    ``has_acted`` is true once an intent that changes a copy's role (fence or later) was written. ``is_alive`` says that the
    controller holding the lease lives; ``is_ours`` that it is the one asking. ``known_runs`` are all runs this journal has
    opened for the VM: a stamp of any other run is of another journal.
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
    foreign_run: str = ""  # a run of another journal holds this VM: nothing is legal from here (invariant 9)

    def legal(self) -> tuple[str, ...]:
        """Return the operations that are legal now, in the words of ``Op``."""
        if self.foreign_run:
            return ()
        # A commit can be finished, not taken back: its protective point may be gone.
        barred = {Op.UNDO} if self.state is State.INTERRUPTED and self.op == Op.COMMIT else set()
        return tuple(sorted(LEGAL[self.state] - barred))

    def require(self, op: Op, vm: str) -> None:
        """Raise Refused with the state, its reason and the legal list, when ``op`` is not legal now."""
        if op in self.legal():
            return
        raise Refused(what=f"{op} {vm}", why=f"its state is {self.state}: {self.reason}", next=self.advice())

    def advice(self) -> str:
        """Say what a technician can do from here."""
        if not self.foreign_run:
            return f"legal in this state: {', '.join(self.legal()) or 'nothing but waiting'}"
        return (
            f"set dr_journal to the journal of run {self.foreign_run}; if that one is lost for good, look at both "
            "copies yourself and take the ferragosto.dr.* settings off them, then adopt what runs"
        )


def derive(pair: Pair, trail: Trail, *, now_s: float, rpo_s: float) -> StateView:
    """Derive the state of one protected VM from what is shown now, then the stamps, then the journal."""
    view = _split_brain(pair) or _derive(pair, trail, now_s=now_s, rpo_s=rpo_s)
    foreign = _foreign_run(pair, trail)
    # A split brain must be resolved whoever made it, and what is committed belongs to no run any more.
    if not foreign or view.state is State.SPLIT_BRAIN or _phase(pair.replica) == Phase.COMMITTED:
        return view
    return replace(
        view, reason=f"{view.reason}; run {foreign} is of another journal than this one", foreign_run=foreign
    )


def _derive(pair: Pair, trail: Trail, *, now_s: float, rpo_s: float) -> StateView:
    production, replica, phase = pair.production, pair.replica, _phase(pair.replica)
    if replica is not None and phase == Phase.COMMITTED:
        return _committed(pair, replica)
    # A commit that did not get as far as its stamp has changed nothing: started again it must be legal.
    is_uncommitted = trail.op == Op.COMMIT and phase in (Phase.FAILOVER, Phase.FAILBACK)
    if trail.is_open and trail.has_acted and not is_uncommitted:
        return _in_run(trail, phase)
    fenced_by = _fenced_by(production)
    if replica is None:
        return _without_replica(pair, fenced_by)
    if phase in (Phase.FAILOVER, Phase.FAILBACK):
        return _promoted(pair, replica)
    if phase == Phase.TESTING:
        return _testing(pair, replica)
    run_id = replica.stamps.get(stamps.RUN, "")
    if run_id or phase:
        op = Op.FAILBACK if phase == Phase.MIGRATING else Op.FAILOVER
        reason = f"run {run_id or 'unknown'} stopped while {phase or 'beginning'}"
        return StateView(state=State.INTERRUPTED, op=op, reason=reason)
    if fenced_by and replica.power is not Power.ON:
        reason = f"the production copy is fenced by run {fenced_by}, the replica is not promoted"
        if production is not None and production.is_live(pair.isolated):
            reason = f"the production copy carries the fence stamp of run {fenced_by}, yet runs on {production.host}"
        return StateView(state=State.INTERRUPTED, op=Op.FAILOVER, reason=reason)
    if replica.power is Power.ON:
        return _found_on(pair, replica)
    return _at_rest(replica, now_s=now_s, rpo_s=rpo_s)


# --- split brain -----------------------------------------------------------------------------------------------------


def _split_brain(pair: Pair) -> StateView | None:
    """Find two copies on a production network, or a replica there while nothing proves that the other one is not."""
    production, replica = pair.production, pair.replica
    if replica is None or not replica.is_live(pair.isolated):
        return None
    if production is not None and _is_seen(production) and production.is_live(pair.isolated):
        shown = "are" if _is_seen(replica) else "were last"
        return StateView(
            state=State.SPLIT_BRAIN,
            reason=f"both copies {shown} seen powered on with a connected NIC ({production.host} and {replica.host})",
        )
    if _is_fence_proven(pair):
        return None
    if production is None:
        where = "cannot be seen"
    elif not _is_seen(production):
        where = f"on {production.host} was last known {production.power} and cannot be seen ({production.connection})"
    else:
        where = f"on {production.host} is {production.power} with a connected NIC"
    return StateView(
        state=State.SPLIT_BRAIN,
        reason=f"fencing is unproven: the replica runs on {replica.host}, the production copy {where}",
    )


def _is_fence_proven(pair: Pair) -> bool:
    """Tell whether the production copy is seen held off the network now, or a run of ours proved it before."""
    production, replica = pair.production, pair.replica
    # No run powers a replica on before its fence is proven or accepted (invariant 2); a test needs no fence.
    if replica is not None and stamps.RUN in replica.stamps and _phase(replica) != Phase.TESTING:
        return True
    if production is None:
        return False
    if _is_seen(production):
        return _is_held(pair, production)
    # The stamp is written before the power goes off, so it counts only beside what was seen done.
    return bool(_fenced_by(production)) and _is_held(pair, production)


def _is_seen(vm: Vm) -> bool:
    """Tell whether its hypervisor shows this copy as it is now; what is last known is not proof of anything."""
    return vm.connection is Connection.CONNECTED and vm.power is not Power.UNKNOWN


def _is_held(pair: Pair, vm: Vm) -> bool:
    """Tell whether it is off or has no NIC on a production network: suspended alone is not enough, it may go on."""
    is_connected = any(n.is_connected and n.network not in pair.isolated for n in vm.nics)
    return vm.power is Power.OFF or (vm.power is not Power.UNKNOWN and not is_connected)


# --- runs ------------------------------------------------------------------------------------------------------------


def _phase(replica: Vm | None) -> str:
    return replica.stamps.get(stamps.PHASE, "") if replica is not None else ""


def _fenced_by(production: Vm | None) -> str:
    return production.stamps.get(stamps.FENCED, "") if production is not None else ""


def _foreign_run(pair: Pair, trail: Trail) -> str:
    """Return a run stamped on a copy that this journal never opened, or ""."""
    promoted_by = pair.replica.stamps.get(stamps.RUN, "") if pair.replica is not None else ""
    known = trail.known_runs | {trail.run_id, ""}
    return next((run for run in (promoted_by, _fenced_by(pair.production)) if run not in known), "")


def _in_run(trail: Trail, phase: str) -> StateView:
    if not trail.is_alive:
        after = f" after {trail.last_step!r}" if trail.last_step else ""
        reason = f"run {trail.run_id} stopped{after}"
        return StateView(state=State.INTERRUPTED, reason=reason, op=trail.op, step=trail.last_step)
    goes_back = trail.op == Op.FAILBACK or (phase == Phase.MIGRATING and not trail.is_ours)
    whose = "this run" if trail.is_ours else "another controller"
    return StateView(
        state=State.FAILING_BACK if goes_back else State.FAILING_OVER,
        reason=f"{whose} works on it ({trail.run_id})",
        op=trail.op,
        step=trail.last_step,
    )


def _without_replica(pair: Pair, fenced_by: str) -> StateView:
    if fenced_by and not pair.is_replica_reachable:
        reason = f"the production copy is fenced by run {fenced_by}; the replica cannot be seen, it may serve"
        return StateView(state=State.FAILOVER, reason=reason)
    if fenced_by:
        reason = f"the production copy is fenced by run {fenced_by}, and no replica is found"
        return StateView(state=State.INTERRUPTED, op=Op.FAILOVER, reason=reason)
    if not pair.is_replica_reachable:
        return StateView(state=State.DEGRADED, reason="the replica's endpoint does not answer: its replica is unknown")
    return StateView(state=State.UNPROTECTED, reason=pair.replica_note or "no replica was found")


# --- by the replica's stamps -----------------------------------------------------------------------------------------


def _is_at_home(pair: Pair, replica: Vm) -> bool:
    return replica.host == pair.production_node


def _committed(pair: Pair, replica: Vm) -> StateView:
    if _is_at_home(pair, replica):
        return StateView(
            state=State.UNPROTECTED,
            reason=f"committed at home ({replica.host}); it has no replica until a new one is made",
        )
    return StateView(state=State.COMMITTED, reason=f"the promoted replica on {replica.host} is production now")


def _promoted(pair: Pair, replica: Vm) -> StateView:
    shown = "serves" if replica.is_live(pair.isolated) else f"is {replica.power} and not on the network"
    if not _is_seen(replica):
        shown = f"cannot be seen now, it was last known {replica.power}"
    production = pair.production
    beside = ""
    if production is not None and _is_seen(production) and production.is_live(pair.isolated):
        beside = f", while the production copy runs on {production.host}"
    # Stamped at home but seen elsewhere: what the hypervisor shows wins.
    if _phase(replica) == Phase.FAILBACK and _is_at_home(pair, replica):
        means = "reverse" if replica.stamps.get(stamps.MODE) in ways.OVERWRITING else "relocate"
        reason = f"the promoted replica {shown} at home on {replica.host}, uncommitted (means: {means}){beside}"
        return StateView(state=State.FAILBACK, reason=reason)
    reason = f"the promoted replica {shown} on {replica.host}, uncommitted{beside}"
    return StateView(state=State.FAILOVER, reason=reason)


def _testing(pair: Pair, replica: Vm) -> StateView:
    if replica.is_live(pair.isolated):
        reason = (
            f"the test copy on {replica.host} was connected to a production network, and the production copy is off it"
        )
        return StateView(state=State.FOUND_RUNNING, reason=reason)
    if replica.power is Power.ON:
        return StateView(state=State.TESTING, reason=f"a test copy runs in the bubble on {replica.host}")
    return StateView(state=State.TESTING, reason=f"the test copy is {replica.power}; its cleanup is still to be done")


# --- by what is seen -------------------------------------------------------------------------------------------------


def _found_on(pair: Pair, replica: Vm) -> StateView:
    production = pair.production
    found = "was found" if _is_seen(replica) else "was last seen"
    if replica.is_live(pair.isolated):
        off = "off" if production is not None and production.power is Power.OFF else "off the network"
        reason = f"the replica {found} running on {replica.host}, production is {off}, no run of ours"
        return StateView(state=State.FOUND_RUNNING, reason=reason)
    isolated = f"the replica {found} running on {replica.host} without a production network, no run of ours"
    if production is not None and production.power in (Power.ON, Power.SUSPENDED):
        return StateView(state=State.TESTING, reason=isolated)
    return StateView(state=State.FOUND_RUNNING, reason=isolated)


def _at_rest(replica: Vm, *, now_s: float, rpo_s: float) -> StateView:
    if not _is_seen(replica):
        why = (
            "its files cannot be read" if replica.connection is Connection.INACCESSIBLE else "its host does not answer"
        )
        reason = f"the replica on {replica.host} is unknown: {why}; it was last known {replica.power}"
        return StateView(state=State.DEGRADED, reason=reason)
    if replica.power is not Power.OFF:
        return StateView(state=State.DEGRADED, reason=f"the replica on {replica.host} is {replica.power}, not off")
    if replica.replica_kind in FOREIGN:
        reason = f"its replica is kept by {replica.replica_kind.replace('_', ' ')}: only that product can bring it up"
        return StateView(state=State.DEGRADED, reason=reason)
    points = replica.vendor_points()
    if not points and replica.points_note:
        return StateView(state=State.DEGRADED, reason=f"the age of the replica is not known: {replica.points_note}")
    if not points:
        return StateView(state=State.SEEDING, reason="the replica has no recovery point yet")
    age_s = now_s - max(p.created_at_s for p in points)
    if age_s > rpo_s:
        return StateView(
            state=State.DEGRADED,
            reason=f"the newest recovery point is {age_s / 3600:.1f} h old, the contract allows {rpo_s / 3600:.1f} h",
        )
    return StateView(state=State.READY, reason=f"newest recovery point {age_s / 3600:.1f} h old, within the RPO")
