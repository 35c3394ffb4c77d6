# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathering the situation of one VM for the decision: the loss, the fence outlook, capacity, the way home, past durations."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core import (
    capacity,
    checks,
    fencing,
    points,
    production,
    runs,
    stamps,
    states,
    ways,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import time_left_s
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError, SplitBrainRisk
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Capacity, Loss
from ansible_collections.ferragosto.dr.plugins.module_utils.core.history import durations
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import RecoveryPoint, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.situation import (
    Dependency,
    FenceOutlook,
    HomeOutlook,
    Situation,
    resume_of,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.witness import ask_witnesses
from ansible_collections.ferragosto.dr.plugins.module_utils.session import Session
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.examine import Subject

_BEGUN = frozenset({states.State.INTERRUPTED, states.State.FAILING_OVER})  # perhaps before the way was chosen


def situation(
    session: Session,
    one: Subject,
    *,
    together: Sequence[Subject],
    dependencies: tuple[Dependency, ...],
    is_deep: bool,
) -> Situation:
    """Put together all that the decision looks at. ``together`` are the VMs that may fail over with this one."""
    loss, why, then = _loss(session, one)
    way, way_why = _way(session, one, loss) if is_deep else ("", "")
    past = durations(one.records)
    if past.rto is None:
        past = durations(session.journal.records())  # this VM never failed over: learn from its neighbours
    return Situation(
        vm=one.pair.name,
        diagnosis=one.diagnosis,
        state=one.state,
        service=one.service,
        contract=one.item.contract,
        policy=one.item.policy,
        accept=one.item.accept.beside({} if one.run is None else {c.kind: c.reason for c in one.run.consents}),
        fence=_fence(one, is_deep=is_deep),
        loss=loss,
        loss_why=why,
        loss_next=then,
        capacity=_capacity(one, together),
        dependencies=dependencies,
        job_disabled=_job_disabled(one.run),
        drives_replication=one.site.drives_replication,
        way=way,
        way_why=way_why,
        approved_by=one.item.approved_by,
        refusals=one.site.refusals(),
        resume=resume_of(one.run),
        home=_home(one),
        past=past,
    )


def _loss(session: Session, one: Subject) -> tuple[Loss | None, str, str]:
    if one.pair.replica is None:
        return None, one.pair.replica_note or "no replica was found", "check dr_replica, or restore from a backup"
    try:
        point = _chosen(one)
        if point is None:
            points.require_promotable(one.pair.replica)
            point = points.choose_point(one.pair.replica.points, one.item.choice)
    except DrError as error:
        return None, error.why, error.next
    now_s = session.clock.now_s()
    found = points.loss(point, fault_at_s=one.diagnosis.fault_at_s, now_s=now_s, rpo_s=one.item.contract.rpo_s)
    return found, "", ""


def _way(session: Session, one: Subject, loss: Loss | None) -> tuple[str, str]:
    """Return the way of the promotion, gone already or to be chosen, and what it costs; ("", why) when there is none."""
    replica = one.pair.replica
    gone = replica.stamps.get(stamps.MODE, "") if replica is not None else ""
    own = [r for r in one.records if one.run is not None and r.run_id == one.run.run_id]
    gone = gone or runs.chosen_way(own)
    is_ahead = states.Op.FAILOVER in one.state.legal() or one.state.state in _BEGUN
    if gone or loss is None or not is_ahead:
        return gone, ""
    left_s = time_left_s(one.item.alert_at_s, one.item.contract.rto_s, session.clock.now_s())
    speed = ways.pace(session.journal.records(kinds=("result",)))
    try:
        offered = one.site.ways(one.pair, loss.point)
        found = ways.choose(offered, wanted=one.item.policy.promotion, rto_left_s=left_s, speed=speed)
    except DrError as error:
        return "", error.why
    return found.name, ways.say(found, rto_left_s=left_s, speed=speed)


def _chosen(one: Subject) -> RecoveryPoint | None:
    """Return the point that the open run has chosen, unless a person names another now."""
    if one.run is None or one.item.choice != "latest" or one.pair.replica is None:
        return None
    return runs.chosen([record for record in one.records if record.run_id == one.run.run_id])


def _fence(one: Subject, *, is_deep: bool) -> FenceOutlook:
    if production.can_act_on(one.reading, one.pair):
        return FenceOutlook(is_provable=True, reason="its hypervisor answers: it can be fenced and read back")
    declared = checks.read_witnesses(one.item.site.get("witnesses"), "dr_site.witnesses")
    asked = ask_witnesses(declared) if is_deep else ()
    try:
        proof = fencing.prove_fenced(
            one.pair, one.reading.production, one.production_host, asked, one.item.accept.unfenced
        )
    except SplitBrainRisk as risk:
        return FenceOutlook(is_provable=False, reason=risk.why)
    return FenceOutlook.of(proof)


def _capacity(one: Subject, together: Sequence[Subject]) -> Capacity | None:
    """Judge the replica host for this replica and for those that may fail over to the same host with it."""
    host = one.replica_host
    if host is None or one.pair.replica is None:
        return None
    starting: dict[str, Vm] = {one.pair.replica.id: one.pair.replica}
    for other in together:
        replica = other.pair.replica
        if replica is not None and other.reading.name == one.reading.name and replica.host == host.name:
            starting.setdefault(replica.id, replica)
    return capacity.capacity(host, None, tuple(starting.values()), one.reading.replica.vms)


def _home(one: Subject) -> HomeOutlook:
    """Tell whether the production host can take the promoted VM back."""
    host, replica = one.production_host, one.pair.replica
    if host is None or replica is None:
        return HomeOutlook(is_sound=False, reason="the production host is not seen")
    if host.name == replica.host:
        return HomeOutlook(is_sound=True, reason="it is there already")
    wanted = one.item.site["production"].get("datastore")
    found = capacity.capacity(host, wanted, (replica,), _without_original(one))
    return HomeOutlook(is_sound=found.is_enough, reason=found.reason)


def _without_original(one: Subject) -> tuple[Vm, ...]:
    """The original is fenced by then: its memory is free again."""
    original = one.pair.production
    return tuple(vm for vm in one.reading.production.vms if original is None or vm.id != original.id)


def _job_disabled(run: runs.Run | None) -> str:
    noted = run.consent("job_disabled") if run is not None else None
    return noted.reason if noted is not None else ""
