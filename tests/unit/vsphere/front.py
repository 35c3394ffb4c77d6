# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A TLS door in front of a real vcsim that can be told to misbehave, by method name."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULT = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><soapenv:Fault>
<faultcode>ServerFaultCode</faultcode><faultstring>{text}</faultstring>
<detail><{kind}Fault xmlns="urn:vim25" xsi:type="{kind}">{inner}</{kind}Fault></detail>
</soapenv:Fault></soapenv:Body></soapenv:Envelope>"""


class Front:
    """``trouble`` maps a SOAP method to a list of troubles, used up one per call: drop_before, drop_after, or a fault."""

    def __init__(self, upstream_port: int, tls: ssl.SSLContext) -> None:
        self.trouble: dict[str, list[str]] = {}
        self.log: list[str] = []
        self.slow_s: dict[str, float] = {}
        self._sockets: list[socket.socket] = []
        front = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                front._sockets.append(self.request)
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                found = re.search(rb"<soapenv:Body>\s*<(\w+)", body)
                method = found.group(1).decode() if found else "?"
                front.log.append(method)
                time.sleep(front.slow_s.get(method, 0.0))
                waiting = front.trouble.get(method)
                trouble = waiting.pop(0) if waiting else ""
                if trouble == "drop_before":
                    return self._cut()
                if trouble.startswith("<?xml"):
                    return self._answer(500, trouble.encode(), [])
                upstream = http.client.HTTPConnection("127.0.0.1", upstream_port, timeout=60)
                headers = {
                    k: v for k, v in self.headers.items() if k.lower() in ("cookie", "soapaction", "content-type")
                }
                upstream.request("POST", self.path, body, headers)
                answer = upstream.getresponse()
                content = answer.read()
                upstream.close()
                if trouble == "drop_after":
                    return self._cut()
                return self._answer(answer.status, content, [h for h in answer.getheaders() if h[0] == "Set-Cookie"])

            def _answer(self, status: int, content: bytes, headers: list[tuple[str, str]]) -> None:
                self.send_response(status)
                for name, value in [*headers, ("Content-Type", "text/xml"), ("Content-Length", str(len(content)))]:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def _cut(self) -> None:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request, client_address) -> None:
                with contextlib.suppress(OSError):
                    super().finish_request(tls.wrap_socket(request, server_side=True), client_address)

            def handle_error(self, request, client_address) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Door)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def cut_all(self) -> None:
        """Cut every open connection, as a rebooting server does."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.cut_all()


def fault(kind: str, inner: str = "", text: str = "") -> str:
    return FAULT.format(kind=kind, inner=inner, text=text)


def later(seconds: float, act: Callable[[], object]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
