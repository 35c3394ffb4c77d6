# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One HTTP connection of a WinRM client: proof of identity, encryption, sizes, then the call itself."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman import soap
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.certificates import upn_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.errors import WsmanFault, too_many_operations
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.faults import CutConnection, Fault, Faults, Seen
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.negotiate import Handshake, Refused, Ways
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.service import is_last_send

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.service import Service
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.users import User, Users

IDLE_S = 900.0
MOST_BYTES = 64 * 2**20  # of a body; Windows refuses long before, but reads it, so that the client hears the refusal
_SOAP = "application/soap+xml;charset=UTF-8"
_GLANCE_S = 0.05


@dataclass(slots=True, kw_only=True)
class Host:
    """What all connections of one door share."""

    name: str
    service: Service
    users: Users
    ways: Ways
    faults: Faults
    binding: bytes
    max_bytes: int
    allows_unencrypted: bool
    latency_s: float
    is_open: Callable[[], bool]
    count: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer before it is encrypted."""

    status: int
    content: bytes = b""


class Call:
    """One call on its way through the fault plan to the service."""

    def __init__(self, host: Host, user: User, is_gone: Callable[[], bool]) -> None:
        self._host, self._user, self._is_gone = host, user, is_gone

    def answer(self, content: bytes) -> Answer:
        """Do the call; what Windows refuses comes back as a fault. Raises CutConnection when nothing is to come back."""
        try:
            envelope = soap.read_envelope(content)
        except WsmanFault as fault:
            self._host.count("Unreadable")
            return Answer(500, soap.answer_fault(fault, self._host.name))
        self._host.count(envelope.call)
        try:
            return self._struck(envelope)
        except WsmanFault as fault:
            return Answer(500, soap.answer_fault(fault.answering(envelope.message_id), self._host.name))

    def _struck(self, call: soap.Envelope) -> Answer:
        host, service = self._host, self._host.service
        seen = Seen(call.call, host.name, self._user.account, service.script(call, self._user))
        instead, after = strike(host, seen, self._is_gone)
        if instead is not None:
            return instead
        if not after:
            return Answer(200, service.serve(call, self._user, self._is_gone))
        command = service.named(call, self._user)
        if call.call != "Receive":
            service.serve(call, self._user, self._is_gone)
        # an output that nobody gets stays to be read: a client may ask again, as after a lost answer of Windows
        if command is not None and (call.call == "Receive" or is_last_send(call)):
            command.wait_end(self._is_gone)
        if after[0].action == "error_after":
            return Answer(after[0].status)
        if after[0].action == "hold_after":
            hold(host.faults, after[0], self._is_gone)
        raise CutConnection("dropped after its effect")


def strike(host: Host, seen: Seen, is_gone: Callable[[], bool]) -> tuple[Answer | None, list[Fault]]:
    """Do what the plan has for before a call: its answer where it ends there, and what is planned for after it."""
    after: list[Fault] = []
    pause(host.latency_s, is_gone)
    for fault in host.faults.strike(seen):
        match fault.action:
            case "latency":
                pause(fault.seconds, is_gone)
            case "error_before":
                return Answer(fault.status), []
            case "drop_before":
                raise CutConnection("dropped before its effect")
            case "hold_before":
                hold(host.faults, fault, is_gone)
            case "quota":
                raise too_many_operations()
            case "fault":
                raise WsmanFault(fault.code, fault.subcode, fault.text, value="s:Receiver")
            case _:
                after.append(fault)
    return None, after


class Connection(BaseHTTPRequestHandler):
    """A client's connection to one host, from its first byte to its last."""

    protocol_version = "HTTP/1.1"
    server: Host  # type: ignore[assignment]

    def __init__(self, connection: socket.socket, host: Host) -> None:
        is_tls = isinstance(connection, ssl.SSLSocket)
        shown = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
        self._is_tls = is_tls
        self._handshake = Handshake(
            host.users,
            host.ways,
            is_tls=is_tls,
            binding=host.binding if is_tls else b"",
            upn=upn_of(shown) if shown else "",
        )
        connection.settimeout(IDLE_S)
        super().__init__(connection, ("127.0.0.1", 0), host)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MOST_BYTES:
            self.close_connection = True
            return self._refuse(413)
        body = self.rfile.read(length)
        if self.path.partition("?")[0].rstrip("/").casefold() != "/wsman":
            return self._refuse(404)
        token = ""
        if given := self.headers.get("Authorization"):
            try:
                token = self._handshake.prove(given)
            except Refused:
                self._handshake.user = None
        user = self._handshake.user
        try:
            if user is not None and body:
                self._call(user, body, token)
            else:
                # an empty body: how clients agree on a key before they send anything
                self._only_prove(401 if user is None else 200, token)
        except CutConnection:
            self.close_connection = True
            reset(self.connection)

    def do_GET(self) -> None:
        self._refuse(405)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def version_string(self) -> str:
        return "Microsoft-HTTPAPI/2.0"

    def _only_prove(self, status: int, token: str) -> None:
        self.server.count("Authenticate")
        instead = strike(self.server, Seen("Authenticate", self.server.name), self._is_gone)[0]
        self._say(instead or Answer(status), "" if instead else token)

    def _call(self, user: User, body: bytes, token: str) -> None:
        kind = self.headers.get("Content-Type") or ""
        is_sealed = kind.startswith(("multipart/encrypted", "multipart/x-multi-encrypted"))
        if not is_sealed and not self._is_tls and not self.server.allows_unencrypted:
            # AllowUnencrypted=false: Windows answers 500 without a word, and writes an event
            return self._refuse(500, token)
        if is_sealed:
            try:
                body = self._handshake.unwrap(kind, body)
            except Refused:
                return self._refuse(400, token)
        if len(body) > self.server.max_bytes:
            return self._refuse(413, token)
        answer = Call(self.server, user, self._is_gone).answer(body)
        self._say(answer, token, is_sealed=is_sealed)

    def _refuse(self, status: int, token: str = "") -> None:
        self.server.count("Refused")
        self._say(Answer(status), token)

    def _say(self, answer: Answer, token: str = "", *, is_sealed: bool = False) -> None:
        kind, content = _SOAP, answer.content
        if is_sealed and content:
            kind, content = self._handshake.wrap(content)
        self.send_response(answer.status)
        if answer.status == 401:
            for offer in [token] if token else self._handshake.offers:
                self.send_header("WWW-Authenticate", offer)
        elif token:
            self.send_header("WWW-Authenticate", token)
        if content:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _is_gone(self) -> bool:
        """Whether the client has left, or the host: nothing but its end can come from a client that waits."""
        if not self.server.is_open():
            return True
        line = select.poll()  # select itself knows no descriptor above 1023
        try:
            line.register(self.connection, select.POLLIN)
            return bool(line.poll(0))
        except (OSError, ValueError):
            return True


def hold(faults: Faults, fault: Fault, is_gone: Callable[[], bool]) -> t.NoReturn:
    """Say nothing until the client gives up or the fault is taken away."""
    while faults.is_kept(fault) and not is_gone():
        time.sleep(_GLANCE_S)
    raise CutConnection("held, and let go")


def pause(seconds: float, is_gone: Callable[[], bool]) -> None:
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        if is_gone():
            raise CutConnection("the client left while it was kept waiting")
        time.sleep(min(_GLANCE_S, left_s))


def reset(connection: socket.socket) -> None:
    """Have the connection end with a reset when it is closed, not with a farewell."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
