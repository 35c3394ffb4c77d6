# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database's complaint, turned into what the technician can do."""

from __future__ import annotations

import contextlib
import sqlite3
import typing as t
from collections.abc import Iterator

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import JournalFault
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.library import sa

# SQLite's result code, without its extension -> why, next (https://www.sqlite.org/rescode.html)
_SQLITE = {
    "NOTADB": (
        "the file is not a database",
        "correct the URL, or move the file aside and let a new journal be made; never delete it while a run is open",
    ),
    "CORRUPT": (
        "the database is damaged",
        "keep a copy of the file, save what can be read with `sqlite3 FILE .recover`, and start with a new journal",
    ),
    "READONLY": ("the file or its directory is read-only", "give this user write access to the file and its directory"),
    "PERM": ("access is denied", "give this user access to the file and its directory"),
    "AUTH": ("access is denied", "give this user access to the file and its directory"),
    "CANTOPEN": (
        "the file cannot be opened, or its directory is not writable",
        "check that the path exists and that this user may write to the file and its directory",
    ),
    "FULL": ("the disk is full", "free some space on the journal's disk, then run the same command again"),
    "BUSY": (
        "another process has kept it locked for too long",
        "find the process (fuser FILE), let it end or end it, then run the same command again",
    ),
    "LOCKED": ("it is locked by another connection", "run the same command again"),
    "IOERR": (
        "reading or writing the file failed",
        "check the disk and the file system, then run the same command again",
    ),
}


@contextlib.contextmanager
def told(what: str, shown: str, *, secret: str | None = None) -> Iterator[None]:
    """Let database errors leave as JournalFault; ``secret`` is blotted out of the vendor's words."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, sqlite3.Error, UnicodeError) as error:
        raise _fault(error, f"{what} ({shown})", secret) from error


def _fault(error: Exception, what: str, secret: str | None) -> JournalFault:
    # The wrapper's text carries the statement and its parameters; only the driver's own words are for people.
    cause: t.Any = getattr(error, "orig", None) or error
    words = " ".join(str(cause).split())
    if secret:
        words = words.replace(secret, "***")
    name = str(getattr(cause, "sqlite_errorname", "") or "").removeprefix("SQLITE_").split("_")[0]
    if name in _SQLITE:
        why, cure = _SQLITE[name]
        return JournalFault(what=what, why=f"{why} ({words})", next=cure)
    return JournalFault(
        what=what, why=words or type(cause).__name__, next="check that the database answers and that its URL is right"
    )
