# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab as a client sees it: real vcsim, real pyvmomi, real TLS."""

from __future__ import annotations

import datetime as dt
import json
import typing as t
from functools import partial

import pytest
from pyVmomi import vim

from ansible_collections.ferragosto.dr.extensions.twin.vsphere import VsphereLab
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.lab import wait_for
from ansible_collections.ferragosto.dr.tests.unit.twin.conftest import Client


def test_a_client_sees_the_site_that_the_inventory_names(client: Client) -> None:
    assert set(client.all(vim.HostSystem)) == {"esx1.luca.example", "esx2.luca.example"}
    machines = client.all(vim.VirtualMachine)
    assert set(machines) == {
        f"{n}{s}" for n in ("dc01", "gestionale", "files01", "magazzino") for s in ("", "_replica")
    }
    assert {n: str(v.runtime.powerState) for n, v in machines.items() if "files01" in n} == {
        "files01": "poweredOn",
        "files01_replica": "poweredOff",
    }
    host = client.host("esx2.luca.example")
    assert host.summary.hardware.memorySize == 64 * 2**30
    assert [d.name for d in host.datastore] == ["esx2-local"]
    assert {n.name for n in host.network} == {"VM Network", "dr-isolated"}


def test_replicas_have_a_point_for_every_night(client: Client) -> None:
    ages_h = []
    node = client.vm("gestionale_replica").snapshot.rootSnapshotList[0]
    while node:
        ages_h.append(round((dt.datetime.now(dt.UTC) - node.createTime).total_seconds() / 3600))
        node = node.childSnapshotList[0] if node.childSnapshotList else None
    assert ages_h == [55, 31, 7]


def test_a_wrong_password_is_refused(lab: VsphereLab) -> None:
    with pytest.raises(vim.fault.InvalidLogin):
        Client(lab, password="wrong")


def test_an_account_without_rights_sees_hosts_and_no_vm(lab: VsphereLab) -> None:
    blind = Client(lab, user=lab.blind_user)
    assert blind.all(vim.VirtualMachine) == {}
    assert set(blind.all(vim.HostSystem)) == {"esx1.luca.example", "esx2.luca.example"}


def test_a_healthy_guest_answers_and_tells_which_copy_it_is(client: Client) -> None:
    said = json.loads(client.page("gestionale"))
    assert (said["status"], said["vm"], said["host"]) == ("ok", "gestionale", "esx1.luca.example")
    assert said["copy"] == client.vm("gestionale").config.instanceUuid


def test_a_crash_leaves_an_event_a_red_heartbeat_and_a_dead_page(client: Client, lab: VsphereLab) -> None:
    vm = client.vm("gestionale")
    lab.control.crash("gestionale")
    assert client.page("gestionale") == "refused"
    client.changes_until(vm, "guestHeartbeatStatus", "red")
    wait_for(lambda: bool(client.events(vm, "VmGuestOSCrashedEvent")), 5, "the crash event")
    assert [e.userName for e in client.events(vm, "VmGuestOSCrashedEvent")] == [""]
    assert vm.runtime.powerState == "poweredOn"


def has_crashed(client: Client, vm: t.Any, times: int) -> bool:
    return len(client.events(vm, "VmGuestOSCrashedEvent")) == times


def test_the_story_ends_in_a_blue_screen_after_every_reset(client: Client, lab: VsphereLab) -> None:
    assert lab.control.begin_story() == "gestionale"
    vm = client.vm("gestionale")
    for expected in (2, 3):
        client.finish(vm.ResetVM_Task())
        wait_for(partial(has_crashed, client, vm, expected), 5, f"{expected} crashes")
    assert client.page("gestionale") == "refused"


def test_the_promoted_replica_answers_as_itself_with_last_night_s_data(client: Client, lab: VsphereLab) -> None:
    before = json.loads(client.page("gestionale"))["data"]
    lab.control.begin_story()
    client.finish(client.vm("gestionale").PowerOffVM_Task())
    replica = client.vm("gestionale_replica")
    client.finish(replica.PowerOnVM_Task())
    client.await_page("gestionale", replica.config.instanceUuid)
    said = json.loads(client.page("gestionale"))
    assert said["host"] == "esx2.luca.example"
    assert said["data"]["generation"] < before["generation"]
    assert lab.control.violations() == []


def test_an_older_point_brings_older_data(client: Client) -> None:
    client.finish(client.vm("files01").PowerOffVM_Task())
    replica = client.vm("files01_replica")
    oldest = replica.snapshot.rootSnapshotList[0].snapshot
    client.finish(oldest.RevertToSnapshot_Task())
    client.finish(replica.PowerOnVM_Task())
    client.await_page("files01", "files01_replica")
    held = json.loads(client.page("files01"))["data"]["generation"]
    assert 1_000_000 - held == pytest.approx(55 * 3600 / 0.05, rel=0.01)


def test_a_revert_stops_a_running_vm(client: Client) -> None:
    vm = client.vm("files01")
    point = client.finish(vm.CreateSnapshot_Task("before", "", False, False))
    client.finish(point.RevertToSnapshot_Task())
    assert vm.runtime.powerState == "poweredOff"


