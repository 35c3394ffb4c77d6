# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls, tasks and waits: what is repeated, what never is, and how long anything may take."""

from __future__ import annotations

import threading
import time

import pytest
from pyVmomi import vim

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, SiteUnreachable
from ansible_collections.ferragosto.dr.tests.unit.vsphere.front import fault, later

STATE = "runtime.powerState"


@pytest.fixture
def client(open_client, front):
    return open_client(front.port, timeout_s=5.0)


@pytest.fixture
def machine(client):
    """The first VM, switched on."""
    handle = min(client.view([vim.VirtualMachine], {vim.VirtualMachine: ["name"]}))
    vm = client.object(vim.VirtualMachine, handle)
    if client.retrieve([vm], [STATE])[handle][STATE] != "poweredOn":
        client.run_task("switch it on", vm.PowerOnVM_Task, within_s=10)
    return vm


def power(client, vm):
    return client.retrieve([vm], [STATE])[vm._moId][STATE]


def end_other_sessions(open_client, port):
    """End every session but an own one, as an administrator may."""
    admin = open_client(port)
    sessions = admin.retrieve([admin.content.sessionManager], ["sessionList", "currentSession"])["SessionManager"]
    mine = sessions["currentSession"].key
    admin.call(
        "end", admin.content.sessionManager.TerminateSession, [s.key for s in sessions["sessionList"] if s.key != mine]
    )


# --- reads -----------------------------------------------------------------------------------------------------------


def test_a_read_survives_a_dropped_connection(client, machine, front):
    front.trouble["RetrievePropertiesEx"] = ["drop_before", "drop_after"]
    assert power(client, machine) == "poweredOn"


def test_a_read_is_repeated_a_bounded_number_of_times(client, machine, front):
    front.log.clear()
    front.trouble["RetrievePropertiesEx"] = ["drop_before"] * 9
    with pytest.raises(SiteUnreachable, match="dropped the connection"):
        power(client, machine)
    assert front.log.count("RetrievePropertiesEx") == 3


def test_a_read_logs_in_again_when_its_session_is_gone(client, machine, front, open_client):
    end_other_sessions(open_client, front.port)
    assert power(client, machine) == "poweredOn"


def test_a_bulk_read_makes_a_new_view_after_its_session_was_gone(client, machine, front, open_client):
    paths = {vim.VirtualMachine: [STATE]}
    before = client.view([vim.VirtualMachine], paths)
    end_other_sessions(open_client, front.port)
    assert client.view([vim.VirtualMachine], paths).keys() == before.keys()


@pytest.mark.parametrize(("page", "pages"), [(500, 1), (1, 4), (3, 2)])
def test_a_bulk_read_costs_one_call_and_its_pages(client, front, page, pages):
    paths = {vim.VirtualMachine: ["name"]}
    found = client.view([vim.VirtualMachine], paths, page=page)
    assert len(found) == 4
    before = client.calls
    assert client.view([vim.VirtualMachine], paths, page=page) == found
    assert client.calls - before == pages


def test_an_unset_path_is_absent_and_not_none(client, machine):
    assert set(client.retrieve([machine], [STATE, "guestHeartbeatStatus", "snapshot"])[machine._moId]) == {STATE}


def test_an_object_that_is_gone_says_so(client):
    with pytest.raises(ProviderFault, match="ManagedObjectNotFound") as gone:
        client.retrieve([client.object(vim.VirtualMachine, "vm-4711")], ["name"])
    assert not gone.value.is_answer_lost
    assert "removed or registered anew" in gone.value.next


# --- acts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trouble", "state"), [("drop_before", "poweredOn"), ("drop_after", "poweredOff")])
def test_a_lost_answer_is_told_and_the_call_not_repeated(client, machine, front, trouble, state):
    front.log.clear()
    front.trouble["PowerOffVM_Task"] = [trouble]
    with pytest.raises(ProviderFault, match="no answer came") as lost:
        client.run_task("power off", machine.PowerOffVM_Task, within_s=10)
    assert lost.value.is_answer_lost
    assert front.log.count("PowerOffVM_Task") == 1
    assert power(client, machine) == state


def test_a_stale_idle_connection_is_no_lost_answer(client, machine, front):
    front.cut_all()  # while nothing is under way, as a server does that ends idle connections
    time.sleep(0.1)
    client.run_task("power off", machine.PowerOffVM_Task, within_s=10)
    assert power(client, machine) == "poweredOff"


def test_a_changing_call_is_made_again_only_where_the_session_was_gone(client, machine, front, open_client):
    end_other_sessions(open_client, front.port)
    front.log.clear()
    client.run_task("power off", machine.PowerOffVM_Task, within_s=10)
    assert front.log[:3] == ["PowerOffVM_Task", "Login", "PowerOffVM_Task"]
    assert power(client, machine) == "poweredOff"


def test_an_endpoint_that_died_before_the_call_is_unreachable_not_lost(client, machine, front):
    front.end()
    with pytest.raises(SiteUnreachable, match="refuses the connection"):
        client.run_task("power off", machine.PowerOffVM_Task, within_s=10)


