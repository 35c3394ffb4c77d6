# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTPS door in front of vcsim: TLS, connections, bytes. What is done with a SOAP call is the gate's business."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import typing as t
from http.server import BaseHTTPRequestHandler

from ansible_collections.ferragosto.dr.extensions.twin.loopback import Listener
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.soap import Answer, Call, parse_call

_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding", "upgrade"}
IDLE_S = 900.0


class CutConnection(OSError):
    """The gate wants the client's connection cut instead of an answer."""


class Upstream:
    """A keep-alive connection to one vcsim, belonging to one client connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=IDLE_S)

    def send(self, verb: str, path: str, body: bytes | None, headers: t.Mapping[str, str]) -> Answer:
        try:
            self._connection.request(verb, path, body, dict(headers))
            answer = self._connection.getresponse()
            kept = tuple((k, v) for k, v in answer.getheaders() if k.lower() not in _HOP_HEADERS)
            return Answer(answer.status, kept, answer.read())
        except (http.client.HTTPException, OSError) as gone:
            # Never sent twice: whether the call had its effect is exactly what a client must find out itself.
            self._connection.close()
            raise CutConnection(f"vcsim did not answer: {gone!r}") from gone

    def close(self) -> None:
        self._connection.close()


class Forward(t.Protocol):
    """Sends the client's call on to vcsim."""

    def __call__(self, port: int | None = None, body: bytes | None = None) -> Answer:
        """Send it to another vcsim, or with another body, where given."""


class Gate(t.Protocol):
    """Decides what happens to the calls of one endpoint."""

    def port_for(self, session: str) -> int:
        """The vcsim that serves this session."""

    def soap(self, call: Call, forward: Forward) -> Answer:
        """Answer one SOAP call; raises CutConnection to leave the client without one."""


class Proxy:
    """One HTTPS address on loopback, for as long as the lab lives."""

    def __init__(self, gate: Gate, tls: ssl.SSLContext, port: int = 0) -> None:
        self.gate, self.tls = gate, tls
        self._listener = Listener(self._serve, name="vsphere-proxy", port=port, wrap=self._secure)

    @property
    def port(self) -> int:
        return self._listener.port

    def open(self) -> None:
        self._listener.open()

    def is_open(self) -> bool:
        return self._listener.is_open()

    def shut(self) -> None:
        """Play dead: refuse connections, cut the open ones."""
        self._listener.shut()

    def cut(self) -> None:
        self._listener.cut()

    def end(self) -> None:
        self._listener.end()

    def _secure(self, connection: socket.socket) -> socket.socket:
        connection.settimeout(IDLE_S)
        return self.tls.wrap_socket(connection, server_side=True)

    def _serve(self, connection: socket.socket) -> None:
        _Request(connection, ("127.0.0.1", 0), self)  # type: ignore[arg-type]


class _Request(BaseHTTPRequestHandler):
    """All requests of one client connection."""

    protocol_version = "HTTP/1.1"
    server: Proxy  # type: ignore[assignment]
    _upstream: Upstream | None = None

    def handle(self) -> None:
        # a cut line may come while the answer is written or the next request is read
        with contextlib.suppress(ConnectionError, CutConnection, ssl.SSLError, TimeoutError, http.client.HTTPException):
            super().handle()

    def finish(self) -> None:
        if self._upstream is not None:
            self._upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def do_POST(self) -> None:
        body = self._body()
        call = parse_call(body, self.headers.get("Cookie", ""))
        if self.path.rstrip("/") in ("/sdk", "/sdk/vimService") and call.method:
            sent = body

            def forward(port: int | None = None, body: bytes | None = None) -> Answer:
                return self._forward(sent if body is None else body, call.session, port)

            self._reply(self.server.gate.soap(call, forward))
        else:
            self._reply(self._forward(body, call.session))

    def _body(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or "").lower():
            return self._read_all(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline(64).partition(b";")[0], 16):
            content += self._read_all(size)
            self.rfile.readline(8)
        while self.rfile.readline(4096).strip():
            pass  # trailers
        return content

    def _read_all(self, length: int) -> bytes:
        content = self.rfile.read(length)
        if len(content) < length:
            raise ConnectionAbortedError("the client went away in mid-request")
        return content

    def do_GET(self) -> None:
        self._reply(self._forward(None, parse_call(b"", self.headers.get("Cookie", "")).session))

    do_HEAD = do_DELETE = do_GET
    do_PUT = do_PATCH = do_POST

    def _forward(self, body: bytes | None, session: str, port: int | None = None) -> Answer:
        port = self.server.gate.port_for(session) if port is None else port
        if self._upstream is None or self._upstream.port != port:
            if self._upstream is not None:
                self._upstream.close()
            self._upstream = Upstream(port)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_HEADERS}
        return self._upstream.send(self.command, self.path, body, headers)

    def _reply(self, answer: Answer) -> None:
        lines = [f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, '')}"]
        lines += [f"{key}: {value}" for key, value in answer.headers]
        lines += [f"Content-Length: {len(answer.body)}", "", ""]
        head = "\r\n".join(lines).encode("latin-1")
        # one segment for head and body: with two, a client's delayed ACK costs 40 ms
        self.wfile.write(head + (b"" if self.command == "HEAD" else answer.body))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: calls are counted in the world."""


def server_tls(chain: bytes, key: bytes) -> ssl.SSLContext:
    """A server's TLS context from PEM bytes."""
    import tempfile

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as both:
        both.write(key + b"\n" + chain)
        both.flush()
        context.load_cert_chain(both.name)
    return context


def in_background(act: t.Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=act, name=name, daemon=True)
    thread.start()
    return thread
