# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the world holds: data states, network cards, copies, hosts, replication jobs, violations."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from enum import StrEnum


class Power(StrEnum):
    ON = "on"
    OFF = "off"
    SUSPENDED = "suspended"


class Role(StrEnum):
    PRODUCTION = "production"
    REPLICA = "replica"
    CLONE = "clone"


class Phase(StrEnum):
    """Where a guest is in its life."""

    OFF = "off"
    BOOTING = "booting"
    RUNNING = "running"
    HUNG = "hung"
    CRASHED = "crashed"
    SHUTTING_DOWN = "shutting_down"


class Service(StrEnum):
    """What the application inside a running guest does."""

    OK = "ok"
    ERROR = "error"  # answers, with an error
    HANGING = "hanging"  # accepts, never answers
    DOWN = "down"  # nothing listens


class HostState(StrEnum):
    UP = "up"
    ISOLATED = "isolated"  # its VMs live on, nobody can manage it
    DEAD = "dead"  # no power: its VMs are gone


@dataclass(frozen=True, slots=True)
class DataState:
    """The content of a VM's disks: how many writes it holds, when the last one was made, and whether they are rotten."""

    generation: int
    as_of_s: float
    is_corrupted: bool = False


Points: t.TypeAlias = "dict[str, DataState]"  # recovery points by name


@dataclass(frozen=True, slots=True)
class Nic:
    key: str
    network: str
    is_connected: bool


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a guest takes for what it does, in seconds of the world."""

    boot_s: float = 4.0
    crash_after_s: float = 2.0  # a rotten guest dies so long after its boot began
    shutdown_s: float = 1.0
    relocate_s: float = 3.0
    write_interval_s: float = 1.0  # one write of a running guest

    @classmethod
    def fast(cls) -> Timing:
        return cls(boot_s=0.4, crash_after_s=0.2, shutdown_s=0.2, relocate_s=0.3, write_interval_s=0.1)


@dataclass(slots=True)
class Copy:
    """One VM on one hypervisor: the production copy of a protected VM, its replica, or a clone."""

    id: str
    vm: str  # the protected VM it is a copy of
    name: str
    role: Role
    host: str
    data: DataState
    power: Power = Power.OFF
    nics: tuple[Nic, ...] = ()
    phase: Phase = Phase.OFF
    phase_since_s: float = 0.0
    booted_at_s: float | None = None
    points: dict[str, DataState] = field(default_factory=dict)
    vendor_points: list[str] = field(default_factory=list)
    reboots_after_crash_s: float | None = None
    has_tools: bool = True
    guest_id: str = (
        ""  # what the guest itself can tell a copy by, where that is not the id (Proxmox: its generation id)
    )


@dataclass(slots=True)
class Host:
    name: str
    memory_bytes: int = 0
    state: HostState = HostState.UP


@dataclass(slots=True)
class ReplicationJob:
    """The vendor's nightly job of one protected VM."""

    vm: str
    source: str  # copy ids
    target: str
    is_enabled: bool = True
    runs: int = 0


@dataclass(slots=True)
class Violation:
    """Two copies of one VM at once: never forgotten, even when it ended."""

    kind: str  # "two_on_production_network" | "two_guests_serving"
    vm: str
    copies: tuple[str, ...]
    began_at_s: float
    ended_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Accident:
    """Something that a person would regret: a rollback of a promoted replica, a vendor's recovery point gone."""

    kind: str
    vm: str
    copy: str
    at_s: float
    text: str


@dataclass(frozen=True, slots=True)
class GuestChange:
    """A guest came to a new phase; the front end shows it on its platform."""

    copy: str
    phase: Phase
    before: Phase
    at_s: float
