# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal that cannot serve says so, with the cure, before anything is touched."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import JournalFault
from ansible_collections.ferragosto.dr.plugins.module_utils.journal import library, url
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.opening import open_journal
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.store import SqlJournal
from ansible_collections.ferragosto.dr.tests.unit.journal.kit import (
    NOW_S,
    VM,
    TurnedClock,
    living_process,
    ours,
    plain_rights,
    spoil,
    url_of,
)


def fault_of(wanted: str | None, clock: TurnedClock, *, read_only: bool = False, busy_s: float = 0.2) -> JournalFault:
    with pytest.raises(JournalFault) as caught:
        open_journal(wanted, clock=clock, read_only=read_only, busy_s=busy_s)
    assert caught.value.next
    return caught.value


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("mysql://u:hunter2@h/db", "'mysql' is not known"),
        ("postgres://u:hunter2@h/db", "'postgres' is not known"),
        ("postgresql://u:hunter2@h:port/db", "cannot be read"),
        ("/var/lib/journal.sqlite", "no scheme"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///journal.sqlite", "relative"),
        ("sqlite:////x/journal.sqlite?mode=ro", "not supported"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(clock: TurnedClock, wanted: str, why: str) -> None:
    fault = fault_of(wanted, clock)
    assert why in fault.why
    assert "hunter2" not in str(fault)
    assert "sqlite:////" in fault.next


@pytest.mark.parametrize(
    ("wanted", "is_local"),
    [
        (None, True),
        ("", True),
        ("sqlite:////x/y", True),
        ("postgresql://h/db", False),
        ("postgresql+psycopg://h/d", False),
    ],
)
def test_a_file_is_local_only(wanted: str | None, is_local: bool) -> None:
    assert url.is_local_only(wanted) is is_local


def test_a_missing_library_is_a_fault_with_its_cure(clock: TurnedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "MISSING", "No module named 'sqlalchemy'")
    assert "pip install 'SQLAlchemy" in fault_of(None, clock).next


def test_a_missing_driver_for_postgresql_is_a_fault_with_its_cure(
    clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    fault = fault_of("postgresql://u:hunter2@127.0.0.1/db", clock)
    assert "pip install 'psycopg" in fault.next
    assert "hunter2" not in str(fault)
    assert "u:***@127.0.0.1" in str(fault)


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/ferragosto.dr/journal.sqlite"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/ferragosto.dr/journal.sqlite"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/ferragosto.dr/journal.sqlite"),
    ],
)
def test_the_default_is_in_the_state_directory(environ: dict[str, str], found: str) -> None:
    assert url.default_path(environ) == Path(found)


def test_the_default_directory_is_made_for_its_owner_alone(
    clock: TurnedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "new" / "state"))
    before = os.umask(0o022)
    try:
        open_journal(None, clock=clock).close()
    finally:
        os.umask(before)
    made = tmp_path / "new" / "state" / "ferragosto.dr"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE((made / "journal.sqlite").stat().st_mode) == 0o600


def test_a_strange_path_is_taken_literally(clock: TurnedClock, tmp_path: Path) -> None:
    path = tmp_path / "50% café #1 a=b&c" / "journal.sqlite"
    path.parent.mkdir()
    open_journal(url_of(path), clock=clock).close()
    assert os.listdir(path.parent) == ["journal.sqlite"]


