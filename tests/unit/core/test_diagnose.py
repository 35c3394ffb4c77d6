# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.diagnose import OBSERVED, diagnose, observables
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import (
    Blast,
    CheckResult,
    Diagnosis,
    ServiceReading,
    Verdict,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    Datastore,
    EventKind,
    Guest,
    Heartbeat,
    Power,
    Tools,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Observation
from ansible_collections.ferragosto.dr.tests.unit.core import facts
from ansible_collections.ferragosto.dr.tests.unit.core.facts import HOUR_S, NOW_S, event

ANSWERS = ServiceReading(answers=True, reason="1 check is ok")
FAILS = ServiceReading(answers=False, reason="tcp 1433: refused")
UNCHECKED = ServiceReading(answers=None, reason="no check is declared")


def guest(heartbeat: str, *, tools: Tools = Tools.RUNNING, up_s: float | None = 30 * HOUR_S) -> Guest:
    boot_at_s = None if up_s is None else NOW_S - up_s
    return Guest(heartbeat=Heartbeat(heartbeat), tools=tools, boot_at_s=boot_at_s)


def seen(**since: tuple[object, float]) -> dict[str, Observation]:
    """Build observations from name -> (value, first seen so many seconds ago)."""
    return {
        name: Observation(value=value, first_at_s=NOW_S - ago_s, last_at_s=NOW_S)
        for name, (value, ago_s) in since.items()
    }


def judge(vm: Vm | None, **known: t.Any) -> Diagnosis:
    given: dict[str, t.Any] = {
        "endpoint": facts.endpoint(*([vm] if vm else [])),
        "host": facts.host(),
        "now_s": NOW_S,
        "neighbours": (facts.neighbour(1), facts.neighbour(2), facts.neighbour(3)),
    }
    return diagnose(vm, **{**given, **known})


CRASH = EventKind.CRASHED
NOT_RUNNING, NOT_INSTALLED, UNKNOWN = Tools.NOT_RUNNING, Tools.NOT_INSTALLED, Tools.UNKNOWN


@pytest.mark.parametrize(
    ("vm_guest", "service", "known", "verdict", "is_certain"),
    [
        # green
        (guest("green"), ANSWERS, {}, "healthy", True),
        (guest("green"), UNCHECKED, {}, "healthy", False),
        (guest("green"), None, {}, "healthy", False),
        (guest("green"), FAILS, {}, "degraded", True),
        (guest("green", up_s=60), FAILS, {}, "booting", False),
        (guest("green", up_s=60), ANSWERS, {}, "healthy", True),
        (guest("green", up_s=None), ANSWERS, {}, "healthy", True),
        # yellow
        (guest("yellow"), None, {}, "degraded", False),
        (guest("yellow"), ANSWERS, {}, "degraded", False),
        (guest("yellow", up_s=60), FAILS, {}, "booting", False),
        # red: one read cannot tell a boot from a hang; first-seen times can
        (guest("red", up_s=299), FAILS, seen(heartbeat=("red", 3600)), "booting", False),
        (guest("red", up_s=300), FAILS, seen(heartbeat=("red", 3600)), "hung", False),
        (guest("red"), FAILS, {}, "degraded", False),
        (guest("red"), FAILS, seen(heartbeat=("red", 119)), "degraded", False),
        (guest("red"), FAILS, seen(heartbeat=("red", 120)), "hung", False),
        (guest("red"), None, seen(heartbeat=("red", 120)), "hung", False),
        (guest("red"), FAILS, seen(heartbeat=("green", 9999)), "degraded", False),  # green until this very read
        (guest("red", tools=UNKNOWN), None, seen(heartbeat=("red", 600)), "degraded", False),  # nothing backs it up
        (guest("red", tools=UNKNOWN), None, seen(heartbeat=("red", 600), tools_ran=(True, 9e5)), "hung", False),
        (guest("red", tools=UNKNOWN), FAILS, seen(heartbeat=("red", 600)), "hung", False),
        (guest("red"), ANSWERS, seen(heartbeat=("red", 600)), "degraded", False),  # never act on a VM that serves
        (guest("red", up_s=None), FAILS, seen(heartbeat=("red", 200)), "booting", False),
        (guest("red", up_s=None), FAILS, seen(heartbeat=("red", 300)), "hung", False),
        # grey: tools absent is not unhealthy
        (guest("grey", tools=NOT_INSTALLED), None, {}, "guest_tools_missing", False),
        (guest("grey", tools=NOT_INSTALLED), ANSWERS, {}, "guest_tools_missing", True),
        (guest("grey", tools=NOT_RUNNING), UNCHECKED, {}, "guest_tools_missing", False),
        (guest("grey", tools=UNKNOWN), None, {}, "guest_tools_missing", False),
        (guest("grey", tools=NOT_INSTALLED), FAILS, {}, "degraded", False),
        (guest("grey", tools=NOT_INSTALLED), FAILS, seen(service=(False, 120)), "hung", False),
        (guest("grey", tools=NOT_INSTALLED, up_s=60), FAILS, seen(service=(False, 120)), "booting", False),
        (guest("grey", tools=NOT_INSTALLED), None, seen(tools_ran=(True, 9e5), heartbeat=("grey", 9e5)), "guest_tools_missing", False),
        # grey: tools that ran before and stopped
        (guest("grey", tools=NOT_RUNNING), None, seen(tools_ran=(True, 9e5), heartbeat=("grey", 60)), "degraded", False),
        (guest("grey", tools=NOT_RUNNING), None, seen(tools_ran=(True, 9e5), heartbeat=("grey", 120)), "hung", False),
        (guest("grey", tools=NOT_RUNNING, up_s=10), None, seen(tools_ran=(True, 9e5), heartbeat=("grey", 120)), "booting", False),
        (guest("grey", tools=NOT_RUNNING), ANSWERS, seen(tools_ran=(True, 9e5), heartbeat=("grey", 999)), "guest_tools_missing", True),
    ],
)  # fmt: skip
def test_a_running_guest_is_judged_by_heartbeat_service_and_first_seen_times(
    vm_guest: Guest,
    service: ServiceReading | None,
    known: dict[str, Observation],
    verdict: str,
    is_certain: bool,
) -> None:
    found = judge(facts.production(guest=vm_guest), service=service, observations=known)
    assert (found.verdict, found.is_certain) == (verdict, is_certain), found.reason
    assert (found.blast is Blast.NONE) == (verdict in ("healthy", "guest_tools_missing"))


@pytest.mark.parametrize(
    ("crashes_ago_s", "up_s", "heartbeat", "service", "verdict", "is_certain", "fault_ago_s"),
    [
        ([240], 30 * HOUR_S, "red", FAILS, "crashed", True, 240),
        ([240], 30 * HOUR_S, "red", None, "crashed", True, 240),
        ([240], None, "red", FAILS, "crashed", False, 240),  # a boot nobody saw may lie between
        ([1], 3600, "green", FAILS, "crashed", True, 1),
        ([60], 3600, "green", None, "crashed", True, 60),  # the heartbeat lags behind the crash
        ([240], 3600, "green", None, "degraded", True, 240),  # restarted itself inside the running VM
        ([240], 3600, "green", FAILS, "crashed", True, 240),
        ([60], 3600, "green", ANSWERS, "degraded", True, 60),
        ([60], 3600, "red", ANSWERS, "degraded", True, 60),
        ([20 * HOUR_S], 30 * HOUR_S, "green", ANSWERS, "healthy", True, None),
        ([600], 30, "red", FAILS, "booting", False, None),  # one crash, restarted since
        ([2000, 600], 30, "red", FAILS, "booting", False, None),
        ([600, 300], 1000, "red", FAILS, "crash_loop", True, 600),
        ([901, 1], 1000, "red", FAILS, "crash_loop", True, 901),
        ([902, 1], 1000, "red", FAILS, "crashed", True, 1),
        ([5000, 4500, 4000], 9000, "red", FAILS, "crash_loop", True, 5000),  # still lying there
        ([600, 300], 30, "red", FAILS, "crash_loop", False, 600),  # starting once more
        ([600, 300], 30, "green", FAILS, "booting", False, None),
        ([600, 300], 200, "green", ANSWERS, "healthy", True, None),  # the second restart helped
        ([2000, 1500], 30, "red", FAILS, "booting", False, None),  # long after the loop
    ],
)
def test_a_crash_is_told_by_events_newer_than_the_boot(
    crashes_ago_s: list[float],
    up_s: float | None,
    heartbeat: str,
    service: ServiceReading | None,
    verdict: str,
    is_certain: bool,
    fault_ago_s: float | None,
) -> None:
    events = [event(CRASH, ago_s, text="0x0000007b") for ago_s in crashes_ago_s]
    vm = facts.production(guest=guest(heartbeat, up_s=up_s))
    found = judge(vm, events=events, service=service)
    assert (found.verdict, found.is_certain) == (verdict, is_certain), found.reason
    assert found.fault_at_s == (None if fault_ago_s is None else NOW_S - fault_ago_s)
    assert any(e.text == "crash: 0x0000007b" and e.at_s == events[-1].at_s for e in found.evidence)


def test_a_reset_event_counts_as_boot_where_the_boot_time_is_not_kept_up() -> None:
    events = [event(CRASH, 400), event(EventKind.RESET, 30)]
    assert judge(facts.production(guest=guest("red")), events=events, service=FAILS).verdict is Verdict.BOOTING


def test_an_answer_of_the_other_copy_does_not_vouch_for_this_one() -> None:
    check = CheckResult(check="http", kind="http", is_ok=True, detail="200", copy="gestionale_replica")
    events = [event(CRASH, 240)]
    vm = facts.production(guest=guest("red"))
    other = ServiceReading(answers=True, reason="ok", checks=(check,))
    assert judge(vm, events=events, service=other).verdict is Verdict.CRASHED
    own = ServiceReading(answers=True, reason="ok", checks=(replace(check, copy="GESTIONALE"),))
    assert judge(vm, events=events, service=own).verdict is Verdict.DEGRADED


OFF = facts.production(power=Power.OFF, guest=Guest())
STOP, SHUTDOWN, START = EventKind.POWERED_OFF, EventKind.GUEST_SHUTDOWN, EventKind.POWERED_ON
NEIGHBOUR_OFF = facts.neighbour(1, power=Power.OFF)


@pytest.mark.parametrize(
    ("events", "neighbours", "by_whom", "fault_ago_s"),
    [
        ([event(STOP, 60, user="mario")], [facts.neighbour(1)], "person mario", 60),
        ([event(SHUTDOWN, 60, user="mario")], [facts.neighbour(1)], "person mario", 60),
        ([event(SHUTDOWN, 90, user="mario"), event(STOP, 60)], [facts.neighbour(1)], "person mario", 60),
        ([event(SHUTDOWN, 9000, user="mario"), event(STOP, 60)], [facts.neighbour(1)], "guest", 60),
        ([event(SHUTDOWN, 60)], [facts.neighbour(1)], "guest", 60),
        ([event(SHUTDOWN, 90), event(STOP, 60)], [facts.neighbour(1)], "guest", 60),
        ([event(STOP, 60)], [facts.neighbour(1)], "guest", 60),
        ([event(STOP, 60)], [NEIGHBOUR_OFF], "host", 60),
        ([event(STOP, 60)], [], "", 60),
        ([], [facts.neighbour(1)], "", 500),  # no event: since when it was first seen off
        ([event(STOP, 900, user="mario"), event(START, 600)], [facts.neighbour(1)], "", 500),
        ([event(START, 900), event(STOP, 60, user="mario")], [facts.neighbour(1)], "person mario", 60),
    ],
)
def test_a_vm_that_is_off_tells_who_stopped_it(events, neighbours, by_whom, fault_ago_s) -> None:
    found = judge(OFF, events=events, neighbours=neighbours, observations=seen(power=("off", 500)), service=FAILS)
    assert (found.verdict, found.is_certain, found.by_whom) == (Verdict.POWERED_OFF, True, by_whom)
    assert found.fault_at_s == NOW_S - fault_ago_s


def test_our_own_fence_is_not_taken_for_a_person() -> None:
    vm = facts.production(power=Power.OFF, stamps={stamps.FENCED: "run-7"})
    found = judge(vm, events=[event(STOP, 60, user="dr@luca")])
    assert found.by_whom == "run run-7"
    assert "fenced by run run-7" in found.reason


def test_a_suspended_vm_is_off_in_its_own_words() -> None:
    found = judge(facts.production(power=Power.SUSPENDED))
    assert found.verdict is Verdict.POWERED_OFF
    assert "suspended" in found.reason


STALE = facts.production(connection=Connection.DISCONNECTED)
LOST_HOST = facts.host(connection=Connection.DISCONNECTED)
OTHER_END = facts.standalone("esx2", facts.replica())


@pytest.mark.parametrize(
    ("vm", "known", "radius"),
    [
        pytest.param(None, {"endpoint": facts.dead()}, Blast.SITE, id="the only endpoint is dead"),
        pytest.param(None, {"endpoint": facts.dead(), "others": [facts.dead("esx2")]}, Blast.SITE, id="both are dead"),
        pytest.param(None, {"endpoint": facts.dead(), "others": [OTHER_END]}, Blast.HOST, id="the other end answers"),
        pytest.param(STALE, {}, Blast.HOST, id="the vCenter lost its host"),
        pytest.param(facts.production(), {"host": LOST_HOST}, Blast.HOST, id="host lost, VM still shown connected"),
        pytest.param(None, {}, Blast.VM, id="the endpoint does not show it"),
        pytest.param(facts.production(power=Power.UNKNOWN), {}, Blast.HOST, id="power not known"),
        pytest.param(
            facts.production(connection=Connection.DISCONNECTED, question="?", power=Power.OFF),
            {},
            Blast.HOST,
            id="what was last known does not count",
        ),
    ],
)
def test_without_contact_the_state_is_unknown_and_what_was_known_carries_its_age(vm, known, radius) -> None:
    kept = {
        "contact": Observation(value="lost", first_at_s=NOW_S - 50, last_at_s=NOW_S),
        "power": Observation(value="on", first_at_s=NOW_S - 9999, last_at_s=NOW_S - 720),
    }
    found = judge(vm, observations=kept, service=FAILS, **known)
    assert (found.verdict, found.is_certain) == (Verdict.UNREACHABLE, False)
    assert "unknown, not down" in found.reason
    assert found.fault_at_s == NOW_S - 50
    assert found.blast is radius, found.blast_reason
    assert ("last known power on", NOW_S - 720) in [(e.text, e.at_s) for e in found.evidence]
    assert not any(e.text.startswith("power ") for e in found.evidence)


def test_a_stale_value_without_any_observation_says_that_its_age_is_unknown() -> None:
    texts = [e.text for e in judge(STALE).evidence]
    assert "last known power on, of unknown age" in texts


FULL = facts.host(datastores=(Datastore(name="ds1", free_bytes=0, capacity_bytes=9),))
LOST_STORE = facts.host(datastores=(Datastore(name="ds1", free_bytes=9, capacity_bytes=9, is_accessible=False),))


@pytest.mark.parametrize(
    ("vm", "known", "is_certain", "words"),
    [
        (facts.production(question="msg.uuid.altered"), {}, True, "msg.uuid.altered"),
        (facts.production(question="disk full", power=Power.OFF), {}, True, "disk full"),
        (facts.production(connection=Connection.INACCESSIBLE), {}, True, "storage is lost"),
        (facts.production(), {"host": LOST_STORE, "service": ANSWERS}, True, "files on ds1 cannot be read"),
        (facts.production(guest=guest("red")), {"host": FULL, "service": FAILS}, False, "datastore ds1 is full"),
    ],
)
def test_a_blocked_vm_names_what_blocks_it(vm, known, is_certain, words) -> None:
    found = judge(vm, **known)
    assert (found.verdict, found.is_certain) == (Verdict.BLOCKED, is_certain)
    assert words in found.reason


def test_a_full_datastore_does_not_block_a_vm_that_lives() -> None:
    assert judge(facts.production(), host=FULL, service=ANSWERS).verdict is Verdict.HEALTHY


def test_a_question_counts_from_when_it_was_first_seen() -> None:
    found = judge(facts.production(question="which one?"), observations=seen(question=("which one?", 77)))
    assert found.fault_at_s == NOW_S - 77


@pytest.mark.parametrize(
    ("events", "expected_ago_s"),
    [
        ([], None),
        ([event(EventKind.RECONFIGURED, 9000, user="anna")], 9000),
        ([event(EventKind.RECONFIGURED, 9000), event(EventKind.SNAPSHOT, 500)], 500),
        ([event(EventKind.MIGRATED, 800), event(START, 700), event(EventKind.OTHER, 600)], 800),
        ([event(EventKind.MIGRATED, 800), event(START, 700, user="anna")], 700),
        # what came after the fault is an answer to it, not its cause
        ([event(EventKind.SNAPSHOT, 500), event(CRASH, 300), event(EventKind.RECONFIGURED, 100)], 500),
        ([event(CRASH, 300), event(EventKind.RECONFIGURED, 100)], 100),
        # any order in
        ([event(EventKind.SNAPSHOT, 500), event(EventKind.RECONFIGURED, 9000)], 500),
    ],
)
def test_the_last_change_is_the_newest_one_up_to_the_fault(events, expected_ago_s) -> None:
    found = judge(facts.production(guest=guest("red")), events=events, service=FAILS)
    at_s = found.last_change.at_s if found.last_change else None
    assert at_s == (None if expected_ago_s is None else NOW_S - expected_ago_s)


@pytest.mark.parametrize("skew_s", [7200.0, -7200.0])
def test_a_wrong_clock_of_the_endpoint_changes_no_verdict_and_no_time(skew_s: float) -> None:
    crash = event(CRASH, 240)
    vm = facts.production(guest=guest("red", up_s=1000))
    skewed = replace(vm, guest=replace(vm.guest, boot_at_s=(vm.guest.boot_at_s or 0) + skew_s))
    endpoint = facts.endpoint(skewed, clock_at_s=NOW_S + skew_s)
    found = judge(skewed, endpoint=endpoint, events=[replace(crash, at_s=crash.at_s + skew_s)], service=FAILS)
    assert (found.verdict, found.is_certain, found.fault_at_s) == (Verdict.CRASHED, True, NOW_S - 240)
    assert any("the clock of vc.luca.example" in e.text for e in found.evidence)


def test_hung_counts_from_the_first_silence_that_was_seen() -> None:
    known = seen(heartbeat=("red", 400), service=(False, 500))
    found = judge(facts.production(guest=guest("red")), service=FAILS, observations=known)
    assert found.fault_at_s == NOW_S - 500


@pytest.mark.parametrize(
    ("vm", "service", "expected"),
    [
        (None, None, {"contact": "lost"}),
        (STALE, FAILS, {"contact": "lost", "service": False}),
        (
            facts.production(),
            UNCHECKED,
            {"contact": "seen", "power": "on", "heartbeat": "green", "question": "", "tools_ran": True},
        ),
        (
            facts.production(guest=guest("grey", tools=NOT_RUNNING), question="?"),
            ANSWERS,
            {"contact": "seen", "power": "on", "heartbeat": "grey", "question": "?", "service": True},
        ),
    ],
)
def test_only_what_is_seen_now_is_observed(vm, service, expected) -> None:
    endpoint = facts.endpoint() if vm else facts.dead()
    found = observables(vm, endpoint=endpoint, host=facts.host(), service=service)
    assert found == expected
    assert set(found) <= set(OBSERVED)


@pytest.mark.parametrize(
    ("service", "verdict", "is_certain"),
    [(FAILS, "crashed", True), (UNCHECKED, "crashed", False), (None, "crashed", False)],
)
def test_a_picture_alone_makes_no_crash_certain(service: ServiceReading | None, verdict: str, is_certain: bool) -> None:
    vm = facts.production(guest=guest("red", tools=NOT_RUNNING))
    crash = replace(event(CRASH, ago_s=5), text="its screen is blue with white text", is_hint=True)
    found = judge(vm, events=(crash,), service=service)
    assert (found.verdict.value, found.is_certain) == (verdict, is_certain)
    assert judge(vm, events=(crash,), service=ANSWERS).verdict is not Verdict.CRASHED
