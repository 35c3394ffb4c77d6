# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one guard around SQLAlchemy: its absence is a fault with a cure, not a traceback."""

from __future__ import annotations

import sys

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import JournalFault

try:
    import sqlalchemy as sa

    MISSING = ""
except ImportError as error:
    sa = None  # type: ignore[assignment]
    MISSING = str(error)

__all__ = ["MISSING", "need_sqlalchemy", "sa"]

CURE = f"{sys.executable} -m pip install 'SQLAlchemy>=2.0'   (on the machine where the modules run)"


def need_sqlalchemy() -> None:
    """Raise JournalFault unless a usable SQLAlchemy is there."""
    if MISSING:
        raise JournalFault(
            what="open the journal", why=f"the Python library SQLAlchemy is missing ({MISSING})", next=CURE
        )
    if int(sa.__version__.split(".")[0]) < 2:
        raise JournalFault(what="open the journal", why=f"SQLAlchemy {sa.__version__} is too old", next=CURE)
