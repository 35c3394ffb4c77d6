# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of an answer: which fields it has, of which type, and which words an enumeration knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import metadata

_HYPERV = "Microsoft.HyperV.PowerShell."
# Fields that hold an enumeration's name, by the end of their path; the longest end that fits counts.
ENUMS: Mapping[str, str] = {
    ".state": "VMState",
    ".status[]": "VMOperationalStatus",
    ".heartbeat": "VMHeartbeatStatus",
    ".autostart": "StartAction",
    ".points[].type": "SnapshotType",
    ".relation.mode": "VMReplicationMode",
    ".relation.state": "VMReplicationState",
    ".relation.health": "VMReplicationHealthState",
    ".relation.authentication": "ReplicationAuthenticationType",
    ".authentication": "RecoveryAuthenticationType",
}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,7})?(?:Z|[+-]\d\d:\d\d)?")
_GUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STRINGS = {"no text", "instant", "GUID", "text"}
_NUMBERS = {"0", "whole number"}


@dataclass
class Shape:
    """What has been seen at one place of an answer."""

    kinds: set[str] = field(default_factory=set)
    fields: dict[str, Shape] = field(default_factory=dict)
    always: set[str] | None = None  # fields of every object seen here
    items: Shape | None = None

    def learn(self, value: object) -> None:
        """Take one more value in."""
        self.kinds.add(kind(value))
        if isinstance(value, Mapping):
            self.always = set(value) if self.always is None else self.always & set(value)
            for name, one in value.items():
                self.fields.setdefault(str(name), Shape()).learn(one)
        elif isinstance(value, list):
            self.items = self.items or Shape()
            for one in value:
                self.items.learn(one)

    def differences(self, value: object, path: str = "") -> Iterator[str]:
        """Say where a value is not of this shape."""
        if not self.kinds:  # an empty list is all that the twin had here
            return
        wrong = self._wrong_kind(kind(value))
        if wrong:
            yield f"{path or 'the answer'} is {wrong}"
            return
        yield from _unknown_word(value, path)
        if isinstance(value, Mapping):
            yield from (f"{path}.{name} is missing" for name in sorted((self.always or set()) - set(value)))
            for name, one in value.items():
                if name not in self.fields:
                    yield f"{path}.{name} is nothing that the twin's answer has"
                else:
                    yield from self.fields[name].differences(one, f"{path}.{name}")
        elif isinstance(value, list) and self.items is not None:
            for one in value:
                yield from self.items.differences(one, f"{path}[]")

    def _wrong_kind(self, found: str) -> str:
        """Say what is wrong with a kind; the empty string where nothing is."""
        if found in self.kinds:
            return ""
        known = " or ".join(sorted(self.kinds))
        if found in _NUMBERS and self.kinds & _NUMBERS:
            return "0, which it never is in the twin" if found == "0" else ""
        if found in _STRINGS and self.kinds & _STRINGS:
            if found == "no text":
                return f"empty, where the twin always says something ({known})"
            if "text" in self.kinds or self.kinds & _STRINGS == {"no text"}:
                return ""
        return f"{found}, where the twin has {known}"


def kind(value: object) -> str:
    """Name the type of a value of JSON, strings and numbers a little finer."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int():
            return "whole number" if value else "0"
        case float():
            return "fraction"
        case str():
            if not value:
                return "no text"
            if _INSTANT.fullmatch(value):
                return "instant"
            return "GUID" if _GUID.fullmatch(value) else "text"
        case list():
            return "list"
    return "object"


def enum_of(path: str) -> str | None:
    """Name the enumeration whose words stand at this path."""
    ends = [end for end in ENUMS if path.endswith(end)]
    return _HYPERV + ENUMS[max(ends, key=len)] if ends else None


def _unknown_word(value: object, path: str) -> Iterator[str]:
    name = enum_of(path)
    if name is None or not isinstance(value, str) or not value:
        return
    known = metadata.enum_values(name)
    if known is not None and value not in known:
        yield f"{path} is {value!r}, which {name.rpartition('.')[2]} does not have"
