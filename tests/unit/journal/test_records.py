# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was appended is there, in order, as plain JSON, and no secret among it."""

from __future__ import annotations

import enum
import stat
import threading
import typing as t
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import JournalFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Journal
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.opening import open_journal
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.store import SqlJournal
from ansible_collections.ferragosto.dr.tests.unit.journal.kit import NOW_S, VM, TurnedClock, url_of


def test_the_store_is_the_journal_of_the_ports(journal: SqlJournal) -> None:
    port: Journal = journal  # mypy proves it
    assert port.verify().is_intact


def test_records_come_back_as_they_were_written(path: Path, clock: TurnedClock, journal: SqlJournal) -> None:
    body = {
        "step": "power on",
        "before": {"power": Power.OFF, "points": ("p1", "p2")},
        "took_s": 1.5,
        "nota": "più 'x' {{",
    }
    written = journal.append(VM, "r1", "intent", body)
    again = open_journal(url_of(path), clock=clock)
    assert again.records() == [written]
    assert written.seq == 1
    assert written.at_s == NOW_S
    assert written.body == {**body, "before": {"power": "off", "points": ["p1", "p2"]}}
    again.close()


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        ({}, [1, 2, 3, 4]),
        ({"vm_key": VM}, [1, 2, 4]),
        ({"run_id": "r1"}, [1, 2, 3]),
        ({"kinds": ("result", "mark")}, [2, 3, 4]),
        ({"vm_key": VM, "run_id": "r1", "kinds": ["intent"]}, [1]),
        ({"limit": 2}, [3, 4]),
        ({"vm_key": VM, "limit": 2}, [2, 4]),
        ({"limit": 9}, [1, 2, 3, 4]),
        ({"vm_key": "nobody"}, []),
    ],
)
def test_records_are_found_oldest_first(journal: SqlJournal, wanted: dict[str, t.Any], seqs: list[int]) -> None:
    for vm_key, run_id, kind in ((VM, "r1", "intent"), (VM, "r1", "result"), ("x/y", "r1", "mark"), (VM, "r2", "mark")):
        journal.append(vm_key, run_id, kind, {})
    assert [r.seq for r in journal.records(**wanted)] == seqs


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"a": {1, 2}}, "body.a"),
        ({"a": b"raw"}, "body.a"),
        ({"a": [1, {"b": object()}]}, "body.a[1].b"),
        ({"a": float("nan")}, "not a JSON number"),
        ({"a": float("inf")}, "not a JSON number"),
        ({"a": Colour.RED}, "Colour"),
        ({"a": Path("x")}, "body.a"),
        ({1: "x"}, "not a string"),
    ],
)
def test_a_body_that_is_not_json_is_refused(journal: SqlJournal, body: dict[t.Any, t.Any], said: str) -> None:
    with pytest.raises(JournalFault) as fault:
        journal.append(VM, "r1", "intent", body)
    assert said in str(fault.value)
    assert journal.records() == []


@pytest.mark.parametrize(
    "body",
    [
        {"password": "hunter2"},
        {"api_password": "hunter2"},
        {"site": {"production": {"api_token_secret": "hunter2"}}},
        {"list": [{"Token": "hunter2"}]},
        {"apiKey": "hunter2"},
        {"secrets": ["hunter2"]},
        {"passphrase": 4711},
    ],
)
def test_a_secret_never_enters_the_journal(journal: SqlJournal, path: Path, body: dict[str, t.Any]) -> None:
    with pytest.raises(JournalFault) as fault:
        journal.append(VM, "r1", "intent", body)
    with pytest.raises(JournalFault):
        journal.observe(VM, "site", body, at_s=NOW_S)
    assert "hunter2" not in str(fault.value)
    assert b"hunter2" not in path.read_bytes()


def test_words_about_secrets_and_masked_urls_may_enter(journal: SqlJournal) -> None:
    written = journal.append(
        VM, "r1", "x", {"has_token": True, "password": None, "url": "http://bob:hunter2@h/x: down"}
    )
    assert written.body == {"has_token": True, "password": None, "url": "http://bob:***@h/x: down"}


def test_names_in_any_script_survive(journal: SqlJournal) -> None:
    vm_key = 'città/Gestione "Łódź" {{ 7*7 }} 東京 \'; DROP TABLE record; --'
    journal.append(vm_key, "r1", "mark", {"name": "\ud800 lone \x00 nul"})
    assert [r.body["name"] for r in journal.records(vm_key=vm_key)] == ["\ud800 lone \x00 nul"]
    assert journal.verify().is_intact


def test_a_key_no_database_can_hold_is_a_clear_fault(journal: SqlJournal) -> None:
    with pytest.raises(JournalFault):
        journal.append("broken \ud800 name", "r1", "mark", {})
    assert journal.verify().records == 0


def test_threads_share_one_journal(journal: SqlJournal) -> None:
    def write() -> None:
        for _turn in range(10):
            journal.append(VM, "r1", "mark", {})

    crowd = [threading.Thread(target=write) for dummy in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(timeout=60)
    assert [r.seq for r in journal.records()] == list(range(1, 41))
    assert journal.verify().is_intact


def test_the_file_is_for_its_owner_alone(journal: SqlJournal, path: Path) -> None:
    journal.append(VM, "r1", "mark", {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_observation_keeps_when_it_was_first_seen(journal: SqlJournal) -> None:
    assert journal.observation(VM, "heartbeat") is None
    seen = [
        journal.observe(VM, "heartbeat", value, at_s=at_s)
        for value, at_s in (({"v": "red"}, 10), ({"v": "red"}, 30), ({"v": "red"}, 20), ({"v": "green"}, 40))
    ]
    assert [(o.first_at_s, o.last_at_s) for o in seen] == [(10, 10), (10, 30), (10, 30), (40, 40)]
    assert journal.observation(VM, "heartbeat") == seen[-1]
    assert journal.observation(VM, "other") is None
    assert journal.records() == []
