# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vSphere's words become the model's, one claim per word."""

from __future__ import annotations

import datetime

import pytest
from pyVmomi import vim

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    Heartbeat,
    PointKind,
    Power,
    ReplicaKind,
    Tools,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import wire

AT = datetime.datetime(2026, 8, 15, 3, 0, tzinfo=datetime.UTC)
HOUR_S = 3600.0
HOST = vim.HostSystem("host-1")
KNOWN = {
    "host-1": {"name": "esx1", "runtime.connectionState": "connected"},
    "network-1": {"name": "VM Network"},
    "dvportgroup-2": {"name": "Production"},
    "datastore-1": {"name": "local1"},
}


def vm(known=None, **shown):
    """Map a VM; property paths are written with __ for the dots."""
    known = KNOWN if known is None else known
    given = {
        "name": "gestionale",
        "config.instanceUuid": "50-1",
        "runtime.host": HOST,
        "runtime.powerState": "poweredOn",
    }
    given.update({path.replace("__", "."): value for path, value in shown.items()})
    return wire.to_vm("vm-1", {path: value for path, value in given.items() if value is not None}, known)


def tree(name, number, hours_ago, *children):
    return vim.vm.SnapshotTree(
        name=name,
        snapshot=vim.vm.Snapshot(f"snapshot-{number}"),
        createTime=AT - datetime.timedelta(hours=hours_ago),
        childSnapshotList=list(children),
    )


@pytest.mark.parametrize(
    ("shown", "power"),
    [("poweredOn", Power.ON), ("poweredOff", Power.OFF), ("suspended", Power.SUSPENDED), (None, Power.UNKNOWN)],
)
def test_power(shown, power):
    assert vm(runtime__powerState=shown).power is power


@pytest.mark.parametrize(
    ("shown", "connection"),
    [
        ("connected", Connection.CONNECTED),
        (None, Connection.CONNECTED),
        ("disconnected", Connection.DISCONNECTED),
        ("inaccessible", Connection.INACCESSIBLE),
        ("orphaned", Connection.INACCESSIBLE),
        ("invalid", Connection.INACCESSIBLE),
    ],
)
def test_connection(shown, connection):
    assert vm(runtime__connectionState=shown).connection is connection


@pytest.mark.parametrize("state", ["notResponding", "disconnected"])
def test_a_vm_of_a_lost_host_is_never_shown_as_off(state):
    lost = {**KNOWN, "host-1": {"name": "esx1", "runtime.connectionState": state}}
    found = vm(lost, runtime__powerState="poweredOff", runtime__connectionState="connected")
    assert (found.power, found.connection) == (Power.UNKNOWN, Connection.DISCONNECTED)


@pytest.mark.parametrize(
    ("heartbeat", "running", "version", "expected"),
    [
        ("green", "guestToolsRunning", "guestToolsCurrent", (Heartbeat.GREEN, Tools.RUNNING)),
        ("yellow", "guestToolsRunning", None, (Heartbeat.YELLOW, Tools.RUNNING)),
        ("red", "guestToolsNotRunning", None, (Heartbeat.RED, Tools.NOT_RUNNING)),
        ("gray", "guestToolsNotRunning", "guestToolsNotInstalled", (Heartbeat.GREY, Tools.NOT_INSTALLED)),
        (None, "guestToolsExecutingScripts", None, (Heartbeat.GREY, Tools.RUNNING)),
        (None, None, None, (Heartbeat.GREY, Tools.UNKNOWN)),
    ],
)
def test_guest(heartbeat, running, version, expected):
    guest = vm(
        guestHeartbeatStatus=heartbeat, guest__toolsRunningStatus=running, guest__toolsVersionStatus2=version
    ).guest
    assert (guest.heartbeat, guest.tools) == expected


def test_the_later_of_two_boot_times_counts():
    earlier, later = AT, AT + datetime.timedelta(minutes=1)
    found = vm(runtime__bootTime=earlier, summary__runtime__bootTime=later)
    assert found.guest.boot_at_s == later.timestamp()
    assert vm().guest.boot_at_s is None


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({}, "50-1"),
        ({"config__instanceUuid": None, "summary__config__instanceUuid": "50-2"}, "50-2"),
        ({"config__instanceUuid": None, "config__uuid": "42-1"}, "42-1"),
        ({"config__instanceUuid": None}, "vm-1"),
    ],
)
def test_the_id_is_the_platforms_own(shown, expected):
    assert vm(**shown).id == expected


