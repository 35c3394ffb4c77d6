# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may enter the journal: plain JSON, and never a secret."""

from __future__ import annotations

import math
import re
import typing as t
from collections.abc import Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import JournalFault

_SECRET_KEY = re.compile(r"pass(word|wd|phrase)|pwd|secret|token|api_?key|private_?key|credential", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")


def plain(value: t.Any, where: str = "body") -> t.Any:
    """Return ``value`` as plain JSON types, passwords inside URLs masked.

    Raises JournalFault for what JSON cannot say, and for a value under a key that names a secret.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _URL_PASSWORD.sub(r"\1:***@", str(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _refused(where, f"{value} is not a JSON number")
        return float(value)
    if isinstance(value, Mapping):
        return {_key(key, item, where): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise _refused(where, f"a value of type {type(value).__name__} is not JSON")


def _key(key: t.Any, value: t.Any, where: str) -> str:
    if not isinstance(key, str):
        raise _refused(where, f"the key {key!r} is not a string")
    # True, False and None tell of a secret without being one: {"has_token": true}.
    if _SECRET_KEY.search(key) and value is not None and not isinstance(value, bool):
        raise _refused(f"{where}.{key}", "a value under this name would be a secret in the journal")
    return str(key)


def _refused(where: str, why: str) -> JournalFault:
    return JournalFault(
        what=f"write {where} to the journal",
        why=why,
        next="this is a defect of the module that wrote it: report it with this message; the record was not written",
    )
