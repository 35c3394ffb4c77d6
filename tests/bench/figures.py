# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures of a benchmark: what was measured, the floor it is held against, and whether the goal is met."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
import typing as t
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

HEADINGS = ("name", "value", "floor", "ratio", "goal", "")
WIDTHS = (62, 10, 10, 7, 14, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value beside its floor. ``goal`` is None for a figure that only informs."""

    name: str
    unit: str
    value: float
    floor: float | None = None
    ratio: float | None = None
    goal: str | None = None
    is_met: bool | None = None
    rounds: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""

    @property
    def verdict(self) -> str:
        return "" if self.is_met is None else "ok" if self.is_met else "MISSED"

    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            _say(self.value, self.unit),
            "" if self.floor is None else _say(self.floor, self.unit),
            "" if self.ratio is None else f"{self.ratio:.3f}",
            self.goal or "-",
            self.verdict,
        )


def told(name: str, value: float, *, unit: str = "s", floor: float | None = None, note: str = "") -> Figure:
    """Return a figure without a goal."""
    return Figure(name=name, unit=unit, value=value, floor=floor, ratio=value / floor if floor else None, note=note)


def at_most_times(
    name: str, values: Sequence[float], floors: Sequence[float], *, times: float, unit: str = "s", note: str = ""
) -> Figure:
    """Hold a value against ``times`` its floor.

    Values and floors of equal number are rounds of the same moments, and the ratio is the median of the rounds' ratios: a
    machine that is slower for a while is slower for both.
    """
    value, floor = statistics.median(values), statistics.median(floors)
    ratio = value / floor
    if len(values) == len(floors):
        ratio = statistics.median(v / f for v, f in zip(values, floors, strict=True))
    return Figure(
        name=name,
        unit=unit,
        value=value,
        floor=floor,
        ratio=ratio,
        goal=f"<= {times:g} x floor",
        is_met=ratio <= times,
        rounds={"value": list(values), "floor": list(floors)},
        note=note,
    )


def at_most(
    name: str, values: Sequence[float], limit: float, *, unit: str = "s", floors: Sequence[float] = (), note: str = ""
) -> Figure:
    """Hold the median of the values against a limit; the floors are shown beside it."""
    value = statistics.median(values)
    floor = statistics.median(floors) if floors else None
    return Figure(
        name=name,
        unit=unit,
        value=value,
        floor=floor,
        ratio=value / floor if floor else None,
        goal=f"<= {_say(limit, unit)}",
        is_met=value <= limit,
        rounds={"value": list(values), "floor": list(floors)},
        note=note,
    )


def scaled(value: float, start: float, few: int, many: int) -> float:
    """Return what ``many`` would take where ``few`` took ``value``, of which ``start`` falls due once."""
    return start + (value - start) * many / few


def slope_ms(fewer: Sequence[float], more: Sequence[float], added: int) -> float:
    """Return the milliseconds per added thing, between two medians in seconds."""
    return (statistics.median(more) - statistics.median(fewer)) / added * 1000.0


def heading() -> str:
    return _line(HEADINGS)


def line(figure: Figure) -> str:
    return _line(figure.cells())


def missed(figures: Iterable[Figure]) -> list[Figure]:
    return [figure for figure in figures if figure.is_met is False]


def publish(figures: Iterable[Figure], out: Path, *, notes: str, more: t.Mapping[str, t.Any]) -> int:
    """Print the figures as they come, then what was missed; write them all. Return the exit status: 1 for a missed goal."""
    began_s, found = time.monotonic(), list[Figure]()
    print(heading(), flush=True)
    for figure in figures:
        print(line(figure), flush=True)
        found.append(figure)
    for note in dict.fromkeys(figure.note for figure in found if figure.note.startswith("*")):
        print(note)
    write(out, found, notes=notes, began_s=began_s, more=more)
    for figure in missed(found):
        print(f"MISSED {figure.name}: {figure.rounds}; {figure.note}", file=sys.stderr)
    print(f"{time.monotonic() - began_s:.0f} s, load {os.getloadavg()[0]:.1f}, written: {os.path.relpath(out)}")
    return 1 if missed(found) else 0


def write(path: Path, figures: Sequence[Figure], *, notes: str, began_s: float, more: t.Mapping[str, t.Any]) -> None:
    """Write all figures as JSON, with what the machine was doing."""
    content = {
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "took_s": round(time.monotonic() - began_s, 1),
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "load_1m": os.getloadavg()[0],
        },
        **more,
        "all_met": not missed(figures),
        "figures": [asdict(figure) for figure in figures],
        "notes": notes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _line(cells: Sequence[str]) -> str:
    said = [
        cell.ljust(width) if at in (0, 4) else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    ]
    return "  ".join(said).rstrip()


def _say(value: float, unit: str) -> str:
    return f"{value:.3f} s" if unit == "s" else f"{value:.2f} ms" if unit == "ms" else f"{value:.0f} {unit}"
