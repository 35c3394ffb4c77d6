# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fault plan as data, whatever the platform: how its rows are checked, counted and forgotten."""

from __future__ import annotations

import itertools
import re
import threading
import typing as t
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields

from ansible_collections.ferragosto.dr.extensions.twin.inventory import BadInventory

_KINDS: Mapping[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


class BadFault(ValueError):
    """A fault plan that cannot be meant; the message says what may be said."""


@dataclass(slots=True, kw_only=True)
class Planned(ABC):
    """``nth`` 1 is the next matching call; ``count`` 0: for ever."""

    action: str
    nth: int = 1
    count: int = 1
    id: int = 0
    seen: int = 0
    struck: int = 0

    @abstractmethod
    def fits(self, call: t.Any) -> bool:
        """Whether a call is of the kind that this strikes."""

    def strikes(self, call: t.Any) -> bool:
        """Count a call; whether it is struck."""
        if (self.count and self.struck >= self.count) or not self.fits(call):
            return False
        self.seen += 1
        if self.seen < self.nth:
            return False
        self.struck += 1
        return True


Row: t.TypeAlias = Mapping[str, t.Any]
F = t.TypeVar("F", bound=Planned)
S = t.TypeVar("S")


def read_row(kind: type[F], row: Row, actions: Mapping[str, str], match: set[str], extra: Mapping[str, set[str]]) -> F:
    """Check one row of a plan: ``match`` are the words that every action takes, ``extra`` those of single ones."""
    action = row.get("action")
    if not isinstance(action, str) or action not in actions:
        raise BadFault(f"unknown action {action!r}; there are {', '.join(actions)}")
    allowed = match | extra.get(action, set())
    if unknown := sorted(set(row) - allowed):
        raise BadFault(f"{action} does not know {', '.join(unknown)}; it takes {', '.join(sorted(allowed))}")
    for spec in fields(kind):
        value = row.get(spec.name)
        is_stray_bool = isinstance(value, bool) and spec.type != "bool"
        if value is not None and (is_stray_bool or not isinstance(value, _KINDS[str(spec.type)])):
            raise BadFault(f"{action}: {spec.name} must be {spec.type}, not {value!r}")
    fault = kind(**row)
    if fault.nth < 1 or fault.count < 0:
        raise BadFault(f"{action}: nth counts from 1, and count 0 means for ever; not {fault.nth} and {fault.count}")
    return fault


def check_pattern(action: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as bad:
        raise BadFault(f"{action}: {pattern!r} is no regular expression: {bad}") from None


def rows_of(given: t.Any, place: str, read: Callable[[Row], object], example: str) -> tuple[dict[str, t.Any], ...]:
    """Take a plan from a lab file. Refuses with BadInventory."""
    rows = given or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInventory(f"{place} is {given!r}: write a list of mappings such as {example}")
    try:
        for row in rows:
            read(row)
    except BadFault as bad:
        raise BadInventory(f"{place}: {bad}") from None
    return tuple(rows)


class Plan(t.Generic[F, S]):
    """The faults in force. Its methods may be called from any thread."""

    def __init__(self, read: Callable[[Row], F]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._faults: list[F] = []

    def load(self, plan: Iterable[Row]) -> list[int]:
        """Add a whole plan, or none of it."""
        return [self._add(fault) for fault in [self._read(row) for row in plan]]

    def add(self, **row: t.Any) -> int:
        return self._add(self._read(row))

    def clear(self, fault_id: int = 0) -> None:
        """Forget one fault, or all. Calls that are held are let go; what has happened to the site stays."""
        with self._lock:
            self._faults = [f for f in self._faults if fault_id and f.id != fault_id]

    def rows(self) -> list[dict[str, t.Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def strike(self, call: S) -> list[F]:
        """The faults that this call falls under, counted."""
        if not self._faults:
            return []
        with self._lock:
            return [fault for fault in self._faults if fault.strikes(call)]

    def is_kept(self, fault: F) -> bool:
        with self._lock:
            return any(kept is fault for kept in self._faults)

    def _add(self, fault: F) -> int:
        with self._lock:
            fault.id = next(self._ids)
            self._faults.append(fault)
        return fault.id
