# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of the wire in ours: instants, ids, enums by their English names."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Sequence
from datetime import UTC, datetime

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, Heartbeat, Power, Tools

Row: t.TypeAlias = "dict[str, t.Any]"

# Enums by name: VMState, the others in facts of Microsoft's stubs. What is not here is not known.
POWER = {
    "Running": Power.ON,
    "RunningCritical": Power.ON,
    "Starting": Power.ON,
    "Stopping": Power.ON,
    "Reset": Power.ON,
    "Resuming": Power.ON,
    "Pausing": Power.ON,
    "Saving": Power.ON,
    "FastSaving": Power.ON,
    "ForceShutdown": Power.ON,
    "ForceReboot": Power.ON,
    "Paused": Power.SUSPENDED,
    "PausedCritical": Power.SUSPENDED,
    "Saved": Power.SUSPENDED,
    "FastSaved": Power.SUSPENDED,
    "SavedCritical": Power.SUSPENDED,
    "FastSavedCritical": Power.SUSPENDED,
    "Off": Power.OFF,
    "OffCritical": Power.OFF,
}
HEARTBEAT = {
    "OkApplicationsHealthy": (Heartbeat.GREEN, Tools.RUNNING),
    "OkApplicationsUnknown": (Heartbeat.GREEN, Tools.RUNNING),  # all that a Linux guest ever says
    "OkApplicationsCritical": (Heartbeat.YELLOW, Tools.RUNNING),
    "Error": (Heartbeat.RED, Tools.RUNNING),
    "LostCommunication": (Heartbeat.RED, Tools.RUNNING),
    "NoContact": (Heartbeat.RED, Tools.NOT_RUNNING),
    "Disabled": (Heartbeat.GREY, Tools.NOT_INSTALLED),
}
NO_HEARTBEAT_S = 20.0  # a guest without the integration service counts as up when it ran so long
REPLICA_ID = "replica:"  # before the GUID that a replica shares with its original: the line of data that it is
# SnapshotType's names for recovery points: the plain ones, those made with VSS, and that of a planned failover
POINT_TYPES = ("Replica", "AppConsistentReplica", "SyncedReplica")
FAILED_OVER = frozenset({"FailedOver", "FailedOverWaitingCompletion"})  # states of a replication
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NEVER = datetime(1980, 1, 1, tzinfo=UTC).timestamp()  # .NET's first day stands for never


def to_instant(text: t.Any) -> float | None:
    """Read an instant of .NET's format 'o' (seven digits of a second); None for never."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?", str(text or "").strip())
    if found is None:
        return None
    base = datetime.fromisoformat(found[1] + (found[3] or "Z").replace("Z", "+00:00")).timestamp()
    at_s = base + float(found[2] or 0.0)
    return at_s if at_s > _NEVER else None


def from_instant(at_s: float) -> str:
    """Write an instant as PowerShell casts it to a [datetime]."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_guid(text: t.Any) -> str:
    """Return an id in the one form that we compare: lower case, no braces; "" where it is none."""
    plain = str(text or "").strip().strip("{}").lower()
    return plain if _GUID.fullmatch(plain) else ""


def to_power(state: str) -> Power:
    return POWER.get(state, Power.UNKNOWN)


def to_connection(state: str, status: Sequence[str]) -> Connection:
    """A VM whose files cannot be read shows a critical state, or none of the known ones."""
    is_lost = state.endswith("Critical") or "CriticalIoError" in status or "StorageCritical" in status
    return Connection.INACCESSIBLE if is_lost else Connection.CONNECTED


def to_heartbeat(name: str) -> tuple[Heartbeat, Tools]:
    return HEARTBEAT.get(name, (Heartbeat.GREY, Tools.UNKNOWN))


def is_alive(heartbeat: str, uptime_s: float) -> bool:
    """Tell whether a running guest counts as up. Where nothing in it can say so, it does when it ran for a while: only a check
    of the service can tell more."""
    light, tools = to_heartbeat(heartbeat)
    if light in (Heartbeat.GREEN, Heartbeat.YELLOW):
        return True
    return tools in (Tools.NOT_INSTALLED, Tools.UNKNOWN) and uptime_s >= NO_HEARTBEAT_S


def rows(value: t.Any) -> list[Row]:
    """Return a list of objects; PowerShell 5.1 may have made one object, or nothing, of it."""
    if isinstance(value, dict):
        return [value] if value else []
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def words(value: t.Any) -> tuple[str, ...]:
    """Return a list of strings, in the same way; of nothing at all a pipeline may have made one that is empty."""
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(str(one) for one in value if one not in (None, "")) if isinstance(value, list) else ()


def whole(value: t.Any) -> int:
    if isinstance(value, (int, float)):
        return int(value)
    return int(value) if isinstance(value, str) and value.lstrip("-").isdecimal() else 0


def to_thumbprint(text: str) -> str:
    """Return a certificate's thumbprint in Windows' form; its dialog shows blanks, and a mark before it that nobody sees."""
    return re.sub("[^0-9A-F]", "", text.upper())


def admits(entry: str, server: str) -> bool:
    """Tell whether an authorization entry lets a primary server in, by its full name."""
    wanted, name = entry.strip().lower(), server.strip().lower()
    return wanted in ("*", name) or (wanted.startswith("*.") and name.endswith(wanted[1:]))


def is_same(one: str, other: str) -> bool:
    """Tell whether two names of a switch are one: Windows does not mind their case."""
    return one.casefold() == other.casefold()


def same_name(one: str, other: str) -> bool:
    """Tell whether two names are one host's: of a computer name and a DNS name, the first label counts."""
    left, right = one.strip().rstrip(".").lower(), other.strip().rstrip(".").lower()
    if not left or not right:
        return False
    if "." in left and "." in right:
        return left == right
    return left.partition(".")[0] == right.partition(".")[0]