def test_points_are_the_whole_tree_oldest_first_and_ours_are_known():
    shown = vim.vm.SnapshotInfo(
        currentSnapshot=vim.vm.Snapshot("snapshot-3"),
        rootSnapshotList=[
            tree("night 1", 1, 30, tree("night 2", 2, 6, tree("dr-promote-r1", 3, 0)), tree("side", 4, 20))
        ],
    )
    found = vm(snapshot=shown)
    assert [(p.id, p.name) for p in found.points] == [
        ("snapshot-1", "night 1"),
        ("snapshot-4", "side"),
        ("snapshot-2", "night 2"),
        ("snapshot-3", "dr-promote-r1"),
    ]
    assert [p.kind for p in found.points] == [PointKind.VENDOR] * 3 + [PointKind.OURS]
    assert found.points[-1].created_at_s - found.points[0].created_at_s == 30 * HOUR_S
    assert found.current_point == "snapshot-3"


def disk(file_name):
    return vim.vm.device.VirtualDisk(
        key=2000, backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=file_name)
    )


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        ({}, None),
        ({"snapshot": vim.vm.SnapshotInfo(rootSnapshotList=[tree("night", 1, 6)])}, None),
        (
            {
                "runtime__powerState": "poweredOff",
                "snapshot": vim.vm.SnapshotInfo(rootSnapshotList=[tree("night", 1, 6)]),
            },
            ReplicaKind.SNAPSHOT,
        ),
        ({"config__repConfig": vim.vm.ReplicationConfigSpec()}, ReplicaKind.VSPHERE_REPLICATION),
        (
            {"config__extraConfig": [vim.option.OptionValue(key="hbr_filter.gid", value="GID-1")]},
            ReplicaKind.VSPHERE_REPLICATION,
        ),
        ({"config__hardware__device": [disk("[local1] g/g-interim.vmdk")]}, ReplicaKind.CDP),
        ({"config__hardware__device": [disk("[local1] g/g.vmdk")]}, None),
    ],
)
def test_replica_kind(shown, kind):
    assert vm(**shown).replica_kind is kind


def test_stamps_are_only_ours_and_only_those_that_are_set():
    extra = [("ferragosto.dr.run", "r1"), ("ferragosto.dr.phase", ""), ("guestinfo.ferragosto.dr.x", "no"), ("n", "1")]
    found = vm(config__extraConfig=[vim.option.OptionValue(key=key, value=value) for key, value in extra])
    assert found.stamps == {"ferragosto.dr.run": "r1"}


def nic(backing, connectable=None):
    return vim.vm.device.VirtualVmxnet3(
        key=4000,
        deviceInfo=vim.Description(label="Network adapter 1", summary=""),
        macAddress="00:50:56:00:00:01",
        backing=backing,
        connectable=connectable,
    )


def plug(connected, starts):
    return vim.vm.device.VirtualDevice.ConnectInfo(
        connected=connected, startConnected=starts, allowGuestControl=True, status="ok"
    )


CARD = vim.vm.device.VirtualEthernetCard
SWITCH_PORT = vim.dvs.PortConnection(switchUuid="x", portgroupKey="dvportgroup-2")


@pytest.mark.parametrize(
    ("backing", "network"),
    [
        (CARD.NetworkBackingInfo(deviceName="old name", network=vim.Network("network-1")), "VM Network"),
        (CARD.NetworkBackingInfo(deviceName="VM Network"), "VM Network"),
        (CARD.DistributedVirtualPortBackingInfo(port=SWITCH_PORT), "Production"),
        (
            CARD.OpaqueNetworkBackingInfo(opaqueNetworkId="segment-7", opaqueNetworkType="nsx.LogicalSwitch"),
            "segment-7",
        ),
    ],
)
def test_the_network_of_a_nic(backing, network):
    (found,) = vm(config__hardware__device=[disk("x.vmdk"), nic(backing, plug(True, True))]).nics
    assert (found.network, found.key, found.mac) == (network, "4000", "00:50:56:00:00:01")


@pytest.mark.parametrize(
    ("connectable", "expected"),
    [(plug(True, False), (True, False)), (plug(False, True), (False, True)), (None, (True, True))],
)
def test_a_nic_that_cannot_be_disconnected_counts_as_connected(connectable, expected):
    backing = CARD.NetworkBackingInfo(deviceName="VM Network")
    (found,) = vm(config__hardware__device=[nic(backing, connectable)]).nics
    assert (found.is_connected, found.starts_connected) == expected


def test_a_pending_question_is_kept_in_its_words():
    question = vim.vm.QuestionInfo(id="1", text="msg.uuid.altered: moved or copied?", choice=vim.option.ChoiceOption())
    assert vm(runtime__question=question).question == "msg.uuid.altered: moved or copied?"
    assert vm().question is None
