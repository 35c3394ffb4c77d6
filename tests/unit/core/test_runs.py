# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's records tell where a run is, what it did, and what was there before it."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import runs
from ansible_collections.ferragosto.dr.plugins.module_utils.core.owner import Owner
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import (
    Former,
    Lease,
    Record,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.runs import StepRef
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import Trail
from ansible_collections.ferragosto.dr.tests.unit.core.pages import ALERT_S, Page

PROD, REPLICA = "gestionale on esx1", "gestionale_replica on esx2"


def recover() -> Page:
    """A recovery that was cut off in the middle of its promotion."""
    page = Page("r1").opened("recover", production_id="p-1", replica_id="p-2", by="mario", rto_s=1800)
    page.write("mark", mark="T0", at_s=ALERT_S - 60).write("mark", mark="T4", at_s=ALERT_S + 5)
    page.step("restart", "reset (attempt 1)", PROD, took_s=20).write("attempt", attempt=1, is_serving=False)
    page.step("restart", "reset (attempt 2)", PROD, took_s=30).write("attempt", attempt=2, is_serving=False)
    page.write("consent", kind="job_disabled", reason="switched off", by="mario")
    page.step("fence", "power off", PROD, before={"id": "p-1", "power": "on", "host": "esx1"})
    nics = {"4000": {"is_connected": True, "starts_connected": True}}
    page.step("fence", "disconnect the NICs", PROD, before={"id": "p-1", "power": "off", "nics": nics})
    return page.write("chosen", id="pt-7", name="nightly").intent("promote", "protect", REPLICA)


def test_a_run_is_read_from_its_records() -> None:
    run = runs.open_run(recover().records)
    assert run is not None
    assert (run.run_id, run.op, run.alert_at_s, run.by, run.rto_s) == ("r1", "recover", ALERT_S, "mario", 1800)
    assert run.ids == ("p-1", "p-2")
    assert (run.restarts_started, run.restarts_ended) == (2, 2)
    assert (run.marks["T0"], run.marks["T2"], run.marks["T4"]) == (ALERT_S - 60, ALERT_S, ALERT_S + 5)
    assert run.dangling == StepRef(phase="promote", step="protect", target=REPLICA)
    assert run.last_step == "disconnect the NICs"
    assert [s.step for s in run.steps_done if s.phase == "fence"] == ["power off", "disconnect the NICs"]
    consent = run.consent("job_disabled")
    assert consent is not None
    assert (consent.reason, consent.by) == ("switched off", "mario")
    assert run.consent("data_loss") is None
    assert run.is_open
    assert run.has_acted
    assert run.phases == {"restart", "fence", "promote"}


def test_a_restart_cut_off_before_its_verification_has_not_ended() -> None:
    page = Page("r1").opened("recover").step("restart", "reset (attempt 1)", PROD)
    run = runs.open_run(page.records)
    assert run is not None
    assert (run.restarts_started, run.restarts_ended, run.has_acted) == (1, 0, False)


def test_a_restart_that_was_cut_off_began_before_the_interruption() -> None:
    page = Page("r1").opened("recover").step("restart", "reset (attempt 1)", PROD).write("attempt", attempt=1)
    page.intent("restart", "reset (attempt 2)", PROD)
    began_at_s = page.records[-1].at_s
    page.write("run_resumed")
    assert runs.restart_began_at_s(page.records, "r1") == began_at_s
    assert runs.restart_began_at_s(page.records, "r2") is None


@pytest.mark.parametrize(
    ("steps", "started"),
    [
        (["reset (attempt 1)", "reset (attempt 1)"], 1),  # the resumed run asks for the same one again
        (["reset, attempt 1 of 2", "reset, attempt 2 of 2"], 2),
        (["restart 1", "restart 2"], 2),
        (["reset", "reset"], 2),
        ([], 0),
    ],
)
def test_attempts_are_told_apart(steps: list[str], started: int) -> None:
    page = Page("r1").opened("recover")
    for step in steps:
        page.intent("restart", step, PROD)
    run = runs.open_run(page.records)
    assert run is not None
    assert run.restarts_started == started


def closed(run_id: str, op: str, outcome: str, **body: t.Any) -> Page:
    return Page(run_id).opened(op, **body).write("run_closed", outcome=outcome, why="")


@pytest.mark.parametrize(
    ("pages", "open_id", "last_id"),
    [
        ([], None, None),
        ([closed("r1", "recover", "recovered_home")], None, "r1"),
        ([closed("r1", "recover", "recovered_on_replica"), Page("r2").opened("commit")], "r2", "r2"),
        ([Page("r1").opened("recover"), closed("r2", "recover", "refused")], "r1", "r2"),
        ([Page("r1").opened("recover"), Page("r2").opened("undo", undoes="r1")], "r2", "r2"),
        ([Page("r1").opened("recover"), closed("r2", "undo", "undone", undoes="r1")], None, "r2"),
        ([Page("r1").opened("recover"), closed("r2", "undo", "refused", undoes="r1")], "r1", "r2"),
        ([Page("r1").opened("recover").write("run_stopped", outcome="failed", why="x", step="y")], "r1", "r1"),
    ],
)
def test_the_open_run_is_the_newest_that_is_not_over(
    pages: list[Page], open_id: str | None, last_id: str | None
) -> None:
    records = Page.bind(*pages)
    found, last = runs.open_run(records), runs.last_run(records)
    assert (found.run_id if found else None) == open_id
    assert (last.run_id if last else None) == last_id


@pytest.mark.parametrize(
    ("events", "stopped", "resumed"),
    [
        ([], "", 0),
        (["run_stopped"], "run_stopped said so", 0),
        (["run_stopped", "run_resumed"], "", 1),
        (["run_stopped", "run_resumed", "run_stopped"], "run_stopped said so", 1),
        (["run_stopped", "run_resumed", "run_closed"], "", 1),
    ],
)
def test_a_run_knows_whether_it_stands(events: list[str], stopped: str, resumed: int) -> None:
    page = Page("r1").opened("recover")
    for kind in events:
        page.write(kind, why=f"{kind} said so", outcome="failed")
    run = runs.read_run(page.records, "r1")
    assert run is not None
    assert (run.stopped, run.resumed) == (stopped, resumed)


@pytest.mark.parametrize(("phase", "has_acted"), [("restart", False)] + [(p, True) for p in sorted(runs.ACTING)])
def test_only_what_changes_a_copys_role_counts_as_acted(phase: str, has_acted: bool) -> None:
    run = runs.open_run(Page("r1").opened("recover").intent(phase, "step", PROD).records)
    assert run is not None
    assert run.has_acted is has_acted


def test_a_mark_stays_where_it_was_first_set() -> None:
    page = Page("r1").opened("recover").write("mark", mark="T4", at_s=10).write("mark", mark="T4", at_s=99)
    run = runs.open_run(page.records)
    assert run is not None
    assert run.marks["T4"] == 10


def test_former_is_what_the_first_intents_saw() -> None:
    page = recover()
    # The resumed run looks again and sees its own doing; that must never be restored by undo.
    page.intent("fence", "power off", PROD, before={"id": "p-1", "power": "off", "host": "esx9", "has_autostart": None})
    page.intent("fence", "autostart off", PROD, before={"id": "p-1", "has_autostart": True, "datastores": ["ds1"]})
    page.intent("fence", "other", "x", before={"id": "p-2", "has_ha": True})
    page.intent("promote", "power on", REPLICA, before={"current_point": "pt-3"})
    whole = Former(
        power="on",
        host="esx1",
        nics={"4000": {"is_connected": True, "starts_connected": True}},
        has_autostart=True,
        has_ha=True,
        datastores=("ds1",),
    )
    assert runs.former(page.records, "r1", "fence") == whole
    assert runs.former(page.records, "r1", "fence", "p-1").has_ha is None
    assert runs.former(page.records, "r1", "fence", PROD).power == "on"
    assert runs.former(page.records, "r1", "promote") == Former(current_point="pt-3")
    assert runs.former(page.records, "r2", "fence") == Former()


def test_a_false_of_the_first_intent_is_a_fact() -> None:
    page = Page("r1").opened("recover").intent("fence", "a", PROD, before={"has_ha": False})
    page.intent("fence", "b", PROD, before={"has_ha": True})
    assert runs.former(page.records, "r1", "fence").has_ha is False


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], False),
        (["intent"], True),
        (["intent", "result"], False),
        (["intent", "result", "intent"], True),
        (["intent", "intent", "result"], False),
    ],
)
def test_a_step_dangles_after_an_intent_without_a_result(kinds: list[str], expected: bool) -> None:
    page = Page("r1").opened("recover")
    for kind in kinds:
        page.write(kind, phase="fence", step="power off", target=PROD, error=None)
    assert runs.is_dangling(page.records, "r1", "fence", "power off", PROD) is expected
    for other in (("r2", "fence", "power off", PROD), ("r1", "promote", "power off", PROD), ("r1", "fence", "x", PROD)):
        assert not runs.is_dangling(page.records, *other)


