# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Go or refuse: what is done for one VM, in which steps, with the reason and the moves that were weighed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import ways
from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import say_duration
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Action, Blast, Decision, Move, Verdict
from ansible_collections.ferragosto.dr.plugins.module_utils.core.rules import (
    PRODUCTION_ALONE,
    PROMOTE_RULES,
    RESTART_RULES,
    Objection,
    next_move,
    nothing_to_wait_for,
    objections,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.situation import STEPS, Resume, Situation
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import State

__all__ = ["NO_PAST", "STEPS", "Migration", "decide", "migration"]

# Past their commit or not: in these states the promoted copy is the one that serves.
_PROMOTED = frozenset({State.FAILOVER, State.FAILBACK, State.COMMITTED})
# A crash loop may answer between two crashes, and a VM that is off or blocked cannot be the one that answers.
_SERVICE_VOUCHES = frozenset(Verdict) - {Verdict.CRASH_LOOP, Verdict.POWERED_OFF, Verdict.BLOCKED}
_ALIVE = frozenset({Verdict.HEALTHY, Verdict.DEGRADED, Verdict.GUEST_TOOLS_MISSING})
_IN_RUN = frozenset({State.FAILING_OVER, State.INTERRUPTED})


NO_PAST = "no earlier run: the policy's deadlines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """Whether and how the promoted VM goes home; ``mode`` is "live", "cold" (announced downtime) or ""."""

    is_allowed: bool
    mode: str
    reason: str


def migration(s: Situation) -> Migration:
    """Decide on the way home. Ask again right before migrating: the host may have come back or gone by then."""
    if s.policy.migrate_home != "auto":
        return _stay(f"dr_policy.migrate_home is {s.policy.migrate_home}")
    if not s.home.is_sound:
        return _stay(f"the production host is not sound: {s.home.reason}")
    if "migrate" in s.refusals:
        return _stay(s.refusals["migrate"])
    if s.way in ways.OVERWRITING and not s.accept.original_overwritten:
        return _stay(
            "on its way home it overwrites the original's disks, the evidence of what happened; "
            "to accept that, say why in dr_accept.original_overwritten"
        )
    if "migrate_live" not in s.refusals:
        return Migration(is_allowed=True, mode="live", reason=s.home.reason)
    if not s.policy.cold_migration:
        return _stay(f"{s.refusals['migrate_live']}; dr_policy.cold_migration does not allow a move with downtime")
    if "migrate_cold" in s.refusals:
        return _stay(s.refusals["migrate_cold"])
    return Migration(is_allowed=True, mode="cold", reason=f"with downtime: {s.refusals['migrate_live']}")


def decide(s: Situation) -> Decision:
    """Apply the rules. Nothing here acts; the same situation always gives the same decision."""
    if s.resume is not None and s.resume.has_acted and s.state.state in _IN_RUN:
        return _continue(s, s.resume)
    healthy = _healthy(s)
    if healthy:
        return Decision(
            is_go=False,
            action=Action.NOTHING,
            outcome="healthy",
            reason=healthy,
            moves=(Move(action=Action.NOTHING, is_allowed=True, reason=healthy),),
        )
    restart = objections(RESTART_RULES, s)
    promote = objections(PROMOTE_RULES, s)
    if restart and promote:
        return _refuse(s, restart, promote)
    return _go(s, restart, promote)


def _healthy(s: Situation) -> str:
    """Say why nothing is to be done, or ''."""
    answers, diagnosis = s.service.answers, s.diagnosis
    if s.state.state is State.SPLIT_BRAIN:
        return ""
    if s.state.state in _PROMOTED:
        # Production is fenced here: its own verdict says nothing of the service.
        if answers is True:
            return f"the service answers ({s.service.reason}); state {s.state.state}: {s.state.reason}"
        return s.state.reason if answers is None and diagnosis.verdict is Verdict.HEALTHY else ""
    if answers is True and diagnosis.verdict in _SERVICE_VOUCHES:
        odd = (
            ""
            if diagnosis.verdict is Verdict.HEALTHY
            else f", although it looks {diagnosis.verdict}: {diagnosis.reason}"
        )
        return f"the service answers ({s.service.reason}){odd}"
    if answers is None and diagnosis.verdict is Verdict.HEALTHY:
        return f"{diagnosis.reason}; {s.service.reason}"
    return ""


def _continue(s: Situation, run: Resume) -> Decision:
    """Go on with a run that had begun to fence: to stop there would leave the VM without any copy that serves."""
    where = f"run {run.run_id} was interrupted" + (f" after {run.last_step!r}" if run.last_step else "")
    if s.diagnosis.verdict is Verdict.UNREACHABLE and s.diagnosis.blast is Blast.SITE:
        dark = Objection(
            reason=f"{where}, and no hypervisor of the site answers now: {s.diagnosis.blast_reason}",
            next="restore the connection, then run the same command again: it continues there",
        )
        return _refuse(s, (dark,), (dark,))
    if "fence" not in run.done and s.service.answers is True and s.diagnosis.verdict in _ALIVE:
        # Somebody repaired it meanwhile: to go on would cut a service that runs, and lose its data.
        why = f"{where}, and the production copy serves again: {s.service.reason}"
        mended = Objection(reason=why, next="take the run back (NICs, autostart, HA): the undo playbook")
        return _refuse(s, (mended,), (mended,))
    home = migration(s)
    goes_home = home.is_allowed or "migrate" in run.done
    wanted = ["fence", "promote", "verify", *_way_home(s, goes_home=goes_home)]
    steps = [step for step in wanted if step not in run.done]
    if not steps:
        steps.append("verify")  # the service is asked anew before a run is called recovered
    steps.append("close")
    tail = "" if goes_home else f"; it stays on the replica host: {home.reason}"
    reason = f"{where}; it continues with: {', '.join(steps)}{tail}"
    going = Move(action=Action.PROMOTE, is_allowed=True, reason=reason, next="or take it back: the undo playbook")
    return Decision(is_go=True, action=Action.PROMOTE, outcome="", reason=reason, steps=tuple(steps), moves=(going,))


def _go(s: Situation, restart: Sequence[Objection], promote: Sequence[Objection]) -> Decision:
    home = migration(s)
    steps: list[str] = []
    reasons = [f"{s.diagnosis.verdict}: {s.diagnosis.reason}"]
    if not restart:
        steps.append("restart")
        reasons.append(f"{_times(s.restarts_left)} first")
    if not promote:
        steps += ["fence", "promote", "verify"]
        loss = f", losing {say_duration(s.loss.lost_s)} of data" if s.loss is not None else ""
        reasons.append(f"{'then ' if not restart else ''}promote the replica{loss}")
        steps += _way_home(s, goes_home=home.is_allowed)
        reasons.append(
            f"then home ({home.mode})" if home.is_allowed else f"it stays on the replica host: {home.reason}"
        )
    else:
        reasons.append(f"should that fail, a promotion would be refused: {_why(promote)}")
    steps.append("close")
    action = Action.PROMOTE if restart else Action.RESTART
    return Decision(
        is_go=True,
        action=action,
        outcome="",
        reason="; ".join(reasons),
        next=next_move(s, promote),
        steps=tuple(steps),
        moves=_moves(s, restart, promote, first=action),
    )


def _way_home(s: Situation, *, goes_home: bool) -> list[str]:
    """Return the parts after the service is back: home, and a replica again where the platform can make one."""
    if not goes_home:
        return []
    reverse = ["reverse"] if s.way in ways.OVERWRITING else []
    reprotect = ["reprotect"] if s.drives_replication and s.policy.reprotect == "auto" else []
    return [*reverse, "migrate", "verify_home", *reprotect]


def _refuse(s: Situation, restart: Sequence[Objection], promote: Sequence[Objection]) -> Decision:
    waiting = nothing_to_wait_for(s)
    is_busy = s.state.state in (State.FAILING_OVER, State.FAILING_BACK)
    action = Action.WAIT if waiting or is_busy else Action.CALL_A_PERSON
    told = tuple(dict.fromkeys((*restart[:1], *promote)))
    if s.state.state not in PRODUCTION_ALONE:
        told = tuple(promote[:1])  # the state alone forbids it: what else would be in the way is noise
    elif waiting:
        told = (waiting,)
    return Decision(
        is_go=False,
        action=action,
        outcome="refused",
        reason=_why(told),
        next=next_move(s, told),
        moves=_moves(s, restart, promote, first=action),
    )


def _moves(
    s: Situation, restart: Sequence[Objection], promote: Sequence[Objection], *, first: Action
) -> tuple[Move, ...]:
    """Order the moves: the chosen one, the others that are allowed, then what is refused and why."""
    waits = first is Action.WAIT
    wait_why = _why(promote[:1]) if waits else f"it does not get better by itself: {s.diagnosis.verdict}"
    found = [
        _move(
            s,
            Action.RESTART,
            restart,
            f"{_times(s.restarts_left)} of at most {say_duration(s.policy.restart_timeout_s)}",
        ),
        _move(s, Action.PROMOTE, promote, "the replica is ready and every rule is met"),
        Move(action=Action.WAIT, is_allowed=waits, reason=wait_why),
        Move(action=Action.CALL_A_PERSON, is_allowed=True, reason="a person may know more than the hypervisors show"),
    ]
    return tuple(sorted(found, key=lambda move: (move.action is not first, not move.is_allowed)))


def _move(s: Situation, action: Action, against: Sequence[Objection], why: str) -> Move:
    predicted_s, source = _predict(s, action)
    return Move(
        action=action,
        is_allowed=not against,
        reason=_why(against) if against else why,
        next=next_move(s, against),
        predicted_s=predicted_s,
        predicted_from=source,
    )


def _predict(s: Situation, action: Action) -> tuple[float, str]:
    phases = ("restart",) if action is Action.RESTART else ("fence", "promote")
    spans = [s.past.phases[phase] for phase in phases if phase in s.past.phases]
    if len(spans) == len(phases):
        runs = min(span.runs for span in spans)
        verify = s.past.phases.get("verify")
        total_s = sum(span.median_s for span in spans) + (
            verify.median_s if verify and action is Action.PROMOTE else 0.0
        )
        return total_s, f"median of {runs} earlier run{'' if runs == 1 else 's'}"
    limits = s.policy.deadlines
    if action is Action.RESTART:
        return s.restarts_left * s.policy.restart_timeout_s, NO_PAST
    longest_s = limits.shutdown_s + limits.fence_s + limits.guest_s + limits.service_s
    return longest_s, NO_PAST


def _times(count: int) -> str:
    return "1 restart" if count == 1 else f"{count} restarts"


def _why(against: Sequence[Objection]) -> str:
    return "; ".join(objection.reason for objection in against)


def _stay(reason: str) -> Migration:
    return Migration(is_allowed=False, mode="", reason=reason)
