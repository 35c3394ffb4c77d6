# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One operation on a Hyper-V host: constant PowerShell text, to which values come as JSON and never as text."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """``text`` begins with ``param($p)`` and outputs exactly one object; every field of it is projected and cast.

    ``shown`` are the lines that change something, as check mode and the journal show them; a script without is a read.
    """

    name: str  # lower-case verb phrase: "read the host"
    text: str
    shown: tuple[str, ...] = ()

    def calls(self, host: str, **parameters: t.Any) -> tuple[str, ...]:
        """Return the lines with the values that ``$p`` would hold, for people: what is sent is ``text`` as it stands."""
        return tuple(f"{host}: {_filled(line, parameters)}" for line in self.shown)


def _filled(line: str, parameters: Mapping[str, t.Any]) -> str:
    return re.sub(r"\$p\.(\w+)", lambda found: _literal(parameters.get(found[1])), line)


def _literal(value: t.Any) -> str:
    if value is None:
        return "$null"
    if isinstance(value, bool):
        return f"${value}".lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"@({', '.join(_literal(one) for one in value)})"
    return "'" + str(value).replace("'", "''") + "'"
