# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two controllers never work on one VM (semantics.md, invariant 9), and one that was stopped by hand is continued."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.owner import Owner
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.opening import open_journal
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.owner import owner_of
from ansible_collections.ferragosto.dr.plugins.module_utils.session import SystemClock
from ansible_collections.ferragosto.dr.tests.e2e.kit import Running
from ansible_collections.ferragosto.dr.tests.e2e.resume_kit import COMMAND_S, HOST, VM, Story, Telling, await_so

pytestmark = pytest.mark.timeout(900)

ELSEWHERE = Owner(host="jump-host/0123456789ab/4026531836", boot_id="another boot", pid=4711, started="99")


def hold(told: Story, owner: Owner, *, lease_s: float) -> None:
    """Take the VM's lease in another controller's name."""
    journal = open_journal(told.journal_url, clock=SystemClock())
    try:
        journal.acquire(told.key(VM), owner, lease_s=lease_s)
    finally:
        journal.close()


@contextlib.contextmanager
def held(told: Story, owner: Owner, *, lease_s: float) -> Iterator[threading.Event]:
    """Hold the lease as a living controller does, until the event is set."""
    is_over = threading.Event()
    hold(told, owner, lease_s=lease_s)

    def renew() -> None:
        while not is_over.wait(lease_s / 4):
            hold(told, owner, lease_s=lease_s)

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        yield is_over
    finally:
        is_over.set()
        renewing.join()


def test_second_controller_refuses_and_names_the_first(story: Telling) -> None:
    told = story()
    # Long enough on its way that the second one comes while the first is at work.
    told.control.rule("RelocateVM_Task", "slow_task", seconds=10.0)
    first = told.start("recover", **told.words())
    first.await_said("opened")
    second = told.order()
    assert first.process.poll() is None, "the first had ended before the second was refused"
    assert second.rc != 0
    assert f"another controller works on it: process {first.process.pid} on" in second.said
    assert "start the same command again" in second.said
    ended = first.wait(COMMAND_S)
    assert ended.rc == 0, ended.text
    assert told.outcomes() == ["recovered_home"]
    assert not told.records(VM, "run_stopped", "run_resumed")
    assert told.faults_at_home() == []


def test_lease_of_another_host_is_waited_for(story: Telling) -> None:
    told = story()
    with held(told, ELSEWHERE, lease_s=6.0) as is_over:
        running = told.start("recover", **told.words())
        running.await_said(f"waiting for the lease of process {ELSEWHERE.pid} on {ELSEWHERE.host}: free in ")
        assert not told.records(VM, "run_opened")
        is_over.set()
    ended = running.wait(COMMAND_S)
    assert ended.rc == 0, ended.text
    (taken,) = told.records(VM, "lease_taken_over")
    assert taken.body["from"]["host"] == ELSEWHERE.host
    assert taken.body["why"] == "it expired"
    assert told.outcomes() == ["recovered_home"]
    assert told.faults_at_home() == []


def test_lease_that_another_host_keeps_is_never_taken(story: Telling) -> None:
    told = story()
    hold(told, ELSEWHERE, lease_s=3600.0)
    failed = told.module("vm_power", vm=VM, state="off")
    assert failed["failed"]
    assert f"process {ELSEWHERE.pid} on {ELSEWHERE.host}, its lease runs" in failed["msg"]
    assert told.changing_calls() == {}


def _ended() -> Owner:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = owner_of(process.pid)
        process.communicate(b"\n")
    return owner


@pytest.mark.parametrize("why", ["its process is gone", "its host was rebooted"])
def test_lease_of_a_dead_controller_is_taken_over_at_once(why: str, story: Telling) -> None:
    told = story()
    dead = _ended() if why == "its process is gone" else replace(owner_of(), boot_id="the boot before")
    hold(told, dead, lease_s=3600.0)
    opened = told.module("journal", vm=VM, state="open", op="recover")
    assert opened["run_id"], opened
    assert opened["duration_s"] < 5.0
    (taken,) = told.records(VM, "lease_taken_over")
    assert (taken.body["from"]["pid"], taken.body["why"]) == (dead.pid, why)
    assert any("lease taken over" in line["text"] for line in opened["progress"])


def test_controller_with_another_journal_refuses(story: Telling) -> None:
    told = story()
    killed = told.order(kill={"at": "intent | promote | power on"})
    assert killed.rc == -signal.SIGKILL, killed.text
    run_id = told.records(VM, "run_opened")[0].run_id
    calls, shown = told.changing_calls(), told.shown(VM)
    for playbook in ("recover", "undo"):
        stranger = told.order(playbook, dr_journal=f"sqlite:///{told.folder / 'another.sqlite'}")
        assert stranger.rc != 0, stranger.text
        assert f"run {run_id} is of another journal" in stranger.said
        assert f"set dr_journal to the journal of run {run_id}" in stranger.said
    assert told.changing_calls() == calls
    assert told.shown(VM) == shown
    ended = told.order()
    assert ended.rc == 0, ended.text
    assert told.faults_at_home() == []


def interrupt(running: Running) -> None:
    """Press Ctrl-C as a person does: again, when it does not end (Ansible may lose the first while it forks)."""
    for _press in range(3):
        # What a terminal sends to its foreground process group; workers and modules are not in it.
        os.killpg(running.process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.process.wait(10)
            return
    raise AssertionError(f"three times Ctrl-C did not end it:\n{running.said()[-3000:]}")


# Where a person loses patience, in the order of a recovery: said on the screen while the step is at work.
MOMENTS = (
    "PLAY [Recover wave by wave]",
    "restart 1 of 2: waiting for the guest",
    "power off: gestionale on",
    "see the guest alive: gestionale_replica on",
    "relocate to esx1.luca.example: gestionale_replica on",
)


def test_interrupted_by_hand_at_any_step_the_same_command_continues(story: Telling) -> None:
    told = story()
    told.control.rule("RelocateVM_Task", "slow_task", seconds=4.0)
    for moment in MOMENTS:
        running = told.start("recover", **told.words())
        running.await_said(moment)
        interrupt(running)
        assert running.process.returncode != 0, moment
        await_so(lambda: not told.left_running(), f"nothing is left of the command after {moment!r}")
        running.wait(COMMAND_S)
        assert told.faults() == [], moment
    ended = told.order()
    assert ended.rc == 0, ended.text
    assert f"continuing run {told.records(VM, 'run_opened')[0].run_id}" in ended.text
    assert told.outcomes() == ["recovered_home"]
    assert told.faults_at_home() == []
    assert told.changing_calls()["RelocateVM_Task"] == 1
    assert HOST in ended.text
