# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the changing modules do: read, check the rules, hold the lease, run the steps, report."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import (
    checks,
    production,
    promotion,
    stamps,
    words,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Witness
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import Op
from ansible_collections.ferragosto.dr.plugins.module_utils.core.work import Work
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.witness import ask_witnesses
from ansible_collections.ferragosto.dr.plugins.module_utils.session import Look, Session
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.item import read_choice
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.verification import service_reading

Params: t.TypeAlias = Mapping[str, t.Any]
Result: t.TypeAlias = "dict[str, t.Any]"

RECOVER = "recover"
AUTO = "auto"


def power(session: Session, params: Params) -> Result:
    """Bring the production copy into a power state, or restart it until its service answers."""
    with session.work() as work:
        look = _own_look(session, Op.RESUME)
        if params["state"] == "restarted":
            outcome = production.restart(
                work,
                look.pair,
                attempts=params["attempts"],
                within_s=params["timeout"],
                probe=lambda: service_reading(session, params, deadline_s=params["timeout"]),
            )
            more = {"is_serving": outcome.is_serving, "attempts": list(outcome.attempts)}
            return {**_result(session, look, work), **more}
        vm = production.seen_production(look.pair)
        if params["state"] == "on":
            if vm.power is not Power.ON:
                production.may_power_on(look.pair)
            work.do("power", session.site().power_on(vm))
        else:
            work.do("power", session.site().power_off(vm, guest_within_s=params["shutdown_timeout"]))
        return _result(session, look, work)


def fence(session: Session, params: Params) -> Result:
    """Fence the production copy and return the proof, or unfence it."""
    with session.work(RECOVER) as work:
        look = _own_look(session, Op.FAILOVER)
        work.stays_open = params["state"] == "fenced" and _begins(look)
        accepted = _accepted(look, params).unfenced
        if params["state"] == "unfenced":
            production.unfence(work, look.reading, look.pair)
            _end_recovery(session, work, "undone")
            return _result(session, look, work)
        proof = production.fence(
            work,
            look.reading,
            look.pair,
            ask_witnesses=lambda: _witnesses(session),
            accepted=accepted,
            limits=words.policy(params["policy"]).deadlines,
        )
        session.progress(f"fenced, proof: {proof.kind}, {proof.detail}")
        return {**_result(session, look, work), "proof": asdict(proof)}


def replica(session: Session, params: Params) -> Result:
    """Bring the replica into the desired state."""
    contract = words.contract(params["contract"]) if params["contract"] else None
    policy = words.policy(params["policy"])
    with session.work(RECOVER) as work:
        look = _own_look(session, {"ready": Op.UNDO, "committed": Op.COMMIT}.get(params["state"], Op.FAILOVER))
        work.stays_open = params["state"] == "failover" and _begins(look)
        accept = _accepted(look, params)
        rpo = {} if contract is None else {"rpo_s": contract.rpo_s}
        state = look.state(now_s=session.clock.now_s(), **rpo)
        more: Result = {}
        if params["state"] == "ready":
            promotion.undo(work, look.pair, state)
            _end_recovery(session, work, "undone")
        elif params["state"] == "committed":
            promotion.commit(work, look.pair, state)
            _end_recovery(session, work, "committed")
        else:
            if contract is None:
                raise BadInput(
                    what="promote the replica",
                    why="no contract is given, so nothing says how much data may be lost",
                    next="set dr_contract: {rto: 30m, rpo: 24h}",
                )
            left_s = None if look.run is None else look.run.alert_at_s + contract.rto_s - session.clock.now_s()
            order = promotion.FailoverOrder(
                way=policy.promotion,
                promoted_id=params["promoted_id"] or "",
                rto_left_s=left_s,
                choice=read_choice(params["recovery_point"], now_s=session.clock.now_s()),
                rpo_s=contract.rpo_s,
                guest_within_s=policy.deadlines.guest_s,
                fault_at_s=params["fault_at"],
                accept_data_loss=accept.data_loss,
                accept_unfenced=accept.unfenced,
                # In check mode the hook is not run; in earnest it runs before this.
                is_job_disabled=params["job_disabled"]
                or accept.job_disabled
                or (policy.job_hook if work.is_check else None),
            )
            witnesses = () if production.can_act_on(look.reading, look.pair) else _witnesses(session)
            proof, loss = promotion.fail_over(work, look.reading, look.pair, state, order, witnesses=witnesses)
            more = {"proof": None if proof is None else asdict(proof), "point": asdict(loss)}
        return {**_result(session, look, work, is_copy_told=True), **more}


