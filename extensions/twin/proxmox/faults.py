# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fault plan of a Proxmox twin, as data: which call is struck, how often, and by what."""

from __future__ import annotations

import fnmatch
import re
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.extensions.twin.plan import (
    BadFault,
    Plan,
    Planned,
    Row,
    check_pattern,
    read_row,
)
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.happenings import Happenings

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

CHANGING = "@changing"  # as a method: every call that changes something

# What happens to the call itself.
OF_CALLS = {
    "latency": "wait `seconds`, then go on",
    "error_before": "answer `status` and `text`; no effect",
    "error_after": "the effect happens, then answer `status` and `text` (595 and 596 are what a proxying node says)",
    "drop_before": "cut the connection; no effect",
    "drop_after": "the effect happens, then the connection is cut",
    "hold_before": "never answer; no effect",
    "hold_after": "the effect happens, the answer never comes",
    "session_expiry": "every ticket given out so far is invalid from now on",
}
# What happens to the site: when a matching call comes, or at once when the fault names no method and no path.
OF_SITES = {
    "dead_node": "node `target` loses its power",
    "isolated_node": "node `target` loses its network; its guests live on",
    "lost_quorum": "node `target` (or all) has no quorum any more",
    "host_return": "node `target` is back, with autostart",
    "stuck_task": "tasks of the type `target` (qmclone, qmclone:100) never go on; without a target, the task of the call",
    "failing_task": "tasks of the type `target`, or the task of the call, fail with `text`; `effect: true`: after their work",
    "full_storage": "storage `target` (tank, tank@pve2) has no room left",
    "dead_agent": "the guest agent of VM `target` does not answer",
    "clock_skew": "the clock of node `target` is `seconds` fast",
}
ACTIONS = {**OF_CALLS, **OF_SITES}
_MATCH = {"action", "method", "path", "regex", "node", "vmid", "nth", "count"}
_EXTRA: Mapping[str, set[str]] = {
    "latency": {"seconds"},
    "error_before": {"status", "text"},
    "error_after": {"status", "text"},
    "failing_task": {"target", "text", "effect", "moment"},
    "clock_skew": {"target", "seconds", "moment"},
    **{name: {"target", "moment"} for name in OF_SITES if name not in ("failing_task", "clock_skew")},
}


class CutConnection(Exception):
    """The client's connection is cut instead of an answer."""


@dataclass(slots=True, kw_only=True)
class Fault(Planned):
    """One row of the plan."""

    method: str = "*"  # GET, POST|PUT, @changing
    path: str = "*"  # a template ("/nodes/{node}/qemu/{vmid}/clone") or a path, with * and ?
    regex: str = ""  # of the whole path, instead
    node: str = ""
    vmid: int = 0
    seconds: float = 0.0
    status: int = 500
    text: str = "a fault of the lab"
    target: str = ""
    effect: bool = False
    moment: str = "after"  # of the call, for what happens to the site: before, after

    @property
    def is_at_once(self) -> bool:
        return self.action in OF_SITES and (self.method, self.path, self.regex) == ("*", "*", "")

    def fits(self, call: Seen) -> bool:
        if (self.node and self.node != call.node) or (self.vmid and self.vmid != call.vmid):
            return False
        if self.method == CHANGING:
            if not call.changes:
                return False
        elif self.method != "*" and call.method not in self.method.split("|"):
            return False
        if self.regex:
            return re.fullmatch(self.regex, call.path) is not None
        return self.path == call.template or any(fnmatch.fnmatchcase(p, self.path) for p in (call.path, call.template))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a fault is matched with."""

    method: str
    path: str
    template: str
    node: str = ""
    vmid: int = 0

    @property
    def changes(self) -> bool:
        return self.method != "GET" and self.template != "/access/ticket"


def read_fault(row: Row) -> Fault:
    """Check one row of a plan."""
    fault = read_row(Fault, row, ACTIONS, _MATCH, _EXTRA)
    action = fault.action
    if fault.moment not in ("before", "after"):
        raise BadFault(f"{action}: moment is before or after, not {fault.moment!r}")
    needs_target = action not in ("lost_quorum", "stuck_task", "failing_task") or (
        fault.is_at_once and action != "lost_quorum"
    )
    if "target" in _EXTRA.get(action, ()) and not fault.target and needs_target:
        raise BadFault(f"{action} wants a target: {ACTIONS[action]}")
    check_pattern(action, fault.regex)
    return fault


class Faults(Plan[Fault, Seen]):
    """The plan of one twin. What happened to the site stays when its fault is forgotten."""

    def __init__(self, datacenters: Sequence[Datacenter]) -> None:
        super().__init__(read_fault)
        self.site = Happenings(datacenters)
        self.changed: t.Callable[[], None] = lambda: None  # called when a fault struck the site at once

    def move_to(self, datacenters: Sequence[Datacenter]) -> None:
        self.site = Happenings(datacenters)
        self.clear()

    def _add(self, fault: Fault) -> int:
        if not fault.is_at_once:
            return super()._add(fault)
        with self._lock:
            fault.id = next(self._ids)
        self.site.happen(fault)
        self.changed()
        return fault.id
