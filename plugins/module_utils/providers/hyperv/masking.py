# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transcript without what names a customer: every value that could has a stand-in, the same one at both hosts.

Stand-ins are numbers in the order of their first sight, so nothing can be computed back from them. What is kept is a closed list:
numbers, instants, the words of Hyper-V's own enumerations, and error ids.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec

Row: t.TypeAlias = "dict[str, t.Any]"
# Fields whose words are Windows' own; every other string is somebody's.
KEPT = frozenset(
    """script sha256 format provider end state status heartbeat autostart type mode
    health authentication category call http_rule https_rule open_rules windows powershell culture ui_culture system code""".split()
)
# Free text of Windows', in which names of this site may stand.
TOLD = frozenset("message text details unread said error".split())
_GUID = re.compile(r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|(?i:\b(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{1,4}\b)")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:\d\d)?")
_NUMBER = re.compile(
    r"0x[0-9A-Fa-f]+|-?\d+"
)  # of an event's data, a stop code; elsewhere digits may be an address or a name
_ERROR_ID = re.compile(r"[A-Za-z_]\w*(?:,[\w.-]+)?|ferragosto\.dr\.\w+")
_SHORTEST = 3  # a name so short is also a part of words
_SECRETS = ("api_password", "api_token_secret")
HIDDEN = "<secret>"


class Mask:
    """Gives each value its stand-in. ``learn`` all answers first: a name in a message is known then wherever it stands."""

    def __init__(self) -> None:
        self._stand_ins: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._plain: dict[str, str] = {}  # in lower case, for free text

    def learn(self, answers: Iterable[Mapping[str, t.Any]]) -> None:
        for answer in answers:
            self.masked(answer)

    def hide(self, value: str, kind: str) -> str:
        """Return the stand-in of a value."""
        if not value or value == "*":
            return value
        if _GUID.fullmatch(value):
            kind = "guid"
        elif _ADDRESS.fullmatch(value):
            kind = "address"
        key = (kind if kind == "guid" else "", value.casefold())
        if key not in self._stand_ins:
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            stand_in = f"00000000-0000-0000-0000-{number:012x}" if kind == "guid" else f"{kind}-{number}"
            self._stand_ins[key] = stand_in
            if kind != "guid":
                self._plain[value.lower()] = stand_in
        return self._stand_ins[key]

    def masked(self, value: t.Any, field: str = "") -> t.Any:
        """Return a copy of any part of a transcript with stand-ins."""
        if isinstance(value, Mapping):
            # The texts of our scripts are ours
            return {key: one if key == "scripts" else self.masked(one, str(key)) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.masked(one, field) for one in value]
        if not isinstance(value, str) or not value or field in KEPT or _INSTANT.fullmatch(value):
            return value
        if field == "data" and _NUMBER.fullmatch(value) and value.lower() not in self._plain:
            return value
        if field in TOLD:
            return self._told(value)
        if field == "pixels":
            return f"<{len(value)} characters>"
        if field == "id" and not _GUID.search(value) and _ERROR_ID.fullmatch(value):
            return value
        return (
            self._path(value, field)
            if _GUID.search(value) and not _GUID.fullmatch(value)
            else self.hide(value, field or "value")
        )

    def _path(self, value: str, field: str) -> str:
        """An id with GUIDs in it ("Microsoft:<vm>\\<adapter>") keeps its form."""
        rest = _GUID.sub("", value)
        shown = _GUID.sub(lambda found: self.hide(found[0], "guid"), value)
        return shown if re.fullmatch(r"(?:Microsoft:)?[\\{}:]*", rest) else self.hide(value, field or "value")

    def _names(self) -> re.Pattern[str]:
        """All values seen, the longest first; a short one only where it is a word of its own."""
        longest_first = sorted(self._plain, key=len, reverse=True)
        parts = (re.escape(one) if len(one) > _SHORTEST else rf"(?<!\w){re.escape(one)}(?!\w)" for one in longest_first)
        return re.compile("|".join(parts), re.IGNORECASE)

    def _told(self, text: str) -> str:
        if self._plain:
            text = self._names().sub(lambda found: self._plain.get(found[0].lower(), HIDDEN), text)
        text = _GUID.sub(lambda found: self.hide(found[0], "guid"), text)
        return _ADDRESS.sub(lambda found: self.hide(found[0], "address"), text)


def without_secrets(value: t.Any, *ends: EndpointSpec) -> t.Any:
    """Return a copy in which no secret of these endpoints stands, in any value."""
    return _without(value, [secret for end in ends for name in _SECRETS if (secret := getattr(end, name))])


def _without(value: t.Any, secrets: list[str], field: str = "") -> t.Any:
    if isinstance(value, Mapping):
        return {key: one if key == "scripts" else _without(one, secrets, str(key)) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without(one, secrets, field) for one in value]
    if isinstance(value, str) and field not in KEPT:
        for secret in secrets:
            if value == secret or len(secret) > _SHORTEST:
                value = value.replace(secret, HIDDEN)
    return value
