# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server's side of the remote framebuffer protocol (RFC 6143), as QEMU speaks it: VNC authentication, raw encoding."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import struct
import typing as t
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from PIL import Image

_VNC_AUTH = 2
_RAW = 0
_LOOK_S = 0.1  # an incremental request is answered when the display changes
_LONGEST_CUT_TEXT = 2**20


class RfbEnded(Exception):
    """The client spoke no RFB, failed to authenticate, or went away."""


def answer_to(challenge: bytes, password: str) -> bytes:
    """Encrypt a challenge as VNC does: DES, the password's first eight characters as key, bits of each byte mirrored."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode("latin-1", "replace")[:8].ljust(8, b"\0"))
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()
    return encryptor.update(challenge) + encryptor.finalize()


@dataclass(frozen=True, slots=True)
class PixelFormat:
    bits: int = 32
    depth: int = 24
    is_big_endian: bool = False
    is_true_colour: bool = True
    maxima: tuple[int, int, int] = (255, 255, 255)
    shifts: tuple[int, int, int] = (16, 8, 0)

    def pack(self) -> bytes:
        flags = (self.bits, self.depth, self.is_big_endian, self.is_true_colour)
        return struct.pack(">BBBB3H3B3x", *flags, *self.maxima, *self.shifts)

    @classmethod
    def unpack(cls, data: bytes) -> PixelFormat:
        bits, depth, big, true, r_max, g_max, b_max, r, g, b = struct.unpack(">BBBB3H3B3x", data)
        if bits not in (8, 16, 32) or not true:
            raise RfbEnded(f"a pixel format of {bits} bits, true colour {true}: QEMU's server refuses it too")
        return cls(bits, depth, bool(big), bool(true), (r_max, g_max, b_max), (r, g, b))

    def encode(self, image: Image.Image) -> bytes:
        """Write a palette image in this format, one byte plane after the other."""
        palette = (image.getpalette() or []) + [0] * 768
        values = []
        for colour in range(256):
            parts = zip(palette[3 * colour : 3 * colour + 3], self.maxima, self.shifts, strict=True)
            values.append(sum(((part * most + 127) // 255) << shift for part, most, shift in parts))
        pixels, size = image.tobytes(), self.bits // 8
        planes = [bytes(value >> 8 * plane & 0xFF for value in values) for plane in range(size)]
        if self.is_big_endian:
            planes.reverse()
        out = bytearray(len(pixels) * size)
        for plane, table in enumerate(planes):
            out[plane::size] = pixels.translate(table)
        return bytes(out)


class RfbServer:
    """One session. ``look`` returns what the display shows now; the same object as long as nothing changes."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        write: Callable[[bytes], Awaitable[None]],
        *,
        password: str,
        name: str,
        look: Callable[[], Image.Image],
    ) -> None:
        self._reader, self._write, self._password, self._name, self._look = reader, write, password, name, look
        self._format = PixelFormat()
        self._shown: Image.Image | None = None
        self._encodings: tuple[int, ...] = ()

    async def serve(self) -> None:
        """Talk until the client goes; raises RfbEnded."""
        try:
            await self._shake_hands()
            while True:
                await self._message()
        except (asyncio.IncompleteReadError, ConnectionError) as gone:
            raise RfbEnded("the client went away") from gone

    async def _shake_hands(self) -> None:
        await self._write(b"RFB 003.008\n")
        said = await self._reader.readexactly(12)
        if said not in (b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n"):
            raise RfbEnded(f"no RFB: {said!r}")
        minor = int(said[8:11])
        if minor == 3:
            await self._write(struct.pack(">I", _VNC_AUTH))
        else:
            await self._write(bytes([1, _VNC_AUTH]))
            if (await self._reader.readexactly(1))[0] != _VNC_AUTH:
                raise RfbEnded("the client chose a security type that was not offered")
        await self._authenticate(has_reason=minor == 8)
        await self._reader.readexactly(1)  # ClientInit: shared or not
        image = self._look()
        name = self._name.encode()
        head = struct.pack(">HH", *image.size) + self._format.pack() + struct.pack(">I", len(name))
        await self._write(head + name)

    async def _authenticate(self, *, has_reason: bool) -> None:
        challenge = secrets.token_bytes(16)
        await self._write(challenge)
        response = await self._reader.readexactly(16)
        if hmac.compare_digest(response, answer_to(challenge, self._password)):
            await self._write(struct.pack(">I", 0))
            return
        reason = b"Authentication failed"
        await self._write(struct.pack(">I", 1) + (struct.pack(">I", len(reason)) + reason if has_reason else b""))
        raise RfbEnded("wrong VNC password")

    async def _message(self) -> None:
        kind = (await self._reader.readexactly(1))[0]
        match kind:
            case 0:  # SetPixelFormat
                await self._reader.readexactly(3)
                self._format = PixelFormat.unpack(await self._reader.readexactly(16))
                self._shown = None
            case 2:  # SetEncodings
                (count,) = struct.unpack(">xH", await self._reader.readexactly(3))
                self._encodings = struct.unpack(f">{count}i", await self._reader.readexactly(4 * count))
            case 3:  # FramebufferUpdateRequest
                request = struct.unpack(">B4H", await self._reader.readexactly(9))
                await self._update(bool(request[0]), t.cast("tuple[int, int, int, int]", request[1:]))
            case 4:  # KeyEvent: nobody types into a guest of a twin
                await self._reader.readexactly(7)
            case 5:  # PointerEvent
                await self._reader.readexactly(5)
            case 6:  # ClientCutText
                (length,) = struct.unpack(">3xI", await self._reader.readexactly(7))
                if length > _LONGEST_CUT_TEXT:
                    raise RfbEnded("too long a text")
                await self._reader.readexactly(length)
            case _:
                raise RfbEnded(f"unknown message {kind}")

    async def _update(self, is_incremental: bool, wanted: tuple[int, int, int, int]) -> None:
        image = self._look()
        while is_incremental and image is self._shown:
            if self._reader.at_eof():
                raise RfbEnded("the client went away")
            await asyncio.sleep(_LOOK_S)
            image = self._look()
        self._shown = image
        x, y = min(wanted[0], image.width), min(wanted[1], image.height)
        width, height = min(wanted[2], image.width - x), min(wanted[3], image.height - y)
        if not width or not height:
            await self._write(struct.pack(">BxH", 0, 0))
            return
        part = image.crop((x, y, x + width, y + height))
        part.putpalette(image.getpalette() or [])
        await self._write(struct.pack(">BxH4Hi", 0, 1, x, y, width, height, _RAW) + self._format.encode(part))
