# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client's words as a Hyper-V site can take them: names, replication, and what the lab file says under ``hyperv``."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import is_address
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.messages import CULTURES
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.faults import read_fault
from ansible_collections.ferragosto.dr.extensions.twin.inventory import (
    BadInventory,
    End,
    SiteWish,
    VmWish,
    refuse_unknown,
    seconds,
)
from ansible_collections.ferragosto.dr.extensions.twin.plan import rows_of

VOLUME = "D:"  # where the lab's hosts keep their VMs, beside C: for Windows itself
FREQUENCIES = (30, 300, 900)  # of Hyper-V Replica
AUTHENTICATIONS = ("certificate", "kerberos")
SYSTEMS = ("windows", "linux")
SCHEMES = ("https", "http")
TRANSPORTS = ("basic", "certificate", "ntlm")
_CHOICES = {"auth": AUTHENTICATIONS, "culture": CULTURES, "scheme": SCHEMES, "transport": TRANSPORTS}
_WORDS = [*_CHOICES, *"app_consistent faults frequency newest nodes os recovery_history switch".split()]
_DNS_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_MOST_POINTS = 24  # additional recovery points that a replica can keep
_MOST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HypervWish(SiteWish):
    """A site of two Hyper-V hosts."""

    frequency_s: int = 300  # one of FREQUENCIES
    newest_age_s: float | None = None  # of the newest applied log; None: of each VM's youngest point, and no cycle runs
    recovery_history: int = 24
    auth: str = "certificate"  # how the hosts sign on to each other
    culture: str = "en-US"  # the language of the hosts' messages
    scheme: str = "https"
    transport: str = "ntlm"
    has_app_consistent_points: bool = False
    systems: dict[str, str] = field(default_factory=dict)  # VM name -> one of SYSTEMS
    node_names: dict[str, str] = field(default_factory=dict)  # the client's word -> the host's name
    faults: tuple[dict[str, t.Any], ...] = ()  # the plan that the lab begins with

    @property
    def is_replicating(self) -> bool:
        """Whether cycles run by themselves."""
        return self.newest_age_s is not None

    def log_age_s(self, vm: VmWish) -> float:
        """Tell how old the newest log is that the replica has applied when the lab begins."""
        youngest_s = min(vm.point_ages_s, default=float(self.frequency_s))
        return youngest_s if self.newest_age_s is None else min(self.newest_age_s, youngest_s)

    def system_of(self, vm: str) -> str:
        return self.systems.get(vm, "windows")


def hyperv_wish(
    wish: SiteWish,
    *,
    scheme: str | None = None,
    transport: str | None = None,
    auth: str | None = None,
    culture: str | None = None,
) -> HypervWish:
    """Shape a site for Hyper-V; arguments go before the lab file's words. Refuses with BadInventory."""
    place = f"{wish.where}: hyperv"
    words = dict(refuse_unknown(wish.platform_words.get("hyperv"), _WORDS, place))
    given = {"scheme": scheme, "transport": transport, "auth": auth, "culture": culture}
    words.update({key: word for key, word in given.items() if word is not None})
    chosen = {key: _choice(words, key, place) for key in _CHOICES}
    if chosen["transport"] == "basic" and chosen["scheme"] == "http":
        raise BadInventory(f"{place}: transport basic over http would show the password; write scheme: https")
    names = refuse_unknown(words.get("nodes"), ("production", "replica"), f"{place}: nodes")
    ends = {
        side: _end(wish, side, names.get(side), words.get("switch"), place)
        for side in t.cast("tuple[t.Any, ...]", ("production", "replica"))
    }
    if ends["production"].node.lower() == ends["replica"].node.lower():
        raise BadInventory(
            f"{place}: both ends are the host {ends['production'].node!r}; name two hosts in dr_site or under nodes"
        )
    renamed = {wish.production.node: ends["production"].node, wish.replica.node: ends["replica"].node}
    frequency_s = _frequency(words, place)
    shaped = HypervWish(
        **{
            **{name: getattr(wish, name) for name in SiteWish.__slots__},
            **ends,
            "hosts": {renamed.get(name, name): shape for name, shape in wish.hosts.items()},
            "namesakes": tuple(replace(n, node=renamed.get(n.node, n.node)) for n in wish.namesakes),
        },
        frequency_s=frequency_s,
        newest_age_s=_newest_age_s(words.get("newest"), frequency_s, f"{place}: newest"),
        recovery_history=_history(words, place),
        auth=chosen["auth"],
        culture=chosen["culture"],
        scheme=chosen["scheme"],
        transport=chosen["transport"],
        has_app_consistent_points=bool(words.get("app_consistent", False)),
        systems=_systems(wish, words.get("os"), f"{place}: os"),
        node_names=renamed,
        faults=rows_of(words.get("faults"), f"{place}: faults", read_fault, "{action: refuse}"),
    )
    for vm in shaped.vms:
        _fit_vm(vm, shaped, place)
    return shaped


