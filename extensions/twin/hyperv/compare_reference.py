# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin's own answers to the scripts of a transcript, from two hosts on which much is going on."""

from __future__ import annotations

import base64
import json
import threading
import typing as t
from collections.abc import Iterator, Mapping

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import processes
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.compare_shapes import Shape
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import RECOVERY_POINTS, Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.console import run_powershell
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.timing import HypervTiming
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState, Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

Row: t.TypeAlias = "dict[str, t.Any]"
A, B = "hv1.example", "hv2.example"
_HOUR_S = 3600.0
_OPENING, _CLOSING = "<<<", ">>>"
# As any client would: the script and its parameters come in, what it gives goes out.
_RUN = """\
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$job = ConvertFrom-Json -InputObject ([Console]::In.ReadToEnd())
$block = [ScriptBlock]::Create($job.script)
try {
    $answer = @{
        data = & $block $job.parameters
    }
}
catch {
    $answer = @{
        id = [string]$_.FullyQualifiedErrorId
        category = [string]$_.CategoryInfo.Category
    }
}
'<<<' + (ConvertTo-Json -InputObject $answer -Depth 8 -Compress) + '>>>'
"""


class Unplayable(Exception):
    """The twin's interpreter does not know what the script does."""


class Reference:
    """Two hosts with VMs in every state that a read shows differently."""

    def __init__(self) -> None:
        self.fleet = Fleet(World(TurnedClock(), Timing.fast()), HypervTiming.fast())
        for host in (A, B):
            self.fleet.add_host(host, switches=["LAN", "isolated"])
        self._vm("running")
        crashed = self._vm("crashed", unreplicated_disk_bytes=(2**30,))
        self.fleet.events.crash(crashed)
        self._failed_over(self._vm("failed-over", runs=False))
        self._tested(self._vm("tested"))
        self._late(self._vm("late"))
        self.fleet.add_vm(A, "alone", switch="LAN", adapters=2, uptime_s=_HOUR_S, addresses=("10.1.2.3",))
        bare = self.fleet.add_vm(A, "bare", adapters=0, disk_bytes=(), has_integration=False)
        bare.auto_start = "Start"

    def shape(self, script: str, parameters: Mapping[str, t.Any]) -> Shape:
        """Learn the answers of both hosts to one script. Raises Unplayable."""
        found = Shape()
        for host in (A, B):
            for given in self._given(host, parameters):
                answer = self.ask(host, script, given)
                if "data" in answer:
                    found.learn(answer["data"])
        return found

    def ask(self, host: str, script: str, parameters: Mapping[str, t.Any]) -> Row:
        """Run a script on a host of the twin."""
        encoded = base64.b64encode(_RUN.encode("utf-16-le")).decode()
        context = Context(self.fleet, self.fleet.host(host))
        job = json.dumps({"script": script, "parameters": parameters}).encode()
        words = ["powershell.exe", "-NoProfile", "-NonInteractive", "-InputFormat", "None", "-EncodedCommand", encoded]
        outcome = run_powershell(context, words, job, stop=threading.Event(), code_page=65001)
        if context.mishaps:
            raise Unplayable(str(context.mishaps[0]))
        said = "".join(outcome.stdout.decode("utf-8-sig").splitlines())
        return t.cast(Row, json.loads(said[said.rindex(_OPENING) + len(_OPENING) : said.rindex(_CLOSING)]))

    # --- what is asked of the twin's own VMs -------------------------------------------------------------------------

    def _given(self, host: str, parameters: Mapping[str, t.Any]) -> Iterator[Row]:
        """A transcript's parameters, with what names the customer's VMs and hosts put in the twin's own words."""
        given = dict(parameters)
        if "server" in given:
            given["server"] = B if host == A else A
        if given.get("thumbprint"):
            given["thumbprint"] = self.fleet.host(host).server.thumbprint
        if "id" not in given:
            yield given
            return
        for machine in self.fleet.machines_on(host):
            points = [point.key for point in machine.checkpoints if point.kind in RECOVERY_POINTS]
            for point in ["", *points[-1:]] if "point" in given else [""]:
                yield {**given, "id": machine.key} | ({"point": point} if "point" in given else {})

    # --- what is going on --------------------------------------------------------------------------------------------

    def _vm(self, name: str, *, runs: bool = True, **more: t.Any) -> Machine:
        now_s = self.fleet.now_s()
        uptime_s = 30 * _HOUR_S if runs else None
        data = DataState(1_000_000, now_s)
        machine = self.fleet.add_vm(
            A, name, switch="LAN", uptime_s=uptime_s, data=data, addresses=("10.1.2.3",), **more
        )
        machine.notes = "a person's note"
        relation = self.fleet.relate(
            machine, B, data=DataState(999_900, now_s - 100), log_age_s=100.0, runs_by_itself=False
        )
        for age_h, kind in ((9, "Replica"), (8, "AppConsistentReplica")):
            past = DataState(999_000 - age_h, now_s - age_h * _HOUR_S)
            self.fleet.add_point(relation.second, age_s=age_h * _HOUR_S, data=past, kind=kind)
        self.fleet.add_point(machine, age_s=_HOUR_S, data=data, kind="Standard", name="before the update")
        return machine

    def _replica(self, machine: Machine) -> Machine:
        return self.fleet.relations[machine.id].second

    def _failed_over(self, machine: Machine) -> None:
        self._act(self._replica(machine), "Start-VMFailover -VM $vm -Confirm:$false")

    def _tested(self, machine: Machine) -> None:
        self._act(self._replica(machine), "$test = Start-VMFailover -VM $vm -AsTest -Confirm:$false")

    def _late(self, machine: Machine) -> None:
        for end in self.fleet.relations[machine.id].ends:
            if end.endpoint is not None:
                end.endpoint.last_replication_s = self.fleet.now_s() - 30 * _HOUR_S

    def _act(self, machine: Machine, line: str) -> None:
        processes.by_hand(self.fleet, machine.host, "Administrator", f"$vm = Get-VM -Id '{machine.key}'\n{line}")
