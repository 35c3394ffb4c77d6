# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our marks in a VM's Notes, one line at their end, with what the VM was before; a person's words stay as they were."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Mapping

PREFIX = "ferragosto.dr."  # of a stamp's key
LINE = "ferragosto.dr: "
KEPT = "kept"


def stamps_of(notes: str) -> dict[str, str]:
    """Return our stamps, by their keys in core/stamps.py."""
    return {
        f"{PREFIX}{key}": value
        for key, value in _body(notes).items()
        if key != KEPT and isinstance(value, str) and value
    }


def kept_of(notes: str) -> dict[str, t.Any]:
    """Return what was kept of the VM's former state; {} where nothing was."""
    found = _body(notes).get(KEPT)
    return found if isinstance(found, dict) else {}


def plain(notes: str) -> str:
    """Return the notes without our line."""
    return _joined(notes, {})


def written(notes: str, marks: Mapping[str, str], *, kept: Mapping[str, t.Any] | None = None) -> str:
    """Return the notes with stamps set ("" takes one off). ``kept`` replaces what was kept; {} forgets it, None leaves it."""
    body = _body(notes)
    for key, value in marks.items():
        body.pop(key.removeprefix(PREFIX), None)
        if value:
            body[key.removeprefix(PREFIX)] = value
    if kept is not None:
        body.pop(KEPT, None)
        if kept:
            body[KEPT] = dict(kept)
    return _joined(notes, body)


def _body(notes: str) -> dict[str, t.Any]:
    """Return what the last readable line of ours holds."""
    for line in reversed(_lines(notes)):
        if line.startswith(LINE):
            try:
                found = json.loads(line.removeprefix(LINE))
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
    return {}


def _joined(notes: str, body: Mapping[str, t.Any]) -> str:
    ours = LINE + json.dumps(body, sort_keys=True, separators=(",", ":")) if body else ""
    if not any(line.startswith(LINE) for line in _lines(notes)):
        # Not a byte of foreign text is touched: an undo must return it exactly
        return f"{notes}\n{ours}" if notes and ours else notes or ours
    lines = [line for line in notes.split("\n") if not line.startswith(LINE)]
    return "\n".join([*lines, ours] if ours else lines)


def _lines(notes: str) -> list[str]:
    return [line.rstrip("\r") for line in notes.split("\n")]
