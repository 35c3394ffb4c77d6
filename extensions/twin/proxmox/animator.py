# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The animator of a site's datacenters: they go on by the world's clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ansible_collections.ferragosto.dr.extensions.twin import animator
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import PveError
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World


class Animator(animator.Animator):
    """One per world."""

    own_errors = (PveError,)

    def __init__(
        self,
        world: World,
        datacenters: Sequence[Datacenter],
        pages_changed: Callable[[], None],
        nodes_changed: Callable[[], None],
    ) -> None:
        super().__init__(world, pages_changed, nodes_changed)
        self._datacenters = tuple(datacenters)

    def _tick(self) -> None:
        for datacenter in self._datacenters:
            datacenter.tick()

    def _next_due_s(self) -> float | None:
        due = [at_s for datacenter in self._datacenters if (at_s := datacenter.next_due_s()) is not None]
        return min(due, default=None)

    def _hosts(self) -> list[bool]:
        return [datacenter.node_is_up(node) for datacenter in self._datacenters for node in datacenter.nodes]
