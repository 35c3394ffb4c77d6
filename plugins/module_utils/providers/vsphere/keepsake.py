# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a copy was before we touched it, kept on the copy itself.

The journal's ``Former`` says *whether* HA and autostart were on; this says with which priority and in which order. It also
outlives the journal, and a recovery point that forgot our stamps. Written once, never overwritten, taken off by undo. Plain
``key=value`` words without quotes: extraConfig ends in a .vmx file, and a technician reads it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Nic
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former

KEY = "ferragosto.dr.former"  # the key in extraConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Plug:
    """How one NIC was plugged."""

    is_connected: bool
    starts_connected: bool


UNPLUGGED = Plug(is_connected=False, starts_connected=False)
PLUGGED = Plug(is_connected=True, starts_connected=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepsake:
    """``autostart`` and ``ha`` hold the vendor's own words and are None where the copy had no entry of its own."""

    plugs: Mapping[str, Plug] = field(default_factory=dict)
    autostart: Mapping[str, str] | None = None
    ha: Mapping[str, str] | None = None


def plugs_of(nics: Iterable[Nic]) -> dict[str, Plug]:
    return {n.key: Plug(is_connected=n.is_connected, starts_connected=n.starts_connected) for n in nics}


def encode(keepsake: Keepsake) -> str:
    """Return ``nic.4000=11&autostart.startOrder=2&ha.restartPriority=high``; the bits are connected, starts connected."""
    words = [(f"nic.{key}", _bits(plug)) for key, plug in keepsake.plugs.items()]
    words += [(f"autostart.{key}", value) for key, value in (keepsake.autostart or {}).items()]
    words += [(f"ha.{key}", value) for key, value in (keepsake.ha or {}).items()]
    return urlencode(words) or "nothing="


def decode(text: str) -> Keepsake | None:
    """Read what ``encode`` wrote; None when nothing was kept."""
    if not text:
        return None
    parts: dict[str, dict[str, str]] = {"nic": {}, "autostart": {}, "ha": {}}
    for word, value in parse_qsl(text, keep_blank_values=True):
        kind, _dot, key = word.partition(".")
        if kind in parts:
            parts[kind][key] = value
    return Keepsake(
        plugs={key: _plug(bits) for key, bits in parts["nic"].items()},
        autostart=parts["autostart"] or None,
        ha=parts["ha"] or None,
    )


def plugs_before(former: Former, kept: Keepsake | None) -> dict[str, Plug]:
    """Return how the NICs were: the copy's own memory first (it was never overwritten), the journal's for the rest."""
    told = {
        key: Plug(is_connected=bool(nic.get("is_connected")), starts_connected=bool(nic.get("starts_connected")))
        for key, nic in former.nics.items()
    }
    return {**told, **(kept.plugs if kept is not None else {})}


def _bits(plug: Plug) -> str:
    return f"{plug.is_connected:d}{plug.starts_connected:d}"


def _plug(bits: str) -> Plug:
    return Plug(is_connected=bits[:1] == "1", starts_connected=bits[1:2] == "1")
