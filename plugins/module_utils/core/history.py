# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What past runs teach: how long a recovery takes here, and the story of one run for reports."""

from __future__ import annotations

import typing as t
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import Mark, rto_achieved_s
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Record
from ansible_collections.ferragosto.dr.plugins.module_utils.core.runs import Run, read_run

RECOVERED = frozenset({"restarted", "recovered_home", "recovered_on_replica"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    median_s: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Of closed recover runs that brought the service back; ``rto`` is None when there was none."""

    rto: Span | None = None
    outcomes: Mapping[str, Span] = field(default_factory=dict)  # RTO by outcome
    phases: Mapping[str, Span] = field(default_factory=dict)  # time spent in the steps of a phase, by phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of a run's story. ``offset_s`` counts from the alert (T2)."""

    at_s: float
    offset_s: float
    kind: str
    text: str
    body: Mapping[str, t.Any] = field(default_factory=dict)


def durations(records: Sequence[Record]) -> Past:
    """Learn from records of one or of many VMs."""
    outcomes: dict[str, list[float]] = defaultdict(list)
    phases: dict[str, list[float]] = defaultdict(list)
    for own in _by_run(records):
        run = read_run(own, own[0].run_id)
        if run is None or run.op != "recover" or run.outcome not in RECOVERED:
            continue
        reached = rto_achieved_s(marks_of(run))
        if reached is not None:
            outcomes[run.outcome].append(reached)
        for phase, spent_s in _spent(own).items():
            phases[phase].append(spent_s)
    rtos = [value for values in outcomes.values() for value in values]
    return Past(rto=_span(rtos) if rtos else None, outcomes=_spans(outcomes), phases=_spans(phases))


def marks_of(run: Run) -> dict[str, float]:
    """Return the run's marks; the alert it was opened with is T2, unless a mark says better."""
    return {Mark.ALERT: run.alert_at_s, **run.marks}


def timeline(records: Sequence[Record], run_id: str) -> list[Moment]:
    """Tell one run's story in the order of its records."""
    run = read_run(records, run_id)
    if run is None:
        return []
    start = marks_of(run)[Mark.ALERT]
    return [_moment(r, start) for r in records if r.run_id == run_id]


def _moment(record: Record, start: float) -> Moment:
    at_s = float(record.body["at_s"]) if record.kind == "mark" else record.at_s
    return Moment(
        at_s=at_s, offset_s=at_s - start, kind=record.kind, text=_say(record.kind, record.body), body=record.body
    )


def _say(kind: str, body: Mapping[str, t.Any]) -> str:
    def word(key: str) -> str:
        return str(body.get(key) or "")

    def tail(key: str, before: str = ": ") -> str:
        return before + word(key) if word(key) else ""

    match kind:
        case "run_opened":
            return f"{word('op')} begins" + tail("by", ", by ")
        case "run_resumed":
            return "continued" + tail("after_step", " after ") + tail("by", ", by ")
        case "lease_taken_over":
            return "lease taken over" + tail("why")
        case "decided":
            return "decided" + tail("action") + tail("reason", ", ")
        case "consent":
            return f"consent to {word('kind')}" + tail("reason") + tail("by", ", by ")
        case "attempt":
            return f"restart {word('attempt')}" + tail("evidence")
        case "chosen":
            return f"recovery point {word('name')} chosen"
        case "mark":
            return f"{word('mark')} reached"
        case "intent":
            return f"{word('phase')}: {word('step')}, {word('target')}"
        case "result":
            end = f"failed: {word('error')}" if word("error") else f"done in {float(body.get('took_s') or 0):.1f} s"
            return f"{word('phase')}: {word('step')}, {word('target')}: {end}"
        case "verified":
            says = {True: "the service answers", False: "the service does not answer"}
            return f"{says.get(body.get('answers'), 'no check is declared')} ({word('where')})"  # type: ignore[arg-type]
        case "run_stopped":
            return f"stopped, {word('outcome')}" + tail("step", " at ") + tail("why")
        case "run_closed":
            return f"closed, {word('outcome')}" + tail("why")
        case _:
            return kind


def _by_run(records: Iterable[Record]) -> Iterable[list[Record]]:
    runs: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.run_id:
            runs[record.vm_key, record.run_id].append(record)
    return runs.values()


def _spent(own: Iterable[Record]) -> dict[str, float]:
    spent: dict[str, float] = defaultdict(float)
    for record in own:
        if record.kind == "result":
            spent[str(record.body.get("phase", ""))] += float(record.body.get("took_s") or 0.0)
    return spent


def _span(values: Sequence[float]) -> Span:
    return Span(median_s=median(values), runs=len(values))


def _spans(values: Mapping[str, Sequence[float]]) -> dict[str, Span]:
    return {name: _span(found) for name, found in values.items()}
