# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client's words as a Proxmox VE site can take them: names, ids, schedules, and what the lab file says under ``proxmox``."""

from __future__ import annotations

import datetime as dt
import re
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.ferragosto.dr.extensions.twin.inventory import (
    BadInventory,
    End,
    SiteWish,
    refuse_unknown,
    seconds,
)
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.timing import PveTiming

LAYOUTS = ("cluster", "standalone")
STORAGE, BRIDGE, BACKUPS = "local-zfs", "vmbr0", "pbs"
NIGHTLY_S = 86400.0
_WORDS = "backups bridge cluster layout nodes qdevice replicated_every ssh storage vmids".split()
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
    vmids: dict[str, int] = field(default_factory=dict)  # by dr_vm
    replicated_every_s: float = NIGHTLY_S
    pve_timing: PveTiming | None = None  # None: as the guests' timing suggests

    def last_sync_age_s(self, point_ages_s: tuple[float, ...]) -> float:
        """How old a replica is: as the newest of the client's points, or as fresh as the schedule would have made it."""
        newest_s = min(point_ages_s, default=NIGHTLY_S)
        return newest_s if newest_s <= self.replicated_every_s else self.replicated_every_s / 3

    def schedule(self, last_run_s: float) -> str:
        """A calendar event of systemd, in UTC, that last came due at ``last_run_s``."""
        minutes = round(self.replicated_every_s / 60)
        if minutes < 60:
            return f"*/{minutes}"
        if minutes < 1440:
            return f"*/{minutes // 60}:00"
        return f"{dt.datetime.fromtimestamp(last_run_s, dt.UTC):%H:%M}"


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
    for vm in wish.vms:
        _fit(_VM_NAME, vm.vm, f"dr_vm of {vm.host}", "letters, digits and hyphens, with dots between")
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
    every_s = seconds(words.get("replicated_every", NIGHTLY_S), f"{place}: replicated_every")
    if every_s < 60 or (every_s < 3600 and 3600 % every_s) or (every_s >= 3600 and NIGHTLY_S % every_s):
        raise BadInventory(
            f"{place}: replicated_every is {words['replicated_every']!r}; write such as 1m, 15m, 1h or 24h"
        )
    given = {name: getattr(wish, name) for name in SiteWish.__slots__}
    return ProxmoxWish(
        **{
            **given,
            **ends,
            "hosts": {renamed.get(name, name): shape for name, shape in wish.hosts.items()},
            "namesakes": tuple(replace(n, node=renamed.get(n.node, n.node)) for n in wish.namesakes),
        },
        layout=wanted,
        cluster_name=_fit(_NODE, str(words.get("cluster", "cluster")), f"{place}: cluster", "letters, digits, hyphens"),
        has_qdevice=bool(words.get("qdevice", False) if has_qdevice is None else has_qdevice),
        has_ssh=bool(words.get("ssh", False) if has_ssh is None else has_ssh),
        backup_storage=BACKUPS if words.get("backups", True) else None,
        vmids=_vmids(wish, words.get("vmids"), f"{place}: vmids"),
        replicated_every_s=every_s,
        pve_timing=pve_timing,
    )


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


def _vmids(wish: SiteWish, given: t.Any, place: str) -> dict[str, int]:
    """Give every VM its id: the lab file's, by inventory hostname, else the next free from 100 on."""
    by_host = {vm.host: vm.vm for vm in wish.vms}
    said = given or {}
    if not isinstance(said, dict):
        raise BadInventory(f"{place} is {said!r}: write a mapping such as {{{next(iter(by_host), 'vm')}: 100}}")
    found: dict[str, int] = {}
    for host, vmid in said.items():
        if host not in by_host and host not in wish.known_hosts:
            raise BadInventory(f"{place}: unknown {host}; the inventory knows {', '.join(wish.known_hosts)}")
        if not isinstance(vmid, int) or not 100 <= vmid <= 999_999_999:
            raise BadInventory(f"{place}: {host} is {vmid!r}; write a number from 100 to 999999999")
        if vmid in found.values():
            raise BadInventory(f"{place}: {vmid} is given twice")
        if host in by_host:
            found[by_host[host]] = vmid
    free = (number for number in range(100, 10**6) if number not in said.values())
    return {vm.vm: found.get(vm.vm) or next(free) for vm in wish.vms}


def _fit(pattern: re.Pattern[str], word: str, what: str, form: str) -> str:
    if pattern.fullmatch(word) is None:
        raise BadInventory(f"{what} is {word!r}, which Proxmox VE does not take as a name: {form}")
    return word
