# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fault plan of a Proxmox twin, as data: which call is struck, how often, and by what."""

from __future__ import annotations

import fnmatch
import itertools
import re
import threading
import typing as t
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

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


class BadFault(ValueError):
    """A fault plan that cannot be meant; the message says what may be said."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """``nth`` 1 is the next matching call; ``count`` 0: for ever."""

    action: str
    method: str = "*"  # GET, POST|PUT, @changing
    path: str = "*"  # a template ("/nodes/{node}/qemu/{vmid}/clone") or a path, with * and ?
    regex: str = ""  # of the whole path, instead
    node: str = ""
    vmid: int = 0
    nth: int = 1
    count: int = 1
    seconds: float = 0.0
    status: int = 500
    text: str = "a fault of the lab"
    target: str = ""
    effect: bool = False
    moment: str = "after"  # of the call, for what happens to the site: before, after
    id: int = 0
    seen: int = 0
    struck: int = 0

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


def read_fault(row: Mapping[str, t.Any]) -> Fault:
    """Check one row of a plan."""
    action = row.get("action")
    if not isinstance(action, str) or action not in ACTIONS:
        raise BadFault(f"unknown action {action!r}; there are {', '.join(ACTIONS)}")
    allowed = _MATCH | _EXTRA.get(action, set())
    if unknown := sorted(set(row) - allowed):
        raise BadFault(f"{action} does not know {', '.join(unknown)}; it takes {', '.join(sorted(allowed))}")
    kinds: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}
    for spec in fields(Fault):
        value = row.get(spec.name)
        wanted = kinds[str(spec.type)]
        if value is not None and (not isinstance(value, wanted) or (spec.type != "bool" and isinstance(value, bool))):
            raise BadFault(f"{action}: {spec.name} must be {spec.type}, not {value!r}")
    fault = Fault(**row)
    if fault.nth < 1 or fault.count < 0:
        raise BadFault(f"{action}: nth counts from 1, and count 0 means for ever; not {fault.nth} and {fault.count}")
    if fault.moment not in ("before", "after"):
        raise BadFault(f"{action}: moment is before or after, not {fault.moment!r}")
    needs_target = action not in ("lost_quorum", "stuck_task", "failing_task") or (
        fault.is_at_once and action != "lost_quorum"
    )
    if "target" in allowed and not fault.target and needs_target:
        raise BadFault(f"{action} wants a target: {ACTIONS[action]}")
    try:
        re.compile(fault.regex)
    except re.error as bad:
        raise BadFault(f"{action}: {fault.regex!r} is no regular expression: {bad}") from None
    return fault


class Faults:
    """The plan of one twin. Its methods may be called from any thread."""

    def __init__(self, datacenters: Sequence[Datacenter]) -> None:
        self.site = Happenings(datacenters)
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._faults: list[Fault] = []
        self.changed: t.Callable[[], None] = lambda: None  # called when a fault struck the site at once

    def load(self, plan: Iterable[Mapping[str, t.Any]]) -> list[int]:
        """Add a whole plan, or none of it."""
        return [self._add(fault) for fault in [read_fault(row) for row in plan]]

    def add(self, **row: t.Any) -> int:
        return self._add(read_fault(row))

    def clear(self, fault_id: int = 0) -> None:
        """Forget one fault, or all. What happened to the site stays."""
        with self._lock:
            self._faults = [f for f in self._faults if fault_id and f.id != fault_id]

    def rows(self) -> list[dict[str, t.Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def move_to(self, datacenters: Sequence[Datacenter]) -> None:
        self.site = Happenings(datacenters)
        self.clear()

    def strike(self, call: Seen) -> list[Fault]:
        """The faults that this call falls under, counted."""
        if not self._faults:
            return []
        with self._lock:
            return [fault for fault in self._faults if self._strikes(fault, call)]

    def is_kept(self, fault: Fault) -> bool:
        with self._lock:
            return fault in self._faults

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
            if not fault.is_at_once:
                self._faults.append(fault)
        if fault.is_at_once:
            self.site.happen(fault)
            self.changed()
        return fault.id
