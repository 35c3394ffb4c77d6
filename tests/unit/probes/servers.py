# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers on loopback for the probes: HTTP, HTTPS and a management board that speaks Redfish."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Responder: t.TypeAlias = Callable[[Asked], Reply]


@dataclass
class Server:
    url: str
    host: str
    port: int
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def serving(reply: Responder, *, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve on a free port of loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            named = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, named, self.rfile.read(length))
            server.asked.append(asked)
            found = reply(asked)
            time.sleep(found.delay_s)
            self.send_response(found.status)
            for name, value in {"Content-Length": str(len(found.body)), **found.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(found.body)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *args: object) -> None:
            return

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return  # clients that refuse our certificate are what some tests are about

        def finish_request(self, request: t.Any, client_address: t.Any) -> None:
            if tls is not None:
                request = tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)

    http = Quiet(("127.0.0.1", 0), Handler)
    port = http.server_address[1]
    server = Server(url=f"{'https' if tls else 'http'}://127.0.0.1:{port}", host="127.0.0.1", port=port)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)


@contextmanager
def listening(backlog: int = 16) -> Iterator[int]:
    """Listen on a free port, accept by the kernel alone, never say a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as server:
        yield int(server.getsockname()[1])


@contextmanager
def dripping(head: bytes, *, every_s: float = 0.05) -> Iterator[int]:
    """Answer one client with ``head``, then with one byte at a time, without end."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)

        def drip() -> None:
            try:
                client, dummy = server.accept()
                with client:
                    client.sendall(head)
                    while not ended.wait(every_s):
                        client.sendall(b"x")
            except OSError:
                return  # the client had enough

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            ended.set()
            thread.join(6)


def closed_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Certificates:
    """An authority with one certificate for 127.0.0.1, and its files."""

    folder: Path
    name: str = "127.0.0.1"

    def __post_init__(self) -> None:
        self.authority = trustme.CA()
        self.leaf = self.authority.issue_cert(self.name)
        self.ca_path = str(self.folder / f"{id(self)}-ca.pem")
        self.authority.cert_pem.write_to_path(self.ca_path)

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.leaf.configure_cert(context)
        return context

    def fingerprint(self) -> str:
        pem = self.leaf.cert_chain_pems[0].bytes().decode()
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


@dataclass
class Board:
    """A management board: one power state per system; basic authentication or sessions, as real ones differ."""

    power: dict[str, object]
    user: str = "dr"
    password: str = "s3cret"
    takes_basic: bool = True
    takes_sessions: bool = True
    sessions: set[str] = field(default_factory=set)
    opened: int = 0

    def reply(self, asked: Asked) -> Reply:
        if asked.method == "POST" and asked.path == "/redfish/v1/SessionService/Sessions":
            return self._open(asked)
        if not self._is_known(asked):
            return _json({"error": {"code": "Base.1.8.NoValidSession"}}, status=401)
        if asked.method == "DELETE":
            self.sessions.discard(asked.path.rsplit("/", 1)[-1])
            return Reply(status=204)
        if asked.path == "/redfish/v1/Systems":
            links = [{"@odata.id": f"/redfish/v1/Systems/{name}"} for name in self.power]
            return _json({"Members@odata.count": len(links), "Members": links})
        name = asked.path.removeprefix("/redfish/v1/Systems/")
        if name not in self.power:
            return _json({"error": {"code": "Base.1.8.ResourceMissingAtURI"}}, status=404)
        return _json({"@odata.id": asked.path, "Id": name, "HostName": f"host-{name}", "PowerState": self.power[name]})

    def _open(self, asked: Asked) -> Reply:
        if not self.takes_sessions or json.loads(asked.body) != {"UserName": self.user, "Password": self.password}:
            return _json({"error": {}}, status=401)
        self.opened += 1
        token = f"token-{self.opened}"
        self.sessions.add(token)
        return _json(
            {"Id": token},
            status=201,
            headers={"X-Auth-Token": token, "Location": f"/redfish/v1/SessionService/Sessions/{token}"},
        )

    def _is_known(self, asked: Asked) -> bool:
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        is_basic = self.takes_basic and asked.headers.get("authorization") == f"Basic {pair}"
        return is_basic or asked.headers.get("x-auth-token") in self.sessions


def _json(document: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    return Reply(
        status=status,
        body=json.dumps(document).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
