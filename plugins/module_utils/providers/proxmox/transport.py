# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wire to one Proxmox VE endpoint: verified or pinned TLS, own time limits, kept-alive connections, counted calls.

proxmoxer's resources run over ``Session`` as they run over requests. The standard library's connection does here: a session of
requests or a pool of urllib3 costs more per call than the call itself, and a TLS context per session is most of a fleet scan.
"""

from __future__ import annotations

import functools
import hashlib
import json
import ssl
import typing as t
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPResponse, HTTPSConnection, LineTooLong
from urllib.parse import quote, urlencode, urlsplit

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import (
    DROPPED,
    ForeignCertificate,
    NotSent,
    is_quiet,
    parse_pin,
)

DEFAULT_PORT = 8006
CONNECT_WITHIN_S = (
    6.0  # a node that is up accepts at once, also behind a slow line; a dead one must not cost half a minute
)
MOST_FIELDS, LONGEST_FIELD = 100, 65536
Headers: t.TypeAlias = Mapping[str, str]

_PATH_SAFE = "/:@!$&'()*+,;=~%"
_FORM = "application/x-www-form-urlencoded"


class Unreadable(HTTPException):
    """An answer came, but it is not the JSON of a Proxmox VE API."""


class Content(bytes):
    """The body of an answer. proxmoxer formats it for a log that nobody reads: that neither costs a copy nor tells a secret."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


class Answer:
    """What proxmoxer asks of a response."""

    __slots__ = ("content", "reason", "status_code")

    def __init__(self, status_code: int, reason: str, content: bytes) -> None:
        self.status_code = status_code
        self.content = Content(content)
        self.reason = reason

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


class Serializer:
    """Reads answers; what proxmoxer's own takes for data when a proxy answers a page is an error here."""

    @staticmethod
    def loads(answer: Answer) -> t.Any:
        try:
            return json.loads(answer.content)["data"]
        except (ValueError, LookupError, TypeError) as cause:
            raise Unreadable(f"{answer.status_code} with {len(answer.content)} bytes that hold no data") from cause

    @staticmethod
    def loads_errors(answer: Answer) -> t.Any:
        """Return the words per parameter."""
        try:
            body = json.loads(answer.content)
        except ValueError:
            return None
        if not isinstance(body, dict):
            return None
        found = body.get("errors")
        return found if isinstance(found, dict) and found else None


class Response(HTTPResponse):
    """Reads the few header lines of an answer by itself: the standard library has them parsed as an e-mail's, by Python, which costs
    more than all else that is done with them."""

    def begin(self) -> None:
        me: t.Any = self  # the parts that HTTPResponse reads the body by have no types
        if me.headers is not None:
            return
        version, status, reason = me._read_status()
        fields = _read_fields(me.fp)
        while status == 100:
            version, status, reason = me._read_status()
            fields = _read_fields(me.fp)
        me.code = me.status = status
        me.reason = reason.strip()
        me.version = 11 if version.startswith("HTTP/1.") and version != "HTTP/1.0" else 10
        me.headers = me.msg = fields
        me.chunked = fields.get("transfer-encoding", "").lower() == "chunked"
        me.chunk_left = None
        length = fields.get("content-length", "")
        has_body = status >= 200 and status not in (204, 304)
        me.length = (int(length) if length.isdecimal() and not me.chunked else None) if has_body else 0
        kept = fields.get("connection", "").lower()
        me.will_close = (
            "close" in kept or (me.version == 10 and "keep-alive" not in kept) or (me.length is None and not me.chunked)
        )


def _read_fields(stream: t.BinaryIO) -> dict[str, str]:
    """Return the header fields by their names in lower case; of one that comes twice, the last."""
    fields: dict[str, str] = {}
    for dummy in range(MOST_FIELDS):
        line = stream.readline(LONGEST_FIELD + 1)
        if len(line) > LONGEST_FIELD:
            raise LineTooLong("header line")
        if line in (b"\r\n", b"\n", b""):
            return fields
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            fields[name.lower()] = value.strip()
    raise HTTPException(f"got more than {MOST_FIELDS} headers")


