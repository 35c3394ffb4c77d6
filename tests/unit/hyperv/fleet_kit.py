# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two hosts of the twin and the provider's site on them, without a wire: the bootstrap runs in the twin's interpreter."""

from __future__ import annotations

import json
import threading
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import cmdlets_every
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.console import run_powershell
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.timing import HypervTiming
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState, HostState, Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import SiteReading, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.every import ALL
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.site import HypervSite
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.transport import Cut, Expired, Output
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import NotSent

PLAYED = cmdlets_every.MODULES  # their cmdlets are registered by being imported
A, B = "hv1.luca.lan", "hv2.luca.lan"
LAN = "LAN"
_NAMES = {script.text: script.name for script in ALL}


class Deadline(threading.Event):
    """Set by the world's clock: the time that a client gives a job is over."""

    def __init__(self, fleet: Fleet, within_s: float) -> None:
        super().__init__()
        self._fleet, self._at_s = fleet, fleet.now_s() + within_s

    def is_set(self) -> bool:
        return super().is_set() or self._fleet.now_s() >= self._at_s


@dataclass
class Fault:
    """What befalls the next job of a script: "refuse" and "before" leave it undone, "after" loses the answer."""

    script: str
    kind: str


class InProcess:
    """The provider's transport; it counts one HTTP request per process."""

    def __init__(self, fleet: Fleet, host: str) -> None:
        self.fleet, self.host = fleet, host
        self.calls = 0
        self.ran: list[str] = []  # names of scripts
        self.faults: list[Fault] = []

    def run(self, command: str, arguments: Sequence[str], stdin: bytes, *, within_s: float) -> Output:
        if self.fleet.world.hosts[self.host].state is not HostState.UP:
            raise NotSent(ConnectionRefusedError())
        name = _NAMES[json.loads(stdin)["script"]]
        fault = next((one for one in self.faults if one.script == name), None)
        if fault is not None:
            self.faults.remove(fault)
            if fault.kind == "refuse":
                raise NotSent(ConnectionRefusedError())
            if fault.kind == "before":
                raise Cut(ConnectionResetError())
        self.calls += 1
        self.ran.append(name)
        stop = Deadline(self.fleet, within_s)
        context = Context(self.fleet, self.fleet.host(self.host))
        outcome = run_powershell(context, [command, *arguments], stdin, stop=stop)
        if stop.is_set():
            raise Cut(Expired(within_s))
        if fault is not None:
            raise Cut(ConnectionResetError())
        return Output(stdout=outcome.stdout, stderr=outcome.stderr, exit_code=outcome.exit_code)

    def close(self) -> None:
        """Nothing is open."""


class Bench:
    """A fleet of two hosts and the site on it; the controller's clock is the world's, ``ahead_s`` sets it off."""

    def __init__(self, *, host_a: dict[str, t.Any] | None = None, host_b: dict[str, t.Any] | None = None) -> None:
        self.fleet = Fleet(World(TurnedClock(), Timing.fast()), HypervTiming.fast())
        self.fleet.add_host(A, **({"switches": [LAN]} | (host_a or {})))
        self.fleet.add_host(B, **({"switches": [LAN]} | (host_b or {})))
        self.wires = {host: InProcess(self.fleet, host) for host in (A, B)}
        self.said: list[str] = []
        self.ends = {host: EndpointSpec(api_host=host, node=host, api_user="x", api_password="y") for host in (A, B)}
        self._site: HypervSite | None = None

    def says(self, host: str, **words: t.Any) -> None:
        """Let the inventory say something else of an end."""
        self.ends[host] = replace(self.ends[host], **words)
        self._site = None

    @property
    def site(self) -> HypervSite:
        if self._site is None:

            def opens(end: EndpointSpec) -> Client:
                host = A if end is self.ends[A] else B
                return Client(end, clock=self.fleet, progress=self.said.append, transport=self.wires[host])

            spec = SiteSpec(name="luca", provider="hyperv", production=self.ends[A], replica=self.ends[B])
            self._site = HypervSite(spec, clock=self.fleet, progress=self.said.append, opens=opens)
        return self._site

    def read(self) -> SiteReading:
        return self.site.read()

    def protect(self, name: str = "gestionale", *, log_age_s: float = 120.0, **more: t.Any) -> Machine:
        """Add a VM that runs at home and is replicated."""
        now_s = self.fleet.now_s()
        given: dict[str, t.Any] = {"switch": LAN, "uptime_s": 86400.0, "data": DataState(5000, now_s), **more}
        machine = self.fleet.add_vm(A, name, **given)
        self.fleet.relate(
            machine, B, data=DataState(4990, now_s - log_age_s), log_age_s=log_age_s, runs_by_itself=False
        )
        return machine

    def replica_of(self, machine: Machine) -> Machine:
        return self.fleet.relations[machine.id].second

    def vm(self, vm_id: str) -> Vm:
        return next(vm for end in self.read().endpoints() for vm in end.vms if vm.id == vm_id)
