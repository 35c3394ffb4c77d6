# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calendar events, as far as replication jobs use them: ``*/15``, ``0/15``, ``22:30``, ``mon..fri 2,14:00``, ``daily``."""

from __future__ import annotations

import datetime as dt
import functools
import re
from dataclasses import dataclass

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WORDS = {"hourly": "*:00", "daily": "00:00", "weekly": "mon 00:00", "minutely": "*"}
_LOOK_AHEAD_MINUTES = 8 * 24 * 60


class BadSchedule(ValueError):
    """Not a calendar event that the twin knows."""


@dataclass(frozen=True, slots=True)
class Calendar:
    days: frozenset[int]
    hours: frozenset[int]
    minutes: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Calendar:
        words = _WORDS.get(text.strip(), text.strip()).lower().split()
        days = frozenset(range(7))
        if words and words[0][:3] in _DAYS:
            days = _days(words.pop(0))
        clock = words.pop(0) if words else "00:00"
        if words or not text.strip():
            raise BadSchedule(f"unable to parse calendar event '{text}'")
        hours, has_hours, minutes = clock.rpartition(":")
        return cls(days, _numbers(hours if has_hours else "*", 24, text), _numbers(minutes, 60, text))

    def next_after_s(self, at_s: float) -> float:
        """The first event after a time; UTC stands for the node's local time."""
        moment = dt.datetime.fromtimestamp(int(at_s) // 60 * 60 + 60, dt.UTC)
        for dummy in range(_LOOK_AHEAD_MINUTES):
            if moment.weekday() not in self.days or moment.hour not in self.hours:
                moment = (moment + dt.timedelta(hours=1)).replace(minute=0)
            elif moment.minute not in self.minutes:
                moment += dt.timedelta(minutes=1)
            else:
                return moment.timestamp()
        return 0.0


@functools.lru_cache(maxsize=10_000)
def next_event_s(text: str, after_s: float) -> float:
    """The first time at which a calendar event comes due after a time."""
    return Calendar.parse(text).next_after_s(after_s)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, is_range, last = part.partition("..")
        if first[:3] not in _DAYS or (is_range and last[:3] not in _DAYS):
            raise BadSchedule(f"unable to parse calendar event '{text}'")
        start = _DAYS.index(first[:3])
        end = _DAYS.index(last[:3]) if is_range else start
        found |= set(range(start, end + 1))
    return frozenset(found)


def _numbers(text: str, limit: int, whole: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\*|\d+)(?:\.\.(\d+))?(?:/(\d+))?", part)
        if match is None:
            raise BadSchedule(f"unable to parse calendar event '{whole}'")
        first, last, step = match.groups()
        start = 0 if first == "*" else int(first)
        end = int(last) if last else (limit - 1 if first == "*" or step else start)
        if end >= limit or start > end or step == "0":
            raise BadSchedule(f"unable to parse calendar event '{whole}'")
        found |= set(range(start, end + 1, int(step or 1)))
    return frozenset(found)
