# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of states.json that a host's own answers to -WhatIf confirm or contradict.

A transcript shows only some of the facts that a row asks for: a row is certain, impossible or open then. What the host said confirms
a row when it is the only one left that says so, and contradicts the table when none does. That nothing was refused confirms that the
call is let through, not what it would have done.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import states
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import metadata

Row: t.TypeAlias = "dict[str, t.Any]"
# The scripts of a transcript that this is read from, by the names that they have in it.
SITE, TEST = "read the host", "look at the test failover"
WHAT_IF, CHECK = "ask the host what it would refuse", "ask the host whether it would fail over"
CALLS: Mapping[str, tuple[str, str]] = {
    "prepare": ("Start-VMFailover", "Prepare"),
    "test": ("Start-VMFailover", "AsTest"),
    "fail over": ("Start-VMFailover", ""),
    "cancel": ("Stop-VMFailover", ""),
    "reverse": ("Set-VMReplication", "Reverse"),
    "as replica": ("Set-VMReplication", "AsReplica"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a host said to one call. ``facts`` are those that the transcript shows, by the names of states.json."""

    cmdlet: str
    switch: str
    vm: str
    facts: Mapping[str, str]
    id: str = ""  # both empty: it was let through
    category: str = ""

    @property
    def outcome(self) -> str:
        return f"refused with {self.id} ({self.category})" if self.id or self.category else "let through"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``word``: confirms, contradicts or leaves open."""

    word: str
    rows: tuple[states.Row, ...]
    said: Said


def verdicts(answers: Sequence[Row]) -> Iterator[Verdict]:
    """Judge every answer to -WhatIf of one transcript."""
    for said in _all_said(answers):
        candidates = list(_candidates(said))
        agreeing = tuple(row for row in candidates if _agrees(row, said))
        if not agreeing:
            yield Verdict(word="contradicts", rows=tuple(candidates), said=said)
        else:
            yield Verdict(word="confirms" if len(agreeing) == 1 else "leaves open", rows=agreeing, said=said)


def expected(row: states.Row) -> str:
    """Say what a row expects."""
    return f"refused with {_id(row)} ({row.refusal.category})" if row.refusal is not None else "let through"


def _id(row: states.Row) -> str:
    cmdlet = metadata.find(row.cmdlet)
    short = row.refusal.id if row.refusal is not None else ""
    return f"{short},{cmdlet.error_class}" if cmdlet is not None else short


def _agrees(row: states.Row, said: Said) -> bool:
    if row.refusal is None:
        return not said.id and not said.category
    return (said.id, said.category) == (_id(row), row.refusal.category)


def _candidates(said: Said) -> Iterator[states.Row]:
    """Give the rows that may be the first to fit, up to the first that surely does."""
    for row in states.of(said.cmdlet, said.switch):
        known = {fact: said.facts[fact] in allowed for fact, allowed in row.when.items() if fact in said.facts}
        if all(known.values()):
            yield row
            if len(known) == len(row.when):
                return


# --- what the transcript shows ---------------------------------------------------------------------------------------


def _all_said(answers: Sequence[Row]) -> Iterator[Said]:
    entry = "missing"
    tests: dict[str, str] = {}
    for answer in answers:
        data = answer.get("data")
        if not isinstance(data, dict):
            continue
        guid = str((answer.get("parameters") or {}).get("id") or "")
        name = answer.get("script")
        if name == SITE:
            entry = _entry(data.get("server") or {})
        elif name == TEST:
            tests[guid] = "yes" if data.get("id") else "no"
        elif name == WHAT_IF:
            for one in data.get("answers") or []:
                facts = _facts(data.get("sheet") or {}, tests.get(guid), entry) | {"point": "none", "settings": "none"}
                if one.get("call") in CALLS:
                    yield _said(CALLS[one["call"]], guid, facts, one if one.get("is_refused") else None)
        elif name == CHECK and (answer.get("parameters") or {}).get("is_tried"):
            point = "own" if answer["parameters"].get("point") else "none"
            facts = _facts(data.get("sheet") or {}, tests.get(guid), entry) | {"point": point, "settings": "none"}
            yield _said(CALLS["fail over"], guid, facts, data.get("refusal"))


def _said(call: tuple[str, str], vm: str, facts: Mapping[str, str], refusal: Row | None) -> Said:
    shown = refusal or {}
    return Said(
        cmdlet=call[0],
        switch=call[1],
        vm=vm,
        facts=facts,
        id=str(shown.get("id") or ""),
        category=str(shown.get("category") or ""),
    )


def _entry(server: Row) -> str:
    return "there" if server.get("is_enabled") and "*" in (server.get("entries") or []) else "missing"


def _facts(sheet: Row, test: str | None, entry: str) -> dict[str, str]:
    """Gather what a VM's sheet shows; what only the other host or the guest knows stays open."""
    relation = sheet.get("relation") or {}
    facts = {
        "mode": str(relation.get("mode") or "None"),
        "state": str(relation.get("state") or "Disabled"),
        "power": str(sheet.get("state") or ""),
        "received": "yes" if relation.get("last_at") else "no",
        "thumbprint": "missing" if relation.get("authentication") == "Certificate" else "not_needed",
        "entry": entry,
    }
    return facts | ({"test": test} if test is not None else {})
