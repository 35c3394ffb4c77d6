# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Undo returns the exact former state (invariant 7)."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT, Bench


def test_undo_of_a_failover_returns_the_exact_former_state(bench: Bench) -> None:
    before = bench.shown("solo")
    bench.control.crash("solo")
    bench.fail_over("solo")
    assert bench.shown("solo") != before

    undone = bench.play("undo", limit="solo.clinic")
    assert undone.rc == 0, undone.text
    assert "solo: failover -> ready" in undone.said
    assert bench.shown("solo") == before
    bench.await_serving("solo", "production")
    assert bench.control.accidents() == []
    assert bench.done("journal_info")["chain"]["is_intact"]


def test_undo_of_a_failback_goes_back_to_the_replica_host_and_a_second_one_to_the_former_state(bench: Bench) -> None:
    before = bench.shown("solo")
    bench.control.crash("solo")
    bench.fail_over("solo", goes_home=True)

    undone = bench.play("undo", limit="solo.clinic")
    assert undone.rc == 0, undone.text
    assert "solo: failback -> failover" in undone.said
    assert bench.copy("solo", "replica")["host"] == "esx2.clinic.example"
    assert bench.serving("solo") == "replica"
    assert bench.copy("solo", "production")["power"] == "off"

    first = bench.done("replica", vm="solo", replica={"name": "solo_replica"}, state="ready")
    assert first["changed"]
    assert bench.shown("solo") == before
    bench.await_serving("solo", "production")
    assert bench.control.accidents() == []

    again = bench.done("replica", vm="solo", replica={"name": "solo_replica"}, state="ready")
    assert not again["changed"], "an undo of nothing touches nothing"
    assert bench.shown("solo") == before


def test_undo_that_fails_at_its_last_step_is_completed_by_the_same_command(bench: Bench) -> None:
    before = bench.shown("solo")
    bench.control.crash("solo")
    bench.fail_over("solo")
    bench.control.rule("PowerOnVM_Task", "failing_task", vm="solo")
    about: dict[str, t.Any] = {"vm": "solo", "replica": {"name": "solo_replica"}}
    bench.done("journal", state="open", op="undo", contract=CONTRACT, **about)
    assert bench.module("replica", state="ready", **about)["failed"]
    bench.done("journal", state="stopped", outcome="failed", why="the power-on failed", **about)
    assert bench.shown("solo")["production"]["stamps"] == {}, "all but the power is back"
    undone = bench.play("undo", limit="solo.clinic")
    assert undone.rc == 0, undone.text
    assert bench.shown("solo") == before
