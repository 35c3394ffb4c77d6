# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock counts from the contract's instant, and says durations as people do."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import clock
from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import Mark

ALL: dict[str, float] = {
    Mark.FAULT: 1000.0,
    Mark.DETECTED: 1010.0,
    Mark.ALERT: 1060.0,
    Mark.ACKNOWLEDGED: 1100.0,
    Mark.VERIFIED: 2000.0,
}


@pytest.mark.parametrize(
    ("rto_from", "achieved_s"), [("alert", 940.0), ("fault", 1000.0), ("detected", 990.0), ("acknowledged", 900.0)]
)
def test_the_rto_counts_from_the_start_the_contract_names(rto_from: str, achieved_s: float) -> None:
    assert clock.rto_achieved_s(ALL, rto_from) == achieved_s


def test_the_alert_stands_in_for_an_unknown_start() -> None:
    assert clock.rto_achieved_s({"T2": 10.0, "T9": 70.0}, "acknowledged") == 60.0


def test_no_rto_is_achieved_before_the_service_is_verified() -> None:
    assert clock.rto_achieved_s({"T2": 10.0, "T8": 70.0}) is None
    assert clock.rto_achieved_s({"T9": 70.0}) is None


@pytest.mark.parametrize(
    ("marks", "point_at_s", "achieved_s"),
    [
        ({"T0": 5000.0}, 1400.0, 3600.0),
        ({"T1": 5000.0, "T2": 5060.0}, 1400.0, 3600.0),
        ({"T2": 5000.0}, 1400.0, 3600.0),
        ({"T0": 5000.0}, None, 0.0),
        ({"T0": 5000.0}, 5100.0, 0.0),
        ({}, 1400.0, None),
    ],
)
def test_the_rpo_is_the_fault_minus_the_point_used(
    marks: dict[str, float], point_at_s: float | None, achieved_s: float | None
) -> None:
    assert clock.rpo_achieved_s(marks, point_at_s) == achieved_s


@pytest.mark.parametrize(
    ("marks", "window_s"), [({}, None), ({"T7": 100.0}, 900.0), ({"T7": 100.0, "T13": 400.0}, 300.0)]
)
def test_the_unprotected_window_ends_with_reprotection(marks: dict[str, float], window_s: float | None) -> None:
    assert clock.unprotected_s(marks, 1000.0) == window_s


@pytest.mark.parametrize(
    ("seconds", "english", "italian"),
    [
        (0, "0 s", "0 s"),
        (59.4, "59 s", "59 s"),
        (59.6, "1 min", "1 min"),
        (192, "3 min 12 s", "3 min 12 s"),
        (599.4, "9 min 59 s", "9 min 59 s"),
        (599.9, "10 min", "10 min"),
        (1800, "30 min", "30 min"),
        (3599, "1 h", "1 h"),
        (4320, "1 h 12 min", "1 h 12 min"),
        (86400, "24 h", "24 h"),
        (172800 + 3 * 3600, "2 d 3 h", "2 g 3 h"),
        (172799, "2 d", "2 g"),
        (-90, "-1 min 30 s", "-1 min 30 s"),
    ],
)
def test_a_duration_is_said_as_a_person_would(seconds: float, english: str, italian: str) -> None:
    assert (clock.say_duration(seconds), clock.say_duration(seconds, "it")) == (english, italian)


@pytest.mark.parametrize(
    ("elapsed_s", "rto_s", "line"),
    [
        (192, 1800, "RTO 00:03:12 of 30:00"),
        (0, 14400, "RTO 00:00:00 of 04:00:00"),
        (-5, 1800, "RTO 00:00:00 of 30:00"),
        (1801, 1800, "RTO 00:30:01 of 30:00 MISSED"),
    ],
)
def test_the_live_clock_shows_elapsed_and_target(elapsed_s: float, rto_s: float, line: str) -> None:
    assert clock.rto_line(5000.0 + elapsed_s, 5000.0, rto_s) == line


def test_an_instant_is_said_in_the_clients_zone() -> None:
    at_s = 1786760000.0
    assert clock.say_instant(at_s, "Europe/Rome") == "2026-08-15 04:13:20 CEST"
    assert clock.say_instant(at_s, with_date=False) == "02:13:20 UTC"
    assert clock.iso(at_s) == "2026-08-15T02:13:20Z"


def test_an_age_ahead_of_our_clock_is_said_as_such() -> None:
    assert (clock.say_ago(3), clock.say_ago(-90)) == ("3 s ago", "1 min 30 s ahead of this clock")


def test_the_typical_duration_is_the_median() -> None:
    assert clock.typical_s([]) is None
    assert clock.typical_s([10, 30, 20]) == 20.0
