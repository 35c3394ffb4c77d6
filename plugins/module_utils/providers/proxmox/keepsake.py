# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a VM was before we touched it, kept on the VM itself: one line of JSON at the end of its description.

The journal's ``Former`` says *whether* HA and autostart were on; this keeps the vendor's own words, so that they come back to
the letter. It also outlives the journal. Written once, never overwritten, taken off by undo.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import tags, wire

RESTART = "restart"  # a restart attempt; beside the rest, since it comes before any fence
_Config: t.TypeAlias = Mapping[str, t.Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepsake:
    """``nets`` are the netN lines; ``onboot``, ``protection`` and ``tags`` are "" where they were not set.

    On a promoted copy ``origin`` is the id of the production copy and ``home`` the node it was on.
    """

    nets: Mapping[str, str] = field(default_factory=dict)
    onboot: str = ""
    protection: str = ""
    tags: str = ""
    ha: Mapping[str, t.Any] | None = None
    origin: int = 0
    home: str = ""


def of(config: _Config) -> Keepsake | None:
    """Read what ``written`` wrote; None when nothing was kept."""
    line = tags.keepsake_of(config.get("description"))
    if "nets" not in line:
        return None
    return Keepsake(
        nets={str(key): str(text) for key, text in dict(line["nets"]).items()},
        onboot=str(line.get("onboot") or ""),
        protection=str(line.get("protection") or ""),
        tags=str(line.get("tags") or ""),
        ha=line.get("ha"),
        origin=wire.whole(line.get("origin")),
        home=str(line.get("home") or ""),
    )


def written(config: _Config, kept: Keepsake) -> str:
    """Return the description with this in it."""
    line = {
        **tags.keepsake_of(config.get("description")),
        "nets": dict(kept.nets),
        "onboot": kept.onboot,
        "protection": kept.protection,
        "tags": kept.tags,
        "ha": kept.ha,
        "origin": kept.origin or None,
        "home": kept.home or None,
    }
    words = {key: value for key, value in line.items() if value is not None and value != ""}
    return tags.with_keepsake(config.get("description"), words)


def forgotten(config: _Config) -> str:
    """Return the description as it was; "" when there was none."""
    return tags.plain_description(config.get("description"))


def is_forgotten(config: _Config) -> bool:
    return not tags.keepsake_of(config.get("description"))


def from_config(config: _Config, *, ha: Mapping[str, t.Any] | None, origin: int = 0, home: str = "") -> Keepsake:
    """Keep what a configuration says, which nobody of us has touched yet."""
    return Keepsake(
        nets=nets_of(config),
        onboot=_text(config, "onboot"),
        protection=_text(config, "protection"),
        tags=_text(config, "tags"),
        ha=ha,
        origin=origin,
        home=home,
    )


def at_home(kept: Keepsake, *, origin: int, home: str) -> Keepsake:
    """Return it with the place of the disks that a moved configuration leaves behind."""
    return replace(kept, origin=origin, home=home)


def untouched(config: _Config) -> dict[str, t.Any]:
    """Return the configuration as it was before a fence: what we changed is put back, our marks are off."""
    kept = of(config)
    plain = {**config, "description": forgotten(config), "tags": ";".join(tags.foreign_tags(config.get("tags")))}
    if kept is not None:
        back = {"onboot": kept.onboot, "protection": kept.protection, "tags": kept.tags}
        plain = {**plain, **kept.nets, **back}
    return {key: value for key, value in plain.items() if value != ""}


# --- restart attempts ------------------------------------------------------------------------------------------------


def restart_of(config: _Config) -> str:
    return str(tags.keepsake_of(config.get("description")).get(RESTART) or "")


def with_restart(config: _Config, text: str) -> str:
    """Return the description with a note of a restart attempt beside whatever else is kept."""
    line = {**tags.keepsake_of(config.get("description")), RESTART: text}
    return tags.with_keepsake(config.get("description"), line)


# --- NICs ------------------------------------------------------------------------------------------------------------


def nets_of(config: _Config) -> dict[str, str]:
    """Return the NICs in the vendor's words: {"net0": "virtio=...,bridge=vmbr0"}."""
    return {net.key: str(config[net.key]) for net in wire.nets_of(config)}


def linked(nets: Mapping[str, str], *, is_up: bool) -> dict[str, str]:
    """Return these NICs with every link up or down; what is so already stays to the letter."""
    return {
        net.key: nets[net.key] if net.is_down != is_up else str(net.plugged(is_connected=is_up))
        for net in wire.nets_of(nets)
    }


def links(nets: Mapping[str, str]) -> dict[str, bool]:
    return {net.key: not net.is_down for net in wire.nets_of(nets)}


def is_alike(one: str, other: str) -> bool:
    """Tell whether two NIC lines mean the same: Proxmox VE may write the options in another order."""
    return _meant(one) == _meant(other)


def are_alike(shown: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(key in shown and is_alike(shown[key], text) for key, text in wanted.items())


def _meant(text: str) -> tuple[object, ...]:
    options = wire.Options.parse(text).put("link_down", None)
    words = frozenset((key.lower(), (value or "").lower()) for key, value in options.pairs)
    return words, wire.Net("", wire.Options.parse(text)).is_down


def _text(config: _Config, key: str) -> str:
    value = config.get(key)
    return "" if value is None else str(value)
