# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written into a VM and read back: stamps as tags, a line in the description, NIC and disk lines, odd types."""

from __future__ import annotations

import re

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import points, tags, wire

RUN = "20260815T021400Z-1f3a9c"
TAG = r"[a-z0-9_][a-z0-9_\-+.]*"

# --- stamps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        RUN,
        "pvesr:100-0@1786759200",
        "backup:pbs:backup/vm/100/2026-08-15T02:00:00Z",
        "a+b",
        "+t",
        "è",
        "in_place",
        "A",
        "+0",
    ],
)
def test_a_value_comes_back_from_a_tag_to_the_letter(value):
    tag = tags.tag_of(stamps.RUN, value)
    assert re.fullmatch(TAG, tag)
    assert tags.stamps_of(f"x;{tag.upper()};y") == {stamps.RUN: value}


def test_a_persons_tags_stay_and_a_stamp_is_replaced_or_taken_off():
    marked = tags.with_stamps("contabilita; Prod,nas", {stamps.RUN: RUN, stamps.PHASE: "promoting"})
    assert tags.foreign_tags(marked) == ("contabilita", "Prod", "nas")
    again = tags.with_stamps(marked, {stamps.PHASE: "failover"})
    assert tags.stamps_of(again) == {stamps.RUN: RUN, stamps.PHASE: "failover"}
    assert tags.with_stamps(again, {stamps.RUN: "", stamps.PHASE: ""}) == "contabilita;Prod;nas"


@pytest.mark.parametrize("text", ["", None, "Server di Luca\n\nnon toccare", "x\nferragosto.dr: not json"])
def test_the_line_of_ours_stands_at_the_end_and_leaves_a_persons_words_alone(text):
    kept = {"nets": {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"}, "onboot": "1"}
    described = tags.with_keepsake(text, kept)
    assert tags.keepsake_of(described) == kept
    assert described.splitlines()[-1].startswith("ferragosto.dr: {")
    assert tags.keepsake_of(tags.with_keepsake(described, kept)) == kept
    assert len([line for line in described.splitlines() if line.startswith("ferragosto.dr: ")]) == 1
    assert tags.plain_description(described) == "\n".join(
        line for line in (text or "").splitlines() if not line.startswith("ferragosto.dr: ")
    )


# --- NICs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mac", "network", "is_down"),
    [
        ("virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1", "BC:24:11:00:00:01", "vmbr0", False),
        ("e1000=BC:24:11:00:00:01,bridge=vmbr0,link_down=1,tag=10", "BC:24:11:00:00:01", "vmbr0.10", True),
        ("model=virtio,macaddr=BC:24:11:00:00:01,bridge=vnet1,link_down=0", "BC:24:11:00:00:01", "vnet1", False),
        ("virtio=BC:24:11:00:00:01", "BC:24:11:00:00:01", "user-mode network", False),
    ],
)
def test_a_nic_line_is_read(text, mac, network, is_down):
    net = wire.Net("net0", wire.Options.parse(text))
    assert (net.mac, net.network, net.is_down, str(net)) == (mac, network, is_down, text)


def test_a_nic_line_keeps_what_is_unknown_and_its_order():
    text = "virtio=BC:24:11:00:00:01,queues=4,bridge=vmbr0,trunks=2;3,somethingnew=x,mtu=9000"
    net = wire.Net("net0", wire.Options.parse(text))
    down = net.plugged(is_connected=False)
    assert str(down) == f"{text},link_down=1"
    assert str(down.plugged(is_connected=True)) == text
    assert str(net.on("isolated.99")) == f"{text.replace('vmbr0', 'isolated')},tag=99"
    assert str(net.on("isolated.99").on("vmbr0")) == text


def test_nics_come_in_the_order_of_their_numbers():
    config = {"net10": "virtio=A,bridge=b", "net2": "virtio=A,bridge=b", "netmask": "x", "net0": "virtio=A,bridge=b"}
    assert [net.key for net in wire.nets_of(config)] == ["net0", "net2", "net10"]


# --- disks -----------------------------------------------------------------------------------------------------------


def test_disks_are_volumes_and_nothing_else():
    config = {
        "scsi0": "tank:vm-100-disk-0,discard=on,size=80G",
        "virtio1": "file=tank:vm-101-disk-3,replicate=0,size=512M",
        "efidisk0": "tank:vm-100-disk-1,efitype=4m,size=1M",
        "ide2": "local:iso/win.iso,media=cdrom,size=5G",
        "ide0": "none,media=cdrom",
        "unused0": "tank:vm-100-disk-9",
        "scsihw": "virtio-scsi-single",
        "sata5": "/dev/disk/by-id/x,size=1T",
    }
    disks = {disk.key: disk for disk in wire.disks_of(config)}
    assert set(disks) == {"scsi0", "virtio1", "efidisk0"}
    assert (disks["scsi0"].storage, disks["scsi0"].size_bytes, disks["scsi0"].owner) == ("tank", 80 * 2**30, 100)
    assert disks["scsi0"].is_replicated
    assert not disks["virtio1"].is_replicated  # as a volume of another VM is not
    assert (disks["virtio1"].volume, disks["virtio1"].owner) == ("tank:vm-101-disk-3", 101)


@pytest.mark.parametrize(
    ("text", "size"), [("32G", 32 * 2**30), ("528K", 528 * 1024), ("4194304", 4194304), ("1.5T", 3 * 2**39), ("", 0), (None, 0), ("x", 0)]
)  # fmt: skip
def test_sizes(text, size):
    assert wire.size_bytes(text) == size


# --- odd types -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "is_true"), [(1, True), ("1", True), (True, True), ("yes", True), (0, False), ("0", False),
                                                (None, False), ("", False), ("off", False)])  # fmt: skip
