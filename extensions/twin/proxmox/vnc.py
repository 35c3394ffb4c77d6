# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The websocket of a VNC console: ``GET /nodes/{node}/qemu/{vmid}/vncwebsocket``, after a ``POST .../vncproxy``."""

from __future__ import annotations

import asyncio
import contextlib
import typing as t

from aiohttp import WSMsgType, web
from PIL import Image

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import pictures
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.console import Console
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.rfb import RfbEnded, RfbServer
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, PveError, RouteTable, Screen

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

VNC_ROUTES = RouteTable()
_FRAME_BYTES = 64 * 1024


@VNC_ROUTES.add("GET", "/nodes/{node}/qemu/{vmid}/vncwebsocket", is_proxied=False)
def vncwebsocket(datacenter: Datacenter, call: Call) -> dict[str, str]:
    """What a request hears that does not ask for an upgrade."""
    return {"port": str(console_for(datacenter, call).port)}


def console_for(datacenter: Datacenter, call: Call) -> Console:
    """The console that port and ticket name; the caller needs the right to it, too."""
    call.require(f"/vms/{call.vmid}", "VM.Console")
    port, ticket = str(call.params.get("port", "")), str(call.params.get("vncticket", ""))
    missing = {n: "property is missing and it is not optional" for n in ("port", "vncticket") if n not in call.params}
    if missing or not port.isdecimal():
        missing = missing or {"port": f"type check ('integer') failed - got '{port}'"}
        raise PveError(400, "Parameter verification failed.", missing)
    with datacenter.lock:
        datacenter.tick()
        return datacenter.consoles.find(call.door_node, call.vmid, int(port), ticket, call)


async def serve(request: web.BaseRequest, datacenter: Datacenter, call: Call, console: Console) -> web.StreamResponse:
    """Show the guest's display until the client goes, or the guest."""
    socket = web.WebSocketResponse(protocols=("binary",), max_msg_size=2**20)
    await socket.prepare(request)
    with datacenter.lock:
        datacenter.consoles.connected(console)
        guest = datacenter.guests.get(call.vmid)
        name = guest.name if guest is not None else str(call.vmid)
    reader = asyncio.StreamReader()

    async def write(data: bytes) -> None:
        for start in range(0, len(data), _FRAME_BYTES):
            await socket.send_bytes(data[start : start + _FRAME_BYTES])

    def look() -> Image.Image:
        screen = datacenter.screen_of(console.guest_node, call.vmid)
        if screen is Screen.NONE or console.is_closed:
            raise RfbEnded("the guest is off")
        return pictures.picture(screen, name)

    session = RfbServer(reader, write, password=console.password, name=f"QEMU ({name})", look=look)
    talk = asyncio.ensure_future(session.serve())
    hear = asyncio.ensure_future(_feed(socket, reader))
    try:
        await asyncio.wait({talk, hear}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (talk, hear):
            task.cancel()
            with contextlib.suppress(RfbEnded, asyncio.CancelledError, ConnectionError):
                await task
        with datacenter.lock:
            datacenter.consoles.closed(console)
        with contextlib.suppress(ConnectionError, RuntimeError):
            await socket.close()
    return socket


async def _feed(socket: web.WebSocketResponse, reader: asyncio.StreamReader) -> None:
    """Hand on what the client sends, until it goes."""
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            reader.feed_data(message.data)
        elif message.type is WSMsgType.TEXT:
            break  # the binary subprotocol has no text
    reader.feed_eof()