@pytest.mark.parametrize("reverts_config", [True, False])
def test_a_revert_brings_the_configuration_back_as_vsphere_does_or_leaves_it_as_vcsim_does(
    client: Client, lab: VsphereLab, reverts_config: bool
) -> None:
    lab.control.edition(reverts_config=reverts_config)
    vm = client.vm("files01_replica")
    stamp = vim.option.OptionValue(key="ferragosto.dr.run", value="r1")
    lab.control.disconnect_nics("files01", "replica")
    client.finish(vm.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[stamp])))
    client.finish(vm.snapshot.rootSnapshotList[0].snapshot.RevertToSnapshot_Task())
    stamps = [o.value for o in vm.config.extraConfig if o.key == "ferragosto.dr.run"]
    card = next(d for d in vm.config.hardware.device if isinstance(d, vim.vm.device.VirtualEthernetCard))
    assert (stamps, card.connectable.startConnected) == (([], True) if reverts_config else (["r1"], False))


def test_an_overlap_of_an_instant_is_seen_by_the_watch(client: Client, lab: VsphereLab) -> None:
    replica = client.vm("dc01_replica")
    replica.PowerOnVM_Task()
    replica.PowerOffVM_Task()
    assert [(v["kind"], v["vm"]) for v in lab.control.violations()] == [("two_on_production_network", "dc01")]


def test_a_replica_with_its_nics_disconnected_is_no_violation_and_not_served(client: Client, lab: VsphereLab) -> None:
    client.finish(client.vm("dc01").PowerOffVM_Task())
    lab.control.disconnect_nics("dc01", "replica")
    client.finish(client.vm("dc01_replica").PowerOnVM_Task())
    wait_for(lambda: client.vm("dc01_replica").guestHeartbeatStatus == "green", 5, "a green heartbeat")
    assert client.page("dc01") == "refused"
    lab.control.connect_nics("dc01", "replica")
    client.await_page("dc01", "dc01_replica")
    assert lab.control.violations() == []


@pytest.mark.parametrize(
    ("mode", "page"), [("ok", '"ok"'), ("error", "503"), ("hanging", "failed"), ("down", "refused")]
)
def test_a_service_fails_in_its_own_ways_while_its_guest_is_up(
    client: Client, lab: VsphereLab, mode: str, page: str
) -> None:
    lab.control.service("files01", mode)
    client.await_page("files01", page)
    assert client.vm("files01").guestHeartbeatStatus == "green"


def test_a_guest_shutdown_takes_its_time_and_is_in_the_caller_s_name(client: Client, lab: VsphereLab) -> None:
    vm = client.vm("files01")
    vm.ShutdownGuest()
    assert vm.runtime.powerState == "poweredOn"
    client.changes_until(vm, "runtime.powerState", "poweredOff")
    kinds = {type(e).__name__.rpartition(".")[2]: e.userName for e in client.events(vm)}
    assert kinds["vim.event.VmGuestShutdownEvent".rpartition(".")[2]] == lab.user
    assert kinds["VmPoweredOffEvent"] == lab.user


def test_a_dead_guest_cannot_be_asked_to_shut_down(client: Client, lab: VsphereLab) -> None:
    lab.control.crash("files01")
    with pytest.raises(vim.fault.ToolsUnavailable):
        client.vm("files01").ShutdownGuest()


def test_other_people_s_deeds_bear_their_names(client: Client, lab: VsphereLab) -> None:
    lab.control.power_off("files01", user="anna.verdi")
    events = client.events(client.vm("files01"), "VmPoweredOffEvent")
    assert [e.userName for e in events] == ["anna.verdi"]


def test_the_event_log_remembers_the_past_and_hides_the_lab_s_own_hand(client: Client) -> None:
    vm = client.vm("gestionale")
    told = [(type(e).__name__.rpartition(".")[2], e.userName, e.createdTime) for e in client.events(vm)]
    assert [(kind, user) for kind, user, dummy in told] == [
        ("VmReconfiguredEvent", "marco.rinaldi"),
        ("VmPoweredOnEvent", "dr-lab"),
    ]
    age_h = (dt.datetime.now(dt.UTC) - told[0][2]).total_seconds() / 3600
    assert age_h == pytest.approx(26, abs=0.1)


@pytest.mark.parametrize(
    ("since_h", "kinds"), [(1, []), (30, ["VmReconfiguredEvent"]), (2000, ["VmReconfiguredEvent", "VmPoweredOnEvent"])]
)
def test_the_event_log_honours_the_time_of_a_filter(client: Client, since_h: float, kinds: list[str]) -> None:
    by_time = vim.event.EventFilterSpec.ByTime(beginTime=dt.datetime.now(dt.UTC) - dt.timedelta(hours=since_h))
    told = client.events(client.vm("gestionale"), time=by_time)
    assert [type(e).__name__.rpartition(".")[2] for e in told] == kinds


