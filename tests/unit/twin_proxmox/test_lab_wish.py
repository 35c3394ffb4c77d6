# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client's words, shaped for Proxmox VE: what is kept, what is put in its place, what is refused and how."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.ferragosto.dr.extensions.twin.inventory import BadInventory, read_site
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schedule import Calendar
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wish import ProxmoxWish, proxmox_wish

ROOT = Path(__file__).resolve().parents[3]
LUCA, BIANCHI = ROOT / "clients" / "luca", ROOT / "clients" / "bianchi"


def shaped(
    folder: Path,
    lab: dict[str, t.Any] | None = None,
    hosts: str = "one: {dr_vm: one}",
    provider: str = "proxmox",
    **more: t.Any,
) -> ProxmoxWish:
    """One small client with a lab file of its own."""
    end = "{api_host: x, node: %s, datastore: tank, network: vmbr7}"
    inventory = folder / "site.yml"
    inventory.write_text(
        f"site:\n  vars:\n    dr_site:\n      name: small\n      provider: {provider}\n"
        f"      production: {end % 'a'}\n      replica: {end % 'b'}\n  hosts:\n    {hosts}\n",
        encoding="utf-8",
    )
    (folder / "site.lab.yml").write_text(yaml.safe_dump(lab or {}), encoding="utf-8")
    return proxmox_wish(read_site(inventory), **more)


def test_a_client_of_another_platform_gets_names_that_proxmox_takes() -> None:
    wish = proxmox_wish(read_site(LUCA))
    assert (wish.production.node, wish.replica.node) == ("esx1", "esx2")
    assert {(e.datastore, e.network) for e in (wish.production, wish.replica)} == {("local-zfs", "vmbr0")}
    assert list(wish.hosts) == ["esx1", "esx2"]
    assert wish.vmids == {"dc01": 100, "gestionale": 101, "files01": 102, "magazzino": 103}
    assert (wish.layout, wish.has_ssh, wish.has_qdevice, wish.backup_storage) == ("cluster", False, False, "pbs")


def test_a_client_of_proxmox_keeps_its_words(tmp_path: Path) -> None:
    wish = shaped(tmp_path)
    assert (wish.production.datastore, wish.replica.network) == ("tank", "vmbr7")
    bianchi = proxmox_wish(read_site(BIANCHI))
    assert bianchi.vmids == {"dominio": 101, "gestionale": 110, "archivio": 120}
    assert (bianchi.cluster_name, bianchi.has_qdevice) == ("bianchi", True)


def test_ids_that_are_given_are_kept_and_the_rest_takes_free_ones(tmp_path: Path) -> None:
    hosts = "one: {dr_vm: one}\n    two: {dr_vm: two}\n    three: {dr_vm: three}"
    assert shaped(tmp_path, {"proxmox": {"vmids": {"two": 100}}}, hosts).vmids == {"one": 101, "two": 100, "three": 102}


def test_arguments_go_before_the_lab_file(tmp_path: Path) -> None:
    lab = {"proxmox": {"layout": "cluster", "ssh": True, "qdevice": True}}
    wish = shaped(tmp_path, lab, layout="standalone", has_ssh=False)
    assert (wish.layout, wish.has_ssh, wish.has_qdevice) == ("standalone", False, True)


