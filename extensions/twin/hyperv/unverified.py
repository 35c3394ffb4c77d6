# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python -m ...extensions.twin.hyperv.unverified [--write]``: the rows of states.json that README.md lists as inferred."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import states

README = Path(__file__).with_name("README.md")
HEAD = "| row | when | the twin says |\n|---|---|---|\n"


def table() -> str:
    """The rows as Markdown."""
    return HEAD + "".join(f"| `{row.name}` | {_when(row)} | {_does(row)} |\n" for row in states.unverified())


def written(text: str) -> str:
    """Put the table where the old one stands, between its head and the next empty line."""
    before, head, rest = text.partition(HEAD)
    if not head:
        raise ValueError(f"{README.name} has no table that begins with {HEAD.splitlines()[0]!r}")
    dummy, gap, after = rest.partition("\n\n")
    return before + table() + gap[1:] + after


def _when(row: states.Row) -> str:
    said = [f"{fact} {_few(values)}" for fact, values in row.when.items()]
    return "; ".join(said) or "else"


def _few(values: tuple[str, ...]) -> str:
    return " or ".join(values) if len(values) <= 4 else f"{values[0]}, {values[1]} or {len(values) - 2} more"


def _does(row: states.Row) -> str:
    if row.refusal is not None:
        return f"refused: {row.refusal.message.replace('_', ' ')} ({row.refusal.category})"
    found = [row.effect.replace("_", " ")] if row.effect else []
    for side, words in (("here", row.here), ("there", row.there)):
        if words:
            found.append(f"{side} {'/'.join(word.strip('<>').replace('_', ' ') for word in words.values())}")
    return ", ".join(found) or "done"


def main() -> int:
    if sys.argv[1:] == ["--write"]:
        README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
