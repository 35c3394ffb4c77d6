# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the journal lives: its URL, read and checked before anything is touched."""

from __future__ import annotations

import os
import re
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import JournalFault
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.library import need_sqlalchemy, sa

if t.TYPE_CHECKING:
    from sqlalchemy import URL

SQLITE = ("sqlite", "sqlite+pysqlite")
POSTGRESQL = ("postgresql", "postgresql+psycopg")
FORMS = "write sqlite:////absolute/path/journal.sqlite or postgresql://user:password@host/database"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalUrl:
    """A checked URL. ``path`` is set for SQLite, ``url`` for PostgreSQL; ``shown`` is free of passwords."""

    shown: str
    path: Path | None = None
    url: URL | None = None
    is_default: bool = False  # only then is the directory ours to make


def is_local_only(url: str | None) -> bool:
    """Tell whether the journal is a file of this machine, so that modules on a remote runner cannot share it."""
    return not url or url.lower().startswith("sqlite")


def default_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the journal in the user's state directory, by the rules of the XDG base directory specification."""
    environ = os.environ if environ is None else environ
    state = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the specification: relative values are invalid and ignored
        home = environ.get("HOME") or os.path.expanduser("~")
        if not os.path.isabs(home):
            raise JournalFault(
                what="find the journal", why="this user has no home directory", next=f"set dr_journal: {FORMS}"
            )
        state = os.path.join(home, ".local", "state")
    return Path(state, "ferragosto.dr", "journal.sqlite")


def parse(url: str | None) -> JournalUrl:
    """Read the URL; None or "" is the default. Raises JournalFault, which never shows a password."""
    if not url:
        path = default_path()
        return JournalUrl(shown=f"sqlite:///{path}", path=path, is_default=True)
    need_sqlalchemy()
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        scheme = _SCHEME.match(url)
        why = f"the journal's URL ({scheme[1]}:...) cannot be read" if scheme else "the journal's URL has no scheme"
        raise JournalFault(what="open the journal", why=why, next=FORMS) from None  # the cause quotes the URL
    shown = parsed.render_as_string(hide_password=True)
    if parsed.drivername in SQLITE:
        return JournalUrl(shown=shown, path=_sqlite_path(parsed, shown))
    if parsed.drivername in POSTGRESQL:
        return JournalUrl(shown=shown, url=parsed.set(drivername="postgresql+psycopg"))
    raise JournalFault(
        what=f"open the journal {shown}", why=f"its URL scheme {parsed.drivername!r} is not known", next=FORMS
    )


def _sqlite_path(parsed: URL, shown: str) -> Path:
    what = f"open the journal {shown}"
    if not parsed.database or parsed.database == ":memory:":
        raise JournalFault(what=what, why="a journal in memory would not outlive this process", next=FORMS)
    if parsed.query:
        raise JournalFault(what=what, why="options after '?' are not supported for SQLite", next=FORMS)
    path = Path(os.path.expanduser(parsed.database))
    if not path.is_absolute():
        # A module's working directory differs from the technician's: two journals would come of one URL.
        raise JournalFault(what=what, why=f"the path {str(path)!r} is relative", next=FORMS)
    return path
