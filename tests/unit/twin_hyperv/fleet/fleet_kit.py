# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two hosts, one protected VM and its replica, by a clock that only the tests turn; scripts run in them."""

from __future__ import annotations

import base64
import json
import threading
import typing as t
from dataclasses import dataclass

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import cmdlets_every
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Rights
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.console import run_powershell
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import Endpoint, Relation
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.timing import HypervTiming
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState, Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

A, B = "hv1.verdi.example", "hv2.verdi.example"
HOUR_S = 3600.0
GENERATION = 1_000_000
PLAYED = cmdlets_every.MODULES

_WRAP = """\
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
function Invoke-Case {
%s
}
try {
    $found = @(Invoke-Case)
    $answer = [pscustomobject]@{
        ok = $true
        data = $found
    }
}
catch {
    $answer = [pscustomobject]@{
        ok = $false
        message = [string]$_.Exception.Message
        id = [string]$_.FullyQualifiedErrorId
        category = [string]$_.CategoryInfo.Category
    }
}
ConvertTo-Json -InputObject $answer -Depth 6 -Compress
"""


@dataclass(frozen=True)
class Refused:
    id: str
    category: str
    message: str

    @property
    def short(self) -> str:
        return self.id.partition(",")[0]


class Site:
    """The fleet, and a shell on each of its hosts."""

    def __init__(self, **words: t.Any) -> None:
        self.clock = TurnedClock()
        self.world = World(self.clock, Timing(), isolated=["isolated"])
        self.fleet = Fleet(self.world, HypervTiming(), **words)

    def session(self, host: str, user: str = "Administrator") -> Context:
        return Context(self.fleet, self.fleet.host(host), user=user)

    def shell(self, host: str, text: str, user: str = "Administrator") -> list[t.Any] | Refused:
        """Run a script on a host: what it gave, or the error that ended it."""
        script = _WRAP % text
        encoded = base64.b64encode(script.encode("utf-16-le")).decode()
        argv = ["powershell.exe", "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded]
        context = self.session(host, user)
        outcome = run_powershell(context, argv, b"", stop=threading.Event(), code_page=65001)
        if context.mishaps:
            raise context.mishaps[0]
        answer = json.loads(outcome.stdout.decode("utf-8-sig").splitlines()[-1])
        if answer["ok"]:
            return t.cast("list[t.Any]", answer["data"])
        return Refused(answer["id"], answer["category"], answer["message"])

    def does(self, host: str, text: str) -> list[t.Any]:
        """Run what must go well."""
        answer = self.shell(host, text)
        if isinstance(answer, Refused):
            pytest.fail(f"{host}: {text}: {answer}")
        return answer

    def refuses(self, host: str, text: str, user: str = "Administrator") -> Refused:
        """Run what must be refused."""
        answer = self.shell(host, text, user)
        if not isinstance(answer, Refused):
            pytest.fail(f"{host}: {text} went well: {answer}")
        return answer

    def turn(self, seconds: float) -> None:
        self.fleet.sleep(seconds)


class Pair(Site):
    """One VM, ``gestionale``, running at A for days, with its replica at B and three recovery points."""

    def __init__(self, **words: t.Any) -> None:
        relation_words = {k: words.pop(k) for k in ("frequency_s", "runs_by_itself", "authentication") if k in words}
        host_words = {k: words.pop(k) for k in ("culture", "rights", "is_domain_joined") if k in words}
        vm_words = {k: words.pop(k) for k in ("is_windows", "name", "reboots_after_crash_s") if k in words}
        super().__init__(**words)
        for host in (A, B):
            self.fleet.add_host(host, switches=["LAN", "isolated"], **host_words)
        now_s = self.fleet.now_s()
        self.a: Machine = self.fleet.add_vm(
            A,
            vm_words.pop("name", "gestionale"),
            vm="gestionale",
            switch="LAN",
            uptime_s=30 * HOUR_S,
            data=DataState(GENERATION, now_s),
            addresses=("10.1.2.3",),
            **vm_words,
        )
        self.relation: Relation = self.fleet.relate(
            self.a, B, data=DataState(GENERATION - 100, now_s - 100), log_age_s=100.0, **relation_words
        )
        self.b: Machine = self.relation.second
        kinds = ("Replica", "AppConsistentReplica", "Replica")
        self.points = [
            self.fleet.add_point(
                self.b,
                age_s=age * HOUR_S,
                data=DataState(GENERATION - int(age * HOUR_S), now_s - age * HOUR_S),
                kind=kind,
            )
            for age, kind in zip((9, 8, 1), kinds, strict=True)
        ]

    def end(self, machine: Machine) -> Endpoint:
        assert machine.endpoint is not None
        return machine.endpoint

    def states(self) -> tuple[str, str]:
        """Both sides' states, as A and B see them."""
        return (self.end(self.a).state, self.end(self.b).state)

    def modes(self) -> tuple[str, str]:
        return (self.end(self.a).mode, self.end(self.b).mode)

    def data(self, machine: Machine) -> DataState:
        return self.world.data_of(self.fleet.copy(machine))


def about(text: str) -> str:
    """A script about the protected VM, which it finds first."""
    return "    $vm = Get-VM -Name 'gestionale'\n    " + text


__all__ = ["GENERATION", "HOUR_S", "A", "B", "Pair", "Refused", "Rights", "Site", "about"]
