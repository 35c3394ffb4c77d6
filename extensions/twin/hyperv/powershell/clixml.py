# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CLIXML: how powershell.exe writes its error stream when it was started with -EncodedCommand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError

HEADER = "#< CLIXML\r\n"
_OPENING = '<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
_PROGRESS = (
    '<Obj S="progress" RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCustomObject</T><T>System.Object</T></TN>'
    '<MS><I64 N="SourceId">1</I64><PR N="Record"><AV>Preparing modules for first use.</AV><AI>0</AI><Nil /><PI>-1</PI>'
    "<PC>-1</PC><T>Completed</T><SR>-1</SR><SD> </SD></PR></MS></Obj>"
)
# Letters that XML cannot carry, and an underscore that would read as the start of such a mark.
_ENCODED = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]|_(?=x[0-9a-fA-F]{4}_)")


def shown(error: PowerShellError) -> list[str]:
    """An error record as the console shows it, line by line (ErrorView NormalView)."""
    reason = error.exception_type.rpartition(".")[2]
    start = f"{error.activity} : " if error.activity else ""
    target = "" if error.target is None else f"{error.target}"[:40]
    return [
        f"{start}{error.message}",
        f"At line:{error.line} char:1",
        f"+ {error.text}",
        f"+ {'~' * max(1, len(error.text))}",
        f"    + CategoryInfo          : {error.category}: ({target}:) [{error.activity}], {reason}",
        f"    + FullyQualifiedErrorId : {error.error_id}",
        " ",
    ]


def stream(found: Sequence[PowerShellError], *, shows_progress: bool) -> str:
    """The error stream as CLIXML, the progress of loading a module first; nothing at all where there was neither."""
    if not found and not shows_progress:
        return ""
    lines = (line for error in found for line in shown(error))
    texts = "".join(f'<S S="Error">{_text(line)}_x000D__x000A_</S>' for line in lines)
    return f"{HEADER}{_OPENING}{_PROGRESS if shows_progress else ''}{texts}</Objs>"


def plain(found: Sequence[PowerShellError]) -> str:
    """The error stream as text, as -Command writes it."""
    return "".join(f"{line}\r\n" for error in found for line in shown(error))


def _text(line: str) -> str:
    return escape(_ENCODED.sub(lambda letter: f"_x{ord(letter[0]):04X}_", line))