def test_a_failed_step_is_neither_done_nor_dangling() -> None:
    page = Page("r1").opened("recover").step("fence", "power off", PROD).step("fence", "stamp", PROD, error="no right")
    run = runs.open_run(page.records)
    assert run is not None
    assert (run.last_step, run.dangling) == ("power off", None)


def test_the_newest_choice_of_a_point_counts() -> None:
    assert runs.chosen([]) is None
    newest = runs.chosen(recover().write("chosen", id="pt-9", name="other", created_at_s=9.0).records)
    assert newest is not None
    assert newest.id == "pt-9"


ME = Owner(host="h", boot_id="b", pid=1, started="10")


def held_by(owner: Owner, *, is_ours: bool = False) -> Lease:
    return Lease(vm_key="s/v", owner=owner, expires_at_s=0, is_ours=is_ours)


@pytest.mark.parametrize(
    ("lease", "is_alive", "is_ours"),
    [
        (None, False, False),
        (held_by(Owner(host="h", boot_id="b", pid=2, started="10")), True, False),
        (held_by(Owner(host="h", boot_id="b", pid=1, started="10", worker_pid=5)), True, True),
        (held_by(Owner(host="x", boot_id="b", pid=1, started="10"), is_ours=True), True, True),
    ],
)
def test_the_trail_tells_whose_run_it_is(lease: Lease | None, is_alive: bool, is_ours: bool) -> None:
    assert runs.trail(recover().records, lease, ME) == Trail(
        run_id="r1",
        op="recover",
        is_open=True,
        has_acted=True,
        last_step="disconnect the NICs",
        is_alive=is_alive,
        is_ours=is_ours,
        known_runs=frozenset({"r1"}),
    )


@pytest.mark.parametrize(
    ("records", "run_id", "is_open", "known"),
    [
        ([], "", False, set()),
        (closed("r1", "recover", "recovered_home").records, "r1", False, {"r1"}),
        (Page.bind(Page("r1").opened("recover"), closed("r2", "recover", "refused")), "r1", True, {"r1", "r2"}),
    ],
)
def test_the_trail_of_other_runs(records: list[Record], run_id: str, is_open: bool, known: set[str]) -> None:
    trail = runs.trail(records, None, None)
    assert (trail.run_id, trail.is_open, trail.known_runs) == (run_id, is_open, frozenset(known))
