# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Static members of .NET types: a closed list."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
import uuid
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.casts import (
    short_type,
    to_datetime,
    to_guid,
    to_integer,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError, call_failed
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import is_number, plain, text_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.parse import parse
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.process import Process
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.streams import ByteStream, Encoding, TextReader
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import ArrayList, Int64, ScriptBlock

_UTF8, _UTF16, _ASCII = 65001, 1200, 20127


def read(type_word: str, name: str, process: Process) -> object:
    """[type]::Name"""
    members: Mapping[str, Callable[[], object]] = {
        "datetime.utcnow": process.now,
        "datetime.now": lambda: process.now().astimezone(process.zone),
        "datetime.minvalue": lambda: dt.datetime(1, 1, 1),
        "text.encoding.utf8": lambda: Encoding(_UTF8),
        "text.encoding.unicode": lambda: Encoding(_UTF16),
        "text.encoding.ascii": lambda: Encoding(_ASCII),
        "console.in": process.console.reader,
        "console.out": process.console.writer,
        "console.error": process.console.error_writer,
        "console.outputencoding": lambda: process.console.output_encoding,
        "console.inputencoding": lambda: process.console.input_encoding,
        "guid.empty": lambda: uuid.UUID(int=0),
        "environment.machinename": lambda: process.host_name,
        "environment.newline": lambda: "\r\n",
    }
    return _found(members, type_word, name)()


def write(type_word: str, name: str, value: object, process: Process) -> None:
    """[Console]::OutputEncoding = value"""
    if not isinstance(value, Encoding):
        raise SimulatorError(f"[{type_word}]::{name} is set to what is no encoding")
    match f"{short_type(type_word)}.{name.casefold()}":
        case "console.outputencoding":
            process.console.output_encoding = value
        case "console.inputencoding":
            process.console.input_encoding = value
        case dummy:
            raise SimulatorError(f"the twin does not set [{type_word}]::{name}")


def call(type_word: str, name: str, arguments: Sequence[object], process: Process) -> object:
    """[type]::Name(...)"""
    methods: Mapping[str, Callable[..., object]] = {
        "datetime.parse": lambda text: to_datetime(text, process.zone),
        "convert.tobase64string": _to_base64,
        "convert.frombase64string": _from_base64,
        "console.openstandardinput": process.console.own_input,
        "scriptblock.create": lambda text: _block(text, process),
        "guid.newguid": uuid.uuid4,
        "guid.parse": to_guid,
        "math.abs": _absolute,
        "math.ceiling": lambda one: float(math.ceil(_real(one))),
        "math.floor": lambda one: float(math.floor(_real(one))),
        "math.truncate": lambda one: float(math.trunc(_real(one))),
        "math.round": lambda one, digits=0: float(round(_real(one), to_integer(digits))),
        "math.max": lambda one, other: _wider(max, one, other),
        "math.min": lambda one, other: _wider(min, one, other),
        "management.automation.wildcardpattern.escape": lambda text: escaped(text_of(text)),
        "wildcardpattern.escape": lambda text: escaped(text_of(text)),
        "text.utf8encoding.new": lambda *dummy: Encoding(_UTF8),
        "io.streamreader.new": reader,
        "collections.arraylist.new": ArrayList,
        "collections.generic.list[object].new": ArrayList,
    }
    method = _found(methods, type_word, name)
    try:
        return method(*(plain(one) for one in arguments))
    except TypeError as wrong:
        raise SimulatorError(f"[{type_word}]::{name} with {len(arguments)} arguments: {wrong}") from None


def create(type_word: str, arguments: Sequence[object]) -> object:
    """New-Object of the few types that a bootstrap needs."""
    match short_type(type_word):
        case "text.utf8encoding" if len(arguments) < 2:
            return Encoding(_UTF8)
        case "io.streamreader":
            return reader(*arguments)
        case "collections.arraylist" if not arguments:
            return ArrayList()
        case dummy:
            raise SimulatorError(f"New-Object of {type_word}")


def reader(*arguments: object) -> TextReader:
    """A StreamReader; without an encoding it reads UTF-8."""
    stream, encoding = (*arguments, Encoding(_UTF8))[:2]
    if not isinstance(stream, ByteStream) or not isinstance(encoding, Encoding):
        raise SimulatorError("a StreamReader is made of a stream and an encoding")
    return TextReader(stream, encoding)


def escaped(text: str) -> str:
    """A name as a wildcard pattern that matches nothing else."""
    return "".join(f"`{letter}" if letter in "*?[]" else letter for letter in text)


def _found(members: Mapping[str, Callable[..., object]], type_word: str, name: str) -> Callable[..., object]:
    found = members.get(f"{short_type(type_word)}.{name.casefold()}")
    if found is None:
        raise SimulatorError(f"the twin does not know [{type_word}]::{name}")
    return found


def _to_base64(data: object) -> str:
    if not isinstance(data, bytes):
        raise SimulatorError("ToBase64String of what is no [byte[]]")
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: object) -> bytes:
    try:
        return base64.b64decode(text_of(text), validate=True)
    except binascii.Error:
        why = "The input is not a valid Base-64 string."
        raise call_failed("FromBase64String", 1, why, "FormatException") from None


def _block(text: object, process: Process) -> ScriptBlock:
    """A script block of a text; one that does not parse is never the script's to catch."""
    if not isinstance(text, str):
        raise SimulatorError("[ScriptBlock]::Create of what is no [string]")
    script = parse(text)
    process.assigned |= script.assigned
    return ScriptBlock(text, script.block)


def _figure(value: object) -> int | float:
    if not is_number(value):
        raise SimulatorError(f"[Math] of {value!r}")
    return value


def _real(value: object) -> float:
    return float(_figure(value))


def _absolute(value: object) -> int | float:
    found = abs(_figure(value))
    return Int64(found) if isinstance(value, Int64) else found


def _wider(choose: Callable[[int | float, int | float], int | float], one: object, other: object) -> int | float:
    """The greater or lesser of two numbers, of the wider of their types."""
    found = choose(_figure(one), _figure(other))
    if isinstance(one, float) or isinstance(other, float):
        return float(found)
    return Int64(found) if isinstance(one, Int64) or isinstance(other, Int64) else found
