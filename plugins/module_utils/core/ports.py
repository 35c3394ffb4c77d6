# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ports: what the core asks of hypervisors, of the journal and of the clock. Adapters live in providers/, journal/, module.py."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Event,
    Pair,
    RecoveryPoint,
    Replication,
    SiteReading,
    Vm,
    Way,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.owner import Owner
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step

Progress: t.TypeAlias = Callable[[str], None]


class Clock(t.Protocol):
    """Tests turn it; ``wait_until`` in waiting.py is the only one who sleeps."""

    def now_s(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None: ...


# --- sites -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """How to reach one end of a site; option names as in the inventory (``dr_site.production``)."""

    api_host: str
    api_port: int | None = None
    api_user: str | None = None
    api_password: str | None = field(default=None, repr=False)
    api_token_id: str | None = None
    api_token_secret: str | None = field(default=None, repr=False)
    validate_certs: bool = True
    ca_path: str | None = None
    tls_fingerprint: str | None = None
    node: str = ""
    datastore: str | None = None
    pool: str | None = None
    network: str | None = None
    ssh_user: str | None = None  # set: commands on the node itself are allowed
    ssh_port: int = 22
    ssh_key_path: str | None = None
    ssh_known_hosts_path: str | None = None
    winrm_transport: str = "ntlm"
    winrm_scheme: str = "https"
    winrm_cert_path: str | None = None
    winrm_key_path: str | None = None
    winrm_kerberos_host: str | None = None  # where the service principal names another host than api_host
    replica_server: str | None = None  # a host's own DNS name as a replica server, where that is not ``node``
    replica_thumbprint: str | None = None  # of the certificate that it replicates with
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSpec:
    name: str
    provider: str
    production: EndpointSpec
    replica: EndpointSpec
    isolated_networks: tuple[str, ...] = ()


class GuestOutcome(StrEnum):
    """How a wait for a guest ended."""

    ALIVE = "alive"
    CRASHED = "crashed"
    POWERED_OFF = "powered_off"
    BLOCKED = "blocked"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestWait:
    outcome: GuestOutcome
    took_s: float
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """What a VM was before this run touched it, from the first intents in the journal; undo restores it."""

    nics: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)  # key -> {is_connected, starts_connected}
    power: str | None = None
    has_autostart: bool | None = None
    has_ha: bool | None = None
    host: str | None = None
    datastores: tuple[str, ...] = ()
    current_point: str | None = None


