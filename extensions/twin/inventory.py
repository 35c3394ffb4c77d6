# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a client's inventory, with Ansible's own reader, and the lab file that stands beside it."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import yaml

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class BadInventory(ValueError):
    """The inventory or the lab file cannot become a lab; the message names the place and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a site: a node, its datastore and its network."""

    node: str
    datastore: str
    network: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VmWish:
    """One protected VM, as the inventory names it and as the lab file shapes it."""

    host: str  # inventory hostname
    vm: str
    replica_name: str
    memory_mb: int = 4096
    cpus: int = 2
    disk_gb: int = 80
    address: str = ""
    uptime_s: float = 41 * 86400.0
    point_ages_s: tuple[float, ...] = (7 * 3600.0,)
    replica: str = "ready"  # ready | missing | running | several
    has_autostart: bool = True
    has_tools: bool = True
    reboots_after_crash_s: float | None = None
    check_kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWish:
    memory_gb: float = 64.0
    cpus: int = 16
    disk_gb: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Namesake:
    """A VM that only bears the name of a protected one, in another folder."""

    name: str
    folder: str
    node: str
    power: str = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEvent:
    vm: str
    kind: str
    user: str
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    vm: str
    rotten_since_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteWish:
    """All that a front end needs to build one client's site."""

    name: str
    group: str
    provider: str
    production: End
    replica: End
    site_vars: dict[str, t.Any]  # dr_site as written, untemplated
    vms: tuple[VmWish, ...]
    hosts: dict[str, HostWish] = field(default_factory=dict)
    datacenter: str = "Sede"
    cluster: str | None = None
    has_ha: bool = False
    isolated_networks: tuple[str, ...] = ("dr-isolated",)
    namesakes: tuple[Namesake, ...] = ()
    events: tuple[PastEvent, ...] = ()
    story: Story | None = None


