# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host whose PowerShell is the twin's, behind the twin's WinRM door, and the provider's own client that knocks."""

from __future__ import annotations

import contextlib
import json
import time
import typing as t
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import cmdlets_every
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.console import run_powershell
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.executor import Outcome, Request
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.server import Server
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.invocation import SystemClock
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.wsman.wire_kit import (
    CERTIFICATES,
    CLIENTS,
    EVERYBODY,
    LUCA,
)

PLAYED = cmdlets_every.MODULES  # their cmdlets are registered by being imported
ECHO = Script(
    name="echo",
    text="""\
param($p)
[pscustomobject]@{
    word = [string]$p.word
    length = [int]$p.word.Length
}
""",
)
SLOW = Script(
    name="wait", text="param($p)\nStart-Sleep -Seconds $p.seconds\n[pscustomobject]@{\n    slept = $true\n}\n"
)


class SlowFleet(Fleet):
    """Its commands sleep by the wall clock: what waits for them over a wire does."""

    def sleep(self, seconds: float, stop: t.Any = None) -> None:
        if stop is None:
            time.sleep(seconds)
        else:
            stop.wait(seconds)


@dataclass
class Host:
    """The server, the jobs that its processes ran to their end, and clients for it."""

    server: Server
    folder: Path
    fleet: Fleet
    done: list[str] = field(default_factory=list)  # words that ECHO was given
    clients: list[Client] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # progress

    @property
    def calls(self) -> Counter[str]:
        return self.server.calls

    @property
    def shells(self) -> int:
        return len(self.server.shells.all())

    def client(self, **more: t.Any) -> Client:
        is_tls = self.server.url.startswith("https")
        spec = EndpointSpec(
            api_host="127.0.0.1",
            api_port=self.server.port,
            api_user=LUCA.account,
            api_password=LUCA.password,
            ca_path=str(self.folder / "ca.pem") if is_tls else None,
            winrm_scheme="https" if is_tls else "http",
            timeout_s=6.0,
        )
        client = Client(replace(spec, **more), clock=SystemClock(), progress=self.said.append)
        self.clients.append(client)
        return client


@contextlib.contextmanager
def host(folder: Path, *, is_tls: bool = True, **more: t.Any) -> Iterator[Host]:
    """Open a host; whatever a test did, no client leaves a shell behind."""
    fleet = SlowFleet(World(TurnedClock(), Timing.fast()))
    shown = fleet.add_host("hv-milano")
    (folder / "ca.pem").write_bytes(CERTIFICATES.ca_pem)
    if is_tls:
        shows = more.pop("shows", "good")
        context = CERTIFICATES.context(shows)
        CLIENTS.trust_in(context)
        more = {"tls": context, "certificate": CERTIFICATES.of(shows).chain} | more

    def run(request: Request) -> Outcome:
        stdin = request.stdin
        session = Context(fleet, shown, stop=request.stop)
        outcome = run_powershell(session, request.argv, stdin, stop=request.stop, code_page=request.codepage)
        found.done.append(str(json.loads(stdin)["parameters"].get("word", "")))
        return outcome

    server = Server("hv-milano", run, EVERYBODY, **more)
    found = Host(server, folder, fleet)
    server.open()
    try:
        yield found
    finally:
        server.faults.clear()
        for client in found.clients:
            client.close()
        left = found.shells
        server.end()
    if not fleet.mishaps and not server.failures:
        assert left == 0
    assert not fleet.mishaps
    assert not server.failures