def _choice(words: dict[str, t.Any], key: str, place: str) -> str:
    known = _CHOICES[key]
    default = {"auth": "certificate", "culture": "en-US", "scheme": "https", "transport": "ntlm"}[key]
    wanted = str(words.get(key, default))
    if wanted not in known:
        raise BadInventory(f"{place}: {key} is {wanted!r}; the lab knows {', '.join(known)}")
    return wanted


def _frequency(words: dict[str, t.Any], place: str) -> int:
    said = words.get("frequency", 300)
    every_s = seconds(said, f"{place}: frequency")
    if every_s not in FREQUENCIES:
        raise BadInventory(f"{place}: frequency is {said!r}; Hyper-V Replica knows {', '.join(map(str, FREQUENCIES))}")
    return int(every_s)


def _newest_age_s(said: t.Any, frequency_s: int, place: str) -> float | None:
    if said is None:
        return None
    age_s = seconds(said, place)
    if age_s > frequency_s:
        # the first cycle would come at once, and the log would not be so old
        raise BadInventory(
            f"{place} is {said!r}, older than the {frequency_s} s between two logs; to stand still, leave it out"
        )
    return age_s


def _history(words: dict[str, t.Any], place: str) -> int:
    said = words.get("recovery_history", _MOST_POINTS)
    if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said <= _MOST_POINTS:
        raise BadInventory(f"{place}: recovery_history is {said!r}; write a number from 0 to {_MOST_POINTS}")
    return said


def _end(wish: SiteWish, side: str, node: str | None, switch: str | None, place: str) -> End:
    said: End = getattr(wish, side)
    named = str(node or said.node)
    if _DNS_NAME.fullmatch(named) is None or is_address(named):
        # Set-VMReplication refuses an address: it must find the name in a certificate or a service principal.
        raise BadInventory(f"{place}: the {side} host is {named!r}; Hyper-V Replica takes a DNS name, no address")
    own = wish.site_vars[side].get("datastore") if wish.provider == "hyperv" else None
    if own not in (None, VOLUME):
        raise BadInventory(f"{place}: the {side} datastore is {own!r}; the lab's hosts keep their VMs on {VOLUME}")
    return End(node=named, datastore=VOLUME, network=str(switch or said.network))


def _systems(wish: SiteWish, given: t.Any, place: str) -> dict[str, str]:
    found = refuse_unknown(given, wish.known_hosts, place)
    for host, system in found.items():
        if system not in SYSTEMS:
            raise BadInventory(f"{place}: {host} is {system!r}; the lab knows {', '.join(SYSTEMS)}")
    return {vm.vm: str(found[vm.host]) for vm in wish.vms if vm.host in found}


def _fit_vm(vm: VmWish, wish: HypervWish, place: str) -> None:
    if not 0 < len(vm.vm) <= _MOST_NAME:
        raise BadInventory(f"dr_vm of {vm.host} has {len(vm.vm)} characters; Hyper-V takes at most {_MOST_NAME}")
    if len(vm.point_ages_s) > wish.recovery_history:
        raise BadInventory(
            f"{place}: {vm.host} has {len(vm.point_ages_s)} points, recovery_history keeps {wish.recovery_history}"
        )
