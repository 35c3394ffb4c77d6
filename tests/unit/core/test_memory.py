# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a dead host takes along is known from the journal, with its age."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ansible_collections.ferragosto.dr.plugins.module_utils.core import memory
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    EndpointReading,
    Pair,
    Power,
    RecoveryPoint,
    ReplicaKind,
    SiteReading,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.opening import open_journal
from ansible_collections.ferragosto.dr.plugins.module_utils.session import SystemClock

KEY = "luca/gestionale"
POINT = RecoveryPoint(id="pvesr:100-0@1000", name="replication 100-0", created_at_s=1000.0)
ALIVE = Vm(
    id="100", handle="100", name="gestionale", host="pve1", power=Power.ON, remembered={"config": '{"cores": "4"}'}
)
DISKS = Vm(
    id="replica:100",
    handle="",
    name="gestionale",
    host="pve2",
    power=Power.OFF,
    replica_kind=ReplicaKind.VOLUMES,
    points=(POINT,),
)
DEAD = replace(ALIVE, name="", power=Power.UNKNOWN, connection=Connection.DISCONNECTED, remembered={})
BLIND = replace(DISKS, name="", points=(), points_note="pve1 is offline, and only it knows")


def pair(production: Vm, replica: Vm) -> Pair:
    return Pair(name="gestionale", production=production, replica=replica, production_node="pve1", replica_node="pve2")


def reading(*vms: Vm) -> SiteReading:
    end = EndpointReading(address="pve", node="pve1", read_at_s=2000.0, vms=vms)
    return SiteReading(name="luca", provider="proxmox", production=end, replica=replace(end, node="pve2"))


def test_name_points_and_configuration_of_a_dead_host_come_from_the_journal(tmp_path: Path) -> None:
    journal = open_journal(f"sqlite:///{tmp_path / 'j.sqlite'}", clock=SystemClock())
    try:
        memory.remember(journal, KEY, pair(ALIVE, DISKS), at_s=1500.0)
        named = memory.name_unnamed(journal, KEY, reading(DEAD, BLIND))
        assert [vm.name for vm in named.production.vms] == ["gestionale", "gestionale"]
        assert [vm.name for vm in named.replica.vms] == ["gestionale", "gestionale"]
        found = memory.recall(journal, KEY, pair(DEAD, BLIND))
        assert found.production is not None
        assert found.production.remembered == ALIVE.remembered
        assert found.replica is not None
        assert found.replica.points == (POINT,)
        assert "known as of 1970-01-01T00:25:00" in found.replica.points_note
    finally:
        journal.close()


def test_a_dead_host_does_not_overwrite_what_was_known(tmp_path: Path) -> None:
    journal = open_journal(f"sqlite:///{tmp_path / 'j.sqlite'}", clock=SystemClock())
    try:
        memory.remember(journal, KEY, pair(ALIVE, DISKS), at_s=1500.0)
        memory.remember(journal, KEY, pair(DEAD, BLIND), at_s=1600.0)
        found = memory.recall(journal, KEY, pair(DEAD, BLIND))
        assert found.replica is not None
        assert found.replica.points == (POINT,)
    finally:
        journal.close()


def test_nothing_is_invented_where_nothing_was_noted(tmp_path: Path) -> None:
    journal = open_journal(f"sqlite:///{tmp_path / 'j.sqlite'}", clock=SystemClock())
    try:
        assert memory.recall(journal, KEY, pair(DEAD, BLIND)) == pair(DEAD, BLIND)
        assert memory.name_unnamed(journal, KEY, reading(DEAD)) == reading(DEAD)
    finally:
        journal.close()
