# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One virtual machine on one host: power, cards, disks, checkpoints, and what its guest can tell."""

from __future__ import annotations

import typing as t
import uuid
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import Endpoint

RECOVERY_POINTS = ("Replica", "AppConsistentReplica", "SyncedReplica")  # types 6, 7 and 8


@dataclass(slots=True)
class Adapter:
    """A network adapter; ``switch`` is empty where it is not connected."""

    id: str
    name: str = "Network Adapter"
    switch: str = ""
    test_switch: str = ""
    mac: str = "00155D000000"
    addresses: tuple[str, ...] = ()  # what the guest reports while it runs
    is_legacy: bool = False


@dataclass(slots=True)
class Disk:
    path: str
    size_bytes: int
    controller_type: str = "SCSI"
    controller_number: int = 0
    controller_location: int = 0
    is_replicated: bool = True


@dataclass(slots=True)
class Checkpoint:
    """A checkpoint or a recovery point; its data are the world copy's point of the same name as ``key``."""

    id: uuid.UUID
    name: str
    kind: str  # a SnapshotType
    made_at_s: float

    @property
    def key(self) -> str:
        return str(self.id)


@dataclass(slots=True)
class Machine:
    """One VM. A production VM and its replica have the same ``id``, on two hosts."""

    id: uuid.UUID
    name: str
    host: str  # FQDN
    vm: str  # the protected VM, the world's word for it
    state: str = "Off"  # a VMState
    notes: str = ""
    auto_start: str = "StartIfRunning"  # a StartAction
    auto_start_delay_s: int = 0
    auto_stop: str = "Save"
    generation: int = 2
    version: str = "9.0"
    memory_bytes: int = 4 * 2**30
    cpus: int = 2
    is_windows: bool = True
    has_heartbeat: bool = True  # the integration service is enabled
    is_clustered: bool = False
    is_critical: bool = False  # the storage under it is gone
    operational_status: tuple[str, ...] = ("Ok",)
    adapters: list[Adapter] = field(default_factory=list)
    disks: list[Disk] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    created_at_s: float = 0.0
    started_at_s: float | None = None
    changed_at_s: float = 0.0  # of the last change of State
    configured_at_s: float = 0.0
    was_running: bool = False  # when its host went down
    bugcheck: str = "0xD1"
    crash_events: tuple[int, ...] = (18590,)
    endpoint: Endpoint | None = None  # None: replication is not enabled
    is_shutdown_asked: bool = False
    refuses_power_off: bool = False  # its worker process hangs: neither its guest nor its host can end it

    @property
    def key(self) -> str:
        """The id as text, lower case."""
        return str(self.id)

    @property
    def copy_id(self) -> str:
        """The world's copy; a guest knows both halves from its KVP registry."""
        return f"{self.id}@{self.host}"

    @property
    def is_on(self) -> bool:
        return self.state in ("Running", "Paused", "Stopping", "Starting")

    @property
    def shown_state(self) -> str:
        """The VMState as Get-VM shows it, which tells of storage that is gone."""
        return f"{self.state}Critical" if self.is_critical else self.state

    def recovery_points(self) -> list[Checkpoint]:
        """List the points that a failover can start from, oldest first."""
        return sorted((c for c in self.checkpoints if c.kind in RECOVERY_POINTS), key=lambda c: c.made_at_s)
