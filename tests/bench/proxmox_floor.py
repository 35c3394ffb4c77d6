# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The floor of a fleet scan: a raw asyncio script that makes the calls it is told to, reads the answers, and knows nothing more.

Run as a script: it imports nothing of ours and nothing beyond the standard library. Its one argument is a JSON file with the CA
and, for each site, its token and its calls as pairs of port and target. All sites are read at once; within a site the calls follow
one another over one kept-alive connection per port, as the provider makes them.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import typing as t
from pathlib import Path

Calls = list[tuple[int, str]]


async def read_site(token: str, calls: Calls, context: ssl.SSLContext) -> int:
    """Return the number of VMs that a site shows."""
    head = f"Host: 127.0.0.1\r\nAccept: application/json\r\nAuthorization: {token}\r\n\r\n"
    connections: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
    vms = 0
    try:
        for port, target in calls:
            if port not in connections:
                connections[port] = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            reader, writer = connections[port]
            writer.write(f"GET {target} HTTP/1.1\r\n{head}".encode())
            data = json.loads(await read_body(reader))["data"]
            vms += sum(row.get("type") == "qemu" for row in data)
    finally:
        for dummy, writer in connections.values():
            writer.close()
    return vms


async def read_body(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = head.split(" ", 2)[1]
    if status != "200":
        raise RuntimeError(f"answered {status}: {head}")
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    return await reader.readexactly(int(length))


async def read_all(given: dict[str, t.Any]) -> int:
    context = ssl.create_default_context(cafile=given["ca"])
    return sum(await asyncio.gather(*(read_site(token, calls, context) for token, calls in given["sites"])))


if __name__ == "__main__":
    wanted = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = asyncio.run(read_all(wanted))
    if found != wanted["vms"]:
        sys.exit(f"found {found} VMs, not {wanted['vms']}")
