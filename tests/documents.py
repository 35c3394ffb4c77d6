# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the papers hold: code blocks, commands, tables; and what the modules' EXAMPLES hold. Read, so that tests can run it."""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
import typing as t
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAPERS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "clients/README.md",
    *sorted(ROOT.glob("extensions/**/README.md")),
    *sorted(ROOT.glob("roles/*/README.md")),
    *sorted(ROOT.glob("docs/docsite/rst/*.rst")),
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"^( *)\.\. code-block:: (\w+)\n\n((?:\1 +.*\n|\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One code block of a paper."""

    where: str  # "README.md:12"
    language: str
    text: str

    def commands(self) -> list[str]:
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.strip()]


def blocks(*languages: str) -> list[Block]:
    """Return the code blocks of all papers in these languages, or all."""
    found = []
    for path in PAPERS:
        text = path.read_text(encoding="utf-8")
        rst = path.suffix == ".rst"
        for match in (_DIRECTIVE if rst else _FENCE).finditer(text):
            language, body = match.group(2 if rst else 1), match.group(3 if rst else 2)
            line = text.count("\n", 0, match.start()) + 1
            where = f"{path.relative_to(ROOT)}:{line}"
            found.append(Block(where, language, textwrap.dedent(body).strip("\n") + "\n"))
    return [block for block in found if not languages or block.language in languages]


def commands(program: str) -> dict[str, list[str]]:
    """Return the documented commands that start with a program: the words of each, under the text as it stands."""
    found: dict[str, list[str]] = {}
    for block in blocks("sh", "console"):
        for text in block.commands():
            words = shlex.split(text, comments=True)
            if words and words[0] == program:
                found.setdefault(text, words)
    return found


def table(path: Path | str, heading: str) -> list[tuple[str, ...]]:
    """Return the rows of the first table that follows a heading or a sentence, in Markdown."""
    dummy, found, rest = (ROOT / path).read_text(encoding="utf-8").partition(heading)
    if not found:
        raise LookupError(f"{path} has no {heading!r}")
    match = re.search(r"^\|.*\|\n\|[-|]+\|\n((?:\|.*\|\n)+)", rest, re.MULTILINE)
    if match is None:
        raise LookupError(f"{path} has no table after {heading!r}")
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in match.group(1).splitlines()]


def list_table(path: Path | str, heading: str) -> list[tuple[str, ...]]:
    """Return the rows of the first list-table that follows a heading, in reStructuredText, without its header."""
    dummy, found, rest = (ROOT / path).read_text(encoding="utf-8").partition(f"\n{heading}\n")
    if not found:
        raise LookupError(f"{path} has no heading {heading!r}")
    body = re.split(r"\n(?=\S)", rest.partition(".. list-table::")[2])[0]
    rows = re.split(r"^ +\* - ", body, flags=re.MULTILINE)[1:]
    return [tuple(" ".join(cell.split()) for cell in re.split(r"^ +- ", row, flags=re.MULTILINE)) for row in rows][1:]


def words_of(cell: str) -> list[str]:
    """Return what stands in backquotes."""
    return re.findall(r"`+([^`]+)`+", cell)


def examples(path: Path) -> list[dict[str, t.Any]]:
    """Return the tasks of a plugin's EXAMPLES."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EXAMPLES":
            return t.cast("list[dict[str, t.Any]]", yaml.safe_load(ast.literal_eval(node.value)))
    raise LookupError(f"{path} has no EXAMPLES")
