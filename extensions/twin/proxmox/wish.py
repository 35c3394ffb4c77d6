# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client's words as a Proxmox VE site can take them: names, ids, schedules, and what the lab file says under ``proxmox``."""

from __future__ import annotations

import datetime as dt
import re
import typing as t
import unicodedata
from dataclasses import dataclass, field, replace

from ansible_collections.ferragosto.dr.extensions.twin.inventory import (
    BadInventory,
    End,
    SiteWish,
    refuse_unknown,
    seconds,
)
from ansible_collections.ferragosto.dr.extensions.twin.plan import rows_of
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.faults import read_fault
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.timing import PveTiming

LAYOUTS = ("cluster", "standalone")
STORAGE, BRIDGE, BACKUPS = "local-zfs", "vmbr0", "pbs"
NIGHTLY_S = 86400.0
_WORDS = "backups bridge cluster faults layout nodes qdevice replicated_every ssh storage vmids".split()
_NODE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
_VM_NAME = re.compile(rf"{_NODE.pattern}(\.{_NODE.pattern})*")
_STORAGE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]")
_BRIDGE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
_BRIDGE_FORM = "at most 15 letters, digits, hyphens and dots"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxmoxWish(SiteWish):
    """A site whose nodes, storages and bridges bear names that Proxmox VE takes."""

    layout: str = "cluster"  # one of LAYOUTS
    cluster_name: str = "cluster"
    has_qdevice: bool = False
    has_ssh: bool = False
    backup_storage: str | None = BACKUPS  # None: no backups
    vmids: dict[str, int] = field(default_factory=dict)  # by VM name
    node_names: dict[str, str] = field(default_factory=dict)  # the client's word -> the node's name
    vm_names: dict[str, str] = field(default_factory=dict)  # inventory hostname -> name, of those that were renamed
    replicated_every_s: float | None = None  # None: nightly, and as late as the points say
    faults: tuple[dict[str, t.Any], ...] = ()  # the plan that the lab begins with, see faults.py
    pve_timing: PveTiming | None = None  # None: as the guests' timing suggests

    def last_sync_age_s(self, point_ages_s: tuple[float, ...]) -> float:
        """How old a replica is: as the newest of the client's points, unless the schedule made a fresher one."""
        newest_s = min(point_ages_s, default=NIGHTLY_S / 2)
        every_s = self.replicated_every_s
        return newest_s if every_s is None or newest_s <= every_s else every_s / 3

    def schedule(self, last_run_s: float, age_s: float = 0.0) -> str:
        """A calendar event of systemd, in UTC, that came due at ``last_run_s``, and not again in ``age_s`` since then."""
        minutes = round((self.replicated_every_s or NIGHTLY_S) / 60)
        if minutes < 60:
            return f"*/{minutes}"
        if minutes < 1440:
            return f"*/{minutes // 60}:00"
        moment = dt.datetime.fromtimestamp(last_run_s, dt.UTC)
        # a replica that is older than a night was forgotten in a weekly schedule
        day = f"{moment:%a} ".lower() if age_s > NIGHTLY_S else ""
        return f"{day}{moment:%H:%M}"


def proxmox_wish(
    wish: SiteWish,
    *,
    layout: str | None = None,
    has_ssh: bool | None = None,
    has_qdevice: bool | None = None,
    pve_timing: PveTiming | None = None,
) -> ProxmoxWish:
    """Shape a site for Proxmox VE; arguments go before the lab file's words. Refuses with BadInventory."""
    place = f"{wish.where}: proxmox"
    words = refuse_unknown(wish.platform_words.get("proxmox"), _WORDS, place)
    names_of_vms = _vm_names(wish)
    for name in wish.isolated_networks:
        _fit(_BRIDGE, name, f"{wish.where}: isolated_networks", _BRIDGE_FORM)
    wanted = str(layout or words.get("layout", "cluster"))
    if wanted not in LAYOUTS:
        raise BadInventory(f"{place}: layout is {wanted!r}; the lab knows {', '.join(LAYOUTS)}")
    names = refuse_unknown(words.get("nodes"), ("production", "replica"), f"{place}: nodes")
    ends = {
        end: _end(wish, end, names.get(end), words, place)
        for end in t.cast("tuple[t.Any, ...]", ("production", "replica"))
    }
    if ends["production"].node == ends["replica"].node:
        raise BadInventory(
            f"{place}: both ends are the node {ends['production'].node!r}; name two nodes in dr_site or under nodes"
        )
    renamed = {wish.production.node: ends["production"].node, wish.replica.node: ends["replica"].node}
    said_every = words.get("replicated_every")
    every_s = None if said_every is None else seconds(said_every, f"{place}: replicated_every")
    if every_s is not None and not _is_schedulable(every_s):
        raise BadInventory(f"{place}: replicated_every is {said_every!r}; write such as 1m, 15m, 1h or 24h")
    new_names = {vm.vm: names_of_vms[vm.host] for vm in wish.vms}

    def vm_name(said: str) -> str:
        return new_names.get(said, said)

    given = {name: getattr(wish, name) for name in SiteWish.__slots__}
    return ProxmoxWish(
        **{
            **given,
            **ends,
            "vms": tuple(replace(vm, vm=names_of_vms[vm.host]) for vm in wish.vms),
            "events": tuple(replace(e, vm=vm_name(e.vm)) for e in wish.events),
            "story": replace(wish.story, vm=vm_name(wish.story.vm)) if wish.story else None,
            "hosts": {renamed.get(name, name): shape for name, shape in wish.hosts.items()},
            "namesakes": tuple(replace(n, node=renamed.get(n.node, n.node)) for n in wish.namesakes),
        },
        layout=wanted,
        cluster_name=_fit(_NODE, str(words.get("cluster", "cluster")), f"{place}: cluster", "letters, digits, hyphens"),
        has_qdevice=bool(words.get("qdevice", False) if has_qdevice is None else has_qdevice),
        has_ssh=bool(words.get("ssh", False) if has_ssh is None else has_ssh),
        backup_storage=BACKUPS if words.get("backups", True) else None,
        vmids=_vmids(names_of_vms, wish.known_hosts, words.get("vmids"), f"{place}: vmids"),
        node_names=renamed,
        vm_names={vm.host: names_of_vms[vm.host] for vm in wish.vms if names_of_vms[vm.host] != vm.vm},
        replicated_every_s=every_s,
        faults=rows_of(words.get("faults"), f"{place}: faults", read_fault, "{action: full_storage, target: pbs}"),
        pve_timing=pve_timing,
    )


