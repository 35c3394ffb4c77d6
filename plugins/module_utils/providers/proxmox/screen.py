# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The display of a VM as a picture, by the console's own way: a ticket, a websocket, RFB. A token with VM.Console will do."""

from __future__ import annotations

import io
import socket
import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import faults
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.rfb import Frame, RfbError, read_frame
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.sdk import (
    require_pillow,
    require_websocket,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared import hints
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.hints import Hint
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import DROPPED, NotSent

WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """``digest`` is equal for two pictures that are."""

    png: bytes
    hint: Hint
    width: int
    height: int
    digest: int


def look(client: Client, vm: Vm, *, within_s: float = WITHIN_S) -> Screen:
    """Take a picture of a VM's display. Leaves a short vncproxy task in the node's task list."""
    image = require_pillow()
    frame = grab(client, vm, within_s=within_s)
    size = (frame.width, frame.height)
    picture = image.frombytes("RGB", size, frame.pixels, "raw", "BGRX")
    png = io.BytesIO()
    picture.save(png, "PNG")
    return Screen(
        png=png.getvalue(),
        hint=hints.hint(image, picture),
        width=frame.width,
        height=frame.height,
        digest=hash(frame.pixels),
    )


def grab(client: Client, vm: Vm, *, within_s: float = WITHIN_S) -> Frame:
    what = f"look at the screen of {vm.name}"
    library = require_websocket()
    path = f"/nodes/{vm.host}/qemu/{vm.handle}"
    proxy = client.send("POST", f"{path}/vncproxy", websocket=True, **{"generate-password": True})
    ticket, port = str(proxy.get("ticket") or ""), int(proxy.get("port") or 0)
    # A release without generated passwords takes the beginning of the ticket
    password = str(proxy.get("password") or ticket[:8])
    try:
        line = _Line(client, library, f"{path}/vncwebsocket?port={port}&vncticket={quote(ticket, safe='')}", within_s)
        try:
            return read_frame(line, password)
        finally:
            line.close()
    except NotSent as not_sent:
        raise faults.from_network(what, not_sent.cause, client.spec) from not_sent.cause
    except (RfbError, *DROPPED) as cause:
        raise _fault(client, what, cause) from None
    except library.WebSocketException as cause:
        raise _fault(client, what, cause) from None


class _Line:
    """The bytes inside the websocket, as one stream; over a connection with the client's own trust."""

    def __init__(self, client: Client, library: t.Any, target: str, within_s: float) -> None:
        client.account.log_in(client.session)
        wire = client.session.open(within_s)
        headers = client.account.headers("GET")
        try:
            self._socket = library.create_connection(
                f"wss://{client.address}/api2/json{target}",
                socket=wire,
                timeout=within_s,
                header=[f"{key}: {value}" for key, value in headers.items() if key != "Cookie"],
                cookie=headers.get("Cookie"),
                subprotocols=["binary"],
                enable_multithread=False,
            )
        except BaseException:
            wire.close()
            raise
        self._library = library
        self._waiting = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._waiting) < size:
            came = self._socket.recv()
            if not came:
                raise RfbError("the console was closed")
            self._waiting += came if isinstance(came, bytes) else came.encode("latin-1")
        found = bytes(self._waiting[:size])
        del self._waiting[:size]
        return found

    def write(self, data: bytes) -> None:
        self._socket.send_binary(data)

    def close(self) -> None:
        try:
            self._socket.close(timeout=1)
        except (OSError, self._library.WebSocketException):
            self._socket.shutdown()


def _fault(client: Client, what: str, cause: Exception) -> ProviderFault:
    words = (
        "no picture came in time"
        if isinstance(cause, (TimeoutError, socket.timeout))
        else str(cause).partition(" -+-+- ")[0]
    )
    return ProviderFault(
        what=what,
        why=f"{client.address}: {faults.clean(words, client.spec) or type(cause).__name__}",
        next="open the VM's console in the web interface",
    )
