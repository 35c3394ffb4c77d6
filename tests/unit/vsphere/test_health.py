# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Events, and the wait for a guest: alive, crashed, off, stuck, or out of time."""

from __future__ import annotations

import datetime
import time

import pytest
from pyVmomi import vim

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import EventKind
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import GuestOutcome
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import health
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.read import read_endpoint
from ansible_collections.ferragosto.dr.tests.unit.vsphere.conftest import SystemClock
from ansible_collections.ferragosto.dr.tests.unit.vsphere.front import later
from ansible_collections.ferragosto.dr.tests.unit.vsphere.test_read import named, pending, set_hidden

CLOCK = SystemClock()


@pytest.fixture
def client(open_client, vcenter_port):
    return open_client(vcenter_port)


@pytest.fixture
def vm(client):
    """A VM that is on, with a silent guest."""
    found = named(read_endpoint(client, node="", clock=CLOCK), "DC0_C0_RP0_VM0")
    machine = client.object(vim.VirtualMachine, found.handle)
    if found.power != "on":
        client.run_task("on", machine.PowerOnVM_Task, within_s=5)
    set_hidden(client, found, guestHeartbeatStatus="gray", guest__toolsRunningStatus="guestToolsNotRunning")
    time.sleep(0.01)  # the events of this preparation lie before what the tests call "now"
    return found


def crash(client, vm):
    event = vim.event.VmGuestOSCrashedEvent(
        vm=vim.event.VmEventArgument(vm=client.object(vim.VirtualMachine, vm.handle), name=vm.name),
        createdTime=datetime.datetime.now(datetime.UTC),
        key=0,
        chainId=0,
        userName="",
    )
    client.call("crash", client.content.eventManager.PostEvent, event, None)


def speak(client, vm):
    set_hidden(client, vm, guestHeartbeatStatus="green", guest__toolsRunningStatus="guestToolsRunning")


def await_guest(client, vm, within_s=8.0, since_s=None, **more):
    since_s = time.time() if since_s is None else since_s
    return health.await_guest(client, vm, within_s=within_s, since_s=since_s, clock=CLOCK, **more)


# --- events ----------------------------------------------------------------------------------------------------------


def test_power_and_crash_events_are_told_oldest_first(client, vm):
    since_s = time.time()
    machine = client.object(vim.VirtualMachine, vm.handle)
    client.run_task("off", machine.PowerOffVM_Task, within_s=5)
    client.run_task("on", machine.PowerOnVM_Task, within_s=5)
    crash(client, vm)
    kinds = [e.kind for e in health.events(client, vm, since_s)]
    assert [k for k in kinds if k is not EventKind.OTHER] == [
        EventKind.POWERED_OFF,
        EventKind.POWERED_ON,
        EventKind.CRASHED,
    ]
    newest = health.events(client, vm, since_s)[-1]
    assert newest.text
    assert since_s - 1 < newest.at_s < time.time() + 1
    assert health.events(client, vm, time.time() + 60) == ()


def test_events_of_a_neighbour_are_not_told(client, vm):
    neighbour = named(read_endpoint(client, node="", clock=CLOCK), "DC0_H0_VM0")
    since_s = time.time()
    crash(client, vm)
    assert health.events(client, neighbour, since_s) == ()


def test_the_last_events_are_the_newest_ones(client, vm):
    machine = client.object(vim.VirtualMachine, vm.handle)
    for dummy in range(4):
        client.run_task("off", machine.PowerOffVM_Task, within_s=5)
        client.run_task("on", machine.PowerOnVM_Task, within_s=5)
    every = health.events(client, vm, 0.0)
    assert len(every) > 12
    assert health.last_events(client, vm, 3) == every[-3:]
    assert health.last_events(client, vm, 10) == every[-10:]
    assert health.last_events(client, vm, 12) == every[-12:]