def test_truth_has_many_spellings(value, is_true):
    assert wire.truth(value) is is_true


@pytest.mark.parametrize(
    ("value", "whole"), [("150", 150), (150, 150), (150.0, 150), ("1.5", 1), (None, 0), ("x", 0), (True, 1)]
)
def test_numbers_have_many_types(value, whole):
    assert wire.whole(value) == whole


def test_rows_that_are_none_are_none():
    assert wire.rows_of(None) == wire.rows_of({"errors": b"x"}) == []
    assert wire.rows_of([{"a": 1}, None, "x"]) == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("no route to 10.99.0.2 port 22", "no route to <address> port 22"),
        ("connect to fe80::1ff:fe23:4567:890a failed", "connect to <address> failed"),
        ("two\nlines  here", "two lines here"),
        ("snapshot 12:34:56 of tank:vm-100-disk-0", "snapshot 12:34:56 of tank:vm-100-disk-0"),
        (None, ""),
    ],
)
def test_an_error_in_a_report_names_no_address(text, clean):
    assert wire.sanitised(text) == clean


@pytest.mark.parametrize(
    ("point", "vmid"),
    [
        ("pvesr:100-0@1786759200", 100),
        ("backup:pbs:backup/vm/101/2026-08-15T02:00:00Z", 101),
        ("backup:nas:backup/vzdump-qemu-102-2026_08_15-02_00_00.vma.zst", 102),
        ("something else", 0),
        ("", 0),
    ],
)
def test_a_point_tells_whose_it_is(point, vmid):
    assert points.vmid_of_point(point) == vmid


@pytest.mark.parametrize(
    ("stamp", "name", "at_s"),
    [
        ("pvesr:100-0@1786759200", "replication 100-0", 1786759200),
        ("backup:pbs:backup/vm/100/2026-08-15T02:00:00Z", "pbs:backup/vm/100/2026-08-15T02:00:00Z", 1786759200),
        ("backup:nas:backup/vzdump-qemu-7-2026_08_15-02_00_00.vma", "nas:backup/vzdump-qemu-7-2026_08_15-02_00_00.vma", 1786759200),
    ],
)  # fmt: skip
def test_the_point_of_a_promotion_is_known_by_its_stamp_alone(stamp, name, at_s):
    point = points.stamped_point(stamp)
    assert (point.id, point.name, point.created_at_s) == (stamp, name, at_s)


def test_a_stamp_that_tells_no_time_is_no_point():
    assert points.stamped_point("") is points.stamped_point("backup:x") is points.stamped_point("y") is None
