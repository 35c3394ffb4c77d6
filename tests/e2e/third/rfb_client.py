# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plain VNC client by RFC 6143 over websocket-client, written from the RFC and sharing nothing with the twin or the provider."""

from __future__ import annotations

import ssl
import struct
import typing as t

import websocket
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from PIL import Image

_RAW = 0


class WrongPassword(Exception):
    """What the server says when VNC authentication failed."""


def connect(url: str, *, ca_path: str, **login: t.Any) -> websocket.WebSocket:
    """Open the websocket as a browser does: subprotocol binary; ``login`` is header= or cookie=."""
    trust = {"ca_certs": ca_path, "cert_reqs": ssl.CERT_REQUIRED, "check_hostname": True}
    return websocket.create_connection(url, subprotocols=["binary"], sslopt=trust, timeout=15, **login)


class Viewer:
    """One session: authenticated when it is made. ``size`` in pixels, ``name`` of the desktop."""

    def __init__(self, socket: websocket.WebSocket, password: str, pixel_format: bytes | None = None) -> None:
        self._socket, self._left = socket, b""
        self.version = self._read(12)
        self._socket.send_binary(b"RFB 003.008\n")
        self.security = tuple(self._read(self._read(1)[0]))
        self._socket.send_binary(b"\x02")
        self._socket.send_binary(_answer(self._read(16), password))
        if self._unpack(">I")[0]:
            raise WrongPassword(self._read(self._unpack(">I")[0]).decode())
        self._socket.send_binary(b"\x01")
        width, height = self._unpack(">HH")
        self.size, self.format = (width, height), self._read(16)
        self.name = self._read(self._unpack(">I")[0]).decode()
        if pixel_format is not None:
            self._socket.send_binary(b"\x00\0\0\0" + pixel_format)
        self._socket.send_binary(struct.pack(">BxHi", 2, 1, _RAW))

    def picture(self, *, is_incremental: bool = False) -> Image.Image:
        """Ask for the whole display and wait for it; 32 bits a pixel, blue first, as QEMU sends it."""
        self._socket.send_binary(struct.pack(">BBHHHH", 3, is_incremental, 0, 0, *self.size))
        kind, count = self._unpack(">BxH")
        assert kind == 0, f"a FramebufferUpdate, not message {kind}"
        shown = Image.new("RGB", self.size)
        for dummy in range(count):
            x, y, width, height, encoding = self._unpack(">HHHHi")
            assert encoding == _RAW
            pixels = self._read(width * height * 4)
            shown.paste(Image.frombytes("RGB", (width, height), pixels, "raw", "BGRX"), (x, y))
        return shown

    def close(self) -> None:
        self._socket.close()

    def _read(self, count: int) -> bytes:
        while len(self._left) < count:
            opcode, data = self._socket.recv_data()
            assert opcode == websocket.ABNF.OPCODE_BINARY, f"binary frames, not opcode {opcode}"
            self._left += data
        found, self._left = self._left[:count], self._left[count:]
        return found

    def _unpack(self, form: str) -> tuple[t.Any, ...]:
        return struct.unpack(form, self._read(struct.calcsize(form)))


def _answer(challenge: bytes, password: str) -> bytes:
    """VNC authentication: DES with the password as key, its first eight characters, the bits of each mirrored."""
    key = bytearray(8)
    for place, letter in enumerate(password.encode()[:8]):
        for bit in range(8):
            key[place] |= (letter >> bit & 1) << (7 - bit)
    encryptor = Cipher(TripleDES(bytes(key) * 3), modes.ECB()).encryptor()
    return encryptor.update(challenge) + encryptor.finalize()


def share_of(picture: Image.Image, colour: tuple[int, int, int], tolerance: int = 8) -> float:
    """How much of a picture is (nearly) of one colour, from 0 to 1."""
    counts = t.cast("list[tuple[int, tuple[int, int, int]]]", picture.getcolors(picture.width * picture.height) or [])
    near = sum(n for n, seen in counts if max(abs(a - b) for a, b in zip(seen, colour, strict=True)) <= tolerance)
    return near / (picture.width * picture.height)
