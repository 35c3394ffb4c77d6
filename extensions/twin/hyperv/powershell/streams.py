# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The few .NET objects of a console process: its streams, readers, writers and encodings."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import NOTHING

_CODE_PAGES = {
    65001: "utf-8",
    1200: "utf-16-le",
    20127: "ascii",
    437: "cp437",
    850: "cp850",
    852: "cp852",
    1252: "cp1252",
}
_Methods: t.TypeAlias = Mapping[str, Callable[..., object]]


class Encoding:
    """A text encoding, by its Windows code page; a letter that it does not have is lost as a question mark."""

    def __init__(self, code_page: int) -> None:
        if code_page not in _CODE_PAGES:
            raise SimulatorError(f"the twin does not know the code page {code_page}")
        self.code_page = code_page
        self._codec = _CODE_PAGES[code_page]

    def encode(self, text: str) -> bytes:
        return text.encode(self._codec, errors="replace")

    def decode(self, data: bytes) -> str:
        return data.decode(self._codec, errors="replace")

    def methods(self) -> _Methods:
        return {"getbytes": self._bytes_of, "getstring": self._text_of}

    def _bytes_of(self, text: object) -> bytes:
        if not isinstance(text, str):
            raise SimulatorError("GetBytes of what is no [string]")
        return self.encode(text)

    def _text_of(self, data: object) -> str:
        if not isinstance(data, bytes):
            raise SimulatorError("GetString of what is no [byte[]]")
        return self.decode(data)


Input: t.TypeAlias = "bytes | Callable[[], bytes]"


class ByteStream:
    """A stream of bytes to read, once; a function is called at the first reading and may wait for them."""

    def __init__(self, data: Input) -> None:
        self._data = data

    def take(self) -> bytes:
        data, self._data = self._data, b""
        return data() if callable(data) else data

    def methods(self) -> _Methods:
        return {"close": _nothing, "dispose": _nothing}


class TextReader:
    """A StreamReader, or [Console]::In."""

    def __init__(self, stream: ByteStream, encoding: Encoding) -> None:
        self._stream = stream
        self._encoding = encoding

    def methods(self) -> _Methods:
        return {"readtoend": self._read_to_end, "close": _nothing, "dispose": _nothing}

    def _read_to_end(self) -> str:
        data = self._stream.take()
        if self._encoding.code_page == 65001:
            data = data.removeprefix(b"\xef\xbb\xbf")
        return self._encoding.decode(data)


class TextWriter:
    """[Console]::Out or [Console]::Error."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def methods(self) -> _Methods:
        return {"write": self._text, "writeline": self._line, "flush": _nothing}

    def _text(self, text: object) -> object:
        if not isinstance(text, str):
            raise SimulatorError("writes what is no [string] to the console")
        self._write(text)
        return NOTHING

    def _line(self, text: object = "") -> object:
        self._text(text)
        self._write("\r\n")
        return NOTHING


def _nothing() -> object:
    return NOTHING
