# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The floor of a fleet scan: a raw asyncio script that makes the calls it is told to, reads the answers, and knows nothing more.

Run as a script with "aiohttp" or "streams" (asyncio's own, with just enough HTTP for these answers) and a JSON file: the CA, and
for each site its token and its calls as pairs of port and target. It imports nothing of ours. All sites are read at once, with one
TLS context; within a site the calls follow one another over one kept-alive connection per port, as the provider makes them.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import typing as t
from pathlib import Path

Calls = list[tuple[int, str]]


def count(body: bytes) -> int:
    return sum(row.get("type") == "qemu" for row in json.loads(body)["data"])


async def by_aiohttp(sites: list[tuple[str, Calls]], context: ssl.SSLContext) -> int:
    """Return the number of VMs that all sites show."""
    import aiohttp

    async def read_site(token: str, calls: Calls) -> int:
        vms = 0
        for port, target in calls:
            url = f"https://127.0.0.1:{port}{target}"
            async with session.get(url, headers={"Authorization": token}, raise_for_status=True) as answer:
                vms += count(await answer.read())
        return vms

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)) as session:
        return sum(await asyncio.gather(*(read_site(*site) for site in sites)))


async def by_streams(sites: list[tuple[str, Calls]], context: ssl.SSLContext) -> int:
    """Return the number of VMs that all sites show."""

    async def read_site(token: str, calls: Calls) -> int:
        head = f"Host: 127.0.0.1\r\nAccept: application/json\r\nAuthorization: {token}\r\n\r\n"
        connections: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        vms = 0
        for port, target in calls:
            if port not in connections:
                connections[port] = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            reader, writer = connections[port]
            writer.write(f"GET {target} HTTP/1.1\r\n{head}".encode())
            vms += count(await read_body(reader))
        for dummy, writer in connections.values():
            writer.close()
        return vms

    async def read_body(reader: asyncio.StreamReader) -> bytes:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if head.split(" ", 2)[1] != "200":
            raise RuntimeError(f"answered {head}")
        length = head.partition("content-length:")[2].partition("\r\n")[0]
        return await reader.readexactly(int(length))

    return sum(await asyncio.gather(*(read_site(*site) for site in sites)))


WAYS: dict[str, t.Callable[[list[tuple[str, Calls]], ssl.SSLContext], t.Coroutine[t.Any, t.Any, int]]] = {
    "aiohttp": by_aiohttp,
    "streams": by_streams,
}

if __name__ == "__main__":
    way, wanted = WAYS[sys.argv[1]], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    found = asyncio.run(way(wanted["sites"], ssl.create_default_context(cafile=wanted["ca"])))
    if found != wanted["vms"]:
        sys.exit(f"found {found} VMs, not {wanted['vms']}")
