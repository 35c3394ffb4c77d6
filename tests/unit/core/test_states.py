# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, Power, ReplicaKind, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import (
    LEGAL,
    Op,
    State,
    StateView,
    Trail,
    derive,
)
from ansible_collections.ferragosto.dr.tests.unit.core import facts
from ansible_collections.ferragosto.dr.tests.unit.core.facts import HOUR_S, NOW_S

UP, DOWN, BUBBLE = (facts.nic(),), (facts.nic(connected=False),), (facts.nic(network="bubble"),)
LOST, UNREADABLE = Connection.DISCONNECTED, Connection.INACCESSIBLE

KNOWN = Trail(run_id="run-1", op="recover", has_acted=True, known_runs=frozenset({"run-1"}))  # closed
ACTED = Trail(
    run_id="run-1",
    op="recover",
    is_open=True,
    has_acted=True,
    last_step="power off",
    known_runs=frozenset({"run-1"}),
)
NOT_ACTED = Trail(run_id="run-1", op="recover", is_open=True, known_runs=frozenset({"run-1"}))


def running(trail: Trail, *, is_ours: bool) -> Trail:
    facts_of = {name: getattr(trail, name) for name in trail.__slots__}
    return Trail(**{**facts_of, "is_alive": True, "is_ours": is_ours})


def production(power: Power = Power.ON, nics: t.Any = UP, *, fenced: bool = False, **changes: t.Any) -> Vm:
    marks = {stamps.FENCED: "run-1"} if fenced else {}
    return facts.production(power=power, nics=nics, stamps=marks, **changes)


def replica(power: Power = Power.OFF, nics: t.Any = UP, *, phase: str | None = None, **changes: t.Any) -> Vm:
    marks = {stamps.RUN: "run-1", stamps.PHASE: phase} if phase else {}
    return facts.replica(**{"power": power, "nics": nics, "stamps": marks, **changes})


def state_of(
    p: Vm | None, r: Vm | None, trail: Trail = KNOWN, *, rpo_s: float = 24 * HOUR_S, **of_pair: t.Any
) -> StateView:
    return derive(facts.pair(p, r, **of_pair), trail, now_s=NOW_S, rpo_s=rpo_s)


ON, OFF, SUSPENDED, UNKNOWN = Power.ON, Power.OFF, Power.SUSPENDED, Power.UNKNOWN
HELD = production(OFF, DOWN, fenced=True)
SERVING = replica(ON, phase="failover")
HOME = replica(ON, phase="failback", host="esx1")


