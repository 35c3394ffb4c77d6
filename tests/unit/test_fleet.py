# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet scan: what its rows say, and that no site waits for another."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    EndpointReading,
    Guest,
    Heartbeat,
    Power,
    RecoveryPoint,
    ReplicaKind,
    SiteReading,
    Tools,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.invocation import SystemClock
from ansible_collections.ferragosto.dr.plugins.module_utils.uses import fleet

NOW_S = 1_786_780_800.0
END = {"api_host": "pve.example", "timeout": 30.0}


def vm(vm_id, host="pve1", power=Power.ON, **more):
    return Vm(id=vm_id, handle=vm_id, name="gestionale", host=host, power=power, **more)


def disks(vm_id="replica:100", age_s=3600.0):
    point = RecoveryPoint(id="pvesr:100-0@1", name="replication 100-0", created_at_s=NOW_S - age_s)
    return vm(vm_id, "pve2", Power.OFF, replica_kind=ReplicaKind.VOLUMES, points=(point,))


class FakeClock(SystemClock):
    def now_s(self):
        return NOW_S


class FakeSite:
    provider = "fake"

    def __init__(self, spec, vms, wait_s):
        self.name, self._vms, self._wait_s = spec.name, vms, wait_s

    def read(self, deep=()):
        time.sleep(self._wait_s)
        end = EndpointReading(
            address="pve.example", node="pve1", read_at_s=NOW_S, took_s=0.0, calls=4, hosts=(), vms=tuple(self._vms)
        )
        return SiteReading(name=self.name, provider=self.provider, production=end, replica=end)

    def close(self):
        pass


@pytest.fixture
def scan(monkeypatch):
    def run(sites, *, deadline_s=30.0, workers=8):
        """``sites``: name -> (VMs, or the error of opening it; seconds that it takes)."""

        def open_reader(spec, *, clock, progress):
            vms, wait_s = sites[spec.name]
            if isinstance(vms, Exception):
                raise vms
            return FakeSite(spec, vms, wait_s)

        monkeypatch.setattr(fleet, "open_reader", open_reader)
        asked = [{"name": name, "provider": "fake", "production": END, "replica": END} for name in sites]
        return fleet.read_sites(asked, clock=FakeClock(), deadline_s=deadline_s, workers=workers)

    return run


def test_a_replica_of_disks_alone_is_told_in_the_row_of_its_vm(scan):
    (site,) = scan({"luca": ([vm("100"), disks()], 0)})
    (row,) = site["vms"]
    assert (row["id"], row["power"], row["host"]) == ("100", "on", "pve1")
    assert (row["replica_host"], row["recovery_points"], row["newest_point_age_s"]) == ("pve2", 1, 3600)


def test_a_replica_that_is_a_vm_has_a_row_of_its_own(scan):
    (site,) = scan({"luca": ([vm("100"), vm("9200", "pve2", Power.OFF)], 0)})
    assert [row["id"] for row in site["vms"]] == ["100", "9200"]
    assert all("replica_host" not in row for row in site["vms"])


def test_a_replica_whose_vm_is_not_shown_keeps_its_row(scan):
    (site,) = scan({"luca": ([disks()], 0)})
    assert [(row["id"], row["newest_point_age_s"]) for row in site["vms"]] == [("replica:100", 3600)]


def test_a_promoted_replica_and_the_disks_it_left_behind_are_two_rows(scan):
    marks = {"ferragosto.dr.fenced": "r1"}
    (site,) = scan({"luca": ([vm("replica:100", "pve2"), vm("100", power=Power.OFF, stamps=marks)], 0)})
    assert [(row["id"], row["power"]) for row in site["vms"]] == [("replica:100", "on"), ("100", "off")]
    assert [row.get("stamps") for row in site["vms"]] == [None, marks]


@pytest.mark.parametrize("change", [{"power": Power.ON}, {"stamps": {"ferragosto.dr.run": "r1"}}])
def test_a_paired_replica_has_a_row_of_its_own_once_it_does_more_than_wait(scan, change):
    paired = replace(disks(), handle="guid", replica_kind=ReplicaKind.PAIRED)
    (site,) = scan({"luca": ([vm("100"), paired], 0)})
    assert [row["id"] for row in site["vms"]] == ["100"]
    (site,) = scan({"luca": ([vm("100"), replace(paired, **change)], 0)})
    assert [row["id"] for row in site["vms"]] == ["100", "replica:100"]
    assert "replica_host" not in site["vms"][0]


def test_a_row_says_no_more_than_a_bulk_read_saw(scan):
    seen = Guest(heartbeat=Heartbeat.RED, tools=Tools.NOT_RUNNING)
    lost = vm("102", power=Power.UNKNOWN, connection=Connection.DISCONNECTED)
    (site,) = scan({"luca": ([vm("100"), vm("101", guest=seen), lost], 0)})
    plain, silent, gone = site["vms"]
    assert not {"heartbeat", "tools", "connection", "stamps"} & set(plain)
    assert (silent["heartbeat"], silent["tools"]) == ("red", "not_running")
    assert (gone["power"], gone["connection"]) == ("unknown", "disconnected")


def test_a_dead_and_a_late_site_neither_delay_nor_break_the_others(scan):
    dead = SiteUnreachable(what="read", why="no route to host", next="look at its line")
    began_s = time.monotonic()
    rows = scan({"dead": (dead, 0), "late": ([vm("100")], 3.0), "luca": ([vm("100")], 0)}, deadline_s=0.3)
    assert time.monotonic() - began_s < 2.0
    assert [row["name"] for row in rows] == ["dead", "late", "luca"]
    assert [row["is_reachable"] for row in rows] == [False, False, True]
    assert "no route to host" in rows[0]["errors"][0]
    assert rows[1]["errors"] == ["no answer within the deadline of the scan"]


def test_more_sites_than_workers_are_all_read(scan):
    rows = scan({f"client-{n}": ([vm("100")], 0.01) for n in range(40)}, workers=4)
    assert [row["name"] for row in rows] == [f"client-{n}" for n in range(40)]
    assert all(row["is_reachable"] for row in rows)
