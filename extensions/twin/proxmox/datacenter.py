# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Proxmox VE cluster, or one standalone node: the truth that its API, its SSH commands and its screens show."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import calls
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.backups import Backups
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.console import Consoles
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Config, Guest, disks_of
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.ha import HaManager
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.machines import Machines
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.nodes import Node, Votes
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.replication import Replication
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import TaskBook
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.timing import PveTiming
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.volumes import DiskSet, Shelf
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, Given, PveError, Route, Screen
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Copy, DataState, HostState, Role
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

# Whoever holds a datacenter finds its calls in wire.ROUTES.
CALLS = calls.PARTS


@dataclass(slots=True)
class Trouble:
    """Faults inside the datacenter; those on the wire are the door's."""

    failing_tasks: dict[str, str] = field(default_factory=dict)  # task type, or type:vmid -> exit status
    failing_after_effect: set[str] = field(default_factory=set)  # of those: which do their work first
    stuck_tasks: set[str] = field(default_factory=set)  # task types, type:vmid or UPIDs that make no progress
    dead_agents: set[int] = field(default_factory=set)  # vmids


class Datacenter:
    """All methods may be called from any thread; the world's lock is the only one."""

    def __init__(
        self,
        name: str,
        world: World,
        *,
        nodes: t.Sequence[Node],
        is_cluster: bool = True,
        has_qdevice: bool = False,
        timing: PveTiming | None = None,
    ) -> None:
        self.name, self.world, self.lock = name, world, world.lock
        self.timing = timing or PveTiming()
        self.nodes = {node.name: node for node in nodes}
        self.votes = Votes(self.nodes, is_cluster=is_cluster, has_qdevice=has_qdevice)
        self.guests: dict[int, Guest] = {}
        self.pools: dict[str, dict[str, t.Any]] = {}
        self.addresses: dict[str, str] = {}  # protected VM -> the address that its guest has
        self.bridges: set[str] = {"vmbr0"}
        self.trouble = Trouble()
        self.shelf = Shelf()
        self.tasks = TaskBook(self)
        self.machines = Machines(self)
        self.replication = Replication(self)
        self.ha = HaManager(self)
        self.backups = Backups(self)
        self.consoles = Consoles(self)
        for node in self.nodes.values():
            world.add_host(node.name, node.memory_bytes)

    # --- the public face for the doors and the lab --------------------------------------------------------------------

    @property
    def is_cluster(self) -> bool:
        return self.votes.is_cluster

    def node_is_up(self, name: str) -> bool:
        """Whether clients and the other nodes can reach it."""
        return self.node(name).is_online

    def is_quorate(self, node: str) -> bool:
        return self.votes.is_quorate(node)

    def expected_votes(self, node: str, votes: int) -> None:
        """Do what ``pvecm expected <votes>`` does on that node."""
        with self.lock:
            self.votes.expect(self.node(node).name, votes)

    def carry_out(self, route: Route, call: Call) -> t.Any:
        """Answer one call, in a world brought up to now."""
        with self.lock:
            self.tick()
            self.world.count(f"{call.method} {call.template}")
            return route.handler(self, replace(call, params=Given(call.params)))

    def move_config(self, vmid: int, to_node: str, *, by_node: str) -> None:
        """Move ``<vmid>.conf`` to another node's folder, as ``mv`` does under /etc/pve on ``by_node``.

        A running process stays where it is: pmxcfs knows files, not processes.
        """
        with self.lock:
            self.tick()
            guest = self.guests.get(vmid)
            folder = f"/etc/pve/nodes/{self.node(to_node).name}/qemu-server/"
            if guest is None:
                raise PveError(500, f"mv: cannot stat '{vmid}.conf': No such file or directory")
            if not self.is_quorate(by_node):
                raise PveError(500, f"mv: cannot move '/etc/pve/{guest.path}' to '{folder}': Permission denied")
            guest.node = to_node
            self.machines.plug(guest)

    def replication_snapshots(self, node: str) -> list[tuple[str, int]]:
        """Name and creation of every replication snapshot, as ``zfs list -Hp -t snapshot -o name,creation`` tells."""
        with self.lock:
            rows = []
            for disks in self.shelf.disk_sets.values():
                for name, (taken_at_s, dummy) in disks.replication_snapshots.items() if disks.node == node else ():
                    for volume in self.shelf.on(node, disks.vmid):
                        pool = self.shelf.storages[volume.storage].options.get("pool", volume.storage)
                        rows.append((f"{pool}/{volume.name}@{name}", int(taken_at_s)))
            return sorted(rows)

    def screen_of(self, node: str, vmid: int) -> Screen:
        with self.lock:
            self.tick()
            return self.machines.screen(node, vmid)

    def fail_node(self, name: str, isolated: bool = False) -> None:
        """Take a node away: dead, its guests with it, or only cut off, its guests living on unseen."""
        with self.lock:
            node = self.node(name)
            node.state = HostState.ISOLATED if isolated else HostState.DEAD
            node.lost_at_s = self.now_s()
            node.had_ha_services = self.ha.has_services_on(name)
            self.world.host_lost(name, is_dead=not isolated)
            if not isolated:
                self.machines.node_died(name)
                self.tasks.node_died(name)

    def return_node(self, name: str) -> list[str]:
        """The node is back. If it had lost its power it starts its onboot guests by itself; returns their names.

        That is the danger: a guest whose configuration still lies there comes up although another copy serves.
        """
        with self.lock:
            node = self.node(name)
            was_dead = node.is_dead
            node.state = HostState.UP
            self.world.host_back(name)
            self.votes.joined()
            if not was_dead:
                return []
            node.booted_at_s = self.now_s()
            return self._autostart(name)

    def tick(self) -> None:
        """Let everything happen that is due by now."""
        with self.lock:
            self.world.tick()
            self.machines.tick()
            self.tasks.tick()
            self.replication.tick()
            self.ha.tick()
            self.consoles.tick()

    def next_due_s(self) -> float | None:
        """World time of the next thing that happens by itself."""
        with self.lock:
            parts = (self.world, self.tasks, self.replication, self.ha)
            return min((due for part in parts if (due := part.next_due_s()) is not None), default=None)

    # --- what the parts ask of each other -----------------------------------------------------------------------------

    def now_s(self) -> float:
        return self.world.clock.now_s()

    def node(self, name: str) -> Node:
        node = self.nodes.get(name)
        if node is None:
            raise PveError(500, f"no such cluster node '{name}'")
        return node

    def online(self) -> list[str]:
        return [node.name for node in self.nodes.values() if node.is_online]

    def guest(self, vmid: int, node: str) -> Guest:
        """The guest on that node; PVE answers 500, not 404, for one that is not there."""
        guest = self.guests.get(vmid)
        if guest is None or guest.node != node:
            raise PveError(500, f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
        return guest

    def require_quorum(self, node: str) -> None:
        self.votes.require(node)

    def require_writable(self, node: str, guest: Guest) -> None:
        """Raise what writing a configuration file meets without quorum."""
        if not self.is_quorate(node):
            raise PveError(
                500, f"unable to open file '/etc/pve/{guest.path}.tmp.{1000 + guest.vmid}' - Permission denied"
            )

    def require_cfs_lock(self, node: str, name: str) -> None:
        """Raise what a cluster-wide lock meets without quorum, after the time it takes to give up."""
        if not self.is_quorate(node):
            raise PveError(500, f"cfs-lock '{name}' error: no quorum!", delay_s=self.timing.lock_wait_s)

    def disk_ids(self, config: Config) -> list[str]:
        return list(disks_of(config).values())

    def disk_set_of(self, guest: Guest) -> DiskSet:
        """The disks that a configuration runs on: those of their owner, on the node where the configuration lies."""
        owner = self.shelf.owner_of(guest.config, guest.vmid, guest.node)
        return self.disk_set(owner, guest.node, vm=guest.vm, name=guest.name)

    def disk_set(self, vmid: int, node: str, *, vm: str, name: str, data: DataState | None = None) -> DiskSet:
        """Find the disks of a vmid on a node, or lay them out as a new copy in the world."""
        known = self.shelf.disk_sets.get((vmid, node))
        if known is not None:
            return known
        others = [d for d in self.shelf.disk_sets.values() if d.vmid == vmid]
        siblings = [c for c in self.world.copies.values() if c.vm == vm]
        names = (f"{self.name}/{vmid}", f"replica:{vmid}", f"{self.name}/{vmid}@{node}")
        copy_id = next(name for name in names if name not in self.world.copies)
        roles = {self.world.copy(d.copy_id).role for d in others}
        if not siblings or (others and all(c.role is not Role.PRODUCTION for c in siblings)):
            role = Role.CLONE if roles == {Role.CLONE} else Role.PRODUCTION
        else:
            # a clone's own replica is one copy more, not the replica that protects the VM
            role = Role.REPLICA if roles - {Role.CLONE} else Role.CLONE
        content = data or DataState(0, self.now_s())
        copy = Copy(id=copy_id, vm=vm, name=name, role=role, host=node, data=content)
        if siblings:
            # what is installed in a guest comes along with its disks
            copy.has_tools, copy.reboots_after_crash_s = siblings[0].has_tools, siblings[0].reboots_after_crash_s
        self.world.add_copy(copy)
        disks = DiskSet(vmid=vmid, node=node, copy_id=copy_id)
        self.shelf.disk_sets[(vmid, node)] = disks
        return disks

    def copy_id_of(self, guest: Guest) -> str:
        return self.disk_set_of(guest).copy_id

    def copy_of(self, guest: Guest) -> Copy:
        return self.world.copy(self.copy_id_of(guest))

    def drop_disk_set(self, vmid: int, node: str) -> None:
        """Forget the disks of a vmid on a node, unless volumes of it are left."""
        disks = self.shelf.disk_sets.get((vmid, node))
        if disks is not None and not self.shelf.on(node, vmid):
            del self.shelf.disk_sets[(vmid, node)]
            if self.world.copy(disks.copy_id).role is not Role.CLONE:
                self.world.regretted("disks_destroyed", disks.copy_id, f"the disks of {vmid} on {node} were destroyed")
            self.world.remove_copy(disks.copy_id)

    def _autostart(self, name: str) -> list[str]:
        if not self.is_quorate(name):
            return []
        started = []
        for guest in sorted(self.guests.values(), key=lambda g: g.vmid):
            is_wanted = guest.config.get("onboot") == "1" and not self.ha.manages(guest.vmid)
            if guest.node == name and is_wanted and not guest.lock and "template" not in guest.config:
                self.machines.start(guest)
                self.tasks.past(name, "qmstart", guest.vmid, user="root@pam", age_s=0.0)
                started.append(guest.name)
        return started
