# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The certificates that the nodes' doors can show: a good one, an expired one, and one of a foreign authority."""

from __future__ import annotations

import hashlib
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import trustme

KINDS = ("good", "expired", "foreign")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain with its key, as PEM; a node shows the leaf's fingerprint in its web interface, for pinning."""

    chain: bytes
    key: bytes
    fingerprint: str  # SHA-256, "AB:CD:..."

    def load_into(self, context: ssl.SSLContext) -> None:
        """Show this certificate in every handshake from now on."""
        with tempfile.NamedTemporaryFile(suffix=".pem") as both:
            both.write(self.key + b"\n" + self.chain)
            both.flush()
            context.load_cert_chain(both.name)


class Certificates:
    """Issues each kind once; may be shared by many sites."""

    def __init__(self, ca: trustme.CA | None = None) -> None:
        self.ca = ca or trustme.CA()
        self._issued: dict[str, Certificate] = {}

    @property
    def ca_pem(self) -> bytes:
        return self.ca.cert_pem.bytes()

    def of(self, kind: str) -> Certificate:
        if kind not in KINDS:
            raise ValueError(f"no certificate {kind!r}; there are {', '.join(KINDS)}")
        if kind not in self._issued:
            self._issued[kind] = self._issue(kind)
        return self._issued[kind]

    def context(self, kind: str = "good") -> ssl.SSLContext:
        """A server's context of its own, so that each node can change its certificate while it listens."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.of(kind).load_into(context)
        return context

    def _issue(self, kind: str) -> Certificate:
        if kind == "expired":
            leaf = self.ca.issue_cert("127.0.0.1", "localhost", not_after=datetime.now(UTC) - timedelta(days=1))
        else:
            leaf = (trustme.CA() if kind == "foreign" else self.ca).issue_cert("127.0.0.1", "localhost")
        chain = b"".join(c.bytes() for c in leaf.cert_chain_pems)
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())).hexdigest().upper()
        return Certificate(
            chain, leaf.private_key_pem.bytes(), ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
        )
