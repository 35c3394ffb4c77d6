# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fault plan of a host's WinRM door, as data: which call is struck, how often, and by what."""

from __future__ import annotations

import itertools
import re
import threading
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

CALLS = ("Connect", "Authenticate", "Create", "Command", "Send", "Receive", "Signal", "Delete", "Get")

ACTIONS = {
    "latency": "wait `seconds`, then go on",
    "refuse": "reset the connection at its first byte; the call is Connect (for a port that refuses, shut the server)",
    "error_before": "answer the HTTP `status`, without a word of SOAP; no effect",
    "error_after": "the effect happens, then answer the HTTP `status`",
    "drop_before": "cut the connection; no effect",
    "drop_after": "the effect happens, then the connection is cut",
    "hold_before": "never answer; no effect",
    "hold_after": "the effect happens, the answer never comes",
    "quota": "the fault that a client gets at its operations' quota (0x803381A6, as a WMI error); no effect",
    "fault": "a WSManFault with `code`, `subcode` and `text`; no effect",
}
_MATCH = {"action", "call", "host", "user", "script", "nth", "count"}
_EXTRA: Mapping[str, set[str]] = {
    "latency": {"seconds"},
    "error_before": {"status"},
    "error_after": {"status"},
    "fault": {"code", "subcode", "text"},
}
# before anybody has proven who it is: a connection that is made, a request that only proves
_EARLY = {
    "Connect": ("latency", "refuse", "drop_before", "hold_before"),
    "Authenticate": ("latency", "error_before", "drop_before", "hold_before"),
}


class CutConnection(OSError):
    """The client's connection is cut instead of an answer."""


class BadFault(ValueError):
    """A fault plan that cannot be meant; the message says what may be said."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a fault is matched with."""

    call: str
    host: str
    user: str = ""
    script: str = ""  # the command line and what has come on stdin so far


@dataclass(slots=True, kw_only=True)
class Fault:
    """``nth`` 1 is the next matching call; ``count`` 0: for ever.

    With drop, hold and error *after* a Receive, or after the Send that ends the input, the process has come to its end
    before the client notices anything.
    """

    action: str
    call: str = "*"  # one of CALLS, Send|Receive, or * for every call but Connect and Authenticate
    host: str = ""
    user: str = ""
    script: str = ""  # a regular expression, searched in the command line and its input
    nth: int = 1
    count: int = 1
    seconds: float = 0.0
    status: int = 503
    code: int = 2150858752
    subcode: str = "w:InternalError"
    text: str = "a fault of the lab"
    id: int = 0
    seen: int = 0
    struck: int = 0

    def fits(self, call: Seen) -> bool:
        if (self.host and self.host != call.host) or (self.user and self.user != call.user):
            return False
        if (call.call in _EARLY) if self.call == "*" else (call.call not in self.call.split("|")):
            return False
        return not self.script or re.search(self.script, call.script) is not None


def read_fault(row: Mapping[str, t.Any]) -> Fault:
    """Check one row of a plan."""
    action = row.get("action")
    if not isinstance(action, str) or action not in ACTIONS:
        raise BadFault(f"unknown action {action!r}; there are {', '.join(ACTIONS)}")
    allowed = _MATCH | _EXTRA.get(action, set())
    if unknown := sorted(set(row) - allowed):
        raise BadFault(f"{action} does not know {', '.join(unknown)}; it takes {', '.join(sorted(allowed))}")
    kinds: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}
    for spec in fields(Fault):
        value = row.get(spec.name)
        if value is not None and (not isinstance(value, kinds[str(spec.type)]) or isinstance(value, bool)):
            raise BadFault(f"{action}: {spec.name} must be {spec.type}, not {value!r}")
    fault = Fault(**({"call": "Connect"} if action == "refuse" else {}) | dict(row))
    if fault.nth < 1 or fault.count < 0:
        raise BadFault(f"{action}: nth counts from 1, and count 0 means for ever; not {fault.nth} and {fault.count}")
    named = [] if fault.call == "*" else fault.call.split("|")
    if unknown := sorted(set(named) - set(CALLS)):
        raise BadFault(f"{action}: no call {', '.join(unknown)}; there are {', '.join(CALLS)}")
    for early, taken in _EARLY.items():
        if early in named and action not in taken:
            raise BadFault(f"{action} cannot strike {early}, which takes {', '.join(taken)}")
    if action == "refuse" and named != ["Connect"]:
        raise BadFault(f"refuse strikes Connect alone, not {fault.call}")
    try:
        re.compile(fault.script)
    except re.error as bad:
        raise BadFault(f"{action}: {fault.script!r} is no regular expression: {bad}") from None
    return fault


class Faults:
    """The plan of one host, or of many that share it. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._faults: list[Fault] = []

    def load(self, plan: Iterable[Mapping[str, t.Any]]) -> list[int]:
        """Add a whole plan, or none of it."""
        return [self._add(fault) for fault in [read_fault(row) for row in plan]]

    def add(self, **row: t.Any) -> int:
        return self._add(read_fault(row))

    def clear(self, fault_id: int = 0) -> None:
        """Forget one fault, or all. Calls that are held are let go: their connections are cut."""
        with self._lock:
            self._faults = [f for f in self._faults if fault_id and f.id != fault_id]

    def rows(self) -> list[dict[str, t.Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def strike(self, call: Seen) -> list[Fault]:
        """The faults that this call falls under, counted."""
        if not self._faults:
            return []
        with self._lock:
            return [fault for fault in self._faults if self._strikes(fault, call)]

    def is_kept(self, fault: Fault) -> bool:
        with self._lock:
            return any(kept is fault for kept in self._faults)

    @staticmethod
    def _strikes(fault: Fault, call: Seen) -> bool:
        if (fault.count and fault.struck >= fault.count) or not fault.fits(call):
            return False
        fault.seen += 1
        if fault.seen < fault.nth:
            return False
        fault.struck += 1
        return True

    def _add(self, fault: Fault) -> int:
        with self._lock:
            fault.id = next(self._ids)
            self._faults.append(fault)
        return fault.id
