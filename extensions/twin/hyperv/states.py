# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state table of Hyper-V Replica as data (states.json): which row a call meets, and what the row changes."""

from __future__ import annotations

import functools
import json
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine

_PATH = Path(__file__).with_name("states.json")


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a cmdlet refuses. ``id`` is the first half of the FullyQualifiedErrorId, ``message`` a key of messages.py."""

    id: str
    category: str
    message: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``when`` lists the values that each fact may have; a fact that it does not name may be anything."""

    name: str
    cmdlet: str
    switch: str
    when: Mapping[str, tuple[str, ...]]
    refusal: Refusal | None
    effect: str  # a method of effects.Effects, empty: the new states are all
    here: Mapping[str, str]  # mode and state of this side afterwards
    there: Mapping[str, str]
    source: str
    is_verified: bool  # a document or a field script says so; false: inferred, unverified on Windows

    def fits(self, facts: Mapping[str, str]) -> bool:
        return all(facts[fact] in allowed for fact, allowed in self.when.items())


@functools.cache
def rows() -> tuple[Row, ...]:
    """All rows, in the order in which they are tried."""
    table = json.loads(_PATH.read_text(encoding="utf-8"))
    refusals = {name: Refusal(**words) for name, words in table["refusals"].items()}
    found = []
    for call, entries in table["calls"].items():
        cmdlet, dummy, switch = call.partition(" -")
        for number, entry in enumerate(entries, start=1):
            found.append(
                Row(
                    name=f"{call} #{number}",
                    cmdlet=cmdlet,
                    switch=switch,
                    when={fact: tuple(values) for fact, values in entry.get("when", {}).items()},
                    refusal=refusals[entry["refuse"]] if "refuse" in entry else None,
                    effect=entry.get("effect", ""),
                    here=entry.get("here", {}),
                    there=entry.get("there", {}),
                    source=table["sources"][entry["source"]],
                    is_verified=entry.get("verified", True),
                )
            )
    return tuple(found)


@functools.cache
def of(cmdlet: str, switch: str) -> tuple[Row, ...]:
    """Give the rows of one call, in their order."""
    return tuple(row for row in rows() if (row.cmdlet, row.switch) == (cmdlet, switch))


def find(cmdlet: str, switch: str, facts: Mapping[str, str]) -> Row:
    """Give the first row that fits; the table ends every call with a row for the rest."""
    for row in of(cmdlet, switch):
        if row.fits(facts):
            return row
    raise LookupError(f"states.json has no row for {cmdlet} {switch} {dict(facts)}")


def unverified() -> list[Row]:
    """List the rows that rest on inference, for the documentation."""
    return [row for row in rows() if not row.is_verified]


def apply(fleet: Fleet, row: Row, machine: Machine, peer: Machine | None) -> None:
    """Bring both sides to the states that the row names; ``<word>`` is what the fleet was told to show."""
    for target, words in ((machine, row.here), (peer, row.there)):
        if target is None or target.endpoint is None:
            continue
        if "mode" in words:
            target.endpoint.mode = words["mode"]
        if "state" in words:
            state = words["state"]
            target.endpoint.state = str(getattr(fleet, state.strip("<>"))) if state.startswith("<") else state
