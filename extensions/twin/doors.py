# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small JSON-over-HTTP doors of a lab on loopback: its control, and the replication product's backup server."""

from __future__ import annotations

import hmac
import json
import socket
import typing as t
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

from ansible_collections.ferragosto.dr.extensions.twin.loopback import Listener
from ansible_collections.ferragosto.dr.extensions.twin.world.world import UnknownThing, World

Route = t.Callable[[str, str, dict[str, t.Any]], t.Any]


class NoSuchRoute(LookupError):
    """The door has no such path."""


class Door:
    """Serves JSON: ``route(verb, path, body)`` returns what to answer."""

    def __init__(self, route: Route, name: str, token: str = "") -> None:
        self.route, self.token = route, token
        self._listener = Listener(self._serve, name=name)
        self._listener.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.port}"

    def end(self) -> None:
        self._listener.end()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(60.0)
        _Request(connection, ("127.0.0.1", 0), self)  # type: ignore[arg-type]


class _Request(BaseHTTPRequestHandler):
    server: Door  # type: ignore[assignment]

    def do_GET(self) -> None:
        status, answer = self._answer()
        content = json.dumps(answer, ensure_ascii=False, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_GET

    def _answer(self) -> tuple[int, t.Any]:
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.server.token and not hmac.compare_digest(given, self.server.token):
            return 401, {"error": "this door wants the token from control-token in the lab's state folder"}
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            return 200, self.server.route(self.command, unquote(self.path).strip("/"), body)
        except (NoSuchRoute, UnknownThing) as missing:
            return 404, {"error": str(missing)}
        except (TypeError, ValueError) as bad:
            return 400, {"error": str(bad)}

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def backup_server(world_now: t.Callable[[], World]) -> Door:
    """The replication product's own server, as far as a recovery needs it.

    ``GET /jobs``, ``GET /jobs/<vm>``, ``POST /jobs/<vm>/disable``, ``POST /jobs/<vm>/enable``; <vm> is dr_vm.
    """

    def route(verb: str, path: str, body: dict[str, t.Any]) -> t.Any:
        world, parts = world_now(), path.split("/")
        if verb == "GET" and parts == ["jobs"]:
            return {vm: asdict(job) for vm, job in world.jobs.items()}
        if parts[0] == "jobs" and len(parts) > 1 and parts[1] not in world.jobs:
            raise UnknownThing(f"no replication job for {parts[1]!r}; there are {', '.join(sorted(world.jobs))}")
        if verb == "GET" and len(parts) == 2 and parts[0] == "jobs":
            return asdict(world.jobs[parts[1]])
        if verb in ("POST", "PUT") and len(parts) == 3 and parts[0] == "jobs" and parts[2] in ("enable", "disable"):
            return asdict(world.set_job(parts[1], is_enabled=parts[2] == "enable"))
        raise NoSuchRoute(
            f"{verb} /{path}: there are GET /jobs, GET /jobs/<vm>, POST /jobs/<vm>/disable, POST /jobs/<vm>/enable"
        )

    return Door(route, name="backup-server")
