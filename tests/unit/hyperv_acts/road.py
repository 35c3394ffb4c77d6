# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way home on a bench: fenced, promoted, reversed, moved; every call builds its list anew from what the hosts show then."""

from __future__ import annotations

import copy
import itertools
import threading
import typing as t
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine as TwinMachine
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState, HostState
from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    EndpointReading,
    Host,
    Pair,
    SiteReading,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.resolve import resolve
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step, run_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import (
    migrate,
    notes,
    replicas,
    replication,
    settle,
    survey,
)

from .conftest import RUN, A, B, Bench, Killed, Memory, acted, assert_unharmed

Failing = t.Callable[[int], None]


class Road:
    """``bench`` with a promoted replica, where ``is_promoted``: the guest at home had crashed, B serves an older point."""

    def __init__(self, bench: Bench, *, authentication: str = "Certificate", is_promoted: bool = True) -> None:
        self.bench = bench
        self.log = Memory()
        if authentication == "Kerberos":
            self._join_domain()
        if is_promoted:
            bench.world.corrupt(bench.name, since_s=bench.clock.now_s() - 1800)
            bench.fence()
            bench.promote(bench.points()[1])
            bench.wait(30)
        bench.forget_calls()

    def _join_domain(self) -> None:
        for host in self.bench.fleet.hosts.values():
            host.is_domain_joined = True
            host.server.authentication, host.server.thumbprint = "Kerberos", ""
            host.thumbprints.clear()
        for machine in (self.home, self.away):
            assert machine.endpoint is not None
            machine.endpoint.authentication, machine.endpoint.thumbprint, machine.endpoint.port = "Kerberos", "", 80

    # --- what there is ------------------------------------------------------------------------------------------------

    @property
    def home(self) -> TwinMachine:
        return self.bench.original

    @property
    def away(self) -> TwinMachine:
        return self.bench.replica

    def pair(self) -> Pair:
        """Both copies as the site's reader and the core find them."""
        seen = {machine.host: self._sheet(machine) for machine in (self.home, self.away)}
        ends = []
        for host, other in ((A, B), (B, A)):
            sheet = seen[host]
            ends.append(
                EndpointReading(
                    address=host,
                    node=host,
                    read_at_s=self.bench.clock.now_s(),
                    hosts=(Host(name=host, connection=Connection.CONNECTED),),
                    vms=() if sheet is None else (_vm(sheet, seen[other], host),),
                    error=None if sheet is not None else "no answer",
                )
            )
        reading = SiteReading(name="luca", provider="hyperv", production=ends[0], replica=ends[1])
        is_over = not any(stamps.RUN in notes.stamps_of(machine.notes) for machine in (self.home, self.away))
        known = None if is_over else (self.bench.guid, f"replica:{self.bench.guid}")
        return resolve(reading, vm=self.bench.name, known_ids=known, known_runs=(RUN,))

    def line(self) -> Vm:
        found = self.pair().replica
        assert found is not None
        return found

    def _sheet(self, machine: TwinMachine) -> survey.Sheet | None:
        is_up = self.bench.world.hosts[machine.host].state is HostState.UP
        return self.bench.sheet(machine) if is_up else None

    def states(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return (mode, state) at home and away."""
        ends = [machine.endpoint for machine in (self.home, self.away)]
        return t.cast("t.Any", tuple((end.mode, end.state) for end in ends if end is not None))

    def stamps(self, machine: TwinMachine) -> dict[str, str]:
        return {key.rpartition(".")[2]: value for key, value in notes.stamps_of(machine.notes).items()}

    def data(self, machine: TwinMachine) -> DataState:
        return self.bench.world.data_of(self.bench.fleet.copy(machine))

    def switches(self, machine: TwinMachine) -> list[str]:
        return [card.switch for card in machine.adapters]

    # --- what is done -------------------------------------------------------------------------------------------------

    def replicate(
        self, state: str, *, is_loss_accepted: bool = False, within_s: float = 1200.0, **kill: t.Any
    ) -> list[str]:
        return self._run(
            replication.set_replication(
                self.bench.ends,
                self.pair(),
                state=state,
                run_id=RUN,
                is_loss_accepted=is_loss_accepted,
                within_s=within_s,
            ),
            **kill,
        )

    def reverse(self, **kill: t.Any) -> list[str]:
        return self.replicate("reversed", is_loss_accepted=True, **kill)

    def migrate(self, to: str = "production", *, mode: str = "cold", vm: Vm | None = None, **kill: t.Any) -> list[str]:
        steps = migrate.migrate(
            self.bench.ends, vm or self.line(), to=to, mode=mode, run_id=RUN, within_s=600, guest_within_s=60
        )
        return self._run(steps, **kill)

    def end_migration(self, phase: str) -> list[str]:
        return self._run(migrate.end_migration(self.bench.ends, self.line(), run_id=RUN, phase=phase))

    def commit(self) -> list[str]:
        return self._run(settle.commit(self.bench.ends, self.pair(), run_id=RUN))

    def undo(self) -> list[str]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former

        return self._run(settle.undo_promotion(self.bench.ends, self.pair(), Former(), run_id=RUN))

    def go_home(self) -> None:
        self.reverse()
        self.migrate()
        self.end_migration("failback")

    def _run(
        self,
        steps: Iterable[Step],
        *,
        kill_after: int | None = None,
        kill_before: int | None = None,
        before: Failing = lambda number: None,
    ) -> list[str]:
        """Run as the modules do; ``before`` is called with the number of each act right before it."""
        acts = itertools.count(1)

        def deadly(step: Step) -> Step:
            def act() -> None:
                number = next(acts)
                if number == kill_before:
                    raise Killed
                before(number)
                step.act()
                if number == kill_after:
                    raise Killed

            return replace(step, act=act)

        return acted(
            run_steps(
                (deadly(step) for step in steps),
                log=self.log,
                now_s=self.bench.clock.now_s,
                progress=lambda words: None,
                guard=lambda: None,
            )
        )


def told_again(road: Road) -> Iterator[Road]:
    """Yield a road of its own that has come as far as this one, for a test that may do with it what it likes.

    Getting there takes longer than most tests do after.
    """
    world, ends, lock = road.bench.world, road.bench.ends, threading.RLock()
    anew: dict[int, t.Any] = {
        id(world.lock): lock,
        id(world.changed): threading.Condition(lock),
        id(world.clock): TurnedClock(world.clock.now_s()),
        id(ends): ends,
    }
    own = copy.deepcopy(road, anew)
    own.bench.ends = replace(ends, production=own.bench.client(A), replica=own.bench.client(B))
    yield own
    assert_unharmed(own.bench)


def _vm(sheet: survey.Sheet, other: survey.Sheet | None, host: str) -> Vm:
    vm_id = replicas.id_of(sheet, other)
    return replicas.to_vm(sheet, vm_id=vm_id, host=host, names=(host,), offset_s=0.0)