def test_a_server_that_cannot_be_asked_for_events_tells_none(open_client, esxi_port):
    client = open_client(esxi_port)  # this simulator's ESXi knows no QueryEvents
    found = read_endpoint(client, node="", clock=CLOCK).vms[0]
    assert health.events(client, found, 0.0) == ()
    assert await_guest(client, found, within_s=0).outcome is GuestOutcome.TIMED_OUT


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        (vim.event.VmPoweredOffEvent(), EventKind.POWERED_OFF, "vm powered off on esx1"),
        (vim.event.VmResettingEvent(), EventKind.RESET, "vm resetting on esx1"),
        (vim.event.VmGuestShutdownEvent(), EventKind.GUEST_SHUTDOWN, "vm guest shutdown on esx1"),
        (vim.event.VmReconfiguredEvent(), EventKind.RECONFIGURED, "vm reconfigured on esx1"),
        (vim.event.VmRelocatedEvent(), EventKind.MIGRATED, "vm relocated on esx1"),
        (vim.event.VmBeingMigratedEvent(), EventKind.OTHER, "vm being migrated on esx1"),
        (
            vim.event.TaskEvent(info=vim.TaskInfo(descriptionId="VirtualMachine.createSnapshot")),
            EventKind.SNAPSHOT,
            "task VirtualMachine.createSnapshot on esx1",
        ),
        (
            vim.event.TaskEvent(info=vim.TaskInfo(descriptionId="vm.Snapshot.revert")),
            EventKind.SNAPSHOT,
            "task vm.Snapshot.revert on esx1",
        ),
    ],
)
def test_an_event_without_words_gets_ours(event, kind, text):
    event.createdTime = datetime.datetime(2026, 8, 15, tzinfo=datetime.UTC)
    event.host = vim.event.HostEventArgument(name="esx1", host=vim.HostSystem("host-1"))
    event.userName = "LUCA\\tecnico"
    found = health.to_event(event)
    assert (found.kind, found.text, found.user) == (kind, text, "LUCA\\tecnico")


# --- waiting for the guest -------------------------------------------------------------------------------------------


def test_a_guest_that_starts_to_speak_is_alive(open_client, vcenter_port, client, vm):
    other = open_client(vcenter_port)
    later(1.0, lambda: speak(other, vm))
    wait = await_guest(client, vm)
    assert wait.outcome is GuestOutcome.ALIVE
    assert 0.8 < wait.took_s < 4
    assert "green" in wait.evidence


def test_running_tools_do_where_no_heartbeat_is_told(client):
    quiet = named(read_endpoint(client, node="", clock=CLOCK), "DC0_H1_VM0")
    set_hidden(client, quiet, guest__toolsRunningStatus="guestToolsRunning")
    assert await_guest(client, quiet).outcome is GuestOutcome.ALIVE


def test_a_blue_screen_is_told_at_once(open_client, vcenter_port, client, vm):
    other = open_client(vcenter_port)
    later(1.0, lambda: crash(other, vm))
    wait = await_guest(client, vm, within_s=20)
    assert wait.outcome is GuestOutcome.CRASHED
    assert wait.took_s < 4


def test_a_crash_outweighs_a_heartbeat_that_is_still_green(client, vm):
    since_s = time.time()
    speak(client, vm)
    crash(client, vm)
    assert await_guest(client, vm, since_s=since_s).outcome is GuestOutcome.CRASHED


def test_an_older_crash_is_not_this_ones(client, vm):
    crash(client, vm)
    time.sleep(0.05)
    since_s = time.time()
    speak(client, vm)
    assert await_guest(client, vm, since_s=since_s).outcome is GuestOutcome.ALIVE


def test_a_guest_that_goes_off_ends_the_wait(open_client, vcenter_port, client, vm):
    other = open_client(vcenter_port)
    machine = other.object(vim.VirtualMachine, vm.handle)
    later(1.0, lambda: other.run_task("off", machine.PowerOffVM_Task, within_s=5))
    wait = await_guest(client, vm, within_s=20)
    assert wait.outcome is GuestOutcome.POWERED_OFF
    assert wait.took_s < 4


def test_a_question_blocks(client, vm):
    question = pending("disk full?")
    blocked = named(read_endpoint(client, node="", clock=CLOCK), "DC0_C0_RP0_VM1")
    set_hidden(client, blocked, runtime__question=question)
    wait = await_guest(client, blocked)
    assert wait.outcome is GuestOutcome.BLOCKED
    assert "disk full?" in wait.evidence


def test_a_silent_guest_costs_its_deadline_and_not_much_more(client, vm):
    wait = await_guest(client, vm, within_s=2.0)
    assert wait.outcome is GuestOutcome.TIMED_OUT
    assert 1.9 < wait.took_s < 4.5
    assert "grey" in wait.evidence


def test_a_silent_guest_is_asked_for_events_once_a_second(client, vm):
    before = client.calls
    await_guest(client, vm, within_s=4.0)
    assert client.calls - before <= 4 * 4 + 4


def test_a_heartbeat_left_over_from_before_a_reset_is_not_believed_at_once(client, vm):
    speak(client, vm)
    since_s = time.time()
    machine = client.object(vim.VirtualMachine, vm.handle)
    client.run_task("reset", machine.ResetVM_Task, within_s=5)
    later_wait = await_guest(client, vm, since_s=since_s, settle_s=3.0)
    assert later_wait.outcome is GuestOutcome.ALIVE
    assert later_wait.took_s > 2.0
    assert await_guest(client, vm, since_s=since_s).took_s < 1.0


def test_no_time_means_one_look(client, vm):
    assert await_guest(client, vm, within_s=0).outcome is GuestOutcome.TIMED_OUT
    speak(client, vm)
    assert await_guest(client, vm, within_s=0).outcome is GuestOutcome.ALIVE
