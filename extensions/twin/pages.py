# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guests' own face: a real HTTP page on loopback per protected VM, served only by the copy that is live.

One address per protected VM, stable for the lab's life. While no copy's guest runs on a production network, connections are
refused, as they are at a machine that is down.
"""

from __future__ import annotations

import datetime as dt
import json
import socket
import threading
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler

from ansible_collections.ferragosto.dr.extensions.twin.loopback import Listener
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Copy, Service
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World


class GuestPages:
    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._pages: dict[str, _Page] = {}

    def add(self, vm: str) -> int:
        """Give a protected VM its address; returns the port."""
        with self._lock:
            if vm not in self._pages:
                self._pages[vm] = _Page(vm)
            return self._pages[vm].listener.port

    def port(self, vm: str) -> int:
        return self._pages[vm].listener.port

    def move_to(self, world: World) -> None:
        """Serve another world's guests from the same addresses (a lab that was reset)."""
        with self._lock:
            self._world = world
        self.refresh()

    def refresh(self) -> None:
        """Open and shut the pages as the world is now; cheap when nothing changed."""
        with self._lock:
            for vm, page in self._pages.items():
                with self._world.lock:
                    copy = self._world.serving_copy(vm)
                    mode = self._world.services.get(vm, Service.OK)
                page.show(self._world, None if mode is Service.DOWN else copy)

    def end(self) -> None:
        with self._lock:
            for page in self._pages.values():
                page.listener.end()


class _Page:
    def __init__(self, vm: str) -> None:
        self.vm = vm
        self.listener = Listener(self._serve, name=f"guest-{vm}")
        self._world: World | None = None
        self._copy_id: str | None = None

    def show(self, world: World, copy: Copy | None) -> None:
        copy_id = copy.id if copy else None
        if (copy_id, world) != (self._copy_id, self._world):
            self.listener.shut()
        self._copy_id, self._world = copy_id, world
        if copy_id is not None:
            self.listener.open()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(10.0)
        _Request(connection, ("127.0.0.1", 0), self)  # type: ignore[arg-type]

    def answer(self) -> tuple[int, dict[str, object]] | None:
        """Status and body; None: the service hangs."""
        world, copy_id = self._world, self._copy_id
        if world is None or copy_id is None:
            raise ConnectionAbortedError("no copy is live")
        with world.lock:
            copy = world.copy(copy_id)
            if world.serving_copy(self.vm) is not copy:
                raise ConnectionAbortedError("this copy is no longer live")
            mode = world.services[self.vm]
            data = asdict(world.data_of(copy))
            if mode is Service.HANGING:
                return None
            del data["is_corrupted"]  # a guest does not know it
            data["as_of"] = dt.datetime.fromtimestamp(data["as_of_s"], dt.UTC).isoformat(timespec="seconds")
            status = "ok" if mode is Service.OK else "error"
            body: dict[str, object] = {
                "status": status,
                "vm": copy.vm,
                "copy": copy.guest_id or copy.id,
                "copy_name": copy.name,
                "host": copy.host,
                "data": data,
            }
            return (200 if mode is Service.OK else 503), body


class _Request(BaseHTTPRequestHandler):
    server: _Page  # type: ignore[assignment]

    def do_GET(self) -> None:
        answer = self.server.answer()
        if answer is None:
            time.sleep(60.0)
            raise ConnectionAbortedError("the service hung")
        status, body = answer if self.path.rstrip("/") == "/health" else (404, {"status": "error"})
        content = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the lab's output belongs to the lab."""