@pytest.mark.parametrize(
    ("lab", "why"),
    [
        ({"proxmox": {"layuot": "cluster"}}, r"proxmox: unknown layuot; the lab knows .*layout"),
        ({"proxmox": {"layout": "ring"}}, "layout is 'ring'; the lab knows cluster, standalone"),
        ({"proxmox": ["cluster"]}, "write a mapping with"),
        ({"proxmox": {"nodes": {"productoin": "a"}}}, "nodes: unknown productoin; the lab knows production, replica"),
        (
            {"proxmox": {"nodes": {"production": "pve.1"}}},
            "the production node is 'pve.1', which Proxmox VE does not take",
        ),
        ({"proxmox": {"nodes": {"production": "b"}}}, "both ends are the node 'b'"),
        ({"proxmox": {"vmids": {"noone": 100}}}, "vmids: unknown noone; the inventory knows one"),
        ({"proxmox": {"vmids": {"one": 7}}}, "one is 7; write a number from 100"),
        ({"proxmox": {"vmids": {"one": True}}}, "one is True; write a number from 100"),
        ({"proxmox": {"replicated_every": "5h"}}, "replicated_every is '5h'; write such as"),
        ({"proxmox": {"replicated_every": "7m"}}, "replicated_every is '7m'; write such as"),
        ({"proxmox": {"faults": [{"action": "explode"}]}}, "faults: unknown action 'explode'; there are latency"),
        ({"proxmox": {"faults": {"action": "latency"}}}, "faults is .*: write a list of mappings"),
        ({"proxmox": {"storage": "tank/a"}}, "the production storage is 'tank/a'"),
        ({"isolated_networks": ["a network far too long"]}, "isolated_networks is 'a network far too long'"),
        ({"story": {"vm": "noone", "rotten_since": "1h"}}, "story: no VM 'noone' in the inventory; there are one"),
        ({"story": {"vm": "one", "rotten": "1h"}}, "story: unknown rotten; the lab knows rotten_since, vm"),
        ({"hosts": {"a": {"memory": 4}}}, "hosts: a: unknown memory; the lab knows .*memory_gb"),
        ({"vms": {"noone": {}}}, "vms: unknown noone; the lab knows one"),
        ({"events": [{"vm": "one", "type": "x", "user": "y", "agee": "1h"}]}, "events: unknown agee"),
        ({"defaults": {"replica": "lost"}}, "replica is 'lost'; the lab knows ready, missing"),
        ({"sites": 1}, "unknown sites; the lab knows .*proxmox"),
    ],
)
def test_a_wrong_lab_file_names_the_place_and_the_fix(tmp_path: Path, lab: dict[str, t.Any], why: str) -> None:
    with pytest.raises(BadInventory, match=why):
        shaped(tmp_path, lab)


def test_a_name_of_another_platform_that_proxmox_does_not_take_becomes_one(tmp_path: Path) -> None:
    hosts = """a: {dr_vm: !unsafe "L'Über {{ 7 }} 倉"}\n    b: {dr_vm: L-Uber-7}\n    c: {dr_vm: 倉庫}"""
    wish = shaped(tmp_path, hosts=hosts, provider="vsphere")
    assert [vm.vm for vm in wish.vms] == ["L-Uber-7-0", "L-Uber-7", "vm"]
    assert wish.vm_names == {"a": "L-Uber-7-0", "c": "vm"}
    assert set(wish.vmids) == {"L-Uber-7-0", "L-Uber-7", "vm"}


def test_a_vm_whose_name_proxmox_does_not_take_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInventory, match=r"dr_vm of one is 'my server', which Proxmox VE does not take"):
        shaped(tmp_path, hosts="one: {dr_vm: my server}")


@pytest.mark.parametrize(
    ("every", "point_ages_s", "age_s"),
    [
        (None, (25200.0, 111600.0), 25200.0),
        (None, (176400.0,), 176400.0),
        ("24h", (176400.0,), 28800.0),
        ("15m", (25200.0,), 300.0),
        ("15m", (60.0,), 60.0),
        (None, (), 43200.0),
    ],
)
def test_a_replica_is_as_old_as_the_client_says_or_as_fresh_as_the_schedule_makes_it(
    tmp_path: Path, every: str | None, point_ages_s: tuple[float, ...], age_s: float
) -> None:
    assert shaped(tmp_path, {"proxmox": {"replicated_every": every}}).last_sync_age_s(point_ages_s) == age_s


@pytest.mark.parametrize(("every", "seconds"), [("1m", 60), ("15m", 900), ("1h", 3600), ("6h", 21600), ("24h", 86400)])
def test_a_schedule_comes_due_as_often_as_wished(tmp_path: Path, every: str, seconds: float) -> None:
    ran_s = 1_786_780_800.0 - 7 * 60  # some minutes before a full hour
    calendar = Calendar.parse(shaped(tmp_path, {"proxmox": {"replicated_every": every}}).schedule(ran_s))
    first_s = calendar.next_after_s(ran_s)
    assert calendar.next_after_s(first_s) - first_s == seconds
    assert first_s - ran_s <= seconds


@pytest.mark.parametrize("age_s", [25200.0, 86400.0, 90000.0, 176400.0, 500_000.0])
def test_a_replica_stays_as_old_as_the_client_says(tmp_path: Path, age_s: float) -> None:
    """Its schedule must not come due while the lab begins."""
    now_s = 1_786_780_800.0
    calendar = Calendar.parse(shaped(tmp_path).schedule(now_s - age_s, age_s))
    assert calendar.next_after_s(now_s - age_s) >= now_s
