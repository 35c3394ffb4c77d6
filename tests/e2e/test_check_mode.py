# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""--check decides for real, predicts every call, and makes none."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench, Result


def predicted(ended: Result, action: str) -> list[str]:
    return [call for row in ended.of(action) for call in row.result["calls"]]


def test_check_of_assess_status_and_recover_touches_neither_vm_nor_journal(bench: Bench) -> None:
    before = bench.shown("solo")
    bench.control.corrupt("solo", since_s=3600)
    for playbook in ("assess", "status"):
        ended = bench.play(playbook, "--check", limit="solo.clinic")
        assert ended.rc == 0, ended.text
    policy = {"dr_policy": bench.policy(restarts=1, migrate_home="auto")}
    ended = bench.play("recover", "--check", limit="solo.clinic", extra=policy)
    assert ended.rc == 0, ended.text
    assert ended.decision("solo.clinic")["steps"][:2] == ["restart", "fence"]
    calls = [c for action in ("vm_power", "vm_fence", "replica", "vm_migration") for c in predicted(ended, action)]
    for call in (
        "ResetVM_Task",
        "ferragosto.dr.fenced",
        "ReconfigureAutostart",
        "restartPriority=disabled",
        "PowerOffVM_Task",
        "CreateSnapshot_Task",
        "RevertToSnapshot_Task",
        "PowerOnVM_Task",
        "RelocateVM_Task",
    ):
        assert any(call in one for one in calls), (call, calls)
    assert bench.changing_calls() == {}
    assert bench.records() == []
    assert bench.lab.world.jobs["solo"].is_enabled, "a hook is no module of ours: it is not run"
    assert bench.shown("solo") == before


def test_check_of_undo_and_commit_touches_neither_vm_nor_journal(bench: Bench) -> None:
    bench.control.crash("solo")
    bench.fail_over("solo")
    before, records, calls = bench.shown("solo"), bench.records(), bench.changing_calls()
    ended = bench.play("undo", "--check", limit="solo.clinic")
    assert ended.rc == 0, ended.text
    wanted = (
        "PowerOffVM_Task",
        "RevertToSnapshot_Task",
        "RemoveSnapshot_Task",
        "ReconfigureAutostart",
        "PowerOnVM_Task",
    )
    assert all(any(call in one for one in predicted(ended, "replica")) for call in wanted), predicted(ended, "replica")
    ended = bench.play("commit", "--check", limit="solo.clinic")
    assert ended.rc == 0, ended.text
    assert any("RemoveSnapshot_Task" in call for call in predicted(ended, "replica"))
    assert bench.shown("solo") == before
    assert bench.records() == records
    assert bench.changing_calls() == calls
