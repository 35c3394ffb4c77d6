# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a client's inventory, with Ansible's own reader, and the lab file that stands beside it."""

from __future__ import annotations

import re
import typing as t
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

import yaml

_LAB = frozenset(
    "cluster datacenter defaults events hosts hyperv isolated_networks namesakes proxmox story vms".split()
)  # of the lab file
_SHAPE = frozenset(
    "address autostart cpus disk_gb memory_mb points reboots_after_crash replica tools uptime".split()
)  # of a VM in it
_REPLICAS = ("ready", "missing", "running", "several")
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
    replica: str = "ready"  # one of _REPLICAS
    has_autostart: bool = True
    has_tools: bool = True
    reboots_after_crash_s: float | None = None
    check_kinds: tuple[str, ...] = ()
    replica_words: t.Any = None  # dr_replica and dr_policy, as the inventory says them
    policy_words: t.Any = None


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
    platform_words: dict[str, t.Any] = field(default_factory=dict)  # sections of the lab file, by platform
    known_hosts: tuple[str, ...] = ()  # every protected VM of the inventory, built or not
    where: str = "the lab file"


def refuse_unknown(given: t.Any, known: t.Iterable[str], place: str) -> dict[str, t.Any]:
    """Hand back a mapping of known keys; what is no mapping, or holds another key, is refused."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadInventory(f"{place} is {given!r}: write a mapping with {', '.join(sorted(known))}")
    unknown = sorted(str(key) for key in given if key not in set(known))
    if unknown:
        raise BadInventory(f"{place}: unknown {', '.join(unknown)}; the lab knows {', '.join(sorted(known))}")
    return given


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
    try:
        lab = yaml.safe_load(named.read_text(encoding="utf-8")) if named.exists() else {}
    except yaml.YAMLError as broken:
        raise BadInventory(f"lab file {named} is not YAML: {broken}") from None
    return _site(rows, refuse_unknown(lab, _LAB, str(named)), str(named), limit)


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
        if isinstance(row.get("dr_policy"), dict):
            # the hook's path may need what a lab has not
            ready["dr_policy"] = {k: v if k == "job_hook" else templar.template(v) for k, v in row["dr_policy"].items()}
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
    by_host = {row["host"]: str(row["dr_vm"]) for row in rows}
    refuse_unknown(lab.get("vms"), by_host, f"{where}: vms")
    cluster = refuse_unknown(lab.get("cluster"), ("name", "ha"), f"{where}: cluster")
    wishes = tuple(_vm(row, lab, where) for row in rows if limit is None or row["host"] in limit)
    return SiteWish(
        name=str(first["site"].get("name", "site")),
        group=first["group"],
        provider=str(first["site"].get("provider", "vsphere")),
        production=ends["production"],
        replica=ends["replica"],
        site_vars=first["site"],
        vms=wishes,
        hosts={
            str(name): HostWish(**_fields(HostWish, shape, f"{where}: hosts: {name}"))
            for name, shape in (lab.get("hosts") or {}).items()
        },
        datacenter=lab.get("datacenter", "Sede"),
        cluster=cluster.get("name"),
        has_ha=bool(cluster.get("ha", False)),
        isolated_networks=tuple(lab.get("isolated_networks", ("dr-isolated",))),
        namesakes=tuple(
            Namesake(**_fields(Namesake, row, f"{where}: namesakes")) for row in lab.get("namesakes") or ()
        ),
        events=tuple(_event(row, by_host, f"{where}: events") for row in lab.get("events") or ()),
        story=_story(lab.get("story"), by_host, f"{where}: story"),
        platform_words={platform: lab.get(platform) for platform in ("hyperv", "proxmox")},
        known_hosts=tuple(by_host),
        where=where,
    )


def _fields(kind: type, given: t.Any, place: str) -> dict[str, t.Any]:
    """Read a mapping that must hold the fields of a dataclass."""
    found = refuse_unknown(given, [f.name for f in fields(kind)], place)
    missing = [f.name for f in fields(kind) if f.default is MISSING and f.name not in found]
    if missing:
        raise BadInventory(f"{place}: {', '.join(missing)} is missing")
    return found


def _event(given: t.Any, by_host: dict[str, str], place: str) -> PastEvent:
    row = refuse_unknown(given, ("vm", "type", "user", "age"), place)
    return PastEvent(
        vm=_named(row, by_host, place),
        kind=str(row.get("type", "")),
        user=str(row.get("user", "")),
        age_s=seconds(row.get("age"), f"{place}: age"),
    )


def _story(given: t.Any, by_host: dict[str, str], place: str) -> Story | None:
    row = refuse_unknown(given, ("vm", "rotten_since"), place)
    if not row:
        return None
    return Story(
        vm=_named(row, by_host, place), rotten_since_s=seconds(row.get("rotten_since"), f"{place}: rotten_since")
    )


def _named(row: dict[str, t.Any], by_host: dict[str, str], place: str) -> str:
    """The VM that a row of the lab file is about, by its inventory hostname or by its own name."""
    vm = str(row.get("vm"))
    if vm not in by_host and vm not in by_host.values():
        raise BadInventory(f"{place}: no VM {vm!r} in the inventory; there are {', '.join(by_host)}")
    return by_host.get(vm, vm)


def _vm(row: dict[str, t.Any], lab: dict[str, t.Any], where: str) -> VmWish:
    place = f"{where}: {row['host']}"
    shape = {
        **refuse_unknown(lab.get("defaults"), _SHAPE, f"{where}: defaults"),
        **refuse_unknown((lab.get("vms") or {}).get(row["host"]), _SHAPE, place),
    }
    vm = str(row["dr_vm"])
    reboots = shape.get("reboots_after_crash")
    replica = str(shape.get("replica", "ready"))
    if replica not in _REPLICAS:
        raise BadInventory(f"{place}: replica is {replica!r}; the lab knows {', '.join(_REPLICAS)}")
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
        replica=replica,
        has_autostart=bool(shape.get("autostart", True)),
        has_tools=bool(shape.get("tools", True)),
        reboots_after_crash_s=None if reboots is None else seconds(reboots, f"{place}: reboots_after_crash"),
        check_kinds=tuple("http" if "http" in c else "tcp" for c in row.get("dr_checks") or ()),
        replica_words=row.get("dr_replica"),
        policy_words=row.get("dr_policy"),
    )
