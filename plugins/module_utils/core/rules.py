# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of a recovery as tables: each looks at the situation and objects with a reason and the next move, or lets go.

The order is the order in which a technician wants to read the objections.
"""

from __future__ import annotations

import json
import shlex
import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import say_duration
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Blast, Verdict
from ansible_collections.ferragosto.dr.plugins.module_utils.core.situation import Situation
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import Op, State

# In these states production is the only copy that runs, so touching it cannot meet the other one.
PRODUCTION_ALONE = frozenset({State.UNPROTECTED, State.SEEDING, State.READY, State.DEGRADED})
_ALIVE = frozenset({Verdict.HEALTHY, Verdict.DEGRADED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why not, and the next move; ``consent`` is the key of ``dr_accept`` by which a person lifts it, "" when none can."""

    reason: str
    next: str
    consent: str = ""


Rule: t.TypeAlias = Callable[[Situation], "Objection | None"]


def objections(rules: Sequence[Rule], situation: Situation) -> tuple[Objection, ...]:
    """Return all objections: at 4 a.m. nobody wants to learn of them one by one."""
    return tuple(found for rule in rules if (found := rule(situation)) is not None)


def next_move(situation: Situation, against: Sequence[Objection]) -> str:
    """Say what would lift the objections, with one option that holds all the consents that are asked for."""
    moves = list(dict.fromkeys(objection.next for objection in against if objection.next))
    asked = {objection.consent: "who and why" for objection in against if objection.consent}
    if asked:
        # A second -e dr_accept would replace the first, and the inventory's own: it must hold them all.
        words = json.dumps({"dr_accept": {**situation.accept.given(), **asked}}, ensure_ascii=False)
        moves.append(f"or accept it: -e {shlex.quote(words)}")
    return "; ".join(moves)


# --- both moves ------------------------------------------------------------------------------------------------------


def _dependencies_serve(s: Situation) -> Objection | None:
    down = [d for d in s.dependencies if not d.is_healthy and (not d.is_in_play or d.has_ended)]
    if not down:
        return None
    names = ", ".join(d.name for d in down)
    return Objection(
        reason="it depends on " + ", ".join(f"{d.name} ({d.reason})" for d in down),
        next=f"recover {names} first, or add it to --limit; then run this again",
    )


def nothing_to_wait_for(s: Situation) -> Objection | None:
    if s.diagnosis.verdict is Verdict.BOOTING:
        return Objection(
            reason=f"it is booting: {s.diagnosis.reason}",
            next=f"wait, then run this again; a boot is given {say_duration(s.policy.restart_timeout_s)}",
        )
    if s.diagnosis.verdict is Verdict.DEGRADED and s.service.answers is None:
        return Objection(
            reason=f"the guest is degraded, not down: {s.diagnosis.reason}",
            next="watch it; declare dr_checks, so that the service itself can tell",
        )
    return None


def _address_is_its_own(s: Situation) -> Objection | None:
    if s.diagnosis.verdict is not Verdict.POWERED_OFF or s.service.answers is not True:
        return None
    # A second copy, started by hand elsewhere, would answer exactly so.
    return Objection(
        reason=f"it is powered off, yet its service answers ({s.service.reason}): another machine holds its address",
        next="find out which machine answers before anything is started",
    )


def _switched_off_by_no_person(s: Situation) -> Objection | None:
    if s.diagnosis.verdict is not Verdict.POWERED_OFF or s.accept.powered_off:
        return None
    by = s.diagnosis.by_whom
    if by.split(" ")[0] in ("guest", "host"):
        return None
    who = f"{by} switched it off" if by else "it is off and nobody knows who switched it off"
    return Objection(reason=f"{who}: this may be intended", next="ask", consent="powered_off")


def _guest_can_be_judged(s: Situation) -> Objection | None:
    if s.diagnosis.verdict is not Verdict.GUEST_TOOLS_MISSING or s.service.answers is not None:
        return None
    return Objection(
        reason="guest tools are missing and no check is declared: nobody can tell whether it serves",
        next="look at its console, declare dr_checks",
    )


# --- restart ---------------------------------------------------------------------------------------------------------


def _restart_state(s: Situation) -> Objection | None:
    if s.resume is not None and s.resume.has_acted:
        return Objection(
            reason=f"run {s.resume.run_id} has begun to fence the production copy: it must not start again",
            next="take that run back: the undo playbook",
        )
    if s.state.state in PRODUCTION_ALONE:
        return None
    return _illegal(s, "restarting the production copy")


def _restart_reaches_it(s: Situation) -> Objection | None:
    if s.diagnosis.verdict is not Verdict.UNREACHABLE:
        return None
    return Objection(
        reason=f"its hypervisor does not answer, so nothing can be restarted: {s.diagnosis.reason}",
        next="restore the connection to the production host",
    )


def _restart_is_no_cure(s: Situation) -> Objection | None:
    if s.diagnosis.verdict is not Verdict.BLOCKED:
        return None
    return Objection(
        reason=f"a restart cures no block: {s.diagnosis.reason}", next="answer the question or free the storage"
    )


def _restart_would_cut_a_service(s: Situation) -> Objection | None:
    if s.service.answers is not True:
        return None
    return Objection(
        reason=f"its service answers at this moment ({s.service.reason})",
        next="watch it; run this again when it does not",
    )


