# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two hosts of the twin, a VM replicated from one to the other, and its PowerShell run in this process, on a clock that jobs turn."""

from __future__ import annotations

import itertools
import typing as t
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine as TwinMachine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.timing import HypervTiming
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState, HostState, Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Pair,
    Power,
    RecoveryPoint,
    ReplicaKind,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, Former, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step, StepDone, run_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import (
    fence,
    notes,
    power,
    promote,
    settle,
    survey,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends
from ansible_collections.ferragosto.dr.tests.unit.hyperv.fleet_kit import LAN, A, B, Fault, InProcess

__all__ = [
    "LAN",
    "ODD_NAME",
    "OTHER_RUN",
    "RUN",
    "A",
    "B",
    "Bench",
    "Fault",
    "Killed",
    "Memory",
    "acted",
    "assert_unharmed",
]

RUN, OTHER_RUN = "20260815-1403-a1", "20260815-0900-b2"
ODD_NAME = "ge'sti\"onale [1] $(Stop-VM *) `n Бухгалтерия {{ 'è' }}"
FORMER = ("nics", "power", "has_autostart", "has_ha", "host")


@dataclass
class Memory:
    """A StepLog in memory; ``former`` gathers the first facts of the intents, as the journal's reader does."""

    intents: list[tuple[str, Mapping[str, t.Any]]] = field(default_factory=list)
    open: set[tuple[str, str]] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def intent(self, step: Step, before: Mapping[str, t.Any]) -> None:
        self.intents.append((step.name, before))
        self.open.add((step.name, step.target))

    def result(self, step: Step, after: Mapping[str, t.Any], *, error: str | None, took_s: float) -> None:
        self.open.discard((step.name, step.target))
        if error:
            self.errors.append(error)

    def is_dangling(self, step: Step) -> bool:
        return (step.name, step.target) in self.open

    def former(self, vm_id: str) -> Former:
        first: dict[str, t.Any] = {}
        for _name, before in self.intents:
            for key in FORMER:
                if before.get("id") == vm_id and before.get(key) is not None:
                    first.setdefault(key, before[key])
        return Former(**first)


class Killed(Exception):
    """The controller died here."""


class Bench:
    """A fleet with one protected VM, running at home, and what a module would do with it."""

    def __init__(
        self, *, name: str = "gestionale", network: str | None = None, culture: str = "en-US", adapters: int = 1
    ) -> None:
        self.clock, self.name = TurnedClock(), name
        self.world = World(self.clock, Timing.fast(), isolated=["Bubble"])
        self.fleet = Fleet(self.world, HypervTiming.fast())
        for host in (A, B):
            self.fleet.add_host(host, switches=[LAN, "Bubble"], culture=culture)
        now_s = self.clock.now_s()
        self.original: TwinMachine = self.fleet.add_vm(
            A,
            name,
            switch=LAN,
            adapters=adapters,
            uptime_s=86400.0,
            auto_start="Start",
            notes="Buchhaltung\r\nCall Luca before you touch this: tel. 02-555, не трогать",
            data=DataState(5000, now_s),
        )
        self.relation = self.fleet.relate(
            self.original, B, data=DataState(4990, now_s - 120), log_age_s=120, runs_by_itself=False
        )
        self.replica = self.relation.second
        self.night = self.fleet.add_point(self.replica, age_s=9 * 3600, data=DataState(3000, now_s - 9 * 3600))
        self.noon = self.fleet.add_point(
            self.replica, age_s=3600, data=DataState(4000, now_s - 3600), kind="AppConsistentReplica"
        )
        self.wires = {host: InProcess(self.fleet, host) for host in (A, B)}
        self.ends = Ends(
            production=self.client(A),
            replica=self.client(B),
            spec=SiteSpec(
                name="luca",
                provider="hyperv",
                production=EndpointSpec(api_host=A, node=A, api_user="x", api_password="pa55-of-nobody"),
                replica=EndpointSpec(api_host=B, node=B, api_user="x", api_password="pa55-of-nobody", network=network),
            ),
        )
        self.was = self.shape()

    def client(self, host: str) -> Client:
        spec = EndpointSpec(api_host=host, node=host, api_user="x", api_password="pa55-of-nobody")
        return Client(spec, clock=self.fleet, progress=lambda words: None, transport=self.wires[host])

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def guid(self) -> str:
        return self.original.key

    def points(self) -> tuple[RecoveryPoint, ...]:
        shown = [
            RecoveryPoint(id=f"point:{one.key}", name=one.name, created_at_s=one.made_at_s)
            for one in self.replica.recovery_points()
        ]
        return (*shown, RecoveryPoint(id="newest", name="newest", created_at_s=self.clock.now_s()))

    def vm(self, machine: TwinMachine) -> Vm:
        is_home = machine.host == A
        return Vm(
            id=self.guid if is_home else f"replica:{self.guid}",
            handle=self.guid,
            name=self.name,
            host=machine.host,
            power={"Off": Power.OFF, "Running": Power.ON}.get(machine.state, Power.SUSPENDED),
            stamps=notes.stamps_of(machine.notes),
            replica_kind=None if is_home else ReplicaKind.PAIRED,
            points=() if is_home else self.points(),
        )

    def pair(self) -> Pair:
        is_up = self.world.hosts[A].state is HostState.UP
        return Pair(
            name=self.name,
            production=self.vm(self.original) if is_up else None,
            replica=self.vm(self.replica),
            production_node=A,
            replica_node=B,
            is_production_reachable=is_up,
        )

    def shape(self) -> dict[str, t.Any]:
        """Return all that an undo must bring back, of both VMs."""
        found = {}
        for machine in (self.original, self.replica):
            end = machine.endpoint
            found[machine.host] = {
                "state": machine.state,
                "notes": machine.notes,
                "autostart": machine.auto_start,
                "switches": [card.switch for card in machine.adapters],
                "points": sorted(point.key for point in machine.checkpoints),
                "replication": None if end is None else (end.mode, end.state),
            }
        return found

    def ran(self, host: str) -> list[str]:
        return [name for name in self.wires[host].ran if name != "read the VM"]

    def forget_calls(self) -> None:
        for wire in self.wires.values():
            wire.ran.clear()

    def sheet(self, machine: TwinMachine) -> survey.Sheet:
        return survey.look(self.ends.client_at(machine.host), self.guid)

    def wait(self, seconds: float) -> None:
        self.fleet.sleep(seconds)

    # --- what is done -------------------------------------------------------------------------------------------------

    def fence(
        self, log: Memory | None = None, *, kill_after: int | None = None, guest_within_s: float = 4.0
    ) -> list[str]:
        steps = fence.fence(self.ends.production, self.vm(self.original), run_id=RUN, guest_within_s=guest_within_s)
        return acted(self.run(steps, log, kill_after=kill_after))

    def unfence(self, log: Memory | None = None, *, kill_after: int | None = None) -> list[str]:
        memory = log if log is not None else Memory()
        vm = self.vm(self.original)
        return acted(
            self.run(fence.unfence(self.ends.production, vm, memory.former(vm.id)), memory, kill_after=kill_after)
        )

    def promote(
        self, point: RecoveryPoint, log: Memory | None = None, *, run_id: str = RUN, kill_after: int | None = None
    ) -> list[str]:
        steps = promote.promote(
            self.ends, self.pair(), point, way="failover", run_id=run_id, guest_within_s=30, clock=self.fleet
        )
        return acted(self.run(steps, log, kill_after=kill_after))

    def undo(self, log: Memory | None = None, *, run_id: str = RUN, kill_after: int | None = None) -> list[str]:
        steps = settle.undo_promotion(self.ends, self.pair(), Former(), run_id=run_id)
        return acted(self.run(steps, log, kill_after=kill_after))

    def commit(self, pair: Pair | None = None, *, run_id: str = RUN, kill_after: int | None = None) -> list[str]:
        return acted(self.run(settle.commit(self.ends, pair or self.pair(), run_id=run_id), kill_after=kill_after))

    def power_on(self) -> list[str]:
        return acted(self.run(power.power_on(self.ends.production, self.vm(self.original))))

    def run(self, steps: Iterable[Step], log: Memory | None = None, *, kill_after: int | None = None) -> list[StepDone]:
        """Run steps as the modules do; ``kill_after`` lets the controller die after so many acts, before their result."""
        acts = itertools.count(1)

        def deadly(step: Step) -> Step:
            def act() -> None:
                step.act()
                if next(acts) == kill_after:
                    raise Killed

            return replace(step, act=act)

        return run_steps(
            (deadly(step) for step in steps),
            log=log if log is not None else Memory(),
            now_s=self.clock.now_s,
            progress=lambda words: None,
            guard=lambda: None,
        )


def acted(done: Iterable[StepDone]) -> list[str]:
    return [step.step for step in done if step.changed]


@pytest.fixture
def bench(make_bench: t.Callable[..., Bench]) -> Bench:
    return make_bench()


@pytest.fixture
def make_bench() -> Iterator[t.Callable[..., Bench]]:
    """Make benches; none may have seen a mishap of the twin or two copies on the production network."""
    made: list[Bench] = []

    def make(**wishes: t.Any) -> Bench:
        made.append(Bench(**wishes))
        return made[-1]

    yield make
    for one in made:
        assert_unharmed(one)


def assert_unharmed(bench: Bench) -> None:
    assert bench.fleet.mishaps == []
    assert list(bench.world.violations) == []
