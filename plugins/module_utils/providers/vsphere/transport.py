# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The wire to one vSphere endpoint: verified TLS, own time limits, counted round trips."""

from __future__ import annotations

import functools
import hashlib
import ssl
import typing as t
from http.client import HTTPException, HTTPSConnection
from xml.parsers.expat import ExpatError

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import (
    ForeignCertificate,
    NotSent,
    is_quiet,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import SoapStubAdapter

# vSphere 6.5: older servers are refused, newer ones still speak it, and no type newer than pyvmomi can surprise us
API_VERSION = "vim.version.version11"
DEFAULT_PORT = 443
HASH_OF_LENGTH = {40: "sha1", 64: "sha256"}


class Unreadable(HTTPException):
    """An answer came, but it is not vSphere's SOAP."""


class _Connection(HTTPSConnection):
    """Checks the pin on this very connection, before the first byte of a request: the password follows in the second."""

    def __init__(self, host: str, port: int, *, pin: str | None, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, context=context, timeout=timeout)
        self._pin = pin

    def connect(self) -> None:
        super().connect()
        if self._pin is None:
            return
        certificate = self.sock.getpeercert(True) or b""
        seen = hashlib.new(HASH_OF_LENGTH[len(self._pin)], certificate, usedforsecurity=False).hexdigest()
        if seen != self._pin:
            self.close()
            raise ForeignCertificate(pinned=self._pin, seen=seen)


class Stub(SoapStubAdapter):
    """pyvmomi's SOAP adapter with its two gaps closed: pins are always checked, and idle dead connections never reused."""

    def __init__(self, spec: EndpointSpec) -> None:
        pin = parse_pin(spec)
        super().__init__(  # type: ignore[no-untyped-call]
            host=spec.api_host,
            port=spec.api_port or DEFAULT_PORT,
            version=API_VERSION,
            sslContext=tls_context(spec.ca_path, spec.validate_certs and (pin is None or spec.ca_path is not None)),
            httpConnectionTimeout=spec.timeout_s,
        )
        # pyvmomi checks a thumbprint only after the CA check failed, and then switches the (shared) context's checks off
        self.scheme = functools.partial(_Connection, pin=pin)  # type: ignore[assignment]
        self.calls = 0
        self._is_sending = False

    def InvokeMethod(self, mo: t.Any, info: t.Any, args: t.Any, outerStub: t.Any = None) -> t.Any:
        self.calls += 1
        self._is_sending = False
        try:
            return super().InvokeMethod(mo, info, args, outerStub)  # type: ignore[no-untyped-call]
        except (ExpatError, LookupError, AttributeError, TypeError, ValueError) as cause:
            if not self._is_sending:  # our own mistake in the arguments
                raise
            raise Unreadable(f"{type(cause).__name__}: {cause}") from cause

    def GetConnection(self) -> t.Any:
        self._drop_dead_connections()
        try:
            connection = super().GetConnection()  # type: ignore[no-untyped-call]
        except (OSError, HTTPException) as cause:
            raise NotSent(cause) from cause
        self._is_sending = True
        return connection

    def _drop_dead_connections(self) -> None:
        """Close pooled connections that the server has closed: a changing call sent on one would look like a lost answer."""
        with self.lock:
            alive = [(connection, used_at) for connection, used_at in self.pool if is_quiet(connection)]
            dead = [connection for connection, used_at in self.pool if (connection, used_at) not in alive]
            self.pool = alive
        for connection in dead:
            connection.close()


def parse_pin(spec: EndpointSpec) -> str | None:
    if not spec.tls_fingerprint:
        return None
    pin = spec.tls_fingerprint.lower().replace(":", "").replace(" ", "").removeprefix("sha256/").removeprefix("sha1/")
    if len(pin) not in HASH_OF_LENGTH or set(pin) - set("0123456789abcdef"):
        raise BadInput(
            what=f"open {spec.api_host}",
            why=f"tls_fingerprint '{spec.tls_fingerprint}' is neither a SHA-256 (64 hex digits) nor a SHA-1 (40) fingerprint",
            next=f"take it from: openssl s_client -connect {spec.api_host}:{spec.api_port or DEFAULT_PORT} </dev/null"
            " | openssl x509 -noout -fingerprint -sha256",
        )
    return pin


@functools.lru_cache(maxsize=64)
def tls_context(ca_path: str | None, is_verified: bool) -> ssl.SSLContext:
    """One context per CA file in the process: building one reads the whole CA store, which a fleet scan would pay per site."""
    if not is_verified:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=ca_path)
    except OSError as cause:  # ssl.SSLError is one
        raise BadInput(
            what=f"read the CA file {ca_path}",
            why=str(cause),
            next="let ca_path name a readable PEM file with the certificate authority, or pin with tls_fingerprint",
        ) from cause
