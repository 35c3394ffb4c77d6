# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our marks in a VM's configuration: one tag per stamp, and one line at the end of its description for what it was before.

Tags are shown by the bulk read and can be seen by everybody in the web interface; they are lower case and take few characters,
so a value is written in a way that can be read back: an upper-case letter as ``+`` and itself, any other as ``+0`` and its bytes.
"""

from __future__ import annotations

import json
import re
import typing as t
from collections.abc import Iterable, Mapping

PREFIX = "ferragosto.dr."  # of a stamp's key
TAG_PREFIX = "dr."
SHELL = "ferragosto.dr.shell"  # on a shell VM: the id of the clone made of it
KEEPSAKE_PREFIX = "ferragosto.dr: "

_TAG = re.compile(r"dr\.([a-z_]+)\.(.+)", re.DOTALL)


# --- tags ------------------------------------------------------------------------------------------------------------


def encode(value: str) -> str:
    """Write a value with the characters of a tag: ``20260815T021400Z-1f`` becomes ``20260815+t021400+z-1f``."""
    return "".join(_encode(one) for one in value)


def decode(text: str) -> str:
    """Read what ``encode`` wrote; Proxmox VE may have changed no more than the case of letters."""

    def back(found: re.Match[str]) -> str:
        return found[1].upper() if found[1] else bytes.fromhex(found[2].replace("+0", "")).decode("utf-8", "replace")

    return re.sub(r"\+([a-z])|((?:\+0[0-9a-f]{2})+)", back, text.lower())


def tag_of(key: str, value: str) -> str:
    """Return the tag of one stamp: ferragosto.dr.run = X becomes ``dr.run.x``."""
    return f"{TAG_PREFIX}{key.removeprefix(PREFIX)}.{encode(value)}"


def split_tags(tags: object) -> tuple[str, ...]:
    """Return the tags of a configuration or a resource; Proxmox VE separates them by semicolons, people by what they like."""
    return tuple(tag for tag in re.split(r"[;,\s]+", str(tags or "")) if tag)


def stamps_of(tags: object) -> dict[str, str]:
    """Return our stamps, by their keys."""
    if not tags:
        return {}
    found = (_TAG.fullmatch(tag.lower()) for tag in split_tags(tags))
    return {f"{PREFIX}{one[1]}": decode(one[2]) for one in found if one is not None}


def with_stamps(tags: object, stamps: Mapping[str, str]) -> str:
    """Return the tags with stamps set ("" takes one off); tags of others stay, in their order."""
    names = {key.removeprefix(PREFIX) for key in stamps}
    kept = [tag for tag in split_tags(tags) if not ((own := _TAG.fullmatch(tag.lower())) and own[1] in names)]
    return ";".join([*kept, *(tag_of(key, value) for key, value in stamps.items() if value)])


def foreign_tags(tags: object) -> tuple[str, ...]:
    return tuple(tag for tag in split_tags(tags) if _TAG.fullmatch(tag.lower()) is None)


def _encode(one: str) -> str:
    if re.fullmatch(r"[a-z0-9_.\-]", one):
        return one
    if re.fullmatch(r"[A-Z]", one):
        return f"+{one.lower()}"
    return "".join(f"+0{byte:02x}" for byte in one.encode())


# --- what it was before ----------------------------------------------------------------------------------------------


def keepsake_of(description: object) -> dict[str, t.Any]:
    """Return what the last line of ours keeps; {} when there is none that can be read."""
    for line in reversed(str(description or "").splitlines()):
        if line.startswith(KEEPSAKE_PREFIX):
            try:
                found = json.loads(line.removeprefix(KEEPSAKE_PREFIX))
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
    return {}


def with_keepsake(description: object, kept: Mapping[str, t.Any] | None) -> str:
    """Return the description with our line at its end (None: without it); a person's words stay as they were."""
    lines = [line for line in str(description or "").splitlines() if not line.startswith(KEEPSAKE_PREFIX)]
    if kept:
        lines.append(KEEPSAKE_PREFIX + json.dumps(kept, sort_keys=True, separators=(",", ":")))
    return "\n".join(lines)


def plain_description(description: object) -> str:
    return with_keepsake(description, None)


def is_ours(tags: Iterable[str]) -> bool:
    return any(_TAG.fullmatch(tag.lower()) for tag in tags)
