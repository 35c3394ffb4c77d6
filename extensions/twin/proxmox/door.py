# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTPS listener of one node: it can be shut like a dead host's, and opened again on the same port."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import typing as t
from collections.abc import Awaitable, Callable

from aiohttp import web

from ansible_collections.ferragosto.dr.extensions.twin.loopback import LoopbackPort

Handle: t.TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
KEEP_ALIVE_S = 5.0  # pveproxy closes a connection that says nothing for so long


class Listener:
    """``open``, ``shut`` and ``cut`` belong to the doors' loop; the port is taken at once and stays ours till ``release``."""

    def __init__(self, handle: Handle, tls: ssl.SSLContext | None, port: int = 0) -> None:
        self._place, self.tls = LoopbackPort(port), tls
        self._handle = handle
        self._web: web.Server | None = None
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        return self._place.port

    @property
    def is_open(self) -> bool:
        return self._server is not None

    async def open(self) -> None:
        if self._server is None:
            listening = self._place.listen()
            listening.setblocking(False)
            if self._web is None:
                self._web = web.Server(self._handle, keepalive_timeout=KEEP_ALIVE_S, access_log=None)
            self._server = await asyncio.get_running_loop().create_server(self._web, sock=listening, ssl=self.tls)

    async def shut(self) -> None:
        """Refuse new connections and cut the open ones, as if the host had lost its power."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.cut()

    def cut(self) -> None:
        """Cut the open connections without a word."""
        for connection in list(self._web.connections if self._web is not None else ()):
            with contextlib.suppress(OSError):
                if connection.transport is not None:
                    connection.transport.abort()

    async def release(self) -> None:
        await self.shut()
        if self._web is not None:
            await self._web.shutdown(0.1)
        self._place.release()