def _is_schedulable(every_s: float) -> bool:
    """A part of an hour in whole minutes, a part of a day in whole hours, or a day."""
    whole = (60.0, 3600.0) if every_s < 3600 else (3600.0, NIGHTLY_S)
    return every_s >= 60 and every_s % whole[0] == 0 and whole[1] % every_s == 0


def _end(wish: SiteWish, end: str, node: str | None, words: dict[str, t.Any], place: str) -> End:
    """An end's names: the client's own where the client's site is of Proxmox VE already."""
    said: End = getattr(wish, end)
    own = wish.site_vars[end] if wish.provider == "proxmox" else {}
    # A node's name is one label: of esx1.luca.example the first.
    named = str(node or said.node.partition(".")[0])
    storage = words.get("storage") or (said.datastore if own.get("datastore") else STORAGE)
    bridge = words.get("bridge") or (said.network if own.get("network") else BRIDGE)
    return End(
        node=_fit(_NODE, named, f"{place}: the {end} node", "letters, digits and hyphens"),
        datastore=_fit(_STORAGE, str(storage), f"{place}: the {end} storage", "letters, digits, hyphens, dots"),
        network=_fit(_BRIDGE, str(bridge), f"{place}: the {end} bridge", _BRIDGE_FORM),
    )


def _vm_names(wish: SiteWish) -> dict[str, str]:
    """The VMs' names by inventory hostname; a name of another platform that Proxmox VE does not take becomes one."""
    found: dict[str, str] = {}
    for vm in wish.vms:
        name = vm.vm
        if wish.provider == "proxmox":
            _fit(_VM_NAME, name, f"dr_vm of {vm.host}", "letters, digits and hyphens, with dots between")
        elif _VM_NAME.fullmatch(name) is None:
            plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
            name = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-") or "vm"
        taken = {v.vm for v in wish.vms if v is not vm} | set(found.values())
        found[vm.host] = name if name not in taken else f"{name}-{len(found)}"
    return found


def _vmids(vm_names: dict[str, str], known_hosts: tuple[str, ...], given: t.Any, place: str) -> dict[str, int]:
    """Give every VM its id: the lab file's, by inventory hostname, else the next free from 100 on."""
    said = given or {}
    if not isinstance(said, dict):
        raise BadInventory(f"{place} is {said!r}: write a mapping such as {{{next(iter(vm_names), 'vm')}: 100}}")
    for host, vmid in said.items():
        if host not in known_hosts:
            raise BadInventory(f"{place}: unknown {host}; the inventory knows {', '.join(known_hosts)}")
        if not isinstance(vmid, int) or not 100 <= vmid <= 999_999_999:
            raise BadInventory(f"{place}: {host} is {vmid!r}; write a number from 100 to 999999999")
        if list(said.values()).count(vmid) > 1:
            raise BadInventory(f"{place}: {vmid} is given twice")
    free = (number for number in range(100, 10**6) if number not in said.values())
    return {name: said.get(host) or next(free) for host, name in vm_names.items()}


def _fit(pattern: re.Pattern[str], word: str, what: str, form: str) -> str:
    if pattern.fullmatch(word) is None:
        raise BadInventory(f"{what} is {word!r}, which Proxmox VE does not take as a name: {form}")
    return word
