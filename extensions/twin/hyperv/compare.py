# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m ...extensions.twin.hyperv.compare TRANSCRIPT...``: real hosts' answers against the twin's own knowledge.

Says where an answer is of another form than the twin's, where a word of an enumeration is unknown, where an error is another one,
and which rows of states.json the hosts confirm or contradict, so that a person can raise ``verified``. Exits with 1 when the twin
was contradicted, with 2 for a file that is no transcript.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import typing as t
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import compare_states
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.compare_reference import A, Reference, Unplayable
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.compare_shapes import Shape

Row: t.TypeAlias = "dict[str, t.Any]"
FORMAT = "ferragosto.dr transcript 1"
_NO_RIGHT = "PermissionDenied"


class NoTranscript(Exception):
    """The file is no transcript, or was changed."""


@dataclass
class Report:
    """What was found in one transcript. ``against`` are contradictions; the others are good to know."""

    about: str
    against: list[str] = field(default_factory=list)
    confirmed: Counter[str] = field(default_factory=Counter)  # row of states.json -> how often
    let_through: Counter[str] = field(
        default_factory=Counter
    )  # row -> how often; -WhatIf does not show what it then does
    newly: set[str] = field(default_factory=set)  # those confirmed that were unverified
    notes: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        yield self.about
        yield from (f"  AGAINST THE TWIN  {text}" for text in self.against)
        for row, times in sorted(self.confirmed.items()):
            yield f"  confirms          {row}{f', {times} times' if times > 1 else ''}" + (
                " (unverified until now)" if row in self.newly else ""
            )
        yield from (f"  lets through      {row}; what it then does is not shown" for row in sorted(self.let_through))
        yield from (f"  note              {text}" for text in self.notes)
        word = "contradicts the twin" if self.against else "agrees with the twin"
        yield f"  {word}: {len(self.against)} against it, {len(self.confirmed)} rows of states.json confirmed"


class Comparer:
    """Holds transcripts against one reference; the twin's answer to each script is asked for once."""

    def __init__(self) -> None:
        self._reference = Reference()
        self._shapes: dict[tuple[str, str], Shape] = {}

    def compare(self, transcript: Row) -> Report:
        """Compare one transcript. Raises NoTranscript."""
        answers, texts = _parts(transcript)
        console: Row = next((one["data"] for one in answers if "powershell" in (one.get("data") or {})), {})
        known = [str(console[word]) for word in ("windows", "powershell", "ui_culture") if console.get(word)]
        report = Report(
            f"{transcript.get('site')}, {transcript.get('end')}: Windows, PowerShell, language {', '.join(known)}"
        )
        if transcript.get("error"):
            report.notes.append(f"the recording ended early: {transcript['error']}")
        said: Counter[str] = Counter()
        for answer in answers:
            said.update(f"{answer['script']}: {text}" for text in self._differences(answer, texts, report))
        report.against += [f"{text}{f' ({times} times)' if times > 1 else ''}" for text, times in said.items()]
        for verdict in compare_states.verdicts(answers):
            _judge(verdict, report)
        return report

    def _differences(self, answer: Row, texts: t.Mapping[str, str], report: Report) -> Iterator[str]:
        text, parameters = texts[answer["script"]], answer.get("parameters") or {}
        try:
            if "data" in answer:
                yield from self._shape(text, parameters).differences(answer["data"])
                yield from _wrong_picture(answer["data"], parameters)
            else:
                yield from self._error(answer, text, parameters, report)
        except Unplayable as wrong:
            yield f"the twin cannot play the script: {wrong}"

    def _shape(self, text: str, parameters: Row) -> Shape:
        usual = {
            name: value for name, value in parameters.items() if name not in ("id", "point", "server", "thumbprint")
        }
        key = (text, json.dumps([usual, sorted(parameters), bool(parameters.get("thumbprint"))]))
        if key not in self._shapes:
            self._shapes[key] = self._reference.shape(text, parameters)
        return self._shapes[key]

    def _error(self, answer: Row, text: str, parameters: Row, report: Report) -> Iterator[str]:
        error = answer.get("error") or {}
        found = f"{error.get('id')} ({error.get('category')})"
        if error.get("category") == _NO_RIGHT or "server" in parameters:
            # what the account may not do, or the network does not let through, is no matter of the twin's
            report.notes.append(f"{answer['script']} was refused: {found}")
            return
        own = self._reference.ask(A, text, parameters)
        if "data" in own:
            yield f"refused with {found}; the twin answers"
        elif (own["id"], own["category"]) != (error.get("id"), error.get("category")):
            yield f"refused with {found}; the twin refuses with {own['id']} ({own['category']})"


def _judge(verdict: compare_states.Verdict, report: Report) -> None:
    said, names = verdict.said, [row.name for row in verdict.rows]
    facts = ", ".join(f"{name} {value}" for name, value in said.facts.items())
    call = f"{said.cmdlet}{f' -{said.switch}' if said.switch else ''}"
    match verdict.word:
        case "confirms" if verdict.rows[0].refusal is None:
            report.let_through[names[0]] += 1
        case "confirms":
            report.confirmed[names[0]] += 1
            if not verdict.rows[0].is_verified:
                report.newly.add(names[0])
        case "contradicts":
            wanted = "; ".join(f"{row.name}: {compare_states.expected(row)}" for row in verdict.rows)
            report.against.append(f"states.json, {call} was {said.outcome} with {facts}; expected {wanted}")
        case dummy:
            report.notes.append(f"{call} was {said.outcome}: {' or '.join(names)}")


def _wrong_picture(data: t.Any, parameters: Row) -> Iterator[str]:
    """A screen is as many bytes as was asked for; a masked one tells the length of its base64."""
    if not isinstance(data, dict) or "pixels" not in data or data.get("code") != 0:
        return
    wanted = -(-int(parameters.get("width", 0)) * int(parameters.get("height", 0)) * 2 // 3) * 4
    pixels = str(data["pixels"])
    masked = re.fullmatch(r"<(\d+) characters>", pixels)
    length = int(masked[1]) if masked is not None else len(pixels)
    if length != wanted:
        yield f".pixels are {length} characters of base64, not {wanted}"


def _parts(transcript: Row) -> tuple[list[Row], dict[str, str]]:
    """Take a transcript apart, or refuse it."""
    if not isinstance(transcript, dict) or transcript.get("format") != FORMAT:
        raise NoTranscript(f"it is not of the format {FORMAT!r}")
    texts = {}
    for name, script in transcript.get("scripts", {}).items():
        texts[name] = str(script.get("text"))
        if hashlib.sha256(texts[name].encode()).hexdigest() != script.get("sha256"):
            raise NoTranscript(f"the script {name!r} is not the one that was run: its hash is another")
    answers = transcript.get("answers", [])
    unknown = {str(answer.get("script")) for answer in answers} - set(texts)
    if unknown:
        raise NoTranscript(f"the script {', '.join(sorted(unknown))!r} is not in it")
    return answers, texts


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the files named and print the reports."""
    parser = argparse.ArgumentParser(prog="compare", description="Compare transcripts of real hosts with the twin.")
    parser.add_argument("transcript", nargs="+", type=Path)
    comparer, is_against = Comparer(), False
    for path in parser.parse_args(arguments).transcript:
        try:
            report = comparer.compare(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, NoTranscript) as wrong:
            print(f"{path}: {wrong}", file=sys.stderr)
            return 2
        print("\n".join(report.lines()))
        is_against = is_against or bool(report.against)
    return 1 if is_against else 0


if __name__ == "__main__":
    sys.exit(main())
