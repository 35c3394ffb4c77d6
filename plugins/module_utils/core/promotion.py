# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Use cases on the replica: failover, migration home and back, undo, commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import points, production, runs, stamps, ways
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    DrError,
    NotReplicated,
    Refused,
    StepFailed,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import FenceProof, Loss, Witness
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Pair,
    RecoveryPoint,
    Replication,
    SiteReading,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former, Record
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import Op, State, StateView
from ansible_collections.ferragosto.dr.plugins.module_utils.core.words import Deadlines
from ansible_collections.ferragosto.dr.plugins.module_utils.core.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverOrder:
    """What a person or a policy asked for. ``fault_at_s`` is T0; None counts the loss up to now."""

    choice: points.Choice
    rpo_s: float
    guest_within_s: float
    fault_at_s: float | None
    accept_data_loss: str | None
    accept_unfenced: str | None
    is_job_disabled: str | None  # who says so; None = not known
    way: str = ways.AUTO
    promoted_id: str = ""
    rto_left_s: float | None = None


def seen_replica(pair: Pair) -> Vm:
    if pair.replica is None:
        raise NotReplicated(
            what=f"work on the replica of {pair.name}",
            why="no replica was found" if pair.is_replica_reachable else "the replica's endpoint does not answer",
            next="check dr_replica and dr_site.replica; restore from a backup if there is none",
        )
    return pair.replica


def fail_over(
    work: Work,
    reading: SiteReading,
    pair: Pair,
    state: StateView,
    order: FailoverOrder,
    *,
    witnesses: Sequence[Witness],
) -> tuple[FenceProof | None, Loss]:
    """Promote the replica at the chosen point, once the production copy is proven fenced."""
    replica = seen_replica(pair)
    records = work.journal.records(vm_key=work.vm_key, run_id=work.run_id)
    chosen = runs.chosen(records)
    if state.state not in (State.FAILOVER, State.FAILBACK, State.FAILING_OVER, State.INTERRUPTED):
        state.require(Op.FAILOVER, pair.name)
    loss = _choose(work, replica, order, chosen, has_begun=_has_begun(records))
    if state.state in (State.FAILOVER, State.FAILBACK):
        return None, loss
    _require_acceptable(work, replica, loss, order)
    proof = None
    if not work.is_check:
        proof = production.proof_now(work, reading, pair, witnesses=witnesses, accepted=order.accept_unfenced)
    point, way = loss.point, runs.chosen_way(records)
    if chosen is None or point.id != chosen.id:
        speed = ways.pace(work.journal.records(kinds=("result",)))
        offered = work.site.ways(pair, point)
        found = ways.choose(offered, wanted=order.way, rto_left_s=order.rto_left_s, speed=speed)
        way = found.name
        work.progress(ways.say(found, rto_left_s=order.rto_left_s, speed=speed))
        body = {"id": point.id, "name": point.name, "created_at_s": point.created_at_s, "lost_s": loss.lost_s}
        work.note("chosen", {**body, "way": way})
    steps = work.site.promote(
        pair,
        point,
        way=way,
        run_id=work.run_id,
        guest_within_s=order.guest_within_s,
        promoted_id=order.promoted_id,
    )
    work.do("promote", steps)
    return proof, loss


def _require_acceptable(work: Work, replica: Vm, loss: Loss, order: FailoverOrder) -> None:
    if not loss.is_within_rpo and not order.accept_data_loss:
        raise Refused(
            what=f"promote {replica.name}",
            why=f"recovery point {loss.point.name!r} loses {loss.lost_s / 3600:.1f} h, more than the RPO of {order.rpo_s / 3600:.1f} h",
            next="choose another point with recover_point, or accept the loss in words: dr_accept.data_loss",
        )
    if order.is_job_disabled is None and not work.site.drives_replication:
        raise Refused(
            what=f"promote {replica.name}",
            why="its replication job is not known to be disabled: tonight's run could roll the promoted replica back",
            next="set dr_policy.job_hook, or disable the job and say who did and when: dr_accept.job_disabled",
        )


def _choose(work: Work, replica: Vm, order: FailoverOrder, chosen: RecoveryPoint | None, *, has_begun: bool) -> Loss:
    """Return the point this run has chosen; a resumed run keeps it unless a person names another one."""
    if chosen is not None and order.choice == "latest":
        point = _kept(replica, chosen, has_begun=has_begun)
    else:
        points.require_promotable(replica)
        point = points.choose_point(replica.points, order.choice)
    return points.loss(point, fault_at_s=order.fault_at_s, now_s=work.clock.now_s(), rpo_s=order.rpo_s)


def _kept(replica: Vm, chosen: RecoveryPoint, *, has_begun: bool) -> RecoveryPoint:
    """Return the point as it is shown now; what was begun with it may have used it up, where a clone or a move took its place."""
    point = next((p for p in replica.points if p.id == chosen.id), None)
    if point is not None:
        return point
    if has_begun:
        return chosen
    raise NotReplicated(
        what=f"continue the promotion of {replica.name}",
        why=f"the recovery point {chosen.id} that this run chose is gone",
        next="undo this run, then recover again with another point",
    )


def _has_begun(records: Sequence[Record]) -> bool:
    return any(r.kind == "result" and r.body.get("phase") == "promote" and not r.body.get("error") for r in records)