def seconds(value: object, where: str) -> float:
    """Read a duration: a number of seconds, or "90s", "30m", "7h", "41d"."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", str(value))
    if match is None:
        raise BadInventory(f"{where} is {value!r}: write a duration such as 90s, 30m, 7h or 41d")
    return float(match.group(1)) * _UNITS[match.group(2)]


def lab_file_of(inventory: Path) -> Path:
    """The lab file stands beside the inventory: clients/luca -> clients/luca.lab.yml."""
    return inventory.with_name(f"{inventory.stem if inventory.is_file() else inventory.name}.lab.yml")


def read_site(inventory: Path, lab_file: Path | None = None, *, limit: t.Container[str] | None = None) -> SiteWish:
    """Read one client. ``limit``: the inventory hostnames to build; None builds all."""
    if not inventory.exists():
        raise BadInventory(f"{inventory} does not exist: name the client's inventory file or folder")
    rows = _host_vars(inventory)
    if not rows:
        raise BadInventory(f"{inventory} holds no host with dr_vm and dr_site: see clients/luca/hosts.yml for the form")
    named = lab_file or lab_file_of(inventory)
    if lab_file is not None and not lab_file.exists():
        raise BadInventory(f"lab file {lab_file} does not exist")
    lab = yaml.safe_load(named.read_text(encoding="utf-8")) if named.exists() else {}
    return _site(rows, lab or {}, str(named), limit)


def _host_vars(inventory: Path) -> list[dict[str, t.Any]]:
    """The variables of every protected VM, with only the few that the lab needs templated.

    Secrets stay untouched: a lab must start without the client's vault.
    """
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar
    from ansible.vars.manager import VariableManager

    loader = DataLoader()
    manager = InventoryManager(loader=loader, sources=[str(inventory)])
    variables = VariableManager(loader=loader, inventory=manager)
    rows = []
    for host in manager.get_hosts():
        row = variables.get_vars(host=host, include_hostvars=False)
        if "dr_vm" not in row or "dr_site" not in row:
            continue
        templar = Templar(loader=loader, variables=row)
        ready = {key: templar.template(row[key]) for key in ("dr_vm", "dr_replica", "dr_checks") if key in row}
        ends = {
            end: {key: templar.template(row["dr_site"][end].get(key)) for key in ("node", "datastore", "network")}
            for end in ("production", "replica")
        }
        groups = [g.name for g in host.get_groups() if "dr_site" in g.get_vars()]
        rows.append(
            {**ready, "host": host.name, "group": groups[-1] if groups else "all", "site": row["dr_site"], "ends": ends}
        )
    return rows


def _site(rows: list[dict[str, t.Any]], lab: dict[str, t.Any], where: str, limit: t.Container[str] | None) -> SiteWish:
    names = {row["site"].get("name") for row in rows}
    if len(names) > 1:
        raise BadInventory(
            f"a lab plays one site, this inventory has {len(names)}: {', '.join(map(str, sorted(names)))}"
        )
    first = rows[0]
    ends = {
        end: End(
            node=str(row["node"] or f"{end}-host"),
            datastore=str(row["datastore"] or f"{row['node']}-local"),
            network=str(row["network"] or "VM Network"),
        )
        for end, row in first["ends"].items()
    }
    cluster = lab.get("cluster") or {}
    wishes = tuple(_vm(row, lab, where) for row in rows if limit is None or row["host"] in limit)
    by_host = {row["host"]: str(row["dr_vm"]) for row in rows}
    story = lab.get("story")
    return SiteWish(
        name=str(first["site"].get("name", "site")),
        group=first["group"],
        provider=str(first["site"].get("provider", "vsphere")),
        production=ends["production"],
        replica=ends["replica"],
        site_vars=first["site"],
        vms=wishes,
        hosts={name: HostWish(**shape) for name, shape in (lab.get("hosts") or {}).items()},
        datacenter=lab.get("datacenter", "Sede"),
        cluster=cluster.get("name"),
        has_ha=bool(cluster.get("ha", False)),
        isolated_networks=tuple(lab.get("isolated_networks", ("dr-isolated",))),
        namesakes=tuple(Namesake(**row) for row in lab.get("namesakes", ())),
        events=tuple(
            PastEvent(
                vm=by_host.get(e["vm"], e["vm"]),
                kind=e["type"],
                user=e["user"],
                age_s=seconds(e["age"], f"{where}: events: age"),
            )
            for e in lab.get("events", ())
        ),
        story=Story(
            vm=by_host.get(story["vm"], story["vm"]),
            rotten_since_s=seconds(story["rotten_since"], f"{where}: story: rotten_since"),
        )
        if story
        else None,
    )


def _vm(row: dict[str, t.Any], lab: dict[str, t.Any], where: str) -> VmWish:
    shape = {**(lab.get("defaults") or {}), **((lab.get("vms") or {}).get(row["host"]) or {})}
    place = f"{where}: {row['host']}"
    known = {
        "memory_mb",
        "cpus",
        "disk_gb",
        "address",
        "uptime",
        "points",
        "replica",
        "autostart",
        "tools",
        "reboots_after_crash",
    }
    unknown = set(shape) - known
    if unknown:
        raise BadInventory(f"{place}: unknown {', '.join(sorted(unknown))}; the lab knows {', '.join(sorted(known))}")
    vm = str(row["dr_vm"])
    reboots = shape.get("reboots_after_crash")
    return VmWish(
        host=row["host"],
        vm=vm,
        replica_name=str((row.get("dr_replica") or {}).get("name") or f"{vm}_replica"),
        memory_mb=int(shape.get("memory_mb", 4096)),
        cpus=int(shape.get("cpus", 2)),
        disk_gb=int(shape.get("disk_gb", 80)),
        address=str(shape.get("address", "")),
        uptime_s=seconds(shape.get("uptime", "41d"), f"{place}: uptime"),
        point_ages_s=tuple(sorted((seconds(p, f"{place}: points") for p in shape.get("points", ["7h"])), reverse=True)),
        replica=str(shape.get("replica", "ready")),
        has_autostart=bool(shape.get("autostart", True)),
        has_tools=bool(shape.get("tools", True)),
        reboots_after_crash_s=None if reboots is None else seconds(reboots, f"{place}: reboots_after_crash"),
        check_kinds=tuple("http" if "http" in c else "tcp" for c in row.get("dr_checks") or ()),
    )
