# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a replication job comes due."""

from __future__ import annotations

import datetime as dt

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schedule import BadSchedule, Calendar, next_event_s


def at(text: str) -> float:
    return dt.datetime.fromisoformat(f"{text}+00:00").timestamp()


@pytest.mark.parametrize(
    ("event", "after", "due"),
    [
        ("*/15", "2026-08-15T10:00:00", "2026-08-15T10:15:00"),
        ("*/15", "2026-08-15T10:14:59", "2026-08-15T10:15:00"),
        ("*/15", "2026-08-15T23:50:00", "2026-08-16T00:00:00"),
        ("0/30", "2026-08-15T10:10:00", "2026-08-15T10:30:00"),
        ("5", "2026-08-15T10:10:00", "2026-08-15T11:05:00"),
        ("22:30", "2026-08-15T22:29:00", "2026-08-15T22:30:00"),
        ("22:30", "2026-08-15T22:30:00", "2026-08-16T22:30:00"),
        ("*/4:00", "2026-08-15T10:10:00", "2026-08-15T12:00:00"),
        ("8..18:0/20", "2026-08-15T18:45:00", "2026-08-16T08:00:00"),
        ("2,14:05", "2026-08-15T02:05:30", "2026-08-15T14:05:00"),
        ("mon..fri 21:00", "2026-08-14T21:00:00", "2026-08-17T21:00:00"),
        ("sat,sun 7:15", "2026-08-15T08:00:00", "2026-08-16T07:15:00"),
        ("daily", "2026-08-15T08:00:00", "2026-08-16T00:00:00"),
        ("hourly", "2026-08-15T08:00:00", "2026-08-15T09:00:00"),
    ],
)
def test_an_event_comes_due(event: str, after: str, due: str) -> None:
    assert next_event_s(event, at(after)) == at(due)


@pytest.mark.parametrize("event", ["", "x", "61", "25:00", "*/0", "mon..", "10:00 11:00", "5..3"])
def test_what_is_no_event_is_refused(event: str) -> None:
    with pytest.raises(BadSchedule):
        Calendar.parse(event)