def migrate(work: Work, pair: Pair, state: StateView, *, to: str, mode: str, limits: Deadlines) -> bool:
    """Move the promoted replica home (``to`` = "production") or back ("replica"), and stamp how far it came."""
    replica = seen_replica(pair)
    is_promoted = replica.stamps.get(stamps.PHASE) in (Phase.FAILOVER, Phase.MIGRATING, Phase.FAILBACK)
    # A dry run of a whole recovery comes here without the promotion that it has only foreseen.
    if not is_promoted and not (work.is_check and Op.FAILOVER in state.legal()):
        raise Refused(
            what=f"migrate {replica.name} to the {to} host",
            why=f"it is not a promoted replica: state {state.state}, {state.reason}",
            next=f"legal in this state: {', '.join(state.legal()) or 'nothing but waiting'}",
        )
    phase = Phase.FAILBACK if to == "production" else Phase.FAILOVER
    # The copy stays with the run that promoted it: its protective point bears that run's id, also when an undo moves it back.
    run_id = replica.stamps.get(stamps.RUN, work.run_id)
    steps = work.site.migrate(replica, to=to, mode=mode, run_id=run_id, within_s=limits.migrate_s)
    changed = work.do("migrate", steps)
    return work.do("migrate", work.site.end_migration(replica, run_id=run_id, phase=phase)) or changed


def replicate(
    work: Work, pair: Pair, *, state: str, accepted: str | None, limits: Deadlines, is_last: bool = False
) -> Replication | None:
    """Bring the platform's own replication of this VM into a state, and return what it then shows.

    ``is_last``: it ends a recovery. The service is back by then, so what cannot be reprotected, or not yet, is told and noted,
    and does not turn a recovery into a failure.
    """
    if accepted and state == "reversed" and not work.is_check:
        work.note("consent", {"kind": "original_overwritten", "reason": accepted})
    replica = seen_replica(pair)
    if work.is_check and state == "reversed" and stamps.RUN not in replica.stamps:
        # A dry run of a whole recovery comes here without the promotion that it has only foreseen.
        work.progress("its replication would be reversed once it is promoted")
        return work.site.replication(pair)
    # A reversed job that waits for its first run is the last step of a recovery: service is back, and the customer waits.
    within_s = limits.reprotect_s if state == "reversed" and is_last else limits.migrate_s
    try:
        steps = work.site.set_replication(
            pair, state=state, run_id=work.run_id, is_loss_accepted=bool(accepted), within_s=within_s
        )
        work.do("reprotect", steps)
    except (NotReplicated, Refused, StepFailed) as error:
        if not is_last:
            raise
        _note_unprotected(work, work.site.replication(pair), error)
    return work.site.replication(pair)


def _note_unprotected(work: Work, shown: Replication | None, error: DrError) -> None:
    if shown is not None and shown.is_enabled and not shown.error:
        work.note("reprotect_pending", {"job": shown.job, "source": shown.source, "target": shown.target})
        work.progress(f"the first replication to {shown.target} goes on by itself; it is a replica once that has ended")
        return
    work.note("not_reprotected", {"why": str(error)})
    work.progress(f"NOT REPROTECTED, there is no second copy: {error}")


def undo(work: Work, pair: Pair, state: StateView) -> None:
    """Return to the exact state before the failover: replica at rest at its protective point, production as it was.

    The replica is stopped and rolled back before the production copy gets its NICs and power again (invariant 1).
    """
    if state.state in (State.READY, State.DEGRADED):
        return
    if state.state is not State.FAILING_OVER:
        state.require(Op.UNDO, pair.name)
    replica = seen_replica(pair)
    records = work.journal.records(vm_key=work.vm_key)
    # With both stamps off already, an undo that is started again must still learn what the production copy was.
    last = runs.last_acting(records) or work.run_id
    run_id = replica.stamps.get(stamps.RUN) or _fenced_by(pair) or last
    was_here = runs.former(records, run_id, phase="promote")
    # A platform that replicates itself takes its copy back wherever it lives, or refuses to before anything moves.
    if replica.host == pair.production_node != pair.replica_node and not work.site.drives_replication:
        work.do("undo", work.site.migrate(replica, to="replica", mode="live", run_id=run_id))
    work.do("undo", work.site.undo_promotion(pair, was_here, run_id=run_id))
    was_there: Former = runs.former(records, _fenced_by(pair) or last, phase="fence")
    vm = production.seen_production(pair)
    work.do("undo", work.site.unfence(vm, was_there))
    if was_there.power == "on":
        work.do("undo", work.site.power_on(vm))


def _fenced_by(pair: Pair) -> str:
    return pair.production.stamps.get(stamps.FENCED, "") if pair.production is not None else ""


def commit(work: Work, pair: Pair, state: StateView) -> None:
    """Make the promotion permanent. Only here may our own protective point be removed (invariant 3)."""
    replica = seen_replica(pair)
    # Committed already: what a killed commit left (our protective point) is still taken away.
    if replica.stamps.get(stamps.PHASE) != Phase.COMMITTED:
        state.require(Op.COMMIT, pair.name)
    work.do("commit", work.site.commit(pair, run_id=replica.stamps.get(stamps.RUN, work.run_id)))
