# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The language's own messages in the other tongue that the twin speaks; ids and categories are never translated."""

from __future__ import annotations

import re

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError

# Windows PowerShell 5.1's German resources, by what the English ones say.
_GERMAN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(english, re.DOTALL), german)
    for english, german in (
        (r"Attempted to divide by zero\.", "Es wurde versucht, durch 0 (null) zu teilen."),
        (r"Cannot index into a null array\.", "Es ist nicht möglich, einen Index auf ein NULL-Array anzuwenden."),
        (
            r"You cannot call a method on a null-valued expression\.",
            "Es ist nicht möglich, eine Methode für einen Ausdruck aufzurufen, der den NULL hat.",
        ),
        (
            r'Cannot convert value "(.*)" to type "(.*?)"\.(.*)',
            r'Der Wert "\1" kann nicht in den Typ "\2" konvertiert werden.\3',
        ),
        (r'Cannot convert null to type "(.*)"\.', r'NULL kann nicht in den Typ "\1" konvertiert werden.'),
    )
)


def localised(error: PowerShellError, culture: str) -> None:
    """Put an error's message in the language of the culture, where the twin has it."""
    if not culture.casefold().startswith("de"):
        return
    for english, german in _GERMAN:
        found = english.fullmatch(error.message)
        if found is not None:
            error.message = found.expand(german)
            return
