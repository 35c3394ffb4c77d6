# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two controllers never work on one VM (invariant 9)."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.owner import Owner
from ansible_collections.ferragosto.dr.plugins.module_utils.journal import leases, owner
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.leases import Claim
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.opening import open_journal
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.owner import owner_of
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.store import SqlJournal
from ansible_collections.ferragosto.dr.tests.unit.journal.kit import (
    NOW_S,
    VM,
    RealClock,
    TurnedClock,
    foreign,
    in_processes,
    living_process,
    ours,
    url_of,
)

HOLDER = Owner(host="h/m/1", boot_id="b1", pid=10, started="100", worker_pid=20, worker_started="200")
ASKER = Owner(host="h/m/1", boot_id="b1", pid=11, started="110")
CONTROLLER, WORKER = {(10, "100")}, {(20, "200")}
BOTH = CONTROLLER | WORKER
NONE: set[tuple[int, str]] = set()


@pytest.mark.parametrize(
    ("asker", "living", "left_s", "claim"),
    [
        (ASKER, BOTH, 30, Claim.HELD),
        (ASKER, CONTROLLER, 30, Claim.HELD),
        (ASKER, WORKER, 30, Claim.HELD),  # Ctrl-C: the module is still in its call
        (ASKER, NONE, 30, Claim.GONE),
        (ASKER, {(10, "101"), (20, "201")}, 30, Claim.GONE),  # the pids were given to others
        (ASKER, NONE, -1, Claim.GONE),
        (ASKER, BOTH, 0.5, Claim.HELD),
        (ASKER, BOTH, 0, Claim.EXPIRED),
        (dataclasses.replace(ASKER, boot_id="b2"), BOTH, 30, Claim.REBOOTED),
        (dataclasses.replace(ASKER, host="other/m/1"), NONE, 30, Claim.HELD),  # its pids mean nothing here
        (dataclasses.replace(ASKER, host="h/m/2"), NONE, 30, Claim.HELD),  # another container of this host
        (dataclasses.replace(ASKER, host="h/other/1", boot_id="b2"), NONE, 30, Claim.HELD),  # a namesake
        (dataclasses.replace(ASKER, host="other/m/1"), NONE, -1, Claim.EXPIRED),
        (dataclasses.replace(HOLDER, worker_pid=21, worker_started="210"), NONE, 30, Claim.OURS),
        (dataclasses.replace(HOLDER, worker_pid=0), NONE, -1, Claim.OURS),
        (dataclasses.replace(HOLDER, started="101"), NONE, 30, Claim.GONE),
    ],
)
def test_a_lease_is_taken_only_from_the_gone(
    asker: Owner, living: set[tuple[int, str]], left_s: float, claim: Claim
) -> None:
    found = leases.judge(
        HOLDER, asker, expires_at_s=1000 + left_s, now_s=1000, is_running=lambda pid, started: (pid, started) in living
    )
    assert found is claim


def test_a_free_lease_is_taken_and_renewed(journal: SqlJournal, clock: TurnedClock) -> None:
    assert journal.lease(VM) is None
    assert journal.acquire(VM, ours()).expires_at_s == NOW_S + 60
    clock.sleep(40)
    worker = dataclasses.replace(ours(), worker_pid=1, worker_started="1")
    again = journal.acquire(VM, worker, lease_s=90)
    assert (again.is_ours, again.expires_at_s, again.taken_over_from) == (True, NOW_S + 130, None)
    held = journal.lease(VM)
    assert held is not None
    assert (held.owner, held.is_ours) == (worker, True)
    assert journal.records() == []


def test_only_the_holder_can_release(journal: SqlJournal) -> None:
    with living_process() as process:
        journal.acquire(VM, owner_of(process.pid))
        journal.release(VM, ours())
        held = journal.lease(VM)
        assert held is not None
        assert not journal.acquire(VM, ours()).is_ours
        journal.release(VM, owner_of(process.pid))
        assert journal.lease(VM) is None
        assert journal.acquire(VM, ours()).is_ours


def test_a_lease_of_one_vm_leaves_the_others_free(journal: SqlJournal) -> None:
    with living_process() as process:
        journal.acquire(VM, owner_of(process.pid))
        assert journal.acquire("luca-sede/dc01", ours()).is_ours


def test_a_living_controller_on_this_host_keeps_its_lease(journal: SqlJournal, clock: TurnedClock) -> None:
    with living_process() as process:
        journal.acquire(VM, owner_of(process.pid))
        clock.sleep(59)
        refused = journal.acquire(VM, ours())
        assert (refused.is_ours, refused.owner.pid, refused.expires_at_s) == (False, process.pid, NOW_S + 60)


def test_a_killed_controller_is_succeeded_at_once_and_on_record(journal: SqlJournal) -> None:
    journal.append(VM, "r1", "run_opened", {"op": "recover"})
    with living_process() as process:
        dead = owner_of(process.pid)
        journal.acquire(VM, dead)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped: a zombie acts no more
        assert journal.lease(VM) is None
        taken = journal.acquire(VM, ours())
    assert (taken.is_ours, taken.taken_over_from) == (True, dead)
    note = journal.records()[-1]
    assert (note.kind, note.run_id, note.vm_key) == ("lease_taken_over", "r1", VM)
    assert note.body["from"]["pid"] == process.pid
    assert note.body["by"]["pid"] == os.getpid()
    assert note.body["why"] == "its process is gone"


