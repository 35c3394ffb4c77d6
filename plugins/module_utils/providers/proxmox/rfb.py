# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RFB 3.8, as much of it as one picture of a display needs: VNC's handshake, one full update, raw pixels."""

from __future__ import annotations

import struct
import typing as t
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.sdk import require_ciphers

VERSION = b"RFB 003.008\n"
NO_AUTH, VNC_AUTH = 1, 2
RAW, DESKTOP_SIZE = 0, -223
MOST_PIXELS = 16384 * 16384 // 4  # a display larger than that is a garbled answer
# 32 bits a pixel, 24 deep, little endian, true colour, 8 bits each of red, green, blue: bytes come as blue, green, red, unused
PIXELS = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)


class RfbError(Exception):
    """The other side does not speak as RFB 3.8 does, or refuses."""


@dataclass(frozen=True, slots=True)
class Frame:
    width: int
    height: int
    pixels: bytes  # blue, green, red, unused, row by row


class Line(t.Protocol):
    def read(self, size: int) -> bytes:
        """Return exactly so many bytes."""

    def write(self, data: bytes) -> None: ...


def read_frame(line: Line, password: str) -> Frame:
    """Shake hands and return the display as it is now."""
    _shake_hands(line, password)
    width, height = _begin(line)
    for dummy in range(3):  # a display may change its size under our eyes, as guests do when they boot
        canvas = _update(line, width, height)
        if isinstance(canvas, Frame):
            return canvas
        width, height = canvas
    raise RfbError("the display changes its size all the time")


def response(challenge: bytes, password: str) -> bytes:
    """Encrypt VNC's challenge: DES with each byte of the password's first eight mirrored."""
    triple_des, cipher, ecb = require_ciphers()
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode("latin-1", "replace")[:8].ljust(8, b"\0"))
    encryptor = cipher(triple_des(key * 3), ecb()).encryptor()  # thrice the same key is single DES
    return t.cast("bytes", encryptor.update(challenge) + encryptor.finalize())


def _shake_hands(line: Line, password: str) -> None:
    version = line.read(len(VERSION))
    if not version.startswith(b"RFB 003."):
        raise RfbError(f"it answered {version[:12]!r} instead of RFB 3.8")
    line.write(VERSION)
    count = line.read(1)[0]
    if count == 0:
        raise RfbError(_reason(line))
    kinds = line.read(count)
    if VNC_AUTH in kinds:
        line.write(bytes([VNC_AUTH]))
        line.write(response(line.read(16), password))
    elif NO_AUTH in kinds:
        line.write(bytes([NO_AUTH]))
    else:
        raise RfbError(f"it offers no login that is known here ({', '.join(map(str, kinds))})")
    if struct.unpack(">I", line.read(4))[0] != 0:
        raise RfbError(_reason(line))


def _begin(line: Line) -> tuple[int, int]:
    line.write(b"\1")  # shared: a technician's own console stays open
    width, height = struct.unpack(">HH", line.read(4))
    line.read(16)
    line.read(struct.unpack(">I", line.read(4))[0])
    line.write(struct.pack(">Bxxx", 0) + PIXELS)
    line.write(struct.pack(">BxHii", 2, 2, RAW, DESKTOP_SIZE))
    return width, height


def _update(line: Line, width: int, height: int) -> Frame | tuple[int, int]:
    """Ask for the whole display; a new size comes back instead of a picture."""
    if not 0 < width * height <= MOST_PIXELS:
        raise RfbError(f"a display of {width} x {height}")
    line.write(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
    pixels = bytearray(width * height * 4)
    missing = width * height
    while missing > 0:
        for dummy in range(_next_update(line)):
            x, y, wide, high, encoding = struct.unpack(">HHHHi", line.read(12))
            if encoding == DESKTOP_SIZE:
                if (wide, high) != (width, height):
                    return wide, high
                continue
            if encoding != RAW or x + wide > width or y + high > height:
                raise RfbError(f"a rectangle of encoding {encoding} at {x}, {y} of {wide} x {high}")
            _paint(pixels, line.read(wide * high * 4), width, x, y, wide)
            missing -= wide * high
    return Frame(width, height, bytes(pixels))


def _paint(pixels: bytearray, rectangle: bytes, width: int, x: int, y: int, wide: int) -> None:
    if wide == width:
        pixels[y * width * 4 : y * width * 4 + len(rectangle)] = rectangle
        return
    for row in range(len(rectangle) // (wide * 4) if wide else 0):
        at = ((y + row) * width + x) * 4
        pixels[at : at + wide * 4] = rectangle[row * wide * 4 : (row + 1) * wide * 4]


def _next_update(line: Line) -> int:
    """Read messages until one brings rectangles; return how many."""
    skip: dict[int, Callable[[], object]] = {
        1: lambda: line.read(struct.unpack(">xHH", line.read(5))[1] * 6),  # colours
        2: lambda: None,  # bell
        3: lambda: line.read(struct.unpack(">xxxI", line.read(7))[0]),  # cut text
    }
    while True:
        kind = line.read(1)[0]
        if kind == 0:
            return int(struct.unpack(">xH", line.read(3))[0])
        if kind not in skip:
            raise RfbError(f"a message of kind {kind}")
        skip[kind]()


def _reason(line: Line) -> str:
    size = struct.unpack(">I", line.read(4))[0]
    return line.read(min(size, 4096)).decode("utf-8", "replace") or "it refuses without a reason"
