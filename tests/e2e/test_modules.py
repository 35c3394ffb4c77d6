# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every changing module finds its work done on the second run."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT, Bench

ABOUT: dict[str, t.Any] = {"vm": "solo", "replica": {"name": "solo_replica"}}


def test_second_run_of_every_changing_module_changes_nothing(bench: Bench) -> None:
    before = bench.shown("solo")
    consent = {"job_disabled": "Anna, in the console"}
    acts: tuple[tuple[str, dict[str, t.Any]], ...] = (
        ("vm_power", {"state": "off"}),
        ("vm_power", {"state": "on"}),
        ("vm_fence", {"state": "fenced"}),
        ("vm_fence", {"state": "unfenced"}),
        ("vm_fence", {"state": "fenced"}),
        ("replica", {"state": "failover", "contract": CONTRACT, "accept": consent}),
        ("vm_migration", {"to": "production"}),
        ("vm_migration", {"to": "replica"}),
        ("replica", {"state": "ready"}),
    )
    for name, args in acts:
        checked = bench.module(name, is_check=True, **ABOUT, **args)
        assert checked["changed"], (name, args, "check mode must foresee the change")
        first = bench.done(name, **ABOUT, **args)
        assert first["changed"], (name, args)
        assert first["diff"]
        calls = bench.changing_calls()
        second = bench.done(name, **ABOUT, **args)
        assert not second["changed"], (name, args, second["steps"])
        assert second["calls"] == []
        assert bench.changing_calls() == calls
        assert not bench.module(name, is_check=True, **ABOUT, **args)["changed"]
    assert bench.shown("solo") == before
    assert bench.done("journal_info")["chain"]["is_intact"]


def test_restart_ends_with_the_first_answer_of_the_service(bench: Bench) -> None:
    bench.control.crash("solo")  # once: the next boot is sound
    policy = {"dr_policy": bench.policy(restarts=2)}
    ended = bench.play("recover", limit="solo.clinic", extra=policy)
    assert ended.rc == 0, ended.text
    assert ended.outcome("solo.clinic").startswith("restarted")
    assert bench.changing_calls()["ResetVM_Task"] == 1
    assert "PowerOffVM_Task" not in bench.changing_calls()
    assert bench.run("solo")["outcome"] == "restarted"
    assert bench.serving("solo") == "production"
    assert bench.lab.world.jobs["solo"].is_enabled
