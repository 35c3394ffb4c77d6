# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of recovery: waves out of priority groups and dependencies."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, PlanCycle

FIRST_GROUP, LAST_GROUP = 1, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanItem:
    """One protected VM in the words of the inventory: its host name, dr_priority, dr_depends_on."""

    host: str
    priority: int = 3
    depends_on: tuple[str, ...] = ()


def waves(items: Sequence[PlanItem], in_play: Collection[str] | None = None) -> tuple[tuple[str, ...], ...]:
    """Order the VMs in waves; a wave starts when the one before is verified.

    Priority group 1 comes first, and a dependency always before its dependant: one of a later group pulls the dependant
    into that group. Ties keep the order given. With ``in_play`` only those are ordered, a dependency outside counts for
    what it depends on itself. Raises PlanCycle naming the VMs, BadInput for an unknown dependency or a bad priority.
    """
    by_host = _checked(items)
    needs = {item.host: _needs_in_play(item, by_host, in_play) for item in items}
    order = _dependencies_first(by_host)
    group: dict[str, int] = {}
    for host in order:
        group[host] = max([by_host[host].priority, *(group[need] for need in needs[host])])
    depth: dict[str, int] = {}
    for host in order:
        within = [depth[need] + 1 for need in needs[host] if group[need] == group[host]]
        depth[host] = max(within, default=0)
    ranks: dict[tuple[int, int], list[str]] = {}
    for item in items:
        if in_play is None or item.host in in_play:
            ranks.setdefault((group[item.host], depth[item.host]), []).append(item.host)
    return tuple(tuple(ranks[rank]) for rank in sorted(ranks))


def external(items: Sequence[PlanItem], in_play: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the dependencies outside the play, each with the VMs in play that need it, directly or through others.

    They are read, never touched; one that is not healthy is a refusal for those that need it.
    """
    by_host = _checked(items)
    needed_by: dict[str, list[str]] = {}
    for item in items:
        if item.host in in_play:
            for host in _reach_outside(item, by_host, in_play):
                needed_by.setdefault(host, []).append(item.host)
    return {host: tuple(hosts) for host, hosts in needed_by.items()}


def _checked(items: Sequence[PlanItem]) -> Mapping[str, PlanItem]:
    by_host: dict[str, PlanItem] = {}
    for item in items:
        if item.host in by_host:
            raise BadInput(what="plan the waves", why=f"{item.host} is listed twice", next="list each VM once")
        if (
            isinstance(item.priority, bool)
            or not isinstance(item.priority, int)
            or not FIRST_GROUP <= item.priority <= LAST_GROUP
        ):
            raise BadInput(
                what="plan the waves",
                why=f"dr_priority of {item.host} is {item.priority!r}",
                next=f"write a whole number from {FIRST_GROUP} (first) to {LAST_GROUP} (last)",
            )
        by_host[item.host] = item
    for item in items:
        for need in item.depends_on:
            if need not in by_host:
                raise BadInput(
                    what="plan the waves",
                    why=f"{item.host} depends on {need!r}, which is not in the inventory",
                    next=f"correct dr_depends_on of {item.host}, or add {need!r} to the inventory",
                )
    return by_host


def _dependencies_first(by_host: Mapping[str, PlanItem]) -> list[str]:
    """Walk without recursion: an inventory of a thousand VMs may be one chain."""
    order: list[str] = []
    done: set[str] = set()
    for start in by_host:
        path = [start]
        pending = [list(by_host[start].depends_on)] if start not in done else []
        while pending:
            if pending[-1]:
                need = pending[-1].pop(0)
                if need in path:
                    raise _cycle([*path[path.index(need) :], need])
                if need not in done:
                    path.append(need)
                    pending.append(list(by_host[need].depends_on))
                continue
            pending.pop()
            done.add(path[-1])
            order.append(path.pop())
    return order


def _cycle(hosts: Sequence[str]) -> PlanCycle:
    circle = f"these VMs depend on each other in a circle: {' -> '.join(hosts)}"
    why = circle if len(hosts) > 2 else f"{hosts[0]} depends on itself"
    return PlanCycle(what="plan the waves", why=why, next="take one of these out of dr_depends_on")


def _needs_in_play(item: PlanItem, by_host: Mapping[str, PlanItem], in_play: Collection[str] | None) -> tuple[str, ...]:
    if in_play is None:
        return item.depends_on
    direct = [need for need in item.depends_on if need in in_play]
    beyond = [
        need
        for host in _reach_outside(item, by_host, in_play)
        for need in by_host[host].depends_on
        if need in in_play and need != item.host
    ]
    return tuple(dict.fromkeys([*direct, *beyond]))


def _reach_outside(item: PlanItem, by_host: Mapping[str, PlanItem], in_play: Collection[str]) -> list[str]:
    """Return the dependencies outside the play, with theirs, up to the next VM in play."""
    found: dict[str, None] = {}
    pending = [need for need in item.depends_on if need not in in_play]
    while pending:
        host = pending.pop(0)
        if host not in found:
            found[host] = None
            pending += [need for need in by_host[host].depends_on if need not in in_play]
    return list(found)