class Session:
    """Speaks HTTP with one endpoint. May be used from several threads: each call takes an idle connection or opens one.

    ``headers_for`` gives the headers that log a call in, by method.
    """

    def __init__(self, spec: EndpointSpec, headers_for: Callable[[str], Headers]) -> None:
        self.spec = spec
        self.calls = 0
        self.date: tuple[float, str] | None = None  # the newest answer's Date header, and what ``now_s`` said then
        self.now_s: Callable[[], float] = lambda: 0.0
        self._headers_for = headers_for
        self._pin = _pin_of(spec)
        self._idle: list[HTTPSConnection] = []

    def request(
        self,
        method: str,
        url: str,
        data: Mapping[str, t.Any] | None = None,
        params: Mapping[str, t.Any] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        target = quote(urlsplit(url).path, safe=_PATH_SAFE)
        if params:
            target = f"{target}?{urlencode(params, doseq=True, quote_via=quote)}"
        headers = {"Accept": "application/json", **self._headers_for(method)}
        body = None
        if data is not None and method in ("POST", "PUT"):
            body = urlencode(data, doseq=True).encode()
            headers["Content-Type"] = _FORM
        return self.exchange(method, target, body, headers, timeout_s or self.spec.timeout_s)

    def exchange(self, method: str, target: str, body: bytes | None, headers: Headers, timeout_s: float) -> Answer:
        connection = self._connection(timeout_s)
        self.calls += 1
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            content = response.read()
        except BaseException:
            connection.close()
            raise
        fields = t.cast("dict[str, str]", response.headers)
        date = fields.get("date")
        if date:
            self.date = (self.now_s(), date)
        if connection.sock is not None:
            self._idle.append(connection)
        if 300 <= response.status < 400:
            raise Unreadable(f"{response.status} {response.reason}, to {fields.get('location', 'nowhere')}")
        return Answer(response.status, response.reason, content)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def open(self, timeout_s: float) -> ssl.SSLSocket:
        """Open a connection of its own, with the same trust: what a websocket needs."""
        connection = self._dial(timeout_s)
        return t.cast("ssl.SSLSocket", connection.sock)

    def _connection(self, timeout_s: float) -> HTTPSConnection:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if is_quiet(connection):
                connection.sock.settimeout(timeout_s)
                return connection
            connection.close()
        return self._dial(timeout_s)

    def _dial(self, timeout_s: float) -> HTTPSConnection:
        spec = self.spec
        context = tls_context(spec.ca_path, spec.validate_certs and self._pin is None)
        connection = HTTPSConnection(
            spec.api_host.strip("[]"),
            spec.api_port or DEFAULT_PORT,
            context=context,
            timeout=min(timeout_s, CONNECT_WITHIN_S),
        )
        connection.response_class = Response
        try:
            connection.connect()
            self._check_pin(connection)
            connection.sock.settimeout(timeout_s)
        except DROPPED as cause:
            connection.close()
            raise NotSent(cause) from cause
        return connection

    def _check_pin(self, connection: HTTPSConnection) -> None:
        """Compare on this very connection, before the first byte of a request: the token follows in it."""
        if self._pin is None:
            return
        seen = hashlib.sha256(connection.sock.getpeercert(True) or b"").hexdigest()
        if seen != self._pin:
            raise ForeignCertificate(pinned=self._pin, seen=seen)


def _pin_of(spec: EndpointSpec) -> str | None:
    return parse_pin(
        spec,
        next="take it from the node's System > Certificates page, or from: openssl s_client -connect"
        f" {spec.api_host}:{spec.api_port or DEFAULT_PORT} </dev/null | openssl x509 -noout -fingerprint -sha256",
    )


@functools.lru_cache(maxsize=64)
def tls_context(ca_path: str | None, is_verified: bool) -> ssl.SSLContext:
    """One context per CA file in the process: building one reads the whole CA store, which a fleet scan would pay per site."""
    if not is_verified:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        context = ssl.create_default_context(cafile=ca_path)
    except OSError as cause:  # ssl.SSLError is one
        raise BadInput(
            what=f"read the CA file {ca_path}",
            why=str(cause),
            next="let ca_path name a readable PEM file with the cluster's authority (/etc/pve/pve-root-ca.pem on any"
            " node), or pin the node's certificate with tls_fingerprint",
        ) from cause
    if ca_path:
        # Python 3.13 is strict by default and then refuses a cluster's own authority: its certificates lack an extension
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