def test_an_event_collector_reads_over_the_lab_s_own_events(client: Client) -> None:
    wanted = vim.event.EventFilterSpec
    vm = client.vm("gestionale")
    spec = wanted(entity=wanted.ByEntity(entity=vm, recursion="self"))
    collector = client.content.eventManager.CreateCollectorForEvents(spec)
    collector.RewindCollector()
    told: list[str] = []
    while page := collector.ReadNextEvents(2):
        told.extend(type(e).__name__.rpartition(".")[2] for e in page)
    assert told == ["VmPoweredOnEvent", "VmReconfiguredEvent"]


def test_a_relocate_takes_its_time_and_the_vm_lives_on_at_home(client: Client) -> None:
    vm, home = client.vm("files01"), client.host("esx2.luca.example")
    pool = home.parent.resourcePool
    task = vm.RelocateVM_Task(vim.vm.RelocateSpec(host=home, datastore=home.datastore[0], pool=pool))
    assert task.info.state == "running"
    assert client.changes_until(task, "info.state", "success") == ["running", "success"]
    assert (vm.runtime.host.name, [d.name for d in vm.datastore]) == ("esx2.luca.example", ["esx2-local"])
    assert vm.config.files.vmPathName.startswith("[esx2-local]")
    client.finish(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="moved")))
    client.finish(vm.CreateSnapshot_Task("after", "", False, False))
    assert [d.name for d in vm.datastore] == ["esx2-local"]
    client.await_page("files01", '"host": "esx2.luca.example"')


def test_a_moved_replica_loses_no_snapshot_and_survives_the_removal_of_one(client: Client, lab: VsphereLab) -> None:
    replica, home = client.vm("files01_replica"), client.host("esx1.luca.example")
    ours = client.finish(replica.CreateSnapshot_Task("dr-promote-1", "", False, False))
    spec = vim.vm.RelocateSpec(host=home, datastore=home.datastore[0], pool=home.parent.resourcePool)
    client.finish(replica.RelocateVM_Task(spec))
    client.finish(ours.RemoveSnapshot_Task(False))
    assert len(lab.world.copy_of("files01", "replica").points) == 3
    assert lab.control.accidents() == []


def test_a_relocate_to_a_host_that_cannot_reach_the_disks_fails(client: Client) -> None:
    vm, home = client.vm("files01"), client.host("esx2.luca.example")
    with pytest.raises(vim.fault.InaccessibleDatastore):
        client.finish(vm.RelocateVM_Task(vim.vm.RelocateSpec(host=home, pool=home.parent.resourcePool)))


def test_autostart_is_read_and_written_per_host(client: Client) -> None:
    vm = client.vm("files01")
    manager = client.host("esx1.luca.example").configManager.autoStartManager
    wire = vim.host.AutoStartManager

    def action(of: object) -> list[str]:
        return [i.startAction for i in of.config.powerInfo if i.key == vm]  # type: ignore[attr-defined]

    assert action(manager) == ["PowerOn"]
    info = wire.AutoPowerInfo(
        key=vm,
        startOrder=-1,
        startDelay=-1,
        waitForHeartbeat="systemDefault",
        startAction="none",
        stopDelay=-1,
        stopAction="systemDefault",
    )
    manager.ReconfigureAutostart(wire.Config(powerInfo=[info]))
    assert action(manager) == ["none"]
    assert action(client.host("esx2.luca.example").configManager.autoStartManager) == []


def test_the_watch_follows_a_clone(client: Client, lab: VsphereLab) -> None:
    vm, host = client.vm("files01"), client.host("esx2.luca.example")
    where = vim.vm.RelocateSpec(host=host, datastore=host.datastore[0], pool=host.parent.resourcePool)
    clone = client.finish(vm.CloneVM_Task(vm.parent, "files01-copy", vim.vm.CloneSpec(location=where, powerOn=False)))
    client.finish(clone.PowerOnVM_Task())
    assert [v["vm"] for v in lab.control.violations()] == ["files01"]


def test_calls_are_counted_by_method(client: Client, lab: VsphereLab) -> None:
    before = lab.control.calls().get("PowerOffVM_Task", 0)
    client.finish(client.vm("files01").PowerOffVM_Task())
    assert lab.control.calls()["PowerOffVM_Task"] == before + 1


def test_a_reset_brings_the_first_state_back_and_keeps_the_addresses(client: Client, lab: VsphereLab) -> None:
    endpoint, page = lab.endpoint, lab.pages.port("dc01")
    client.finish(client.vm("dc01").PowerOffVM_Task())
    client.finish(client.vm("dc01_replica").PowerOnVM_Task())
    lab.control.endpoint_down()
    lab.reset()
    again = Client(lab)
    assert (lab.endpoint, lab.pages.port("dc01")) == (endpoint, page)
    assert {n: str(again.vm(n).runtime.powerState) for n in ("dc01", "dc01_replica")} == {
        "dc01": "poweredOn",
        "dc01_replica": "poweredOff",
    }
    again.await_page("dc01", '"copy_name": "dc01"')
