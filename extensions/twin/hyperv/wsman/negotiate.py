# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is at the other end of a connection: SPNEGO (NTLM, Kerberos), CredSSP, Basic, a client certificate.

pyspnego's acceptor does the real thing; a context belongs to one TCP connection, as HTTP.sys has it.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import typing as t
from dataclasses import dataclass, field

import spnego
from spnego import NegotiateOptions
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import BadBindingsError, SpnegoError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.users import User, Users

CERTIFICATE = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
_BOUNDARY = b"--Encrypted Boundary"
_OCTETS = b"\tContent-Type: application/octet-stream\r\n"
_CREDSSP_PIECE = 16384

Hardening: t.TypeAlias = t.Literal["none", "relaxed", "strict"]
Offer: t.TypeAlias = t.Literal["Negotiate", "Kerberos", "CredSSP", "Basic", "Certificate"]


class Refused(Exception):
    """The client has not proven who it is (HTTP 401), or what it sent cannot be read (HTTP 400)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How a host lets clients prove who they are; Windows' own default has neither Basic, Certificate nor CredSSP."""

    offers: tuple[Offer, ...] = ("Negotiate",)
    hardening: Hardening = "relaxed"  # of the channel binding over TLS (CbtHardeningLevel)
    certificate_users: t.Mapping[str, str] = field(default_factory=dict)  # a client certificate's UPN -> the account


