# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a promotion needs to know of its two nodes: clients, options, where the VM is configured, what its configuration is."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps, ways
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError, NotReplicated, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import tags
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import (
    Machine,
    Row,
    rows,
    vmid_of,
    votes,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.points import vmid_of_point

CLONE, IN_PLACE, RESTORE, HA = "clone", ways.IN_PLACE, "restore", ways.HA
CONFIG = "config"  # what the journal remembers of a VM whose node is dead
# Of the original, kept in its own place after a move of its configuration.
MOVED = ways.OVERWRITING


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Both ends of a site. A promotion talks to the replica's end alone: the other may be dead."""

    production: Client
    replica: Client
    spec: SiteSpec

    @property
    def home(self) -> str:
        return self.spec.production.node

    @property
    def away(self) -> str:
        return self.spec.replica.node

    def is_one_cluster(self) -> bool:
        """Tell whether the replica's end knows the production node too."""
        return self.home in votes(self.replica).known

    def other_node(self, node: str) -> str:
        return self.away if node == self.home else self.home


def origin_of(pair: Pair) -> int:
    """Return the id of the protected VM, which also names its disks and its backups."""
    for vm in (pair.production, pair.replica):
        if vm is not None and (vm.handle or vm.id).rpartition(":")[2].isdigit() and stamps.MODE not in vm.stamps:
            return vmid_of(vm)
    if pair.replica is not None:
        marked = pair.replica.stamps
        found = (
            vmid_of(pair.replica) if marked.get(stamps.MODE) in MOVED else vmid_of_point(marked.get(stamps.POINT, ""))
        )
        if found:
            return found
    raise NotReplicated(
        what=f"name the disks of {pair.name}",
        why="neither its production copy nor its replica tells the id of the VM",
        next="check dr_vm and dr_replica",
    )


def name_of(pair: Pair) -> str:
    named = (vm.name for vm in (pair.production, pair.replica) if vm is not None and vm.name)
    return next(named, pair.name)


def rows_of_run(client: Client, run_id: str, origin: int) -> list[Row]:
    """Return the VMs that carry a run's stamp and come of the protected VM, by id."""
    found = [
        row
        for row in rows(client)
        if row.stamps.get(stamps.RUN) == run_id
        and (row.vmid == origin or vmid_of_point(row.stamps.get(stamps.POINT, "")) in (0, origin))
    ]
    return sorted(found, key=lambda row: row.vmid)


def shells_of(found: list[Row]) -> list[Row]:
    """Return the shell VMs among them. A clone of one carries its tag too, until it is stamped: it bears its own id there."""
    return [row for row in found if row.stamps.get(tags.SHELL, str(row.vmid)) != str(row.vmid)]


def copy_of(found: list[Row]) -> Row | None:
    """Return the promoted copy among them."""
    return next((row for row in found if row not in shells_of(found)), None)


def original_config(ends: Ends, pair: Pair, origin: int) -> dict[str, t.Any]:
    """Return the configuration of the protected VM: the live one, else what the journal remembers of it."""
    live = live_config(ends, pair, origin)
    if live is not None:
        return live
    production = pair.production
    told = production.remembered.get(CONFIG, "") if production is not None else ""
    if told:
        return t.cast("dict[str, t.Any]", json.loads(told))
    raise Refused(
        what=f"promote the replica of {pair.name}",
        why=f"the configuration of VM {origin} cannot be read ({pair.production_node} does not answer), and the journal has"
        " seen none",
        next="use the way in_place (SSH), which needs no configuration; or restore from a backup",
    )


def live_config(ends: Ends, pair: Pair, origin: int) -> dict[str, t.Any] | None:
    """Return the configuration as the VM's own node shows it; None when that node is dead or has none."""
    shown = votes(ends.replica)
    if shown.is_dead(ends.home):
        return None
    client = ends.replica if ends.home in shown.known else ends.production
    machine = Machine(client, origin, name=name_of(pair), node=pair.production_node)
    try:
        sheet = machine.now()
    except DrError:
        return None
    return dict(sheet.config) if sheet.is_there else None


def storage_rows(client: Client, node: str) -> dict[str, Mapping[str, t.Any]]:
    """Return the storages of a node, by name."""
    shown = client.get("/cluster/resources", type="storage") or []
    return {str(row.get("storage")): row for row in shown if row.get("node") == node}
