# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every provider's wire has in common: connections that could not be opened, pins, and idle connections that have died."""

from __future__ import annotations

import select
from http.client import HTTPException, HTTPSConnection

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec

RUN_AGAIN = "run the same command again"
AGAIN = f"then {RUN_AGAIN}"
READ_AGAIN = f"{RUN_AGAIN}: it reads the state first and continues from there"
DROPPED = (OSError, HTTPException)  # what a call may raise once it was sent


class NotSent(Exception):
    """The connection could not be opened: nothing was sent, so nothing can have happened."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class ForeignCertificate(OSError):
    """The server's certificate is not the pinned one."""

    def __init__(self, *, pinned: str, seen: str) -> None:
        super().__init__(f"its certificate has the fingerprint {with_colons(seen)}, pinned is {with_colons(pinned)}")


def parse_pin(spec: EndpointSpec, *, next: str) -> str | None:
    """Return the SHA-256 fingerprint to hold a certificate against, None without one. ``next`` says where to take it from."""
    if not spec.tls_fingerprint:
        return None
    pin = spec.tls_fingerprint.lower().replace(":", "").replace(" ", "").removeprefix("sha256/")
    if len(pin) != 64 or set(pin) - set("0123456789abcdef"):
        raise BadInput(
            what=f"open {spec.api_host}",
            why=f"tls_fingerprint '{spec.tls_fingerprint}' is not a SHA-256 fingerprint (64 hex digits)",
            next=next,
        )
    return pin


def is_quiet(connection: HTTPSConnection) -> bool:
    """An idle connection has nothing to read; one that has was closed by the other side: a write on it would look lost."""
    if connection.sock is None:
        return False
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return not waiting.poll(0)


def with_colons(fingerprint: str) -> str:
    return ":".join(fingerprint[at : at + 2] for at in range(0, len(fingerprint), 2)).upper()
