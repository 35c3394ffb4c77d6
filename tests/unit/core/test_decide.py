# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule of the decision: go or refuse, in which steps, with which reason and which next move."""

from __future__ import annotations

import json
import shlex
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.decide import STEPS, decide, migration
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import (
    Action,
    Blast,
    Capacity,
    Decision,
    Diagnosis,
    Loss,
    ServiceReading,
    Verdict,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.history import Past, Span
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.core.situation import (
    Dependency,
    FenceOutlook,
    HomeOutlook,
    Resume,
    Situation,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import LEGAL, State, StateView
from ansible_collections.ferragosto.dr.plugins.module_utils.core.words import Accept, Contract, Policy

H = 3600.0
LAST_NIGHT = RecoveryPoint(id="snapshot-9", name="nightly", created_at_s=1_000_000.0)
ANSWERS = ServiceReading(answers=True, reason="1 check is ok")
MUTE = ServiceReading(answers=False, reason="tcp 10.0.0.5:1433: refused")
UNDECLARED = ServiceReading(answers=None, reason="no check is declared")
WHOLE = ("restart", "fence", "promote", "verify", "migrate", "verify_home", "close")
REPLICA_ONLY = ("restart", "fence", "promote", "verify", "close")


def diagnosis(verdict: Verdict, **more: t.Any) -> Diagnosis:
    words: dict[str, t.Any] = {"is_certain": True, "reason": f"it is {verdict}", "blast": Blast.VM}
    return Diagnosis(verdict=verdict, **(words | more))


def view(state: State, **more: str) -> StateView:
    return StateView(state=state, reason=f"seen as {state}", **more)


def loss(lost_s: float = 5 * H, *, is_within_rpo: bool = True) -> Loss:
    return Loss(point=LAST_NIGHT, age_s=lost_s + 60, lost_s=lost_s, is_within_rpo=is_within_rpo)


BLUE_SCREEN = Situation(
    vm="gestionale",
    diagnosis=diagnosis(Verdict.CRASHED, reason="blue screen at 04:10"),
    state=view(State.READY),
    service=MUTE,
    contract=Contract(rto_s=1800.0, rpo_s=24 * H),
    fence=FenceOutlook(is_provable=True, reason="its hypervisor answers"),
    loss=loss(),
    capacity=Capacity(is_enough=True, reason="8 GiB of 64 GiB"),
    accept=Accept(job_disabled="Anna disabled it at 04:15"),
    home=HomeOutlook(is_sound=True, reason="esx1 is connected"),
)


def with_accept(**reasons: str) -> Accept:
    return replace(BLUE_SCREEN.accept, **reasons)


def decided(**changes: t.Any) -> Decision:
    return decide(replace(BLUE_SCREEN, **changes))


def test_the_story_restarts_then_promotes_then_goes_home() -> None:
    found = decided()
    assert (found.is_go, found.action, found.outcome, found.steps) == (True, Action.RESTART, "", WHOLE)
    assert found.reason == (
        "crashed: blue screen at 04:10; 2 restarts first; then promote the replica, losing 5 h of data; then home (live)"
    )
    assert set(WHOLE) < set(STEPS)


@pytest.mark.parametrize(
    ("verdict", "service", "reason"),
    [
        (Verdict.HEALTHY, ANSWERS, "the service answers (1 check is ok)"),
        (Verdict.HEALTHY, UNDECLARED, "it is healthy; no check is declared"),
        (Verdict.DEGRADED, ANSWERS, "although it looks degraded"),
        (Verdict.GUEST_TOOLS_MISSING, ANSWERS, "although it looks guest_tools_missing"),
        (Verdict.HUNG, ANSWERS, "although it looks hung"),
        (Verdict.BOOTING, ANSWERS, "although it looks booting"),
        (Verdict.CRASHED, ANSWERS, "although it looks crashed"),
        (Verdict.UNREACHABLE, ANSWERS, "although it looks unreachable"),
    ],
)
def test_what_serves_is_not_touched(verdict: Verdict, service: ServiceReading, reason: str) -> None:
    found = decided(diagnosis=diagnosis(verdict), service=service)
    assert (found.is_go, found.action, found.outcome, found.steps) == (False, Action.NOTHING, "healthy", ())
    assert reason in found.reason


@pytest.mark.parametrize(
    ("state", "service", "outcome"),
    [
        (State.FAILOVER, ANSWERS, "healthy"),
        (State.FAILBACK, ANSWERS, "healthy"),
        (State.COMMITTED, ANSWERS, "healthy"),
        (State.FAILOVER, MUTE, "refused"),
        (State.SPLIT_BRAIN, ANSWERS, "refused"),
    ],
)
def test_a_promoted_copy_that_serves_is_healthy_though_production_is_off(
    state: State, service: ServiceReading, outcome: str
) -> None:
    found = decided(diagnosis=diagnosis(Verdict.POWERED_OFF), state=view(state), service=service)
    assert (found.is_go, found.outcome) == (False, outcome)


@pytest.mark.parametrize("state", sorted(set(State) - {State.READY, State.DEGRADED, State.UNPROTECTED, State.SEEDING}))
def test_an_illegal_state_is_refused_with_its_legal_list(state: State) -> None:
    found = decided(state=view(state), accept=Accept())
    assert (found.is_go, found.outcome) == (False, "refused")
    assert found.reason == f"promoting its replica is not legal in state {state}: seen as {state}"
    assert found.next == "legal in this state: " + (", ".join(sorted(LEGAL[state])) or "nothing but waiting")
    busy = state in (State.FAILING_OVER, State.FAILING_BACK)
    assert found.action is (Action.WAIT if busy else Action.CALL_A_PERSON)


@pytest.mark.parametrize("state", [State.UNPROTECTED, State.SEEDING])
def test_without_a_replica_a_restart_is_all_there_is(state: State) -> None:
    found = decided(state=view(state), loss=None)
    assert (found.is_go, found.action, found.steps) == (True, Action.RESTART, ("restart", "close"))
    assert f"not legal in state {state}" in found.reason


@pytest.mark.parametrize(
    ("changes", "is_go", "action", "steps"),
    [
        ({"diagnosis": diagnosis(Verdict.HUNG)}, True, Action.RESTART, WHOLE),
        ({"diagnosis": diagnosis(Verdict.CRASH_LOOP)}, True, Action.RESTART, WHOLE),
        ({"diagnosis": diagnosis(Verdict.POWERED_OFF, by_whom="guest")}, True, Action.RESTART, WHOLE),
        ({"diagnosis": diagnosis(Verdict.POWERED_OFF, by_whom="host esx1")}, True, Action.RESTART, WHOLE),
        ({"diagnosis": diagnosis(Verdict.GUEST_TOOLS_MISSING)}, True, Action.RESTART, WHOLE),
        ({"diagnosis": diagnosis(Verdict.HUNG, is_certain=False), "service": UNDECLARED}, True, Action.RESTART, WHOLE),
        ({"policy": Policy(restarts=0)}, True, Action.PROMOTE, WHOLE[1:]),
        ({"diagnosis": diagnosis(Verdict.UNREACHABLE, is_certain=False)}, True, Action.PROMOTE, WHOLE[1:]),
        ({"policy": Policy(migrate_home="later")}, True, Action.RESTART, REPLICA_ONLY),
        ({"home": HomeOutlook(is_sound=False, reason="esx1 is silent")}, True, Action.RESTART, REPLICA_ONLY),
        ({"state": view(State.DEGRADED), "accept": with_accept(data_loss="Luca agreed")}, True, Action.RESTART, WHOLE),
        ({"dependencies": (Dependency(name="dc01", is_healthy=True, reason="ok"),)}, True, Action.RESTART, WHOLE),
        (
            {"dependencies": (Dependency(name="dc01", is_healthy=False, reason="crashed", is_in_play=True),)},
            True,
            Action.RESTART,
            WHOLE,
        ),
        ({"diagnosis": diagnosis(Verdict.CRASH_LOOP), "service": ANSWERS}, False, Action.CALL_A_PERSON, ()),
        ({"diagnosis": diagnosis(Verdict.BLOCKED)}, False, Action.CALL_A_PERSON, ()),
        ({"diagnosis": diagnosis(Verdict.GUEST_TOOLS_MISSING), "service": UNDECLARED}, False, Action.CALL_A_PERSON, ()),
        ({"diagnosis": diagnosis(Verdict.BOOTING)}, False, Action.WAIT, ()),
        ({"diagnosis": diagnosis(Verdict.DEGRADED), "service": UNDECLARED}, False, Action.WAIT, ()),
    ],
)
def test_the_verdict_sets_the_course(
    changes: dict[str, t.Any], is_go: bool, action: Action, steps: tuple[str, ...]
) -> None:
    found = decided(**changes)
    assert (found.is_go, found.action, found.steps) == (is_go, action, steps)
    assert found.outcome == ("" if is_go else "refused")
    assert found.is_go or (found.reason and found.next)


RPO_MISSED = {"loss": loss(31 * H, is_within_rpo=False)}
NO_PROOF = {"fence": FenceOutlook(is_provable=False, reason="esx1 is silent, no witness")}
NOT_ENOUGH = {"capacity": Capacity(is_enough=False, reason="needs 16 GiB, 4 GiB free")}


@pytest.mark.parametrize(
    ("changes", "reason", "step"),
    [
        (RPO_MISSED, "'nightly' would lose 31 h of data, the contract allows 24 h", '"data_loss"'),
        (NO_PROOF, "cannot be proven off (esx1 is silent, no witness); silence is not proof", '"unfenced"'),
        (NOT_ENOUGH, "cannot carry it: needs 16 GiB, 4 GiB free", "free room on the replica host"),
        ({"capacity": None}, "capacity is unknown", "connection to the replica host"),
        ({"accept": Accept()}, "not known to be disabled", "dr_policy.job_hook"),
        ({"accept": Accept()}, "roll the promoted replica back", '"job_disabled"'),
        ({"loss": None, "loss_why": "no point before 03:00", "loss_next": "choose"}, "no point before 03:00", "choose"),
        ({"policy": Policy(approval="required")}, "dr_policy.approval asks for one", "dr_approved_by=NAME"),
        (
            {"contract": Contract(rto_s=1800.0, rpo_s=24 * H, on_call=False)},
            "the contract holds no on-call service",
            "dr_approved_by=NAME",
        ),
        ({"refusals": {"promote": "the edition is read-only"}}, "the edition is read-only", "lift the limit"),
    ],
)
def test_a_refused_promotion_leaves_the_restart_and_says_what_would_follow(
    changes: dict[str, t.Any], reason: str, step: str
) -> None:
    found = decided(**changes)
    assert (found.is_go, found.action, found.steps) == (True, Action.RESTART, ("restart", "close"))
    assert "should that fail, a promotion would be refused: " in found.reason
    assert reason in found.reason
    assert step in found.next
    used_up = decided(**(changes | {"resume": Resume(run_id="r1", restarts_done=2)}))
    assert (used_up.is_go, used_up.action, used_up.outcome) == (False, Action.CALL_A_PERSON, "refused")
    assert used_up.reason.startswith("2 restarts were tried in this run; ")
    assert reason in used_up.reason


@pytest.mark.parametrize(
    "changes",
    [
        RPO_MISSED | {"accept": with_accept(data_loss="Luca agreed")},
        NO_PROOF | {"accept": with_accept(unfenced="Anna pulled the plug")},
        {"accept": Accept(), "policy": Policy(job_hook="veeam.yml")},
        {"accept": Accept(), "job_disabled": "the hook said so"},
        {"policy": Policy(approval="required"), "approved_by": "Anna"},
        {"contract": Contract(rto_s=1800.0, rpo_s=24 * H, on_call=False), "approved_by": "Anna"},
    ],
)
def test_a_consent_or_an_approval_lifts_its_own_refusal(changes: dict[str, t.Any]) -> None:
    assert decided(**changes).steps == WHOLE


def test_one_consent_does_not_lift_another_refusal() -> None:
    found = decided(**(NO_PROOF | RPO_MISSED | {"accept": with_accept(data_loss="Luca agreed")}))
    assert found.steps == ("restart", "close")
    assert "silence is not proof" in found.reason
    assert "31 h" not in found.reason


def test_one_option_holds_all_consents_that_are_asked_for_and_those_given() -> None:
    given = Accept(powered_off="Mario's mistake")
    found = decided(**(NO_PROOF | RPO_MISSED | {"accept": given}))
    option = found.next.partition("or accept it: -e ")[2]
    (words,) = shlex.split(option)
    assert json.loads(words) == {
        "dr_accept": {
            "powered_off": "Mario's mistake",
            "data_loss": "who and why",
            "unfenced": "who and why",
            "job_disabled": "who and why",
        }
    }
    assert found.next.count("dr_accept") == 1


def test_all_objections_are_told_at_once() -> None:
    changes = NO_PROOF | NOT_ENOUGH | {"accept": Accept(), "diagnosis": diagnosis(Verdict.UNREACHABLE)}
    found = decided(**changes)
    assert found.outcome == "refused"
    for part in ("nothing can be restarted", "silence is not proof", "needs 16 GiB", "replication job"):
        assert part in found.reason


@pytest.mark.parametrize("is_in_play", [False, True])
def test_a_dependency_that_does_not_serve_is_named(is_in_play: bool) -> None:
    down = Dependency(name="dc01.luca", is_healthy=False, reason="crashed", is_in_play=is_in_play, has_ended=is_in_play)
    found = decided(dependencies=(down, Dependency(name="file.luca", is_healthy=True, reason="ok")))
    assert (found.is_go, found.outcome) == (False, "refused")
    assert found.reason == "it depends on dc01.luca (crashed)"
    assert found.next == "recover dc01.luca first, or add it to --limit; then run this again"


@pytest.mark.parametrize(
    ("by_whom", "reason"),
    [("person LUCA\\mario", "person LUCA\\mario switched it off"), ("", "nobody knows who switched it off")],
)
def test_what_a_person_switched_off_stays_off_without_a_word(by_whom: str, reason: str) -> None:
    off = diagnosis(Verdict.POWERED_OFF, by_whom=by_whom)
    found = decided(diagnosis=off)
    assert (found.is_go, found.action, found.outcome) == (False, Action.CALL_A_PERSON, "refused")
    assert reason in found.reason
    assert '"powered_off"' in found.next
    assert decided(diagnosis=off, accept=with_accept(powered_off="Mario hit the wrong one")).steps == WHOLE


def test_nothing_starts_while_another_machine_answers_in_its_place() -> None:
    off = diagnosis(Verdict.POWERED_OFF, by_whom="guest")
    found = decided(diagnosis=off, service=ANSWERS, accept=with_accept(powered_off="why", data_loss="why"))
    assert (found.is_go, found.outcome) == (False, "refused")
    assert "another machine holds its address" in found.reason


@pytest.mark.parametrize("verdict", [Verdict.HEALTHY, Verdict.DEGRADED])
def test_a_living_guest_is_restarted_but_not_replaced_without_a_word(verdict: Verdict) -> None:
    found = decided(diagnosis=diagnosis(verdict))
    assert found.steps == ("restart", "close")
    assert "its guest may be alive" in found.reason
    assert decided(diagnosis=diagnosis(verdict), accept=with_accept(data_loss="Luca agreed")).steps == WHOLE


def test_a_probable_verdict_alone_does_not_promote() -> None:
    hung = diagnosis(Verdict.HUNG, is_certain=False)
    found = decided(diagnosis=hung, service=UNDECLARED, policy=Policy(restarts=0))
    assert (found.is_go, found.outcome) == (False, "refused")
    assert "only probable" in found.reason
    assert decided(diagnosis=hung, service=MUTE, policy=Policy(restarts=0)).steps == WHOLE[1:]


def test_a_blocked_vm_is_promoted_only_by_a_persons_word() -> None:
    blocked = diagnosis(Verdict.BLOCKED, reason="question: was the VM moved or copied?")
    found = decided(diagnosis=blocked)
    assert "was the VM moved or copied?" in found.reason
    assert "answer the question" in found.next
    assert decided(diagnosis=blocked, accept=with_accept(data_loss="Luca agreed")).steps == WHOLE[1:]


@pytest.mark.parametrize(
    ("policy", "home", "refusals", "mode"),
    [
        (Policy(), True, {}, "live"),
        (Policy(migrate_home="never"), True, {}, ""),
        (Policy(), False, {}, ""),
        (Policy(cold_migration=True), True, {"migrate": "standalone ESXi"}, ""),
        (Policy(), True, {"migrate_live": "no vMotion licence"}, ""),
        (Policy(cold_migration=True), True, {"migrate_live": "no vMotion licence"}, "cold"),
        (Policy(cold_migration=True), True, {"migrate_live": "no licence", "migrate_cold": "no shared network"}, ""),
    ],
)
def test_the_way_home_is_live_cold_or_none(policy: Policy, home: bool, refusals: dict[str, str], mode: str) -> None:
    outlook = HomeOutlook(is_sound=home, reason="looked at")
    found = migration(replace(BLUE_SCREEN, policy=policy, home=outlook, refusals=refusals))
    assert (found.is_allowed, found.mode) == (bool(mode), mode)
    assert found.reason


@pytest.mark.parametrize(
    ("done", "home", "steps"),
    [
        ((), True, WHOLE[1:]),
        (("fence",), True, WHOLE[2:]),
        (("fence", "promote"), True, WHOLE[3:]),
        (("fence", "promote", "verify"), True, WHOLE[4:]),
        (("fence", "promote", "verify", "migrate"), False, ("verify_home", "close")),
        (("fence", "promote"), False, ("verify", "close")),
        (("fence", "promote", "verify"), False, ("verify", "close")),
    ],
)
@pytest.mark.parametrize("state", [State.INTERRUPTED, State.FAILING_OVER])
def test_a_run_that_fenced_goes_on_whatever_the_rules_would_say_now(
    done: tuple[str, ...], home: bool, steps: tuple[str, ...], state: State
) -> None:
    resume = Resume(run_id="r1", has_acted=True, done=frozenset(done), last_step="power off")
    found = decided(
        resume=resume,
        state=view(state),
        diagnosis=diagnosis(Verdict.POWERED_OFF, by_whom="person us"),
        accept=Accept(),
        loss=None,
        capacity=None,
        home=HomeOutlook(is_sound=home, reason="looked at"),
    )
    assert (found.is_go, found.action, found.steps) == (True, Action.PROMOTE, steps)
    assert found.reason.startswith("run r1 was interrupted after 'power off'; it continues with: ")


def test_a_run_that_did_not_fence_yet_is_judged_anew_and_repeats_no_restart() -> None:
    found = decided(resume=Resume(run_id="r1", restarts_done=1))
    assert found.steps == WHOLE
    assert "1 restart first" in found.reason
    assert decided(resume=Resume(run_id="r1", restarts_done=2)).steps == WHOLE[1:]


def test_a_run_that_fenced_waits_for_a_site_that_is_dark() -> None:
    dark = diagnosis(Verdict.UNREACHABLE, blast=Blast.SITE, blast_reason="esx1 and esx2 are silent")
    found = decided(resume=Resume(run_id="r1", has_acted=True), state=view(State.INTERRUPTED), diagnosis=dark)
    assert (found.is_go, found.outcome) == (False, "refused")
    assert "no hypervisor of the site answers now: esx1 and esx2 are silent" in found.reason
    assert "it continues there" in found.next


def test_a_production_copy_mended_during_the_interruption_is_not_cut_off() -> None:
    resume = Resume(run_id="r1", has_acted=True)
    found = decided(resume=resume, state=view(State.INTERRUPTED), diagnosis=diagnosis(Verdict.HEALTHY), service=ANSWERS)
    assert (found.is_go, found.outcome, found.action) == (False, "refused", Action.CALL_A_PERSON)
    assert "serves again" in found.reason
    assert "undo" in found.next


def test_a_fenced_copy_is_not_restarted_when_its_replica_is_out_of_sight() -> None:
    found = decided(
        resume=Resume(run_id="r1", has_acted=True),
        state=view(State.DEGRADED),
        diagnosis=diagnosis(Verdict.POWERED_OFF, by_whom="host"),
        loss=None,
    )
    assert (found.is_go, found.outcome) == (False, "refused")
    assert "must not start again" in found.reason


def test_two_moves_with_their_times_stand_first_and_the_refused_ones_say_why() -> None:
    past = Past(phases={"restart": Span(median_s=240.0, runs=4), "fence": Span(median_s=20.0, runs=3)})
    past = replace(past, phases={**past.phases, "promote": Span(median_s=300.0, runs=3)})
    moves = decided(past=past).moves
    assert [(m.action, m.is_allowed, m.predicted_s, m.predicted_from) for m in moves[:2]] == [
        (Action.RESTART, True, 240.0, "median of 4 earlier runs"),
        (Action.PROMOTE, True, 320.0, "median of 3 earlier runs"),
    ]
    refused = [m for m in decided(**NO_PROOF).moves if not m.is_allowed]
    assert all(m.reason for m in refused)
    assert {m.action for m in refused} == {Action.PROMOTE, Action.WAIT}


def test_without_a_past_the_deadlines_bound_the_prediction() -> None:
    restart, promote = decided().moves[:2]
    assert (restart.predicted_s, promote.predicted_s) == (600.0, 1080.0)
    assert restart.predicted_from == "no earlier run: the policy's deadlines"


def test_no_move_is_both_chosen_and_refused() -> None:
    for verdict in Verdict:
        for state in State:
            for service in (ANSWERS, MUTE, UNDECLARED):
                found = decided(diagnosis=diagnosis(verdict), state=view(state), service=service)
                assert found.moves[0].action is found.action
                assert found.moves[0].is_allowed
                assert found.is_go == bool(found.steps)
                assert set(found.steps) <= set(STEPS)
                assert found.is_go or found.outcome in ("healthy", "refused")
                if "promote" in found.steps:
                    assert state in (State.READY, State.DEGRADED)


def test_a_run_of_another_journal_is_refused_with_the_way_to_that_journal() -> None:
    found = decided(state=view(State.INTERRUPTED, foreign_run="r9"), diagnosis=diagnosis(Verdict.POWERED_OFF))
    assert (found.is_go, found.outcome) == (False, "refused")
    assert found.next.startswith("set dr_journal to the journal of run r9")


HOME_AND_PROTECTED = ("restart", "fence", "promote", "verify", "migrate", "verify_home", "reprotect", "close")


def test_a_platform_that_replicates_itself_reprotects_at_home_and_needs_no_job_hook() -> None:
    assert decided(drives_replication=True, accept=Accept()).steps == HOME_AND_PROTECTED
    quiet = replace(BLUE_SCREEN.policy, reprotect="never")
    assert decided(drives_replication=True, policy=quiet).steps == HOME_AND_PROTECTED[:-2] + ("close",)


def test_a_copy_promoted_in_place_stays_until_somebody_gives_up_the_original_disks() -> None:
    stays = decided(drives_replication=True, way="in_place")
    assert stays.steps == ("restart", "fence", "promote", "verify", "close")
    assert "dr_accept.original_overwritten" in stays.reason
    goes = decided(drives_replication=True, way="in_place", accept=with_accept(original_overwritten="Luca agreed"))
    assert goes.steps == tuple(step for step in STEPS)


def test_no_way_to_promote_is_an_objection_with_its_reason() -> None:
    found = decided(way_why="clone: no room on tank; in_place: SSH is not configured", policy=Policy(restarts=0))
    assert (found.is_go, found.outcome) == (False, "refused")
    assert "no room on tank" in found.reason
