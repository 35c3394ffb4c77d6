# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a network error says of an endpoint, in the same words for every provider; what listens there each knows by itself."""

from __future__ import annotations

import socket
import ssl
import typing as t

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import READ_AGAIN

NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})

Words: t.TypeAlias = "tuple[str, str]"  # why, and the next move


def network_words(
    cause: BaseException, spec: EndpointSpec, *, machine: str, listener: str, https: str, far: str = ""
) -> Words | None:
    """Return the words for a cause that is the network's own, else None.

    ``listener`` and ``https`` are what to check where nothing listens, and where no TLS is spoken; ``far`` is what the route
    leads to, where that need not be the ``machine``.
    """
    if isinstance(cause, socket.gaierror):
        return (
            f"cannot be found: the name {spec.api_host} does not resolve ({cause.strerror})",
            "check api_host and the name server, or use the address",
        )
    if isinstance(cause, ConnectionRefusedError):
        return (
            "refuses the connection: nothing listens on this port",
            f"check that the {machine} is up and that {listener}",
        )
    if isinstance(cause, TimeoutError):
        return (
            f"did not answer within {spec.timeout_s:.0f} s",
            f"check that the {machine} has power and network and that no firewall is in between; its VMs are unknown, not down",
        )
    if isinstance(cause, ssl.SSLError):
        return _not_tls(cause), f"check that {https}"
    if isinstance(cause, OSError):
        return (
            f"cannot be reached or dropped the connection ({cause.strerror or type(cause).__name__})",
            f"check power, network and route to the {far or machine}; its VMs are unknown, not down",
        )
    return None


def _not_tls(cause: ssl.SSLError) -> str:
    if "WRONG_VERSION" in str(cause) or "HTTP_REQUEST" in str(cause) or "record layer" in str(cause).lower():
        return "speaks plain HTTP or something else, not HTTPS"
    return f"does not speak TLS ({cause.reason or cause})"


def bad_certificate(
    what: str, cause: ssl.SSLCertVerificationError, address: str, *, expired: str, mismatch: str, unknown: str
) -> BadInput:
    """Return the error with the fix for what is wrong with the certificate."""
    words = cause.verify_message or str(cause)
    fix = unknown
    if "expired" in words:
        fix = expired
    elif "ismatch" in words or "not valid for" in words:
        fix = mismatch
    return BadInput(what=what, why=f"the certificate of {address} is not trusted: {words}", next=fix)


def answer_lost(what: str, why: str, next_move: str = READ_AGAIN) -> ProviderFault:
    return ProviderFault(what=what, why=why, next=next_move, is_answer_lost=True)
