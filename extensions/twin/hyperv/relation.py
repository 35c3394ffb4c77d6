# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A replication relationship: two endpoints that know only what they were told, and the log between them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
    from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState

BEFORE_FAILOVER = "before the failover"  # the world's point that Stop-VMFailover goes back to
LOG_SIZE = 500


@dataclass(slots=True)
class Endpoint:
    """One side's own view of the relationship. Nothing here is shared with the other side."""

    mode: str  # a VMReplicationMode
    state: str  # a VMReplicationState
    primary_server: str
    replica_server: str
    authentication: str = "Certificate"
    thumbprint: str = ""
    port: int = 443
    frequency_s: int = 300
    recovery_history: int = 0
    vss_hours: int = 0
    is_compressed: bool = True
    allowed_primary_server: str = ""
    last_replication_s: float | None = None
    last_applied_s: float | None = None
    last_type: str = "None"  # a VMReplicationType
    failed_over_type: str = "None"
    last_test_s: float | None = None
    monitoring_since_s: float = 0.0
    successes: int = 0
    misses: int = 0
    errors: int = 0
    next_cycle_s: float = 0.0
    task_ends_at_s: float | None = None  # of the initial replication or the resynchronisation on its way
    is_initialised: bool = True  # the initial replication was completed once
    is_planned: bool = False  # the failover that stands was a planned one
    auto_resynchronize: bool = False
    test: Machine | None = None


def end_of(machine: Machine) -> Endpoint:
    """Give a VM's own side of its relationship. Raises ValueError for one that is not replicated."""
    if machine.endpoint is None:
        raise ValueError(f"{machine.name} on {machine.host} is not replicated")
    return machine.endpoint


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One log that the primary sent: when, from where, and the data that it brings the replica to."""

    at_s: float
    source: str
    data: DataState


@dataclass(slots=True)
class Relation:
    """The pair of VMs with one id. ``first`` is where the VM was protected first."""

    first: Machine
    second: Machine
    runs_by_itself: bool = True  # cycles run by the clock
    point_every_s: float = 3600.0
    log: list[LogEntry] = field(default_factory=list)
    base: DataState | None = None  # what both sides have held: a side that holds more has writes of its own

    def other(self, machine: Machine) -> Machine:
        return self.second if machine is self.first else self.first

    @property
    def ends(self) -> tuple[Machine, Machine]:
        return (self.first, self.second)

    def primaries(self) -> list[Machine]:
        """List the sides that take themselves for the primary: one, or after a mishap two or none."""
        return [m for m in self.ends if m.endpoint is not None and m.endpoint.mode == "Primary"]
