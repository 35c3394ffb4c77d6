# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clock of a recovery, T0 to T13 (semantics.md), and how times and durations are said to people."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from statistics import median


class Mark(StrEnum):
    FAULT = "T0"  # best estimate
    DETECTED = "T1"
    ALERT = "T2"
    ACKNOWLEDGED = "T3"
    DIAGNOSED = "T4"
    DECIDED = "T5"
    FENCED = "T6"
    REPLICA_ON = "T7"
    GUEST_UP = "T8"
    VERIFIED = "T9"
    TOLD = "T10"
    CONFIRMED = "T11"
    HOME = "T12"
    REPROTECTED = "T13"


# The words of ``dr_contract.rto_from``; where that instant is not known, the alert stands in for it.
_RTO_STARTS = {
    "alert": Mark.ALERT,
    "fault": Mark.FAULT,
    "detected": Mark.DETECTED,
    "acknowledged": Mark.ACKNOWLEDGED,
}
_DAY = {"en": "d", "it": "g"}


def rto_start_s(marks: Mapping[str, float], rto_from: str = "alert") -> float | None:
    """Return the instant from which the contract counts."""
    named = marks.get(_RTO_STARTS[rto_from])
    return named if named is not None else marks.get(Mark.ALERT)


def rto_achieved_s(marks: Mapping[str, float], rto_from: str = "alert") -> float | None:
    """Return T9 minus the contract's start; None while the service is not verified."""
    start, verified = rto_start_s(marks, rto_from), marks.get(Mark.VERIFIED)
    return None if start is None or verified is None else max(0.0, verified - start)


def rpo_achieved_s(marks: Mapping[str, float], point_at_s: float | None) -> float | None:
    """Return T0 minus the recovery point used; 0 when none was used, None when no instant of the fault is known."""
    if point_at_s is None:
        return 0.0
    known = (marks.get(mark) for mark in (Mark.FAULT, Mark.DETECTED, Mark.ALERT))
    fault = next((at_s for at_s in known if at_s is not None), None)
    return None if fault is None else max(0.0, fault - point_at_s)


def unprotected_s(marks: Mapping[str, float], now_s: float) -> float | None:
    """Return how long there is (or was) no second copy: T13, or now, minus T7; None when nothing was promoted."""
    start = marks.get(Mark.REPLICA_ON)
    return None if start is None else max(0.0, marks.get(Mark.REPROTECTED, now_s) - start)


def time_left_s(start_s: float, rto_s: float, now_s: float) -> float:
    """Return what is left of the contract's RTO; negative once it is missed."""
    return start_s + rto_s - now_s


def typical_s(seconds: Sequence[float]) -> float | None:
    """Return the median of earlier durations; None without any."""
    return float(median(seconds)) if seconds else None


def say_duration(seconds: float, locale: str = "en") -> str:
    """Say a duration as a person would: "45 s", "3 min 12 s", "41 min", "1 h 12 min", "2 d 3 h" ("2 g 3 h")."""
    if seconds < 0:
        return f"-{say_duration(-seconds, locale)}"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return _pair(whole, 60, "min", 1, "s")
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return _pair(minutes, 60, "h", 1, "min")
    return _pair(round(seconds / 3600), 24, _DAY.get(locale, "d"), 1, "h")


def say_ago(age_s: float) -> str:
    """Say an age for a technician: "3 s ago"; a time ahead of this machine's clock is said as what it is."""
    return f"{say_duration(age_s)} ago" if age_s >= 0 else f"{say_duration(-age_s)} ahead of this clock"


def say_instant(at_s: float, zone: str = "UTC", *, with_date: bool = True) -> str:
    """Say an instant in a zone, with the zone's letters: "2026-08-15 04:12:33 CEST"."""
    moment = in_zone(at_s, zone)
    return moment.strftime("%Y-%m-%d %H:%M:%S %Z" if with_date else "%H:%M:%S %Z").strip()


def in_zone(at_s: float, zone: str) -> datetime:
    where: tzinfo = UTC if zone == "UTC" else zoneinfo.ZoneInfo(zone)
    return datetime.fromtimestamp(at_s, where)


def iso(at_s: float) -> str:
    """Return an instant for machines: ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rto_line(now_s: float, start_s: float, rto_s: float) -> str:
    """Return the live clock: "RTO 00:03:12 of 30:00", with " MISSED" once it is over."""
    elapsed_s = max(0.0, now_s - start_s)
    late = " MISSED" if elapsed_s > rto_s else ""
    return f"RTO {_digits(elapsed_s, full=True)} of {_digits(rto_s, full=False)}{late}"


def _pair(count: int, per: int, major: str, least: int, minor: str) -> str:
    high, low = divmod(count, per)
    return f"{high} {major} {low} {minor}" if low >= least else f"{high} {major}"


def _digits(seconds: float, *, full: bool) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}" if full or hours else f"{minutes:02}:{rest:02}"
