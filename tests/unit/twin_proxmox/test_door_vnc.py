# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The consoles of a Proxmox twin, through a websocket client that knows nothing but RFB."""

from __future__ import annotations

import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import websocket
from PIL import Image, ImageChops
from proxmoxer import ResourceException  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import pictures
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.rfb import PixelFormat, answer_to
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Screen
from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.door_kit import Site, site


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


class Viewer:
    """A VNC client: what it reads comes in pieces, as the websocket cuts them."""

    def __init__(
        self, made: Site, row: dict[str, Any], *, node: str = "pve1", vmid: int = 100, door: str = "pve1", **more: Any
    ):
        host, port = made.doors.endpoint(door)
        query = f"port={row['port']}&vncticket={quote(row['ticket'], safe='')}"
        url = f"wss://{host}:{port}/api2/json/nodes/{node}/qemu/{vmid}/vncwebsocket?{query}"
        token = made.doors.keys.operator.header["Authorization"]
        words: dict[str, Any] = {"header": [f"Authorization: {token}"], "subprotocols": ["binary"], **more}
        words["sslopt"] = {"ca_certs": made.ca_path, "cert_reqs": ssl.CERT_REQUIRED}
        self.socket = websocket.create_connection(url, timeout=10, **words)
        self._left = b""

    def read(self, count: int) -> bytes:
        while len(self._left) < count:
            piece = self.socket.recv()
            if not piece:
                raise EOFError("the console is closed")
            self._left += piece if isinstance(piece, bytes) else piece.encode()
        found, self._left = self._left[:count], self._left[count:]
        return found

    def send(self, data: bytes) -> None:
        self.socket.send_binary(data)

    def shake_hands(self, password: str) -> tuple[int, int]:
        """Returns the display's size."""
        assert self.read(12) == b"RFB 003.008\n"
        self.send(b"RFB 003.008\n")
        assert self.read(2) == b"\x01\x02"
        self.send(b"\x02")
        self.send(answer_to(self.read(16), password))
        if self.read(4) != b"\0\0\0\0":
            (length,) = struct.unpack(">I", self.read(4))
            raise PermissionError(self.read(length).decode())
        self.send(b"\x01")
        width, height = struct.unpack(">HH", self.read(4))
        self.read(16)
        (length,) = struct.unpack(">I", self.read(4))
        self.name = self.read(length).decode()
        self.size = (width, height)
        return self.size

    def ask(self, is_incremental: bool = False, area: tuple[int, int, int, int] | None = None) -> None:
        self.send(struct.pack(">BB4H", 3, is_incremental, *(area or (0, 0, *self.size))))

    def rectangle(self, bytes_per_pixel: int = 4) -> tuple[tuple[int, int], bytes]:
        kind, count = struct.unpack(">BxH", self.read(4))
        assert (kind, count) == (0, 1)
        dummy_x, dummy_y, width, height, encoding = struct.unpack(">4Hi", self.read(12))
        assert encoding == 0
        return (width, height), self.read(width * height * bytes_per_pixel)

    def picture(self) -> Image.Image:
        self.ask()
        size, data = self.rectangle()
        return Image.frombytes("RGB", size, data, "raw", "BGRX")


def console(made: Site, **more: Any) -> dict[str, Any]:
    words = {"websocket": 1, "generate-password": 1, **more}
    return made.by_token().nodes("pve1").qemu(100).vncproxy.post(**words)


def viewer(made: Site, **more: Any) -> Viewer:
    row = console(made)
    made_viewer = Viewer(made, row, **more)
    made_viewer.shake_hands(row["password"])
    return made_viewer


def share(image: Image.Image, colour: tuple[int, int, int]) -> float:
    """The part of a picture that has one colour."""
    wanted = Image.new("RGB", image.size, colour)
    unlike = ImageChops.difference(image, wanted).convert("L").point(lambda level: 255 if level else 0)
    return unlike.histogram()[0] / (image.width * image.height)


def test_a_console_shows_the_blue_screen_of_a_crashed_windows(own):
    seen = viewer(own)
    assert seen.name == "QEMU (gestionale)"
    assert share(seen.picture(), pictures.BLUE) == 0
    own.world.crash(own.datacenter.copy_id_of(own.datacenter.guests[100]))
    assert share(seen.picture(), pictures.BLUE) > 0.8


def test_a_linux_guest_panics_in_white_on_black(own):
    own.world.crash(own.datacenter.copy_id_of(own.datacenter.guests[200]))
    row = own.by_token().nodes("pve2").qemu(200).vncproxy.post(websocket=1)
    seen = Viewer(own, row, node="pve2", vmid=200)
    seen.shake_hands(row["ticket"])  # its first eight characters are the password
    assert share(seen.picture(), (0, 0, 0)) > 0.8


@pytest.mark.parametrize("screen", list(Screen))
def test_every_screen_looks_different(screen):
    others = {s: pictures.picture(s, "dc01").tobytes() for s in Screen if s is not screen}
    image = pictures.picture(screen, "dc01")
    assert image.size == (pictures.WIDTH, pictures.HEIGHT)
    assert image.tobytes() not in others.values() or screen is Screen.NONE
    assert len(image.getcolors(256) or []) > 1


