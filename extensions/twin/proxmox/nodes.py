# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nodes of a datacenter, and what they may do together: votes and quorum, as corosync counts them."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import PveError
from ansible_collections.ferragosto.dr.extensions.twin.world.model import HostState

NO_QUORUM = "cluster not ready - no quorum?"


@dataclass(slots=True, kw_only=True)
class Node:
    name: str
    address: str = "127.0.0.1"
    number: int = 1  # corosync's nodeid
    cpus: int = 16
    memory_bytes: int = 64 * 2**30
    root_bytes: int = 96 * 2**30
    state: HostState = HostState.UP
    booted_at_s: float = 0.0
    lost_at_s: float = 0.0
    is_silent: bool = False  # a fault: its pvestatd reports nothing, though it is there
    clock_fast_s: float = 0.0  # a fault: its clock is ahead of the world's
    had_ha_services: bool = False  # when it was lost: its watchdog was armed

    @property
    def is_online(self) -> bool:
        """Seen by the others and by clients; an isolated node lives, but nobody sees it."""
        return self.state is HostState.UP

    @property
    def is_reporting(self) -> bool:
        return self.is_online and not self.is_silent

    @property
    def is_dead(self) -> bool:
        return self.state is HostState.DEAD

    @property
    def is_isolated(self) -> bool:
        return self.state is HostState.ISOLATED


class Votes:
    """One vote a node, one for the QDevice. An isolated node is alone, without the QDevice's vote."""

    def __init__(self, nodes: dict[str, Node], *, is_cluster: bool, has_qdevice: bool) -> None:
        self._nodes, self.is_cluster, self.has_qdevice = nodes, is_cluster, has_qdevice
        self._lowered: dict[str, int] = {}  # node -> what pvecm expected said there
        self.lost: set[str] = set()  # a fault: nodes without quorum, whatever the votes say

    @property
    def full(self) -> int:
        return len(self._nodes) + self.has_qdevice

    def present(self, node: str) -> int:
        """The votes in this node's part of the cluster."""
        if self._nodes[node].is_isolated:
            return 1
        return sum(n.is_online for n in self._nodes.values()) + self.has_qdevice

    def expected(self, node: str) -> int:
        return self._lowered.get(node, self.full)

    def is_quorate(self, node: str) -> bool:
        if self._nodes[node].is_dead:
            return False
        if node in self.lost:
            return False
        return not self.is_cluster or self.present(node) >= self.expected(node) // 2 + 1

    def expect(self, node: str, votes: int) -> None:
        """What ``pvecm expected`` does, in the whole part of the cluster that the node is in."""
        if not self.is_cluster:
            raise PveError(500, "Cannot use expected votes: this node is not part of a cluster")
        if votes < 1:
            raise PveError(500, "unable to set expected votes: CS_ERR_INVALID_PARAM")
        seen = [node] if self._nodes[node].is_isolated else [n.name for n in self._nodes.values() if n.is_online]
        for name in seen:
            # corosync never goes below half of the votes that are present
            self._lowered[name] = max(votes, self.present(node))

    def joined(self) -> None:
        """A node came back: corosync raises the expected votes to all it knows again."""
        self._lowered.clear()

    def require(self, node: str) -> None:
        if not self.is_quorate(node):
            raise PveError(500, NO_QUORUM)