def test_a_module_that_outlives_its_controller_keeps_the_lease(journal: SqlJournal) -> None:
    with living_process() as controller, living_process() as worker:
        journal.acquire(VM, owner_of(controller.pid, worker_pid=worker.pid))
        controller.kill()
        controller.wait()
        assert not journal.acquire(VM, ours()).is_ours
        assert journal.lease(VM) is not None
        worker.kill()
        worker.wait()
        assert journal.acquire(VM, ours()).is_ours


def test_a_reused_pid_is_not_the_old_controller(journal: SqlJournal) -> None:
    journal.acquire(VM, dataclasses.replace(ours(), pid=os.getppid(), started="1"))
    assert journal.acquire(VM, ours()).is_ours


def test_a_rebooted_host_has_lost_its_controllers(journal: SqlJournal) -> None:
    journal.acquire(VM, dataclasses.replace(ours(), boot_id="the boot before"))
    assert journal.lease(VM) is None
    assert journal.acquire(VM, ours()).is_ours
    assert journal.records()[-1].body["why"] == "its host was rebooted"


def test_another_host_waits_for_the_expiry(journal: SqlJournal, clock: TurnedClock) -> None:
    journal.acquire(VM, foreign())
    clock.sleep(59.9)
    refused = journal.acquire(VM, ours())
    assert (refused.is_ours, refused.owner, refused.expires_at_s) == (False, foreign(), NOW_S + 60)
    clock.sleep(0.1)
    assert journal.lease(VM) is None
    assert journal.acquire(VM, ours()).taken_over_from == foreign()
    assert journal.records()[-1].body["why"] == "it expired"
    assert not journal.acquire(VM, foreign()).is_ours


def _contend(url: str, turns: int) -> list[bool]:
    journal = open_journal(url, clock=RealClock())
    try:
        won = [journal.acquire(f"site/vm{turn}", owner_of(), lease_s=300).is_ours for turn in range(turns)]
        # Only a living winner holds a lease: none may leave before all have asked.
        barrier = f"site/barrier{os.getpid()}"
        journal.append(barrier, "", "mark", {})
        _wait_for_all(journal)
        return won
    finally:
        journal.close()


CROWD = 12


def _wait_for_all(journal: SqlJournal) -> None:
    pause = threading.Event()
    for _turn in range(600):
        if len(journal.records(kinds=("mark",))) >= CROWD:
            return
        pause.wait(0.1)


def test_of_many_controllers_exactly_one_wins(path: Path) -> None:
    """All open the new file at once, too."""
    turns = 5
    answers = in_processes(_contend, [(url_of(path), turns)] * CROWD)
    assert [sum(won[turn] for won in answers) for turn in range(turns)] == [1] * turns
    left = open_journal(url_of(path), clock=RealClock())
    assert left.verify().is_intact
    assert left.records(kinds=("lease_taken_over",)) == []
    assert left.lease("site/vm0") is None  # its winner has ended
    left.close()


def test_this_process_knows_itself() -> None:
    me = owner_of(worker_pid=os.getpid())
    assert me == owner_of(worker_pid=os.getpid())
    assert me.boot_id
    assert me.started == me.worker_started != ""
    assert owner.is_running(me.pid, me.started)
    assert not owner.is_running(me.pid, me.started + "0")
    assert owner.start_time(0) is None


def test_a_process_seen_only_by_its_signal_counts_as_living(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """/proc with hidepid: another user's controller has no entry, yet it lives."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "stat").write_text("x")
    monkeypatch.setattr(owner, "PROC", tmp_path)
    assert owner.is_running(os.getpid(), "4711")
    with living_process() as process:
        process.kill()
        process.wait()
        assert not owner.is_running(process.pid, "4711")


@pytest.mark.parametrize(
    ("stat", "started"),
    [
        ("7 (python) S 1 " + "0 " * 17 + "4711 0", "4711"),
        ("7 (a) b) (c) R 1 " + "0 " * 17 + "4711 0", "4711"),
        ("7 (python) Z 1 " + "0 " * 17 + "4711 0", None),
    ],
)
def test_the_start_time_is_field_22(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stat: str, started: str | None
) -> None:
    for name in ("self", "7"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stat").write_text(stat)
    monkeypatch.setattr(owner, "PROC", tmp_path)
    assert owner.start_time(7) == started


def test_without_proc_the_process_list_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """macOS: no /proc."""
    monkeypatch.setattr(owner, "PROC", tmp_path)
    with living_process() as process:
        started = owner.start_time(process.pid)
        assert started is not None
        assert owner.is_running(process.pid, started)
        process.kill()
        process.wait()
        assert not owner.is_running(process.pid, started)