class Handshake:
    """What one connection has proven so far. It belongs to the connection's thread."""

    def __init__(self, users: Users, ways: Ways, *, is_tls: bool, binding: bytes = b"", upn: str = "") -> None:
        self._users, self._ways, self._is_tls, self._upn = users, ways, is_tls, upn
        self._binding = GssChannelBindings(application_data=binding) if binding else None
        self._context: spnego.ContextProxy | None = None
        self._scheme = ""
        self.user: User | None = None

    @property
    def offers(self) -> list[str]:
        """The WWW-Authenticate headers: Basic is never offered in clear text, a certificate is no header at all."""
        schemes = [o for o in self._ways.offers if o != "Certificate" and (o != "Basic" or self._is_tls)]
        return ['Basic realm="WSMAN"' if scheme == "Basic" else scheme for scheme in schemes]

    def prove(self, authorization: str) -> str:
        """Take an Authorization header; returns the scheme with the token that goes back to the client, if any.

        Raises Refused. ``user`` is who it is once that is proven; a new attempt on the connection forgets the old one.
        """
        if authorization == CERTIFICATE:
            return self._prove_certificate()
        scheme, dummy, encoded = authorization.partition(" ")
        offered = next((o for o in self._ways.offers if o.casefold() == scheme.casefold()), "")
        if not offered:
            raise Refused(f"{scheme} is not offered here")
        try:
            token = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            raise Refused("the token is no base64") from None
        if offered == "Basic":
            return self._prove_basic(token)
        answer = self._step(offered, token)
        return f"{offered} {base64.b64encode(answer).decode()}" if answer else ""

    def unwrap(self, content_type: str, body: bytes) -> bytes:
        """Decrypt a message. Raises Refused for one that this connection's key does not open."""
        if self._context is None or not self._context.complete:
            raise Refused("nothing was agreed on that could decrypt this")
        parts = [part for part in body.removesuffix(_BOUNDARY + b"--\r\n").split(_BOUNDARY + b"\r\n") if part]
        if len(parts) < 2 or len(parts) % 2:
            raise Refused(f"not an encrypted message: {content_type}")
        clear = b""
        for said, payload in zip(parts[::2], parts[1::2], strict=True):
            length = re.search(rb"Length=(\d+)", said)
            sealed = payload.removeprefix(_OCTETS)
            if length is None or len(sealed) < 4:
                raise Refused("a part of the message says no length")
            try:
                opened = self._open(sealed)
            except (SpnegoError, ValueError) as wrong:
                raise Refused(f"the message cannot be decrypted: {wrong}") from None
            if len(opened) != int(length[1]):
                raise Refused("the message is not as long as it says")
            clear += opened
        return clear

    def wrap(self, clear: bytes) -> tuple[str, bytes]:
        """Encrypt an answer; returns its content type too."""
        protocol = self._scheme if self._scheme in ("CredSSP", "Kerberos") else "SPNEGO"
        kind = f"application/HTTP-{protocol}-session-encrypted"
        is_split = protocol == "CredSSP" and len(clear) > _CREDSSP_PIECE
        step = _CREDSSP_PIECE if is_split else max(len(clear), 1)
        sealed = b"".join(self._seal(clear[at : at + step], kind) for at in range(0, max(len(clear), 1), step))
        multipart = "multipart/x-multi-encrypted" if is_split else "multipart/encrypted"
        return f'{multipart};protocol="{kind}";boundary="Encrypted Boundary"', sealed + _BOUNDARY + b"--\r\n"

    def _open(self, sealed: bytes) -> bytes:
        if self._context is None:
            raise Refused("no context")
        size: int = struct.unpack("<i", sealed[:4])[0]
        return self._context.unwrap_winrm(sealed[4 : 4 + size], sealed[4 + size :])

    def _seal(self, clear: bytes, kind: str) -> bytes:
        if self._context is None:
            raise Refused("no context")
        sealed = self._context.wrap_winrm(clear)
        length = len(clear) + sealed.padding_length
        head = (
            f"\r\n\tContent-Type: {kind}\r\n"
            f"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length={length}\r\n"
        )
        size = struct.pack("<i", len(sealed.header))
        return _BOUNDARY + head.encode() + _BOUNDARY + b"\r\n" + _OCTETS + size + sealed.header + sealed.data

    def _prove_basic(self, token: bytes) -> str:
        if not self._is_tls:
            raise Refused("Basic in clear text")
        try:
            said = token.decode()
        except UnicodeDecodeError:
            said = token.decode(
                "cp1252", errors="replace"
            )  # Windows takes the ANSI code page, which is what requests sends
        name, dummy, password = said.partition(":")
        self.user = self._users.check(name, password)
        if self.user is None:
            raise Refused("wrong name or password")
        return ""

    def _prove_certificate(self) -> str:
        mapped = {upn.casefold(): account for upn, account in self._ways.certificate_users.items()}
        account = mapped.get(self._upn.casefold()) if self._upn else None
        self.user = self._users.find(account) if account else None
        if self.user is None or "Certificate" not in self._ways.offers or not self._is_tls:
            self.user = None
            raise Refused("no certificate that is mapped to an account")
        return ""

    def _step(self, scheme: str, token: bytes) -> bytes | None:
        with self._users.consulted():
            try:
                if self._context is None or self._context.complete or self._scheme != scheme:
                    self.user, self._scheme, self._context = None, scheme, self._accept(scheme)
                answer = self._stepped(self._context, token)
            except (SpnegoError, ValueError, struct.error) as refused:
                self._context = None
                raise Refused(str(refused)) from refused
        if self._context.complete:
            self.user = self._users.find(self._context.client_principal or "")
            if self.user is None:
                raise Refused(f"{self._context.client_principal} has no account here")
        return answer

    def _stepped(self, context: spnego.ContextProxy, token: bytes) -> bytes | None:
        bindings = None if self._ways.hardening == "none" or self._scheme == "CredSSP" else self._binding
        try:
            return context.step(token, channel_bindings=bindings)
        except BadBindingsError as unbound:
            # Relaxed: a wrong binding is refused (somebody sits in the middle), none at all is an old client
            if self._ways.hardening == "strict" or "not present" not in str(unbound):
                raise
            return context.step(token)

    def _accept(self, scheme: str) -> spnego.ContextProxy:
        if scheme == "CredSSP":
            return spnego.server(protocol="credssp")
        protocol = "kerberos" if scheme == "Kerberos" else "negotiate"
        options = NegotiateOptions.wrapping_winrm
        if protocol == "negotiate":
            options |= NegotiateOptions.use_negotiate
        return spnego.server(hostname=self._users.host, service="HTTP", protocol=protocol, options=options)
