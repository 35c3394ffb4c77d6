# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What fails on the way: each VM of one play stumbles over something else, and the same command completes afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.vsphere import VsphereLab
from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench, Result

STUMBLING = ("solo", "spare", "db")
LIMIT = ",".join(f"{vm}.clinic" for vm in STUMBLING)


@dataclass(frozen=True, slots=True)
class Story:
    first: Result
    serving: dict[str, str]  # after the first command
    stopped: dict[str, str]
    again: Result
    outcome: dict[str, str]
    resumed: dict[str, int]


@pytest.fixture(scope="module")
def story(lab: VsphereLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    lab.reset()
    bench = Bench(lab, tmp_path_factory.mktemp("stumbling"))
    for vm in STUMBLING:
        bench.control.corrupt(vm, since_s=3600)
    bench.control.refuse_power_off("solo")
    bench.control.rule("PowerOnVM_Task", "failing_task", vm="spare", role="replica", text="swap file: no space left")
    bench.control.rule("PowerOffVM_Task", "endless_task", vm="db")
    first = bench.play("recover", limit=LIMIT)
    serving = {vm: bench.serving(vm) for vm in STUMBLING}
    stopped = {vm: bench.run(vm)["why"] for vm in STUMBLING}
    bench.control.refuse_power_off("solo", refuses=False)
    bench.control.power_off("db")  # somebody helps with esxcli
    again = bench.play("recover", limit=LIMIT)
    yield Story(
        first=first,
        serving=serving,
        stopped=stopped,
        again=again,
        outcome={vm: bench.run(vm)["outcome"] for vm in STUMBLING},
        resumed={vm: bench.run(vm)["resumed"] for vm in STUMBLING},
    )
    assert lab.control.violations() == []


@pytest.mark.parametrize(
    ("vm", "what", "then"),
    [
        pytest.param("solo", "power off", "esxcli vm process kill", id="production refuses to power off"),
        pytest.param("spare", "swap file: no space left", "check memory and datastore room", id="task fails"),
        pytest.param("db", "power off", "esxcli vm process kill", id="task never ends"),
    ],
)
def test_step_that_fails_is_named_with_the_next_move_and_stays_in_the_journal(
    story: Story, vm: str, what: str, then: str
) -> None:
    assert story.first.rc != 0
    outcome = story.first.outcome(f"{vm}.clinic")
    assert what in outcome, outcome
    assert then in outcome, outcome
    assert story.stopped[vm] in outcome, "journal and screen tell the same"
    assert story.serving[vm] == ""


def test_task_that_never_ends_is_given_up_at_its_deadline(story: Story) -> None:
    (row,) = story.first.of("vm_fence", "db.clinic")
    assert row.status == "failed"
    assert 3.0 <= row.result.get("duration_s", row.ended_at_s - row.began_at_s) < 60.0
    assert "3 s" in row.result["msg"], "the deadline of dr_policy.deadlines.fence"


@pytest.mark.parametrize("vm", STUMBLING)
def test_same_command_completes_once_the_obstacle_is_gone(story: Story, vm: str) -> None:
    assert story.again.rc == 0, story.again.text
    assert story.outcome[vm] == "recovered_on_replica"
    assert story.resumed[vm] == 1
    assert "continuing run" in story.again.said


def test_endpoint_dying_in_mid_recovery_is_survived_by_the_same_command(bench: Bench) -> None:
    bench.control.corrupt("solo", since_s=3600)
    bench.control.rule("PowerOnVM_Task", "die_after", vm="solo", role="replica")
    first = bench.play("recover", limit="solo.clinic")
    assert first.rc != 0
    assert bench.run("solo")["outcome"] == "open"
    assert "refuses the connection" in first.said, first.text

    dark = bench.play("recover", limit="solo.clinic")
    assert dark.rc != 0
    assert "restore the connection, then run the same command again: it continues there" in dark.said, dark.text

    bench.control.endpoint_up()
    again = bench.play("recover", limit="solo.clinic")
    assert again.rc == 0, again.text
    assert bench.run("solo")["outcome"] == "recovered_on_replica"
    assert bench.changing_calls()["PowerOnVM_Task"] == 1, "its answer was lost, its effect was not: never sent twice"
    assert bench.serving("solo") == "replica"
    assert bench.control.accidents() == []


def test_lost_session_cut_line_and_lost_answer_do_not_stop_a_recovery(bench: Bench) -> None:
    bench.control.corrupt("solo", since_s=3600)
    bench.control.rule("WaitForUpdatesEx", "session_lost", nth=3)
    bench.control.rule("PowerOffVM_Task", "drop_after", vm="solo")
    bench.control.rule("CreateSnapshot_Task", "drop_after", vm="solo", role="replica")
    bench.control.rule("RevertToSnapshot_Task", "drop_after")
    bench.control.rule("RetrievePropertiesEx", "drop_before", nth=12)
    bench.control.rule("PowerOnVM_Task", "slow_task", vm="solo", role="replica", seconds=1.5)
    ended = bench.play("recover", limit="solo.clinic")
    assert ended.rc == 0, ended.text
    assert all(rule["struck"] == 1 for rule in bench.control.rules()), bench.control.rules()
    assert bench.run("solo")["outcome"] == "recovered_on_replica"
    assert bench.serving("solo") == "replica"
    protective = [
        name for _id, name, _at in bench.shown("solo")["replica"]["snapshots"] if name.startswith("dr-promote")
    ]
    assert len(protective) == 1, "a lost answer must not make a second protective point"


def test_session_that_ends_while_it_waits_for_a_slow_task_is_renewed(bench: Bench) -> None:
    bench.control.crash("solo")
    about = {"vm": "solo", "replica": {"name": "solo_replica"}}
    bench.control.rule("PowerOffVM_Task", "slow_task", vm="solo", seconds=2.5)
    bench.control.rule("WaitForUpdatesEx", "session_lost", nth=4)
    fenced = bench.done("vm_fence", **about)
    assert fenced["proof"]["kind"] == "seen_off"
    assert bench.control.calls()["Login"] >= 2
    assert bench.changing_calls()["PowerOffVM_Task"] == 1


def test_endless_migration_is_given_up_while_the_replica_goes_on_serving(bench: Bench) -> None:
    bench.control.crash("solo")
    bench.fail_over("solo")
    bench.control.rule("RelocateVM_Task", "endless_task")
    about = {"vm": "solo", "replica": {"name": "solo_replica"}, "policy": {"deadlines": {"migrate": "2s"}}}
    moved = bench.module("vm_migration", to="production", **about)
    assert moved["failed"]
    assert moved["error"]["code"] == "step_failed", moved
    assert "within 2 s" in moved["msg"] or "2 s" in moved["msg"], moved["msg"]
    assert bench.serving("solo") == "replica"