class Reader(t.Protocol):
    """One open site of any provider, as far as a fleet scan needs it."""

    name: str
    provider: str

    def read(self, deep: Container[str] = ()) -> SiteReading:
        """Read hosts and VMs of both ends; an end that does not answer becomes a reading with ``error``.

        The VMs named in ``deep`` (name or id) come with their NICs and guests where a bulk read does not bring them.
        """

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What one host of a site answered, word for word. ``vms``: names and ids of those recorded; ``error``: why it ended early."""

    site: str
    end: str  # production | replica
    error: str
    vms: tuple[str, ...]
    body: Mapping[str, t.Any]


class Recorder(t.Protocol):
    """A provider that can write down what its hosts answer, for its twin to be held against. Changes nothing."""

    def record(self, vms: Collection[str], *, is_masked: bool, asks_what_if: bool) -> Sequence[Transcript]:
        """Record all ends; of the VMs named (name or id), or of all when none is. A host that does not answer is an ``error``."""

    def close(self) -> None: ...


class Site(Reader, t.Protocol):
    """One open site of any provider. Reads give our model; acts are lists of Steps for ``run_steps``.

    Every method raises SiteUnreachable when an endpoint does not answer (``read`` does not: it says so in the reading)
    and ProviderFault for the vendor's errors.
    """

    drives_replication: bool  # the platform's own jobs: a promotion stops them itself

    # reads
    def refresh(self, vm: Vm) -> Vm:
        """Read one copy again, with ``has_autostart`` and ``has_ha``."""

    def events(self, vm: Vm, since_s: float) -> tuple[Event, ...]:
        """Events of one VM, oldest first; empty where the platform keeps none."""

    def last_events(self, vm: Vm, limit: int = 10) -> tuple[Event, ...]: ...

    def refusals(self) -> Mapping[str, str]:
        """Operations this platform or edition cannot do, each with the reason: {"migrate": "standalone ESXi ..."}."""

    def ways(self, pair: Pair, point: RecoveryPoint) -> tuple[Way, ...]:
        """Ways to make the replica serve at this point, best first as far as the platform itself can tell."""

    def replication(self, pair: Pair) -> Replication | None:
        """The replication that the platform itself runs for this VM; None where another product does, or there is none."""

    def screenshot(self, vm: Vm) -> bytes | None:
        """The guest's screen as a PNG; None where the platform gives no picture to an account like ours."""

    def await_guest(self, vm: Vm, *, within_s: float, since_s: float) -> GuestWait:
        """Wait until the guest is seen alive, crashed (an event newer than ``since_s``), off, or time is up."""

    # acts
    def power_on(self, vm: Vm) -> Sequence[Step]: ...

    def power_off(self, vm: Vm, *, guest_within_s: float) -> Sequence[Step]:
        """Guest shutdown first (0 = not at all), then hard power off."""

    def reset(self, vm: Vm, *, attempt: int, run_id: str) -> Sequence[Step]: ...

    def fence(self, vm: Vm, *, run_id: str, guest_within_s: float = ..., off_within_s: float = ...) -> Sequence[Step]:
        """Power off, NICs not (starting) connected, autostart and HA off, stamped; each read back."""

    def unfence(self, vm: Vm, former: Former) -> Sequence[Step]:
        """Restore NICs, autostart and HA as they were and take the stamp off; power is left to ``power_on``."""

    def promote(
        self,
        pair: Pair,
        point: RecoveryPoint,
        *,
        way: str,
        run_id: str,
        guest_within_s: float,
        promoted_id: str = "",
    ) -> Iterable[Step]:
        """Stop the platform's own replication, go to the chosen point, stamp, isolate, power on, guest alive, connect NICs.

        ``promoted_id`` is the id that a person wants for a VM that is made; "" leaves it to the platform.
        """

    def undo_promotion(self, pair: Pair, former: Former, *, run_id: str) -> Iterable[Step]:
        """Power off, back to the protective point, remove it, stamps off: the exact former state."""

    def commit(self, pair: Pair, *, run_id: str) -> Iterable[Step]:
        """Make the promotion permanent: only here may our own protective point go."""

    def migrate(self, vm: Vm, *, to: str, mode: str, run_id: str, within_s: float = ...) -> Iterable[Step]:
        """Move the VM to ``to`` = "production" | "replica" end; mode "live" | "cold"."""

    def end_migration(self, vm: Vm, *, run_id: str, phase: str) -> Iterable[Step]:
        """Stamp the phase reached ("failover" or "failback")."""

    def set_replication(
        self, pair: Pair, *, state: str, run_id: str, is_loss_accepted: bool, within_s: float = ...
    ) -> Iterable[Step]:
        """Bring the platform's own replication into a state: "enabled", "disabled", "synced" (now) or "reversed".

        Reversed sends the data of the promoted copy to the other node. Where that overwrites the original's disks it is
        refused unless ``is_loss_accepted``.
        """

    def close(self) -> None: ...


# --- journal ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    vm_key: str
    owner: Owner
    expires_at_s: float
    is_ours: bool
    taken_over_from: Owner | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the journal. ``seq`` counts from 1; ``hash`` chains over all records of the journal."""

    seq: int
    at_s: float
    vm_key: str
    run_id: str
    kind: str
    body: Mapping[str, t.Any]
    hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    value: t.Any  # JSON
    first_at_s: float
    last_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainReport:
    is_intact: bool
    records: int
    broken_at_seq: int | None = None
    why: str | None = None


class Journal(t.Protocol):
    """Append-only records, leases, observations. All methods raise JournalFault (what/why/next).

    ``vm_key`` is "<site name>/<dr_vm>".
    """

    def append(self, vm_key: str, run_id: str, kind: str, body: Mapping[str, t.Any]) -> Record: ...

    def records(
        self,
        *,
        vm_key: str | None = None,
        run_id: str | None = None,
        kinds: Sequence[str] = (),
        limit: int | None = None,
    ) -> Sequence[Record]:
        """Oldest first; with ``limit`` the newest so many, still oldest first."""

    def acquire(self, vm_key: str, owner: Owner, *, lease_s: float = 60.0) -> Lease:
        """Take or renew the lease. ``is_ours`` false: held by the owner shown, until ``expires_at_s``.

        On the same host and boot a lease whose controller and worker are both gone is taken over at once, and journalled
        as a record of kind "lease_taken_over".
        """

    def release(self, vm_key: str, owner: Owner) -> None: ...

    def lease(self, vm_key: str) -> Lease | None:
        """Who holds it now; None when free, expired, or its holder on this host is gone."""

    def observe(self, key: str, name: str, value: t.Any, *, at_s: float) -> Observation:
        """Note a value: ``first_at_s`` stays while the value is equal to the last one, ``last_at_s`` moves on."""

    def observation(self, key: str, name: str) -> Observation | None: ...

    def verify(self) -> ChainReport: ...

    def close(self) -> None: ...
