# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whenever the controller is killed, the same command again recovers, and two copies never live at once.

An undisturbed recovery enumerates the records. Then every fourth of them is the last that a killed controller wrote, one story
each: the whole way through Ansible. test_resume_modules.py dies of each record of every platform, by the modules alone.
"""

from __future__ import annotations

import fcntl
import json
import signal
import typing as t
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.keeper import ORPHANED
from ansible_collections.ferragosto.dr.tests.e2e.resume_kit import VM, Story, Telling, await_so

pytestmark = pytest.mark.timeout(900)  # a part is some eight commands

PARTS = 6  # of about two records each: what a worker takes at a time
SAMPLED = 4


@pytest.fixture
def undisturbed(story: Telling, shared: Path) -> dict[str, t.Any]:
    """The demo's recovery, told once for all workers: its records, and how often it changed what at the vCenter."""
    kept = shared / "undisturbed.json"
    with (shared / "undisturbed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            told = story("undisturbed")
            ended = told.order()
            assert ended.rc == 0, ended.text
            assert told.outcomes() == ["recovered_home"]
            assert told.faults_at_home() == []
            kept.write_text(json.dumps({"told": told.told(), "calls": told.changing_calls()}), encoding="utf-8")
    return json.loads(kept.read_text(encoding="utf-8"))


@pytest.mark.parametrize("part", range(PARTS))
def test_recovery_by_playbook_killed_after_a_record_is_resumed(
    part: int, undisturbed: dict[str, t.Any], story: Telling
) -> None:
    last = len(undisturbed["told"])
    found: list[str] = []
    for seq in range(1, last + 1, SAMPLED)[part::PARTS]:
        faults = _kill_and_resume(story(f"after-{seq}"), seq, undisturbed)
        found += [f"killed after record {seq}, {undisturbed['told'][seq - 1]}: {fault}" for fault in faults]
    assert not found, "\n".join(found)


def _kill_and_resume(story: Story, seq: int, undisturbed: dict[str, t.Any]) -> list[str]:
    killed = story.order(kill={"after": seq})
    if killed.rc != -signal.SIGKILL:
        return [f"it was not killed: rc {killed.rc}", killed.text[-2000:]]
    if story.told() != undisturbed["told"][:seq]:
        return ["it went another way than the undisturbed recovery", *story.told()]
    ended = story.order()
    found = story.faults_at_home()
    # The run's last record says recovered: whoever starts the command after it finds a healthy VM.
    outcomes = ["recovered_home", "healthy"] if seq == len(undisturbed["told"]) else ["recovered_home"]
    if ended.rc != 0 or story.outcomes() != outcomes:
        found.append(f"ended with rc {ended.rc}, {story.outcomes()}: {ended.text[-2000:]}")
    # Killed between a record and the next call, so every change is still to be made or was seen made: none is made twice.
    if story.changing_calls() != undisturbed["calls"]:
        found.append(f"changes: {story.changing_calls()}, undisturbed {undisturbed['calls']}")
    return found


# --- more than one death ---------------------------------------------------------------------------------------------

# In the order in which a recovery meets them; what stands before the first record of the run itself is written on the way back.
DEATHS = (
    "intent | restart | restart attempt 2",
    "lease_taken_over",
    "run_resumed",
    "decided",
    "intent | fence | power off",
    "result | fence | power off",
    "intent | promote | go to the recovery point",
    "result | promote | go to the recovery point",
    "intent | promote | connect the NICs",
    "intent | migrate | relocate",
    "verified | home",
)


UNDO_LIVES = (2, 4)  # records that a controller writes before it is killed


def test_recovery_killed_again_and_again_is_resumed(story: Telling, undisturbed: dict[str, t.Any]) -> None:
    told = story()
    for death in DEATHS:
        killed = told.order(kill={"at": death})
        assert killed.rc == -signal.SIGKILL, f"not killed at {death!r}: {killed.text}"
        assert told.faults() == [], f"after {death!r}"
    ended = told.order()
    assert ended.rc == 0, ended.text
    assert told.outcomes() == ["recovered_home"]
    assert told.faults_at_home() == []
    assert told.changing_calls() == undisturbed["calls"]


def test_undo_by_playbook_killed_again_and_again_is_resumed(story: Telling) -> None:
    told = story()
    before = told.shown(VM)
    assert told.order().rc == 0
    # From home first back to the replica host, where it goes on serving; then to the state before the failover.
    for number, ends_as in ((1, ("replica", "esx2.luca.example")), (2, ("", ""))):
        for lived in UNDO_LIVES:
            killed = told.order("undo", kill={"after": len(told.told()) + lived})
            assert killed.rc == -signal.SIGKILL, f"ended before it was killed: {killed.text}"
            assert told.faults() == [], f"after {told.told()[-1]!r}"
        ended = told.order("undo")
        assert ended.rc == 0, ended.text
        assert told.outcomes() == ["recovered_home", *["undone"] * number]
        assert (told.serving(VM), told.page().get("host", "")) == ends_as
    assert told.shown(VM) == before
    assert told.faults() == []


# --- not all of them die ---------------------------------------------------------------------------------------------


def test_orphaned_module_ends_itself_and_its_task_is_waited_for(story: Telling) -> None:
    told = story()
    told.control.rule("RelocateVM_Task", "slow_task", seconds=8.0)
    running = told.start("recover", **told.words())
    running.await_said("relocate to esx1.luca.example:")
    running.process.kill()
    running.process.wait(10)
    await_so(lambda: ORPHANED in told.self_ended(), "the orphaned module ends itself", within_s=5.0)
    await_so(lambda: not told.left_running(), "nothing of the command is left")
    ended = told.order()
    assert "lease taken over from" in ended.text
    assert ended.rc == 0, ended.text
    assert told.outcomes() == ["recovered_home"]
    assert told.faults_at_home() == []
    assert told.changing_calls()["RelocateVM_Task"] == 1


@pytest.mark.parametrize("record", ["intent | fence | power off", "intent | promote | power on"])
def test_module_without_its_controller_does_not_act(record: str, story: Telling) -> None:
    told = story()
    killed = told.order(kill={"at": record, "whom": "controller"})
    assert killed.rc == -signal.SIGKILL, killed.text
    await_so(lambda: not told.left_running(), "nothing of the command is left")
    ended = told.order()
    assert ended.rc == 0, ended.text
    assert told.outcomes() == ["recovered_home"]
    assert told.faults_at_home() == []


@pytest.mark.parametrize("record", ["result | fence | stamp as fenced", "intent | promote | protect"])
def test_module_killed_alone_fails_the_run_which_is_resumed(record: str, story: Telling) -> None:
    told = story()
    killed = told.order(kill={"at": record, "whom": "module"})
    assert killed.rc == 2, killed.text
    assert told.records(VM, "run_stopped")
    ended = told.order()
    assert ended.rc == 0, ended.text
    assert told.outcomes() == ["recovered_home"]
    assert told.faults_at_home() == []
