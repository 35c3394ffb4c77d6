# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open a journal, or say clearly why not, before anything is touched."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import JournalFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock
from ansible_collections.ferragosto.dr.plugins.module_utils.journal import engine as engines
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.faults import told
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.library import need_sqlalchemy, sa
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.schema import VERSION, create, tables
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.store import SqlJournal
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.url import JournalUrl, parse

if t.TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

BUSY_S = 20.0


def open_journal(url: str | None, *, clock: Clock, read_only: bool = False, busy_s: float = BUSY_S) -> SqlJournal:
    """Open the journal at ``url`` (None: the user's own), making it where it is new.

    With ``read_only`` nothing is made or written: a journal that does not exist yet reads as empty, and writing raises.
    """
    need_sqlalchemy()
    place = parse(url)
    engine = _connect(place, read_only=read_only, busy_s=busy_s)
    secret = place.url.password if place.url is not None else None
    try:
        with told("open the journal", place.shown, secret=secret):
            if read_only:
                engine = _look(engine, place)
            else:
                _found(engine, place, clock)
    except JournalFault:
        engine.dispose()
        raise
    return SqlJournal(engine, shown=place.shown, clock=clock, is_read_only=read_only, secret=secret)


def _connect(place: JournalUrl, *, read_only: bool, busy_s: float) -> Engine:
    if place.url is not None:
        return engines.postgresql_engine(place.url, busy_s=busy_s, is_read_only=read_only)
    path = t.cast(Path, place.path)
    if read_only and not path.exists():
        return engines.empty_engine()
    if not read_only:
        _make_file(path, place)
    return engines.sqlite_engine(path, busy_s=busy_s, is_read_only=read_only)


def _make_file(path: Path, place: JournalUrl) -> None:
    """Make the file with mode 0600: SQLite itself would take the umask's.

    An existing file is never opened here: closing it would drop the locks of this process's other connections (fcntl(2)).
    """
    what = f"open the journal {place.shown}"
    try:
        if place.is_default:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        if path.is_dir() or not path.parent.is_dir():
            raise JournalFault(
                what=what, why=f"{path} is not a file in a directory", next="name a file in dr_journal"
            ) from None
    except FileNotFoundError as error:
        # Made silently, a mistyped path would start an empty journal that knows of no interrupted run.
        raise JournalFault(
            what=what, why=f"the directory {path.parent} does not exist", next="make it, or correct dr_journal"
        ) from error
    except OSError as error:
        raise JournalFault(
            what=what,
            why=f"{error.filename or path} cannot be made: {error.strerror}",
            next="give this user write access there, or name another place in dr_journal",
        ) from error


def _found(engine: Engine, place: JournalUrl, clock: Clock) -> None:
    with engines.founding(engine) as connection:
        if not _has_journal(connection, place):
            create(connection, now_s=clock.now_s())
            return
        _check_version(connection, place)
        # Only a write shows a read-only file or directory; it is rolled back, and costs no sync.
        connection.execute(sa.update(tables().meta).values(id=1))
        t.cast("sa.Transaction", connection.get_transaction()).rollback()


def _look(engine: Engine, place: JournalUrl) -> Engine:
    with engines.reading(engine) as connection:
        if _has_journal(connection, place):
            _check_version(connection, place)
            return engine
    engine.dispose()
    return engines.empty_engine()


def _has_journal(connection: Connection, place: JournalUrl) -> bool:
    found = set(sa.inspect(connection).get_table_names())
    wanted = set(tables().metadata.tables)
    if "meta" in found and wanted <= found:
        return True
    if (found and connection.dialect.name == "sqlite") or found & wanted:
        raise JournalFault(
            what=f"open the journal {place.shown}",
            why="it is a database of something else (its tables: " + ", ".join(sorted(found)[:5]) + ")",
            next="correct dr_journal; nothing was written",
        )
    return False


def _check_version(connection: Connection, place: JournalUrl) -> None:
    row = connection.execute(sa.select(tables().meta.c.schema_version)).one_or_none()
    if row is None:
        raise JournalFault(
            what=f"open the journal {place.shown}",
            why="it is damaged: its table meta is empty",
            next="keep a copy of it, and name another journal in dr_journal",
        )
    version = row.schema_version
    if version == VERSION:
        return
    raise JournalFault(
        what=f"open the journal {place.shown}",
        why=f"its schema is version {version}, this collection knows version {VERSION}",
        next=f"install a release of ferragosto.dr that knows schema {version}, or name another journal in dr_journal",
    )
