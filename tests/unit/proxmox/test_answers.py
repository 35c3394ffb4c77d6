# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers are read as the standard library reads them, whatever stands between us and Proxmox VE."""

from __future__ import annotations

import io
from http.client import HTTPException, HTTPResponse

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.transport import Response

ANSWERS = {
    "pveproxy": b'HTTP/1.1 200 OK\r\nDate: Sat, 15 Aug 2026 08:00:00 GMT\r\nContent-Length: 11\r\n\r\n{"data": 1}',
    "chunked by a reverse proxy": b'HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n5\r\n{"dat\r\n6\r\na": 1}\r\n0\r\n\r\n',
    "until it closes": b'HTTP/1.1 200 OK\r\nServer: x\r\n\r\n{"data": 1}',
    "asked to close": b"HTTP/1.1 401 No ticket\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "of an old proxy": b"HTTP/1.0 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n",
    "old, kept alive": b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}",
    "continued": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "without a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "with a wrong length": b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n{}",
    "with a reason of its own": b"HTTP/1.1 500 Configuration file 'x' does not exist\r\nContent-Length: 2\r\n\r\n{}",
    "with an empty reason": b"HTTP/1.1 595 \r\nContent-Length: 0\r\n\r\n",
}


class Wire:
    def __init__(self, said: bytes) -> None:
        self._said = said

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._said)


def read(kind, said):
    response = kind(Wire(said), method="GET")
    response.begin()
    return response.status, response.reason, response.version, response.will_close, response.read()


@pytest.mark.parametrize("said", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_reads_as_with_the_standard_library(said):
    assert read(Response, said) == read(HTTPResponse, said)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ],
    ids=["endless fields", "an endless line", "another protocol", "nothing"],
)
def test_what_is_no_answer_is_refused(said):
    for kind in (Response, HTTPResponse):
        with pytest.raises(HTTPException):
            read(kind, said)
