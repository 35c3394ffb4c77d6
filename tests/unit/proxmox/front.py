# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A TLS door that answers as written down for each call: what a Proxmox VE API said, word for word, in facts-proxmox.md."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
import typing as t
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class Say:
    """One answer: ``data``, or a status with its reason phrase, or raw bytes; ``drop`` cuts the line instead."""

    def __init__(
        self,
        data: t.Any = None,
        *,
        status: int = 200,
        text: str = "OK",
        errors: t.Any = None,
        raw: bytes | None = None,
        drop: bool = False,
        after_s: float = 0.0,
    ) -> None:
        self.data, self.status, self.text, self.errors = data, status, text, errors
        self.raw, self.drop, self.after_s = raw, drop, after_s

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return json.dumps({"data": self.data, **({"errors": self.errors} if self.errors else {})}).encode()


class Asked(t.NamedTuple):
    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]


Script: t.TypeAlias = t.Union["Say", "list[Say]", Callable[["Asked"], "Say"]]


class Door:
    """``script`` maps "GET /path" to an answer, a list of answers (the last one stays), or a function of the call."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.script: dict[str, Script] = {}
        self.log: list[Asked] = []
        self.connections = 0
        self.date: str | None = None  # instead of the server's own
        self._sockets: list[socket.socket] = []
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                door._sockets.append(self.request)
                door.connections += 1
                super().setup()

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                url = urlsplit(self.path)
                given = parse_qs(url.query) | parse_qs(body)
                asked = Asked(
                    self.command,
                    unquote(url.path).removeprefix("/api2/json"),
                    {key: values[0] for key, values in given.items()},
                    {key.lower(): value for key, value in self.headers.items()},
                )
                door.log.append(asked)
                said = door.answer(asked)
                time.sleep(said.after_s)
                if said.drop:
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                    return
                content = said.body()
                self.send_response_only(said.status, said.text)
                self.send_header("Date", door.date or self.date_time_string())
                self.send_header("Content-Type", "application/json;charset=UTF-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _any

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request, client_address) -> None:
                with contextlib.suppress(OSError):
                    wrapped = request if tls is None else tls.wrap_socket(request, server_side=True)
                    super().finish_request(wrapped, client_address)

            def handle_error(self, request, client_address) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, asked: Asked) -> Say:
        found = self.script.get(f"{asked.method} {asked.path}")
        if found is None:
            return Say(status=501, text=f"Method '{asked.method} {asked.path}' not implemented")
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found(asked) if callable(found) else found

    def asked(self, method: str = "GET") -> list[str]:
        return [one.path for one in self.log if one.method == method]

    def cut_all(self) -> None:
        """Cut every open connection, as a restart of pveproxy does."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.cut_all()
