# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rules conclude: the values that travel from diagnosis to decision to card. Only data; the rules live beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Event, RecoveryPoint


class Verdict(StrEnum):
    """How one VM fares (semantics.md, "Diagnosis")."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    BOOTING = "booting"
    HUNG = "hung"
    CRASHED = "crashed"
    CRASH_LOOP = "crash_loop"
    POWERED_OFF = "powered_off"
    BLOCKED = "blocked"
    UNREACHABLE = "unreachable"
    GUEST_TOOLS_MISSING = "guest_tools_missing"


class Blast(StrEnum):
    NONE = "none"  # nothing is wrong with this VM
    VM = "vm"
    HOST = "host"
    STORAGE = "storage"
    SITE = "site"  # no hypervisor answers: network or site


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    text: str
    at_s: float | None = None  # when the fact is from; None: now


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    verdict: Verdict
    is_certain: bool
    reason: str
    evidence: tuple[Evidence, ...] = ()
    blast: Blast = Blast.NONE
    blast_reason: str = ""
    by_whom: str = ""  # powered_off: "person NAME", "guest", "host", "" = unknown
    fault_at_s: float | None = None  # T0, best estimate
    last_change: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What promoting one recovery point would lose: everything written after it."""

    point: RecoveryPoint
    age_s: float  # now - point
    lost_s: float  # fault (or now) - point
    is_within_rpo: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    is_enough: bool
    reason: str
    needed_bytes: int = 0
    free_bytes: int = 0


class ProofKind(StrEnum):
    SEEN_OFF = "seen_off"
    NICS_DISCONNECTED = "nics_disconnected"
    HOST_DEAD = "host_dead"  # by a second, independent witness
    ACCEPTED = "accepted"  # a person took the risk; never proof, but consent in the journal


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceProof:
    kind: ProofKind
    detail: str


class WitnessSays(StrEnum):
    OFF = "off"  # a positive statement that the machine has no power
    ALIVE = "alive"  # something of it answered
    SILENT = "silent"  # no answer: proves nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What one independent probe says of the production host: ``name`` like "redfish bmc1.luca.example"."""

    name: str
    says: WitnessSays
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check of the service. ``copy`` and ``host`` tell who answered, where the answer shows it."""

    check: str  # "http http://gestionale.luca.example/health"
    kind: str  # "tcp" | "http"
    is_ok: bool
    detail: str
    took_s: float = 0.0
    copy: str | None = None
    answer: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReading:
    """``answers`` is None when no check is declared: then nothing but the guest can vouch for the VM."""

    answers: bool | None
    reason: str
    checks: tuple[CheckResult, ...] = ()


class Action(StrEnum):
    NOTHING = "nothing"
    RESTART = "restart"
    PROMOTE = "promote"
    WAIT = "wait"
    CALL_A_PERSON = "call_a_person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One thing that could be done, with how long it would take and why it is or is not allowed."""

    action: Action
    is_allowed: bool
    reason: str
    next: str = ""  # when refused: what would make it allowed
    predicted_s: float | None = None
    predicted_from: str = ""  # "median of 3 earlier runs", "no earlier run: policy deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Go or refuse. ``steps`` are the parts of the recovery to run, in order, out of STEPS in decide.py."""

    is_go: bool
    action: Action
    outcome: str  # "" when go; "healthy" or "refused" otherwise
    reason: str
    next: str = ""
    steps: tuple[str, ...] = ()
    moves: tuple[Move, ...] = ()
