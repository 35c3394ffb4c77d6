# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a VM was before we touched it, kept in its own Notes beside our stamps: it outlives the controller and its journal.

Core's ``Former`` says *whether* a NIC was connected; this keeps the switch. Written once, never overwritten, taken off by undo.
The line is short on purpose: an adapter goes by the last part of its id.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import Sheet

_Switches: t.TypeAlias = Mapping[str, str]
_NICS, _AUTOSTART, _SERVE, _HOME = "nics", "autostart", "serve", "home"


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What a promoted replica keeps of its original: how that starts, and what its replication showed before."""

    autostart: str = ""
    replication: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepsake:
    """``nics`` were connected so ("" to no switch); ``serve`` is how a promoted replica is to be; ``autostart`` is the vendor's word."""

    nics: _Switches = field(default_factory=dict)
    autostart: str = ""
    serve: _Switches = field(default_factory=dict)
    home: Home = Home()

    def line(self) -> dict[str, t.Any]:
        home = [self.home.autostart, self.home.replication]
        found = {
            _NICS: dict(self.nics),
            _AUTOSTART: self.autostart,
            _SERVE: dict(self.serve),
            _HOME: home if any(home) else None,
        }
        return {key: value for key, value in found.items() if value or key == _NICS}


def of(sheet: Sheet) -> Keepsake | None:
    """Read what was kept; None when nothing was."""
    line = sheet.kept
    if _NICS not in line:
        return None
    home = line.get(_HOME)
    words = [str(one) for one in home] if isinstance(home, list) and len(home) == 2 else ["", ""]
    return Keepsake(
        nics=_switches(line.get(_NICS)),
        autostart=str(line.get(_AUTOSTART) or ""),
        serve=_switches(line.get(_SERVE)),
        home=Home(autostart=words[0], replication=words[1]),
    )


def now(sheet: Sheet) -> Keepsake:
    """Keep what nobody of us has touched yet; what was kept before stays."""
    return of(sheet) or Keepsake(
        nics={short(key): switch for key, switch in sheet.switches().items()}, autostart=sheet.autostart
    )


def short(adapter: str) -> str:
    """Return the part of an adapter's id that tells it from the others of its VM: "Microsoft:<VM>\\\\<adapter>"."""
    return adapter.rpartition("\\")[2]


def on_adapters(adapters: Iterable[str], switches: _Switches) -> dict[str, str]:
    """Return full adapter id -> switch, for those that something is known of."""
    return {key: switches[short(key)] for key in adapters if short(key) in switches}


def _switches(value: t.Any) -> dict[str, str]:
    return {str(key): str(text or "") for key, text in value.items()} if isinstance(value, dict) else {}