def _restart_is_left(s: Situation) -> Objection | None:
    if s.policy.restarts == 0:
        return Objection(reason="dr_policy.restarts is 0", next="set dr_policy.restarts")
    if s.restarts_left == 0:
        return Objection(
            reason=f"{s.policy.restarts} restarts were tried in this run", next="raise dr_policy.restarts to try more"
        )
    return None


def _restart_platform(s: Situation) -> Objection | None:
    return _platform(s, "power")


# --- promotion -------------------------------------------------------------------------------------------------------


def _promote_state(s: Situation) -> Objection | None:
    if Op.FAILOVER in s.state.legal():
        return None
    return _illegal(s, "promoting its replica")


def _promote_worth_its_loss(s: Situation) -> Objection | None:
    """Ask for a person's word where less than a promotion may bring the service back, and a promotion loses data."""
    if s.accept.data_loss:
        return None
    verdict, reason = s.diagnosis.verdict, s.diagnosis.reason
    if verdict is Verdict.BLOCKED:
        cure = (
            "bring the storage back"
            if s.diagnosis.blast is Blast.STORAGE
            else "answer the question or free the storage"
        )
        return Objection(reason=f"it is blocked: {reason}", next=f"{cure}, which loses nothing", consent="data_loss")
    if s.service.answers is True:
        return Objection(reason=f"its service answers ({s.service.reason})", next="watch it", consent="data_loss")
    if verdict in _ALIVE and s.service.answers is False:
        return Objection(
            reason=f"its guest may be alive ({reason}): a promotion would lose data for what may be the service's fault alone",
            next="repair the service in the guest",
            consent="data_loss",
        )
    is_only_probable = not s.diagnosis.is_certain and s.service.answers is None and verdict is not Verdict.UNREACHABLE
    if is_only_probable and s.policy.restarts == 0:
        return Objection(
            reason=f"it is only probable that it is {verdict} ({reason}), and nothing else vouches for it",
            next="declare dr_checks or allow a restart (dr_policy.restarts)",
            consent="data_loss",
        )
    return None


def _promote_approved(s: Situation) -> Objection | None:
    if s.approved_by or (s.contract.on_call and s.policy.approval != "required"):
        return None
    why = (
        "dr_policy.approval asks for one"
        if s.policy.approval == "required"
        else "the contract holds no on-call service"
    )
    return Objection(reason=f"nobody has approved it, and {why}", next="have it approved: -e dr_approved_by=NAME")


def _promote_point(s: Situation) -> Objection | None:
    return None if s.loss is not None else Objection(reason=s.loss_why, next=s.loss_next)


def _promote_rpo(s: Situation) -> Objection | None:
    if s.loss is None or s.loss.is_within_rpo or s.accept.data_loss:
        return None
    lost, allowed = say_duration(s.loss.lost_s), say_duration(s.contract.rpo_s)
    return Objection(
        reason=f"recovery point {s.loss.point.name!r} would lose {lost} of data, the contract allows {allowed}",
        next="choose a newer point",
        consent="data_loss",
    )


def _promote_capacity(s: Situation) -> Objection | None:
    if s.capacity is not None and s.capacity.is_enough:
        return None
    if s.capacity is None:
        return Objection(
            reason="the replica host's capacity is unknown", next="restore the connection to the replica host"
        )
    return Objection(
        reason=f"the replica host cannot carry it: {s.capacity.reason}", next="free room on the replica host"
    )


def _promote_job(s: Situation) -> Objection | None:
    if s.drives_replication or s.job_disabled or s.policy.job_hook or s.accept.job_disabled:
        return None
    return Objection(
        reason="its replication job is not known to be disabled: tonight's run could roll the promoted replica back",
        next="set dr_policy.job_hook, or disable the job by hand and say so",
        consent="job_disabled",
    )


def _promote_fence(s: Situation) -> Objection | None:
    if s.fence.is_provable or s.accept.unfenced:
        return None
    return Objection(
        reason=f"the production copy cannot be proven off ({s.fence.reason}); silence is not proof",
        next="add a witness that sees its power (dr_site.witnesses: redfish), or have its power cut and say so",
        consent="unfenced",
    )


def _promote_way(s: Situation) -> Objection | None:
    if s.way or not s.way_why:
        return None
    return Objection(reason=s.way_why, next="lift the reason given, or name another way (dr_policy.promotion)")


def _promote_platform(s: Situation) -> Objection | None:
    return _platform(s, "promote") or _platform(s, "power")


def _illegal(s: Situation, move: str) -> Objection:
    return Objection(reason=f"{move} is not legal in state {s.state.state}: {s.state.reason}", next=s.state.advice())


def _platform(s: Situation, operation: str) -> Objection | None:
    why = s.refusals.get(operation)
    return None if why is None else Objection(reason=why, next="do it by the platform's own means, or lift the limit")


RESTART_RULES: tuple[Rule, ...] = (
    _restart_state,
    _address_is_its_own,
    _switched_off_by_no_person,
    _restart_reaches_it,
    _restart_is_no_cure,
    nothing_to_wait_for,
    _guest_can_be_judged,
    _restart_would_cut_a_service,
    _dependencies_serve,
    _restart_is_left,
    _restart_platform,
)
PROMOTE_RULES: tuple[Rule, ...] = (
    _promote_state,
    _address_is_its_own,
    _switched_off_by_no_person,
    nothing_to_wait_for,
    _guest_can_be_judged,
    _promote_worth_its_loss,
    _dependencies_serve,
    _promote_point,
    _promote_rpo,
    _promote_fence,
    _promote_job,
    _promote_way,
    _promote_capacity,
    _promote_approved,
    _promote_platform,
)
