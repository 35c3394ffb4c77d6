# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults to come: which call is struck, how often, and by what."""

from __future__ import annotations

import fnmatch
import itertools
import threading
import typing as t
from dataclasses import asdict, dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.vsphere.soap import Call

CHANGING = "@changing"  # as a method: every call that changes something

ACTIONS = {
    "fault": "answer with a vim fault; no effect",
    "delay": "wait `seconds`, then go on",
    "hold": "never answer; no effect",
    "hold_after": "the effect happens, the answer never comes",
    "drop_before": "cut the connection; no effect",
    "drop_after": "the effect happens, then the connection is cut",
    "slow_task": "the task runs for `seconds`, then the effect happens and it succeeds",
    "failing_task": "the task runs for `seconds`, then fails with `fault`; no effect, or with `effect: true` the effect too",
    "endless_task": "the task runs for ever; no effect",
    "session_lost": "the caller's session is gone: NotAuthenticated, until it logs in again; no effect",
    "die_before": "the endpoint dies (for `seconds`, 0 = until endpoint_up); no effect",
    "die_after": "the effect happens, then the endpoint dies (for `seconds`, 0 = until endpoint_up)",
}


@dataclass(slots=True, kw_only=True)
class Rule:
    """Strike calls of one method. ``nth`` 1 is the next matching call; ``count`` None: for ever."""

    method: str  # with * and ?, several parted by |, or @changing
    action: str
    nth: int = 1
    count: int | None = 1
    moid: str | None = None
    seconds: float = 0.0
    fault: str = "SystemError"
    text: str = "a fault of the lab"
    details: dict[str, str] = field(default_factory=dict)
    effect: bool = False
    id: int = 0
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"unknown action {self.action!r}; there are {', '.join(ACTIONS)}")
        if self.nth < 1:
            raise ValueError(f"nth counts from 1, not {self.nth}")

    def fits(self, call: Call) -> bool:
        if self.moid is not None and self.moid != call.moid:
            return False
        if self.method == CHANGING:
            return call.changes
        return any(fnmatch.fnmatchcase(call.method, pattern) for pattern in self.method.split("|"))


class Rules:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._rules: list[Rule] = []
        self.released = threading.Event()  # set: whoever is held is let go

    def add(self, rule: Rule) -> int:
        with self._lock:
            rule.id = next(self._ids)
            self._rules.append(rule)
            return rule.id

    def clear(self, rule_id: int | None = None) -> None:
        """Forget one rule, or all; calls that are being held are let go with a cut connection."""
        with self._lock:
            self._rules = [r for r in self._rules if rule_id is not None and r.id != rule_id]
            self.released.set()
            self.released = threading.Event()

    def strike(self, call: Call) -> Rule | None:
        """The rule that this call falls under, counted."""
        with self._lock:
            for rule in self._rules:
                if not rule.fits(call) or (rule.count is not None and rule.struck >= rule.count):
                    continue
                rule.seen += 1
                if rule.seen >= rule.nth:
                    rule.struck += 1
                    return rule
            return None

    def rows(self) -> list[dict[str, t.Any]]:
        with self._lock:
            return [asdict(rule) for rule in self._rules]