@pytest.mark.parametrize(
    ("reply", "said", "next_move"),
    [
        (fault("RestrictedVersion"), "RestrictedVersion", "paid licence key"),
        (fault("TaskInProgress"), "TaskInProgress", "task list"),
        (
            fault("NoPermission", '<object type="VirtualMachine">vm-9</object>'
                  "<privilegeId>VirtualMachine.Interact.PowerOff</privilegeId>", "Permission was denied."),
            "lacks VirtualMachine.Interact.PowerOff on vm-9",
            "grant VirtualMachine.Interact.PowerOff to dr@vsphere.local",
        ),
    ],
)  # fmt: skip
def test_a_refusal_keeps_the_vendors_words_and_names_the_next_move(client, machine, front, reply, said, next_move):
    front.trouble["PowerOffVM_Task"] = [reply]
    with pytest.raises(ProviderFault) as refused:
        client.run_task("power off", machine.PowerOffVM_Task, within_s=10)
    assert said in refused.value.why
    assert next_move in refused.value.next
    assert not refused.value.is_answer_lost


def test_a_failed_task_names_the_fault_and_the_state(client, machine):
    with pytest.raises(ProviderFault, match="InvalidPowerState") as refused:
        client.run_task("power on", machine.PowerOnVM_Task, within_s=10)
    assert "it is poweredOn" in refused.value.why
    assert not refused.value.is_answer_lost


def test_a_task_returns_its_result(client, machine):
    snapshot = client.run_task(
        "snapshot", lambda: machine.CreateSnapshot_Task("one", "", memory=False, quiesce=False), within_s=10
    )
    assert isinstance(snapshot, vim.vm.Snapshot)
    client.run_task("remove", lambda: snapshot.RemoveSnapshot_Task(False), within_s=10)


def test_a_task_costs_few_round_trips_beyond_its_own(client, machine):
    client.wait_for(machine, ["name"], lambda seen: True, within_s=5)  # a session makes its collector at its first wait
    before = client.calls
    client.run_task("power off", machine.PowerOffVM_Task, within_s=10)
    assert client.calls - before <= 4  # the call itself, filter, wait, filter gone


def test_the_end_of_a_task_that_nobody_sees_is_a_lost_answer(client, machine, front):
    front.trouble["WaitForUpdatesEx"] = ["drop_before"] * 20
    with pytest.raises(ProviderFault, match=r"task task-\d+ was started") as lost:
        client.run_task("power off", machine.PowerOffVM_Task, within_s=20)
    assert lost.value.is_answer_lost


# --- waits -----------------------------------------------------------------------------------------------------------


def is_off(seen):
    return True if seen.get(STATE) == "poweredOff" else None


def test_a_change_is_told_at_once(client, machine, open_client, front):
    other = open_client(front.port)
    twin = other.object(vim.VirtualMachine, machine._moId)
    later(1.0, lambda: other.run_task("off", twin.PowerOffVM_Task, within_s=5))
    started = time.monotonic()
    assert client.wait_for(machine, [STATE], is_off, within_s=20)
    assert time.monotonic() - started < 2.0


def test_a_wait_ends_at_its_deadline(client, machine):
    started = time.monotonic()
    assert client.wait_for(machine, [STATE], is_off, within_s=1.5) is None
    assert 1.4 < time.monotonic() - started < 3.5


def test_a_wait_of_no_time_looks_once(client, machine):
    looks = []
    assert client.wait_for(machine, [STATE], lambda seen: looks.append(dict(seen)), within_s=0) is None
    assert looks[0] == {STATE: "poweredOn"}


@pytest.mark.parametrize("how", ["session", "connection"])
def test_a_wait_goes_on_when_what_it_stands_on_is_cut(client, machine, open_client, front, how):
    other = open_client(front.port)
    twin = other.object(vim.VirtualMachine, machine._moId)
    if how == "session":
        later(0.5, lambda: end_other_sessions(open_client, front.port))
    else:
        later(0.5, front.cut_all)
    later(2.0, lambda: open_client(front.port).run_task("off", twin_of(open_client, front, twin), within_s=5))
    assert client.wait_for(machine, [STATE], is_off, within_s=20)


def twin_of(open_client, front, vm):
    return open_client(front.port).object(vim.VirtualMachine, vm._moId).PowerOffVM_Task


def test_a_wait_at_an_endpoint_that_stays_dead_ends_before_its_deadline(client, machine, front):
    later(0.5, front.end)
    started = time.monotonic()
    with pytest.raises(SiteUnreachable):
        client.wait_for(machine, [STATE], is_off, within_s=60)
    assert time.monotonic() - started < 15


def test_sessions_that_wait_at_once_are_all_told_at_once(open_client, front, machine):
    """In vcsim the default collectors of all sessions share one place for news, and one of them got it."""
    clients = [open_client(front.port, timeout_s=20.0) for dummy in range(3)]
    took_s: list[float] = []

    def wait(mine):
        started_s = time.monotonic()
        watched = mine.object(vim.VirtualMachine, machine._moId)
        if mine.wait_for(watched, [STATE], lambda seen: seen.get(STATE) == "poweredOff" or None, within_s=9):
            took_s.append(time.monotonic() - started_s)

    waits = [threading.Thread(target=wait, args=(mine,)) for mine in clients]
    for each in waits:
        each.start()
    time.sleep(0.5)
    machine.PowerOffVM_Task()
    for each in waits:
        each.join()
    assert len(took_s) == 3
    assert max(took_s) < 4