def test_a_broken_file_is_named_and_left_alone(clock: TurnedClock, path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough " * 40)
    before = path.read_bytes()
    for read_only in (False, True):
        fault = fault_of(url_of(path), clock, read_only=read_only)
        assert "not a database" in fault.why
        assert str(path) in fault.what
    assert path.read_bytes() == before


def test_a_damaged_page_is_a_clear_fault(journal: SqlJournal, path: Path) -> None:
    for _turn in range(200):
        journal.append(VM, "r1", "mark", {"text": "x" * 200})
    journal.close()
    with path.open("r+b") as stream:
        stream.seek(4096 * 10)
        stream.write(b"\xff" * 4096 * 10)
    with pytest.raises(JournalFault, match="damaged"):
        journal.verify()


def test_another_programs_database_is_left_alone(clock: TurnedClock, path: Path) -> None:
    spoil(path, "CREATE TABLE bookmarks (url TEXT)")
    assert "bookmarks" in fault_of(url_of(path), clock).why
    assert "bookmarks" in fault_of(url_of(path), clock, read_only=True).why


def test_a_journal_without_its_head_is_damaged(clock: TurnedClock, journal: SqlJournal, path: Path) -> None:
    journal.close()
    spoil(path, "DELETE FROM meta")
    assert "meta is empty" in fault_of(url_of(path), clock).why


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_schema_says_which_it_wants(
    clock: TurnedClock, journal: SqlJournal, path: Path, read_only: bool
) -> None:
    journal.close()
    spoil(path, "UPDATE meta SET schema_version = 7")
    fault = fault_of(url_of(path), clock, read_only=read_only)
    assert "version 7" in fault.why
    assert "version 1" in fault.why
    assert "schema 7" in fault.next


def test_a_missing_directory_is_not_made_up(clock: TurnedClock, tmp_path: Path) -> None:
    fault = fault_of(url_of(tmp_path / "misspelt" / "journal.sqlite"), clock)
    assert "does not exist" in fault.why
    assert not (tmp_path / "misspelt").exists()


@pytest.mark.parametrize("spot", ["", "file/journal.sqlite"])
def test_what_is_not_a_file_in_a_directory_is_refused(clock: TurnedClock, tmp_path: Path, spot: str) -> None:
    (tmp_path / "file").write_text("")
    fault = fault_of(url_of(tmp_path / spot), clock)
    assert str(tmp_path) in str(fault)


def test_a_default_directory_that_cannot_be_made_is_a_fault(
    clock: TurnedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with plain_rights():
        assert "cannot be made" in fault_of(None, clock).why
    tmp_path.chmod(0o700)


def test_a_read_only_file_is_found_at_opening(clock: TurnedClock, journal: SqlJournal, path: Path) -> None:
    journal.append(VM, "r1", "mark", {})
    journal.close()
    path.chmod(0o400)
    with plain_rights():
        assert "read-only" in fault_of(url_of(path), clock).why
        reader = open_journal(url_of(path), clock=clock, read_only=True)
        assert reader.verify().records == 1
        reader.close()


def test_a_read_only_directory_is_found_at_opening(clock: TurnedClock, journal: SqlJournal, path: Path) -> None:
    journal.append(VM, "r1", "mark", {})
    journal.close()
    path.parent.chmod(0o500)
    with plain_rights():
        assert "directory" in fault_of(url_of(path), clock).why
    path.parent.chmod(0o700)


def test_a_full_disk_is_said_and_loses_nothing(journal: SqlJournal) -> None:
    journal.append(VM, "r1", "mark", {})
    with journal._engine.connect() as connection:  # the pool's one connection
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(JournalFault, match="disk is full"):
        journal.append(VM, "r1", "intent", {"text": "x" * 20_000})
    with journal._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=100000")
    assert journal.append(VM, "r1", "intent", {"text": "x" * 20_000}).seq == 2
    assert journal.verify().records == 2


def test_a_journal_locked_for_too_long_is_a_fault(clock: TurnedClock, journal: SqlJournal, path: Path) -> None:
    impatient = open_journal(url_of(path), clock=clock, busy_s=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for attempt in (
        lambda: impatient.append(VM, "r1", "mark", {}),
        lambda: impatient.acquire(VM, ours()),
        impatient.records,
        lambda: open_journal(url_of(path), clock=clock, busy_s=0.1),
    ):
        with pytest.raises(JournalFault, match="locked for too long"):
            attempt()
    other.execute("ROLLBACK")
    other.close()
    assert impatient.append(VM, "r1", "mark", {}).seq == 1
    impatient.close()


def test_a_reader_leaves_no_trace(clock: TurnedClock, path: Path) -> None:
    reader = open_journal(url_of(path), clock=clock, read_only=True)
    assert reader.records() == []
    assert reader.lease(VM) is None
    assert reader.observation(VM, "x") is None
    assert reader.verify().is_intact
    assert os.listdir(path.parent) == []
    reader.close()
    missing = open_journal(url_of(path.parent / "no" / "j.sqlite"), clock=clock, read_only=True)
    assert missing.records() == []
    missing.close()
    path.touch()
    assert open_journal(url_of(path), clock=clock, read_only=True).records() == []
    assert path.read_bytes() == b""


def test_a_reader_reads_and_never_writes(clock: TurnedClock, journal: SqlJournal, path: Path) -> None:
    written = journal.append(VM, "r1", "mark", {"n": 1})
    with living_process() as process:
        journal.acquire(VM, ours())
        before = path.read_bytes()
        reader = open_journal(url_of(path), clock=clock, read_only=True)
        assert reader.records() == [written]
        assert reader.lease(VM) is not None
        for attempt in (
            lambda: reader.append(VM, "r1", "mark", {}),
            lambda: reader.acquire(VM, ours()),
            lambda: reader.release(VM, ours()),
            lambda: reader.observe(VM, "x", 1, at_s=NOW_S),
        ):
            with pytest.raises(JournalFault, match="for reading only"):
                attempt()
        assert process.poll() is None
    assert path.read_bytes() == before
    reader.close()
