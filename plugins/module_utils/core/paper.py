# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text for a terminal: lines of a bounded width, whatever alphabet a name is written in."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# They reorder or break a line, so that a name could pretend to be another line of the card.
_TREACHEROUS = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str) -> str:
    """Show a text literally on one line: control characters become "?", nothing else changes."""
    spaced = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    return "".join("?" if unicodedata.category(c) in ("Cc", "Cs") or c in _TREACHEROUS else c for c in spaced)


def columns(text: str) -> int:
    """Count the terminal columns a text takes: wide characters take two, combining ones none."""
    return sum(_columns(c) for c in text)


def pad(text: str, width: int) -> str:
    """Fill a text with blanks up to a number of columns."""
    return text + " " * max(0, width - columns(text))


def wrap(text: str, width: int) -> list[str]:
    """Break a text at blanks, and inside a word only where the word alone is too wide; leading blanks stay."""
    lines: list[str] = []
    shown = plain(text)
    line = ""
    words = shown.lstrip(" ").split(" ")
    words[0] = " " * (len(shown) - len(shown.lstrip(" "))) + words[0]
    for word in words:
        if line and columns(line) + 1 + columns(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
        while columns(line) > width:
            cut = _fitting(line, width)
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line] if line or not lines else lines


def labelled(label: str, texts: Iterable[str], *, width: int, indent: int = 10) -> list[str]:
    """Put a label before texts, each wrapped, with the continuation lines hanging under the text."""
    lines = [line for text in texts for line in wrap(text, width - indent)]
    return [(pad(label, indent) if i == 0 else " " * indent) + line for i, line in enumerate(lines)]


def _columns(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _fitting(line: str, width: int) -> int:
    taken = 0
    for i, char in enumerate(line):
        taken += _columns(char)
        if taken > width and i:
            return i
    return len(line)