def test_an_incremental_request_waits_for_a_change(own):
    seen = viewer(own)
    seen.picture()
    seen.ask(is_incremental=True)
    seen.socket.settimeout(0.4)
    with pytest.raises(websocket.WebSocketTimeoutException):
        seen.read(1)
    seen.socket.settimeout(10)
    own.world.hang(own.datacenter.copy_id_of(own.datacenter.guests[100]))
    assert seen.rectangle()[0] == seen.size


def test_a_part_of_the_display_can_be_asked_for(own):
    seen = viewer(own)
    whole = seen.picture()
    seen.ask(area=(10, 20, 30, 40))
    size, data = seen.rectangle()
    part = Image.frombytes("RGB", size, data, "raw", "BGRX")
    assert part.tobytes() == whole.crop((10, 20, 40, 60)).tobytes()


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        (PixelFormat(), "BGRX"),
        (PixelFormat(shifts=(0, 8, 16)), "RGBX"),
        (PixelFormat(shifts=(16, 8, 0), is_big_endian=True), "XRGB"),
        (PixelFormat(16, 16, maxima=(31, 63, 31), shifts=(11, 5, 0)), "BGR;16"),
    ],
    ids=["32 BGRX", "32 RGBX", "32 big-endian", "16"],
)
def test_any_pixel_format_shows_the_same(own, form, mode):
    seen = viewer(own)
    wanted = seen.picture()
    seen.send(bytes([0, 0, 0, 0]) + form.pack())
    seen.send(struct.pack(">BxH2i", 2, 2, 0, -223))
    seen.ask()
    size, data = seen.rectangle(form.bits // 8)
    image = Image.frombytes("RGB", size, data, "raw", mode)
    off = max(abs(a - b) for a, b in zip(image.tobytes(), wanted.tobytes(), strict=True))
    assert off <= (0 if form.bits == 32 else 8)


def test_keys_and_mice_are_heard_and_ignored(own):
    seen = viewer(own)
    seen.send(
        struct.pack(">BBxxI", 4, 1, 0xFF0D) + struct.pack(">BBHH", 5, 1, 3, 3) + struct.pack(">BxxxI", 6, 4) + b"ciao"
    )
    assert seen.picture().size == seen.size


def test_the_task_of_a_console_ends_with_its_websocket(own):
    row = console(own)
    task = own.by_token().nodes("pve1").tasks(row["upid"]).status
    seen = Viewer(own, row)
    seen.shake_hands(row["password"])
    assert task.get()["status"] == "running"
    seen.socket.close()
    deadline = time.monotonic() + 5
    while task.get()["status"] == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert task.get()["exitstatus"] == "OK"


def test_a_console_closes_when_its_guest_is_off(own):
    seen = viewer(own)
    seen.picture()
    machines = own.datacenter.machines
    machines.stop(machines.required(own.datacenter.guests[100]))
    seen.ask()
    with pytest.raises((EOFError, websocket.WebSocketConnectionClosedException)):
        seen.read(1)


def test_a_wrong_password_is_told_in_rfb(own):
    row = console(own)
    seen = Viewer(own, row)
    with pytest.raises(PermissionError, match="Authentication failed"):
        seen.shake_hands("wrong")


@pytest.mark.parametrize(
    ("change", "status"),
    [({"ticket": "PVEVNC:00000000::forged"}, 401), ({"port": "5999"}, 401), ({"port": "x"}, 400)],
    ids=["ticket", "port", "no port"],
)
def test_a_forged_console_is_refused(own, change, status):
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        Viewer(own, {**console(own), **change})
    assert caught.value.status_code == status


def test_a_console_wants_the_right_and_who_calls(own):
    for header, status in ((own.doors.keys.assess.header, 403), ({}, 401)):
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            Viewer(own, console(own), header=[f"{k}: {v}" for k, v in header.items()])
        assert caught.value.status_code == status
    with pytest.raises(ResourceException, match=r"VM\.Console"):
        own.by_token(own.doors.keys.assess).nodes("pve1").qemu(100).vncproxy.post(websocket=1)


def test_a_console_is_where_it_was_asked_for(own):
    """vncproxy is not proxied: the node that was asked listens, and reaches the guest's node by SSH."""
    api = own.by_token(node="pve1")
    row = api.nodes("pve2").qemu(200).vncproxy.post(websocket=1)
    assert row["upid"].startswith("UPID:pve1:")
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        Viewer(own, row, node="pve2", vmid=200, door="pve2")
    assert caught.value.status_code == 401
    own.datacenter.fail_node("pve2")
    row = api.nodes("pve2").qemu(200).vncproxy.post(websocket=1)
    with pytest.raises((EOFError, websocket.WebSocketException)):
        Viewer(own, row, node="pve2", vmid=200).shake_hands(row["password"])


def test_a_console_is_for_the_one_who_asked(own):
    row = own.by_password().nodes("pve1").qemu(100).vncproxy.post(websocket=1)
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        Viewer(own, row)
    assert caught.value.status_code == 401


def test_a_ticket_in_a_cookie_opens_it_too(own):
    api = own.by_password()
    ticket, row = api.get_tokens()[0], api.nodes("pve1").qemu(100).vncproxy.post(websocket=1)
    seen = Viewer(own, row, header=[], cookie=f"PVEAuthCookie={quote(ticket, safe='')}")
    assert seen.shake_hands(row["password"]) == (pictures.WIDTH, pictures.HEIGHT)
