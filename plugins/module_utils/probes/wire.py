# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP and TLS for probes: verified, without proxies, bounded in time, size and redirects.

A proxy would answer in the place of the machine that is asked, so the environment's proxies are never used.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, urljoin, urlsplit

MAX_BODY_BYTES = 256 * 1024
MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PATH_SAFE = "/%:=&?~+!$,;'@()*[]"


class ProbeError(Exception):
    """No usable answer; the text says why, in words for a technician."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    url: str
    timeout_s: float
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a password
    body: bytes | None = field(default=None, repr=False)
    ca_path: str | None = None
    tls_fingerprint: str | None = None  # SHA-256, 64 hex digits
    is_bound_to_host: bool = False  # never follow to another host: the request carries an account


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    url: str
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    is_cut: bool  # the body was longer than MAX_BODY_BYTES


def fetch(request: Request) -> Answer:
    """Ask once, following a few redirects. Raise ProbeError with the reason."""
    deadline = time.monotonic() + request.timeout_s
    url = request.url
    for dummy in range(MAX_REDIRECTS + 1):
        answer = _one(request, url, deadline)
        target = answer.headers.get("location")
        if answer.status not in _REDIRECTS or not target or request.method != "GET":
            return answer
        url = _followed(request, url, target)
    raise ProbeError(f"more than {MAX_REDIRECTS} redirects, the last one to {url}")


def _followed(request: Request, url: str, target: str) -> str:
    try:
        found = urljoin(url, target)
        old, new = urlsplit(url), urlsplit(found)
        is_same_host = (new.hostname, new.port) == (old.hostname, old.port)
    except ValueError as error:
        raise ProbeError("it redirects to what is not a URL") from error
    if new.scheme not in ("http", "https") or not new.hostname or (old.scheme == "https" and new.scheme == "http"):
        raise ProbeError(f"it redirects to {found}, which is not followed: no way back from TLS")
    if request.is_bound_to_host and not is_same_host:
        raise ProbeError(f"it redirects to another host ({new.hostname}), which is not followed with an account")
    return found


def _one(request: Request, url: str, deadline: float) -> Answer:
    parts = urlsplit(url)
    connection = _connection(request, parts)
    try:
        connection.timeout = _left_s(deadline)
        connection.connect()
        _check_pin(request, connection)
        headers = {"User-Agent": "ferragosto.dr", "Accept": "*/*", "Connection": "close", **request.headers}
        connection.request(request.method, _path(parts), body=request.body, headers=headers)
        response = connection.getresponse()
        body, is_cut = _read(connection, response, deadline)
    except ssl.SSLCertVerificationError as error:
        raise ProbeError(f"its certificate is not trusted: {error.verify_message or error.reason}") from error
    except ssl.SSLError as error:
        raise ProbeError(f"TLS failed: {error.reason or error}") from error
    except TimeoutError as error:
        raise ProbeError(f"no answer in {request.timeout_s:g} s") from error
    except http.client.HTTPException as error:
        raise ProbeError(f"it does not speak HTTP: {type(error).__name__}") from error
    except OSError as error:
        raise ProbeError(said(error)) from error
    except (UnicodeError, ValueError) as error:
        raise ProbeError(f"the URL cannot be asked: {error}") from error
    finally:
        connection.close()
    named = {name.lower(): value for name, value in response.getheaders()}
    return Answer(url=url, status=response.status, headers=named, body=body, is_cut=is_cut)


def said(error: OSError) -> str:
    """Say a system error in its own words, without its number."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def _connection(request: Request, parts: SplitResult) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port)
    try:
        context = _context(request.ca_path, request.tls_fingerprint is not None)
    except OSError as error:
        raise ProbeError(f"ca_path {request.ca_path} cannot be used: {said(error)}") from error
    return http.client.HTTPSConnection(host, parts.port, context=context)


@functools.lru_cache(maxsize=32)
def _context(ca_path: str | None, is_pinned: bool) -> ssl.SSLContext:
    if not is_pinned:
        return ssl.create_default_context(cafile=ca_path)
    # The pin takes the place of the chain: the certificate itself is compared before anything is sent.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _check_pin(request: Request, connection: http.client.HTTPConnection) -> None:
    if request.tls_fingerprint is None or not isinstance(connection.sock, ssl.SSLSocket):
        return
    seen = hashlib.sha256(connection.sock.getpeercert(binary_form=True) or b"").hexdigest()
    if seen != request.tls_fingerprint:
        raise ProbeError(f"its certificate is another one: SHA-256 {seen}, not the tls_fingerprint given")


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    return f"{path}?{quote(parts.query, safe=_PATH_SAFE)}" if parts.query else path


def _read(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse, deadline: float
) -> tuple[bytes, bool]:
    body = b""
    while len(body) <= MAX_BODY_BYTES:
        left_s = _left_s(deadline)
        if connection.sock is not None:
            connection.sock.settimeout(left_s)
        chunk = response.read1(MAX_BODY_BYTES + 1 - len(body))
        if not chunk:
            return body, False
        body += chunk
    return body[:MAX_BODY_BYTES], True


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
