# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to the journal's database, set so that an acknowledged record is never lost."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import typing as t
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import JournalFault
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.library import sa
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.schema import create, tables

if t.TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine, Row, Select

_WRITES = "dr_writes"


def sqlite_engine(path: Path, *, busy_s: float, is_read_only: bool) -> Engine:
    """Connect to an existing file; this never makes one, so that its mode is ours to choose."""

    def connect() -> sqlite3.Connection:
        # A reader too must be able to roll back what a killed writer left half done, so it opens for writing where it may.
        mode = "ro" if is_read_only and not os.access(path, os.W_OK) else "rw"
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            timeout=busy_s,
            isolation_level=None,  # BEGIN is written by _begin below, never guessed by the driver
            check_same_thread=False,  # the pool hands a connection to one thread at a time
        )
        # Rollback journal, not WAL: WAL needs shared memory between its processes and fails on network file systems.
        # EXTRA also syncs the directory after the journal's removal: without it, a power cut may undo the last commit.
        for pragma in ("journal_mode=DELETE", "synchronous=EXTRA", "fullfsync=ON"):
            if mode == "rw":
                connection.execute(f"PRAGMA {pragma}")
        if is_read_only:
            connection.execute("PRAGMA query_only=ON")
        return connection

    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), creator=connect, poolclass=sa.QueuePool, hide_parameters=True
    )
    sa.event.listen(engine, "begin", _begin)
    return engine


def empty_engine() -> Engine:
    """Stand in for a journal that does not exist yet: a reader finds it empty and leaves no file behind."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    with engine.begin() as connection:
        create(connection, now_s=0.0)
    return engine


def postgresql_engine(url: URL, *, busy_s: float, is_read_only: bool) -> Engine:
    """Connect to PostgreSQL; the schema and statements are made for it, a running server is tested in a later issue."""
    options = f"-c lock_timeout={int(busy_s * 1000)} -c synchronous_commit=on"
    if is_read_only:
        options += " -c default_transaction_read_only=on"
    try:
        return sa.create_engine(
            url, connect_args={"connect_timeout": 10, "options": options}, pool_pre_ping=True, hide_parameters=True
        )
    except ImportError as error:
        raise JournalFault(
            what=f"open the journal {url.render_as_string(hide_password=True)}",
            why=f"the Python driver for PostgreSQL is missing ({error})",
            next="pip install 'psycopg[binary]>=3.1' on the machine where the modules run, or use a SQLite journal "
            "(PostgreSQL is not yet tested against a running server)",
        ) from error


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[tuple[Connection, Row[t.Any]]]:
    """One exclusive transaction, and the row of ``meta`` as it stands in it.

    SQLite: BEGIN IMMEDIATE admits one writer to the file. PostgreSQL: the row lock on ``meta`` does the same.
    """
    with _exclusive(engine) as connection:
        yield connection, connection.execute(sa.select(tables().meta).with_for_update()).one()


@contextlib.contextmanager
def founding(engine: Engine) -> Iterator[Connection]:
    """One exclusive transaction in a database that may have no tables yet."""
    with _exclusive(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(0xFE44A605)))  # there is no row to lock yet
        yield connection


@contextlib.contextmanager
def _exclusive(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as pooled:
        connection = pooled.execution_options(**{_WRITES: True})
        with connection.begin():
            yield connection


def server_now_s(connection: Connection) -> float | None:
    """Ask the server for its time; None for SQLite, which has no clock of its own."""
    if connection.dialect.name != "postgresql":
        return None
    return float(connection.execute(server_clock()).scalar_one())


def server_clock() -> Select[t.Any]:
    return sa.select(sa.extract("epoch", sa.func.clock_timestamp()))


def _begin(connection: Connection) -> None:
    is_writing = connection.get_execution_options().get(_WRITES, False)
    # A deferred transaction that turns writer later can meet SQLITE_BUSY at once, without the busy timeout.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")