def migration(session: Session, params: Params) -> Result:
    """Move the promoted replica home or back."""
    with session.work() as work:
        look = _own_look(session, Op.FAILBACK)
        state = look.state(now_s=session.clock.now_s())
        policy = words.policy(params["policy"])
        mode = params["mode"]
        if mode == AUTO:
            # Not allowed to go down, it is asked to move live: the platform then says why it cannot.
            mode = "cold" if policy.cold_migration and "migrate_live" in work.site.refusals() else "live"
        promotion.migrate(work, look.pair, state, to=params["to"], mode=mode, limits=policy.deadlines)
        return _result(session, look, work, is_copy_told=True)


def replication(session: Session, params: Params) -> Result:
    """Bring the platform's own replication of the VM into the desired state."""
    with session.work() as work:
        look = _own_look(session, Op.REPROTECT)
        accepted = _accepted(look, params).original_overwritten
        limits = words.policy(params["policy"]).deadlines
        home, replica = look.pair.production_node, look.pair.replica
        # Before the way home the data must have travelled; after it, the other host only catches up.
        is_last = look.run is not None and replica is not None and replica.host == home
        shown = promotion.replicate(
            work, look.pair, state=params["state"], accepted=accepted, limits=limits, is_last=is_last
        )
        return {**_result(session, look, work), "replication": None if shown is None else asdict(shown)}


def _result(session: Session, before: Look, work: Work, *, is_copy_told: bool = False) -> Result:
    """Return the steps and the state before and after; the site is read again only where something may have changed.

    With ``is_copy_told`` also the promoted copy as it is now: on some platforms a promotion makes a VM that was not there before.
    """
    now_s = session.clock.now_s()
    was = before.state(now_s=now_s).state.value
    # An undo that was killed when all was done changes nothing when it is continued, and yet has ended elsewhere.
    is_undo = before.run is not None and before.run.op == Op.UNDO
    is_same = work.is_check or not (work.changed or is_undo)
    look = before if is_same else _look_after(session)
    after = was if is_same else look.state(now_s=now_s).state.value
    told = {"copy": _copy(session, look)} if is_copy_told else {}
    return {**work.report(), "state": {"before": was, "after": after}, "run_id": work.run_id, **told}


def _look_after(session: Session) -> Look:
    """Read the site again. An undo or a commit is one act: once it has succeeded, its open run only waits to be closed."""
    look = session.look()
    is_ended = look.run is not None and look.run.op in (Op.UNDO, Op.COMMIT)
    return replace(look, trail=replace(look.trail, is_open=False)) if is_ended else look


def _copy(session: Session, look: Look) -> Result:
    fresh = session.site().refresh(promotion.seen_replica(look.pair))
    return {"id": fresh.id, "name": fresh.name, "host": fresh.host, "power": fresh.power.value}


def _own_look(session: Session, op: Op) -> Look:
    """Read the site, and refuse to touch a VM that a run of another journal holds (invariant 9)."""
    look = session.look()
    state = look.state(now_s=session.clock.now_s())
    if state.foreign_run:
        state.require(op, look.pair.name)
    return look


def _begins(look: Look) -> bool:
    """Tell whether the replica is not promoted yet, so that what is done now is the beginning of a recovery."""
    replica = look.pair.replica
    return replica is not None and replica.stamps.get(stamps.PHASE, "") in ("", Phase.PROMOTING)


def _end_recovery(session: Session, work: Work, outcome: str) -> None:
    """Close the recovery that this call took back or made permanent; the undo and commit playbooks close their own runs."""
    run = None if work.is_check else session.run()
    if run is not None and run.op == RECOVER:
        work.note("run_closed", {"outcome": outcome, "why": "by a single command"})
        work.stays_open = True  # it is closed already


def _accepted(look: Look, params: Params) -> words.Accept:
    """Return the consents given with this call, and those the open run has on record already."""
    noted = {} if look.run is None else {consent.kind: consent.reason for consent in look.run.consents}
    return words.accept(params["accept"]).beside(noted)


def _witnesses(session: Session) -> Sequence[Witness]:
    declared = checks.read_witnesses(session.params["site"].get("witnesses"), "dr_site.witnesses")
    return ask_witnesses(declared)
