# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fault plan of a host's WinRM door, as data: which call is struck, how often, and by what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.extensions.twin.plan import (
    BadFault,
    Plan,
    Planned,
    Row,
    check_pattern,
    read_row,
)

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


@dataclass(frozen=True, slots=True)
class Seen:
    """What a fault is matched with."""

    call: str
    host: str
    user: str = ""
    script: str = ""  # the command line and what has come on stdin so far


@dataclass(slots=True, kw_only=True)
class Fault(Planned):
    """One row of the plan.

    With drop, hold and error *after* a Receive, or after the Send that ends the input, the process has come to its end
    before the client notices anything.
    """

    call: str = "*"  # one of CALLS, Send|Receive, or * for every call but Connect and Authenticate
    host: str = ""
    user: str = ""
    script: str = ""  # a regular expression, searched in the command line and its input
    seconds: float = 0.0
    status: int = 503
    code: int = 2150858752
    subcode: str = "w:InternalError"
    text: str = "a fault of the lab"

    def fits(self, call: Seen) -> bool:
        if (self.host and self.host != call.host) or (self.user and self.user != call.user):
            return False
        if (call.call in _EARLY) if self.call == "*" else (call.call not in self.call.split("|")):
            return False
        return not self.script or re.search(self.script, call.script) is not None


def read_fault(row: Row) -> Fault:
    """Check one row of a plan."""
    given = {"call": "Connect", **row} if row.get("action") == "refuse" else row
    fault = read_row(Fault, given, ACTIONS, _MATCH, _EXTRA)
    action = fault.action
    named = [] if fault.call == "*" else fault.call.split("|")
    if unknown := sorted(set(named) - set(CALLS)):
        raise BadFault(f"{action}: no call {', '.join(unknown)}; there are {', '.join(CALLS)}")
    for early, taken in _EARLY.items():
        if early in named and action not in taken:
            raise BadFault(f"{action} cannot strike {early}, which takes {', '.join(taken)}")
    if action == "refuse" and named != ["Connect"]:
        raise BadFault(f"refuse strikes Connect alone, not {fault.call}")
    check_pattern(action, fault.script)
    return fault


class Faults(Plan[Fault, Seen]):
    """The plan of one host, or of many that share it. A call that is held when its fault is forgotten is cut."""

    def __init__(self) -> None:
        super().__init__(read_fault)