def rows(*found: tuple[str, Vm | None, Vm | None, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("p", "r", "expected"), [pytest.param(p, r, e, id=i) for i, p, r, e in found])


@rows(
    ("in sync", production(), replica(), "ready"),
    ("production down", production(OFF), replica(), "ready"),
    ("production lost", production(connection=LOST), replica(), "ready"),
    ("production gone", None, replica(), "ready"),
    ("no point yet", production(), replica(points=()), "seeding"),
    ("old point", production(), replica(points=(facts.point(24 * HOUR_S + 1),)), "degraded"),
    ("point as old as the RPO", production(), replica(points=(facts.point(24 * HOUR_S),)), "ready"),
    ("replica suspended", production(), replica(SUSPENDED), "degraded"),
    ("replica host lost", production(), replica(connection=LOST), "degraded"),
    ("replica files lost", production(), replica(connection=UNREADABLE), "degraded"),
    ("replica power unknown", production(), replica(UNKNOWN), "degraded"),
    ("another product's", production(), replica(replica_kind=ReplicaKind.VSPHERE_REPLICATION, points=()), "degraded"),
    ("no replica", production(), None, "unprotected"),
    ("test in the bubble", production(), replica(ON, BUBBLE, phase="testing"), "testing"),
    ("test switched off", production(), replica(OFF, BUBBLE, phase="testing"), "testing"),
    ("test connected by hand, production off", production(OFF), replica(ON, phase="testing"), "found_running"),
    ("failover", HELD, SERVING, "failover"),
    ("failover, nothing fenced on the way", production(OFF), SERVING, "failover"),
    ("failover, production held by its NICs", production(ON, DOWN, fenced=True), SERVING, "failover"),
    ("failover, the replica switched off", HELD, replica(OFF, phase="failover"), "failover"),
    ("failover, the replica suspended", HELD, replica(SUSPENDED, phase="failover"), "failover"),
    ("failover, the replica host lost", HELD, replica(ON, phase="failover", connection=LOST), "failover"),
    ("failover, production started again, replica off", production(), replica(OFF, phase="failover"), "failover"),
    ("failover, the original is gone", None, SERVING, "failover"),
    ("at home", HELD, HOME, "failback"),
    ("at home, switched off", HELD, replica(OFF, phase="failback", host="esx1"), "failback"),
    ("stamped home, seen elsewhere", HELD, replica(ON, phase="failback"), "failover"),
    ("committed on the replica host", HELD, replica(ON, phase="committed"), "committed"),
    ("committed, switched off", HELD, replica(OFF, phase="committed"), "committed"),
    ("committed at home, the original fenced beside it", HELD, replica(ON, phase="committed", host="esx1"), "unprotected"),
    ("stopped in promotion", HELD, replica(OFF, phase="promoting"), "interrupted"),
    ("stopped in promotion, powered on isolated", HELD, replica(ON, DOWN, phase="promoting"), "interrupted"),
    ("stopped in promotion, connected", HELD, replica(ON, phase="promoting"), "interrupted"),
    ("stopped on the way home", HELD, replica(ON, phase="migrating"), "interrupted"),
    ("fenced, not promoted", HELD, replica(), "interrupted"),
    ("fenced, no replica", HELD, None, "interrupted"),
    ("stamped as fenced, yet serving", production(fenced=True), replica(), "interrupted"),
    ("fenced, then started by hand", HELD, replica(ON), "found_running"),
    ("started by hand", production(OFF), replica(ON), "found_running"),
    ("started by hand, isolated", production(OFF), replica(ON, DOWN), "found_running"),
    ("started by hand, production off the network", production(ON, DOWN), replica(ON), "found_running"),
    ("started by hand in the bubble", production(), replica(ON, BUBBLE), "testing"),
    ("started by hand without network", production(), replica(ON, DOWN), "testing"),
    ("isolated beside a production nobody sees", None, replica(ON, DOWN), "found_running"),
    ("a run stamp without a phase", production(OFF), facts.replica(stamps={stamps.RUN: "run-1"}), "interrupted"),
)  # fmt: skip
def test_a_state_is_derived_from_what_is_seen_and_stamped(p, r, expected) -> None:
    view = state_of(p, r)
    assert view.state == expected, view.reason
    assert view.reason


@rows(
    ("both live", production(), replica(ON), "split_brain"),
    ("both live, stamped test", production(), replica(ON, phase="testing"), "split_brain"),
    ("failover, the host came back with its copy", production(), SERVING, "split_brain"),
    ("the fenced copy was started again", production(fenced=True), SERVING, "split_brain"),
    ("home, the original started beside it", production(), HOME, "split_brain"),
    ("committed, the original started", production(), replica(ON, phase="committed"), "split_brain"),
    ("committed at home, the original started", production(), replica(ON, phase="committed", host="esx1"), "split_brain"),
    ("in promotion, production started", production(), replica(ON, phase="promoting"), "split_brain"),
    ("the replica last seen live, its host lost", production(), replica(ON, connection=LOST), "split_brain"),
    ("failover last seen, production started", production(), replica(ON, phase="failover", connection=LOST), "split_brain"),
    ("production last known on", production(connection=LOST), replica(ON), "split_brain"),
    ("production last known off", production(OFF, connection=LOST), replica(ON), "split_brain"),
    ("production last known without network", production(ON, DOWN, connection=LOST), replica(ON), "split_brain"),
    ("production files unreadable", production(OFF, connection=UNREADABLE), replica(ON), "split_brain"),
    ("production power unknown", production(UNKNOWN), replica(ON), "split_brain"),
    ("production suspended with its network", production(SUSPENDED), replica(ON), "split_brain"),
    ("production not seen", None, replica(ON), "split_brain"),
    ("a test connected, production not seen", None, replica(ON, phase="testing"), "split_brain"),
    ("stamped as fenced, last known on", production(fenced=True, connection=LOST), replica(ON), "split_brain"),
    # proven by a run before the replica was started, or seen held: no split brain
    ("promoted, host lost, last known on", production(connection=LOST), SERVING, "failover"),
    ("promoted, production not seen", None, SERVING, "failover"),
    ("promoted, production suspended", production(SUSPENDED), SERVING, "failover"),
    ("home, original not seen", None, HOME, "failback"),
    ("in promotion, host lost", production(connection=LOST), replica(ON, phase="promoting"), "interrupted"),
    ("on the way home, host lost", production(connection=LOST), replica(ON, phase="migrating"), "interrupted"),
    ("committed, host lost", production(connection=LOST), replica(ON, phase="committed"), "committed"),
    ("fenced, last seen held", production(OFF, DOWN, fenced=True, connection=LOST), replica(ON), "found_running"),
    ("production suspended without network", production(SUSPENDED, DOWN), replica(ON), "found_running"),
)  # fmt: skip
@pytest.mark.parametrize("trail", [KNOWN, NOT_ACTED], ids=["closed run", "run that has not acted"])
def test_two_copies_or_an_unproven_fence_are_a_split_brain_in_every_disguise(p, r, expected, trail) -> None:
    view = state_of(p, r, trail)
    assert view.state == expected, view.reason


@pytest.mark.parametrize(("way", "means"), [("", "relocate"), ("clone", "relocate"), ("failover", "reverse")])
def test_a_failback_names_its_means(way: str, means: str) -> None:
    marks = {**HOME.stamps, stamps.MODE: way}
    assert f"(means: {means})" in state_of(HELD, replace(HOME, stamps=marks)).reason


def test_an_unproven_fence_is_said_in_words() -> None:
    reason = state_of(production(connection=LOST), replica(ON)).reason
    assert reason.startswith("fencing is unproven: the replica runs on esx2")
    assert "on esx1 was last known on and cannot be seen" in reason


@pytest.mark.parametrize(
    ("p", "r", "reachable", "expected"),
    [
        (None, replica(), (False, True), "ready"),
        (None, replica(ON), (False, True), "split_brain"),
        (None, SERVING, (False, True), "failover"),
        (production(), None, (True, False), "degraded"),
        (HELD, None, (True, False), "failover"),
        (None, None, (False, False), "degraded"),
        (None, None, (True, True), "unprotected"),
    ],
)
def test_an_end_that_does_not_answer_is_unknown_not_empty(p, r, reachable, expected) -> None:
    view = state_of(p, r, is_production_reachable=reachable[0], is_replica_reachable=reachable[1])
    assert view.state == expected, view.reason


def test_a_missing_replica_says_why_it_is_missing() -> None:
    view = state_of(production(), None, replica_note="none of the 3 VMs on esx2 fits")
    assert (view.state, view.reason) == (State.UNPROTECTED, "none of the 3 VMs on esx2 fits")


@pytest.mark.parametrize(
    ("p", "r"),
    [
        (production(), replica()),  # killed between the first intent and its effect
        (HELD, replica()),
        (HELD, replica(ON, phase="promoting")),
        (HELD, SERVING),
        (HELD, replica(ON, phase="migrating")),
        (HELD, HOME),
        (None, None),
    ],
)
def test_an_open_run_that_acted_decides_whatever_is_seen_so_far(p, r) -> None:
    stopped = state_of(p, r, ACTED)
    assert (stopped.state, stopped.op, stopped.step) == (State.INTERRUPTED, "recover", "power off")
    assert "run run-1 stopped after 'power off'" in stopped.reason
    ours = state_of(p, r, running(ACTED, is_ours=True))
    assert (ours.state, ours.reason) == (State.FAILING_OVER, "this run works on it (run-1)")
    theirs = state_of(p, r, running(ACTED, is_ours=False))
    is_going_home = r is not None and r.stamps.get(stamps.PHASE) == "migrating"
    assert theirs.state is (State.FAILING_BACK if is_going_home else State.FAILING_OVER)
    assert "another controller" in theirs.reason
    assert theirs.legal() == ()


def test_an_open_run_that_has_not_acted_changes_no_state() -> None:
    assert state_of(production(), replica(), NOT_ACTED).state is State.READY


def test_a_split_brain_is_reported_in_the_middle_of_a_run() -> None:
    for trail in (ACTED, running(ACTED, is_ours=True), running(ACTED, is_ours=False)):
        assert state_of(production(), SERVING, trail).state is State.SPLIT_BRAIN


@pytest.mark.parametrize("is_alive", [True, False])
@pytest.mark.parametrize(
    ("r", "expected", "is_legal"),
    [(SERVING, "failover", True), (HOME, "failback", True), (replica(ON, phase="committed"), "committed", False)],
)
def test_a_commit_that_was_killed_can_be_given_again(r, expected, is_legal, is_alive) -> None:
    trail = Trail(
        run_id="run-2",
        op="commit",
        is_open=True,
        has_acted=True,
        is_alive=is_alive,
        is_ours=is_alive,
        known_runs=frozenset({"run-1", "run-2"}),
    )
    view = state_of(HELD, r, trail)
    assert view.state == expected
    assert (Op.COMMIT in view.legal()) is is_legal


def test_what_is_interrupted_names_its_operation() -> None:
    assert state_of(HELD, replica(phase="promoting")).op == "failover"
    assert state_of(HELD, replica(ON, phase="migrating")).op == "failback"
    assert state_of(HELD, replica()).op == "failover"


@pytest.mark.parametrize(
    ("p", "r", "expected"),
    [
        (HELD, SERVING, "failover"),
        (HELD, HOME, "failback"),
        (HELD, replica(phase="promoting"), "interrupted"),
        (HELD, replica(), "interrupted"),
        (production(OFF), facts.replica(stamps={stamps.RUN: "run-1"}), "interrupted"),
        (production(), replica(ON, BUBBLE, phase="testing"), "testing"),
    ],
)
@pytest.mark.parametrize("trail", [Trail(), Trail(run_id="run-9", known_runs=frozenset({"run-9"}))])
def test_a_vm_held_by_a_run_of_another_journal_is_refused(p, r, expected, trail) -> None:
    view = state_of(p, r, trail)
    assert (view.state, view.foreign_run, view.legal()) == (expected, "run-1", ())
    for op in Op:
        with pytest.raises(Refused) as refusal:
            view.require(op, "gestionale")
        assert "run run-1 is of another journal" in refusal.value.why
        assert "dr_journal" in refusal.value.next


def test_a_foreign_stamp_hides_no_split_brain_and_binds_nothing_after_commit() -> None:
    assert state_of(production(), SERVING, Trail()).legal() == ("resolve",)
    assert state_of(HELD, replica(ON, phase="committed"), Trail()).legal() == ("reprotect",)
    assert state_of(HELD, replica(ON, phase="committed", host="esx1"), Trail()).legal() == ("protect",)


TABLE = {
    "unprotected": "protect",
    "seeding": "",
    "ready": "failover planned_failover test",
    "degraded": "failover planned_failover repair test",
    "testing": "cleanup",
    "failing_over": "",
    "failover": "commit failback undo",
    "committed": "reprotect",
    "failing_back": "",
    "failback": "commit undo",
    "found_running": "adopt",
    "interrupted": "resume undo",
    "split_brain": "resolve",
}


@pytest.mark.parametrize("state", State)
def test_the_legal_operations_are_those_of_the_table(state: State) -> None:
    assert " ".join(StateView(state=state, reason="x").legal()) == TABLE[state]
    assert set(LEGAL) == set(State)


@pytest.mark.parametrize(("state", "op"), list(itertools.product(State, Op)))
def test_what_is_not_legal_is_refused_with_state_reason_and_the_legal_list(state: State, op: Op) -> None:
    view = StateView(state=state, reason="because")
    if op in TABLE[state].split():
        view.require(op, "gestionale")
        return
    with pytest.raises(Refused) as refusal:
        view.require(op, "gestionale")
    assert refusal.value.what == f"{op} gestionale"
    assert refusal.value.why == f"its state is {state}: because"
    assert refusal.value.next.startswith("legal in this state: ")
    for legal in TABLE[state].split() or ["nothing but waiting"]:
        assert legal in refusal.value.next


def test_a_commit_that_was_interrupted_is_not_taken_back() -> None:
    assert StateView(state=State.INTERRUPTED, reason="x", op="commit").legal() == ("resume",)


def _combinations() -> t.Iterator[tuple[Vm | None, Vm | None, Trail]]:
    powers, nics, links = tuple(Power), (UP, DOWN, BUBBLE), tuple(Connection)
    ps: list[Vm | None] = [None]
    ps += [
        production(power, nic, fenced=fenced, connection=link)
        for power, nic, fenced, link in itertools.product(powers, nics, (True, False), links)
    ]
    rs: list[Vm | None] = [None]
    rs += [
        replica(power, nic, phase=phase, connection=link, host=host)
        for power, nic, phase, link, host in itertools.product(
            powers, nics, (None, *Phase), (Connection.CONNECTED, LOST), ("esx1", "esx2")
        )
    ]
    trails = (Trail(), KNOWN, NOT_ACTED, ACTED, running(ACTED, is_ours=True), running(ACTED, is_ours=False))
    return itertools.product(ps, rs, trails)


def test_over_all_combinations_the_invariants_hold() -> None:
    """Every mix of power, network, contact, stamps, host and trail."""
    reached: set[State] = set()
    count = 0
    for p, r, trail in _combinations():
        view = state_of(p, r, trail)
        count += 1
        reached.add(view.state)
        p_live = p is not None and p.is_live(frozenset({"bubble"}))
        r_live = r is not None and r.is_live(frozenset({"bubble"}))
        p_seen = p is not None and p.connection is Connection.CONNECTED
        is_promoted = r is not None and r.stamps.get(stamps.PHASE) not in (None, "testing")
        case = (p, r, trail, view)
        # invariant 1: two copies on a production network are a split brain, whoever works on it
        if p_live and p_seen and r_live:
            assert view.state is State.SPLIT_BRAIN, case
        # and a split brain is never cried without a live replica
        if view.state is State.SPLIT_BRAIN:
            assert r_live, case
        # invariant 2: without our run's stamp only a copy that is seen, or was fenced and last seen held, is held
        if r_live and not is_promoted and (p is None or (not p_seen and stamps.FENCED not in p.stamps)):
            assert view.state is State.SPLIT_BRAIN, case
        # a fresh promotion is offered only beside a replica at rest that is seen
        if Op.FAILOVER in view.legal() and view.state is State.READY:
            assert r is not None, case
            assert r.power is Power.OFF, case
            assert r.connection is Connection.CONNECTED, case
            assert not r.stamps, case
            assert p is None or stamps.FENCED not in p.stamps, case
        # a stamp of a run that this journal does not know binds its hands (invariant 9)
        held = (r is not None and is_promoted and r.stamps[stamps.PHASE] != "committed") or (
            (r is None or r.stamps.get(stamps.PHASE) != "committed") and p is not None and stamps.FENCED in p.stamps
        )
        if held and not trail.run_id and view.state is not State.SPLIT_BRAIN:
            assert view.legal() == (), case
    assert count == 73 * 337 * 6
    assert reached == set(State) - {State.SEEDING}  # every replica here holds points
