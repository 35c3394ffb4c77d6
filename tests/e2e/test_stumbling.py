# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What fails on the way: each VM of one play stumbles over something else, and the same command completes afterwards."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT, Bench

OBSTACLES = {
    "production refuses to power off": ("solo", "answered InvalidState", "esxcli vm process kill"),
    "task fails": ("spare", "swap file: no space left", "check memory and datastore room"),
    "task never ends": ("db", "did not end within 3 s; it was left running", "esxcli vm process kill"),
}


def stumble(bench: Bench, vm: str, module: str, **args: t.Any) -> dict[str, t.Any]:
    """Begin a recovery as its role does, up to the module that fails, and note why it stopped."""
    about: dict[str, t.Any] = {"vm": vm, "replica": {"name": f"{vm}_replica"}}
    consent = {"job_disabled": "Anna, in the console"}
    bench.done("journal", state="open", op="recover", contract=CONTRACT, **about)
    if module == "replica":
        bench.done("vm_fence", **about)
        args |= {"state": "failover", "contract": CONTRACT}
    failed = bench.module(module, accept=consent, **args, **about)
    assert failed["failed"]
    bench.done("journal", state="stopped", outcome="failed", why=failed["msg"], **about)
    return failed


def test_each_obstacle_is_named_with_the_next_move_and_the_recovery_completes_once_it_is_gone(
    bench: Bench, subtests: pytest.Subtests
) -> None:
    for vm, _what, _then in OBSTACLES.values():
        bench.control.corrupt(vm, since_s=3600)
    bench.control.refuse_power_off("solo")
    bench.control.rule("PowerOnVM_Task", "failing_task", vm="spare", role="replica", text="swap file: no space left")
    bench.control.rule("PowerOffVM_Task", "endless_task", vm="db")
    failed = {
        "solo": stumble(bench, "solo", "vm_fence"),
        "spare": stumble(bench, "spare", "replica"),
        "db": stumble(bench, "db", "vm_fence", policy={"deadlines": {"fence": "3s"}}),
    }
    for obstacle, (vm, what, then) in OBSTACLES.items():
        with subtests.test(obstacle):
            assert failed[vm]["error"]["code"] == "step_failed"
            assert what in failed[vm]["error"]["why"]
            assert then in failed[vm]["error"]["next"]
            assert bench.run(vm)["why"] == failed[vm]["msg"], "the journal tells the same"
            assert bench.serving(vm) == ""

    bench.control.refuse_power_off("solo", refuses=False)
    bench.control.power_off("db")  # somebody helps with esxcli
    again = bench.play("recover", limit=",".join(f"{vm}.clinic" for vm in failed))
    assert again.rc == 0, again.text
    for obstacle, (vm, _what, _then) in OBSTACLES.items():
        with subtests.test(f"{obstacle}: completed"):
            assert bench.run(vm)["outcome"] == "recovered_on_replica"
            assert bench.run(vm)["resumed"] == 1
            assert bench.serving(vm) == "replica"


def test_endpoint_dying_in_mid_recovery_is_survived_by_the_same_command(bench: Bench) -> None:
    bench.control.corrupt("solo", since_s=3600)
    bench.control.rule("PowerOnVM_Task", "die_after", vm="solo", role="replica")
    first = bench.play("recover", limit="solo.clinic")
    assert first.rc != 0
    assert bench.run("solo")["outcome"] == "open"
    (stopped,) = first.of("replica")
    assert stopped.result["error"]["code"] == "site_unreachable", first.text

    dark = bench.card("solo")["decision"]
    assert not dark["is_go"]
    assert "restore the connection, then run the same command again: it continues there" in dark["next"]

    bench.control.endpoint_up()
    again = bench.play("recover", limit="solo.clinic")
    assert again.rc == 0, again.text
    assert bench.run("solo")["outcome"] == "recovered_on_replica"
    assert bench.changing_calls()["PowerOnVM_Task"] == 1, "its answer was lost, its effect was not: never sent twice"
    assert bench.serving("solo") == "replica"
    assert bench.control.accidents() == []


def test_lost_session_cut_line_and_lost_answer_do_not_stop_a_failover(bench: Bench) -> None:
    bench.control.corrupt("solo", since_s=3600)
    bench.control.rule("WaitForUpdatesEx", "session_lost", nth=3)
    bench.control.rule("PowerOffVM_Task", "drop_after", vm="solo")
    bench.control.rule("CreateSnapshot_Task", "drop_after", vm="solo", role="replica")
    bench.control.rule("RevertToSnapshot_Task", "drop_after")
    bench.control.rule("RetrievePropertiesEx", "drop_before", nth=12)
    bench.control.rule("PowerOnVM_Task", "slow_task", vm="solo", role="replica", seconds=1.5)
    bench.fail_over("solo")
    assert all(rule["struck"] == 1 for rule in bench.control.rules()), bench.control.rules()
    assert bench.serving("solo") == "replica"
    protective = [
        name for _id, name, _at in bench.shown("solo")["replica"]["snapshots"] if name.startswith("dr-promote")
    ]
    assert len(protective) == 1, "a lost answer must not make a second protective point"


def test_session_that_ends_while_it_waits_for_a_slow_task_is_renewed(bench: Bench) -> None:
    bench.control.crash("solo")
    about: dict[str, t.Any] = {"vm": "solo", "replica": {"name": "solo_replica"}}
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
    about: dict[str, t.Any] = {
        "vm": "solo",
        "replica": {"name": "solo_replica"},
        "policy": {"deadlines": {"migrate": "2s"}},
    }
    moved = bench.module("vm_migration", to="production", **about)
    assert moved["failed"]
    assert moved["error"]["code"] == "step_failed", moved
    assert "within 2 s" in moved["msg"] or "2 s" in moved["msg"], moved["msg"]
    assert bench.serving("solo") == "replica"
