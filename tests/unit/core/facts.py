# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Luca's site as values: gestionale on esx1, its replica on esx2, 15 August 2026, 04:00 UTC."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    Datastore,
    EndpointReading,
    Event,
    EventKind,
    Guest,
    Heartbeat,
    Host,
    Nic,
    Pair,
    PointKind,
    Power,
    RecoveryPoint,
    SiteReading,
    Tools,
    Vm,
)

NOW_S = 1_786_766_400.0
HOUR_S = 3600.0
GIB = 2**30
BUBBLE = frozenset({"bubble"})

GREEN = Guest(heartbeat=Heartbeat.GREEN, tools=Tools.RUNNING, boot_at_s=NOW_S - 30 * HOUR_S)


def nic(*, connected: bool = True, network: str = "VM Network") -> Nic:
    return Nic(
        key="4000",
        label="Network adapter 1",
        network=network,
        mac="00:50:56:00:00:01",
        is_connected=connected,
        starts_connected=connected,
    )


def point(age_s: float, *, name: str = "nightly", kind: PointKind = PointKind.VENDOR) -> RecoveryPoint:
    return RecoveryPoint(id=f"snapshot-{age_s:.0f}", name=name, created_at_s=NOW_S - age_s, kind=kind)


def production(**changes: t.Any) -> Vm:
    """Build gestionale on esx1: powered on, green, connected."""
    facts: dict[str, t.Any] = {
        "id": "p-1",
        "handle": "vm-11",
        "name": "gestionale",
        "host": "esx1",
        "power": Power.ON,
        "nics": (nic(),),
        "guest": GREEN,
        "memory_bytes": 8 * GIB,
        "cpu_count": 4,
        "disk_bytes": 100 * GIB,
        "datastores": ("ds1",),
    }
    return Vm(**{**facts, **changes})


def replica(**changes: t.Any) -> Vm:
    """Build its replica on esx2: powered off, newest recovery point five hours old."""
    facts: dict[str, t.Any] = {
        "id": "r-1",
        "handle": "vm-21",
        "name": "gestionale_replica",
        "host": "esx2",
        "power": Power.OFF,
        "nics": (nic(),),
        "memory_bytes": 8 * GIB,
        "cpu_count": 4,
        "disk_bytes": 100 * GIB,
        "datastores": ("ds2",),
        "points": (point(29 * HOUR_S), point(5 * HOUR_S)),
    }
    return Vm(**{**facts, **changes})


def neighbour(number: int, **changes: t.Any) -> Vm:
    return production(**{"id": f"n-{number}", "handle": f"vm-9{number}", "name": f"other{number}", **changes})


def host(name: str = "esx1", **changes: t.Any) -> Host:
    facts: dict[str, t.Any] = {
        "name": name,
        "connection": Connection.CONNECTED,
        "memory_bytes": 64 * GIB,
        "memory_used_bytes": 16 * GIB,
        "cpu_count": 16,
        "datastores": (Datastore(name=f"ds{name[-1]}", free_bytes=500 * GIB, capacity_bytes=1000 * GIB),),
    }
    return Host(**{**facts, **changes})


def endpoint(*vms: Vm, node: str = "esx1", **changes: t.Any) -> EndpointReading:
    """Build one reading of the vCenter that holds both hosts."""
    facts: dict[str, t.Any] = {
        "address": "vc.luca.example",
        "node": node,
        "read_at_s": NOW_S,
        "hosts": (host("esx1"), host("esx2")),
        "vms": vms,
    }
    return EndpointReading(**{**facts, **changes})


def dead(node: str = "esx1", *, address: str = "vc.luca.example") -> EndpointReading:
    return EndpointReading(address=address, node=node, read_at_s=NOW_S, error="no answer within 30 s")


def one_vcenter(*vms: Vm) -> SiteReading:
    return SiteReading(
        name="luca-sede", provider="vsphere", production=endpoint(*vms), replica=endpoint(*vms, node="esx2")
    )


def standalone(node: str, *vms: Vm) -> EndpointReading:
    return endpoint(*vms, node=node, address=f"{node}.luca.example", hosts=(host(node),))


def two_hosts(first: EndpointReading, second: EndpointReading) -> SiteReading:
    return SiteReading(name="luca-sede", provider="vsphere", production=first, replica=second)


def pair(production_vm: Vm | None = None, replica_vm: Vm | None = None, **changes: t.Any) -> Pair:
    """Build the pair exactly of the copies given; None is a copy that is not seen."""
    facts: dict[str, t.Any] = {
        "name": "gestionale",
        "production": production_vm,
        "replica": replica_vm,
        "production_node": "esx1",
        "replica_node": "esx2",
        "isolated": BUBBLE,
    }
    return Pair(**{**facts, **changes})


def event(kind: EventKind, ago_s: float, *, user: str = "", text: str = "") -> Event:
    return Event(at_s=NOW_S - ago_s, kind=kind, user=user, text=text)
