# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a fault plan lets happen to the site itself: nodes, quorum, tasks, storages, agents, clocks."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.faults import Fault


class NoTarget(ValueError):
    """The fault names something that this site does not have; the message lists what it has."""


class Happenings:
    def __init__(self, datacenters: Sequence[Datacenter]) -> None:
        self.datacenters = list(datacenters)
        self.skews: dict[str, float] = {}  # node -> seconds that its clock is fast

    def happen(self, fault: Fault, reply: t.Any = None) -> None:
        """Let it happen now; ``reply`` is what the call answered that brought it about, a UPID perhaps."""
        getattr(self, f"_{fault.action}")(fault, reply)

    # --- nodes -------------------------------------------------------------------------------------------------------

    def _dead_node(self, fault: Fault, reply: t.Any) -> None:
        self._of_node(fault.target).fail_node(fault.target)

    def _isolated_node(self, fault: Fault, reply: t.Any) -> None:
        self._of_node(fault.target).fail_node(fault.target, isolated=True)

    def _host_return(self, fault: Fault, reply: t.Any) -> None:
        self._of_node(fault.target).return_node(fault.target)

    def _lost_quorum(self, fault: Fault, reply: t.Any) -> None:
        for datacenter in self.datacenters if not fault.target else [self._of_node(fault.target)]:
            with datacenter.lock:
                datacenter.votes.lost.update([fault.target] if fault.target else datacenter.nodes)

    def _clock_skew(self, fault: Fault, reply: t.Any) -> None:
        self._of_node(fault.target)
        self.skews[fault.target] = fault.seconds

    # --- tasks -------------------------------------------------------------------------------------------------------

    def _stuck_task(self, fault: Fault, reply: t.Any) -> None:
        for datacenter in self.datacenters:
            with datacenter.lock:
                if fault.target:
                    datacenter.trouble.stuck_tasks.add(fault.target)
                elif reply in datacenter.tasks.tasks:
                    datacenter.trouble.stuck_tasks.add(reply)

    def _failing_task(self, fault: Fault, reply: t.Any) -> None:
        for datacenter in self.datacenters:
            with datacenter.lock:
                if fault.target:
                    datacenter.trouble.failing_tasks[fault.target] = fault.text
                    if fault.effect:
                        datacenter.trouble.failing_after_effect.add(fault.target)
                elif reply in datacenter.tasks.tasks:
                    datacenter.tasks.fail(datacenter.tasks.tasks[reply], fault.text, after_effect=fault.effect)

    # --- things ------------------------------------------------------------------------------------------------------

    def _full_storage(self, fault: Fault, reply: t.Any) -> None:
        """``target`` is a storage, or storage@node."""
        name, dummy, node = fault.target.partition("@")
        found = False
        for datacenter in self.datacenters:
            with datacenter.lock:
                storage = datacenter.shelf.storages.get(name)
                if storage is not None and (not node or node in datacenter.nodes):
                    storage.full_on.update([node] if node else datacenter.nodes)
                    found = True
        if not found:
            known = sorted({s for d in self.datacenters for s in d.shelf.storages})
            raise NoTarget(f"no storage {fault.target!r}; there are {', '.join(known)}")

    def _dead_agent(self, fault: Fault, reply: t.Any) -> None:
        for datacenter in self.datacenters:
            with datacenter.lock:
                if fault.target.isdecimal() and int(fault.target) in datacenter.guests:
                    datacenter.trouble.dead_agents.add(int(fault.target))
                    return
        known = sorted(vmid for d in self.datacenters for vmid in d.guests)
        raise NoTarget(f"no VM {fault.target!r}; there are {', '.join(map(str, known))}")

    def _of_node(self, name: str) -> Datacenter:
        for datacenter in self.datacenters:
            if name in datacenter.nodes:
                return datacenter
        raise NoTarget(f"no node {name!r}; there are {', '.join(n for d in self.datacenters for n in d.nodes)}")
