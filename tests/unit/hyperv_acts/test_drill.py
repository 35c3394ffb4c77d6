# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A test failover beside production: isolated, at any point, gone when it is ended; and nothing else is ever ended by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine as TwinMachine
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import NotReplicated, Refused, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import drill

from .conftest import LAN, OTHER_RUN, RUN, A, B, Bench, Killed
from .road import Road

BUBBLE = "Bubble"
START = [
    "stamp as being tested",
    "name the isolated switch of the test",
    "start the test failover",
    "power on",
    "see the guest alive",
]
END = ["end the test failover", "take the test's stamps off"]


class Drill:
    def __init__(self, bench: Bench, *, is_promoted: bool = False) -> None:
        bench.ends = replace(bench.ends, spec=replace(bench.ends.spec, isolated_networks=(BUBBLE,)))
        bench.world.isolated = frozenset({BUBBLE})
        self.bench, self.road = bench, Road(bench, is_promoted=is_promoted)

    def start(
        self,
        point: RecoveryPoint | None = None,
        *,
        network: str = BUBBLE,
        run_id: str = RUN,
        kill_after: int | None = None,
    ) -> list[str]:
        steps = drill.start_test(
            self.bench.ends, self.bench.pair(), point, network=network, run_id=run_id, guest_within_s=30
        )
        return self.road._run(steps, kill_after=kill_after)

    def end(self, *, run_id: str = RUN, kill_after: int | None = None) -> list[str]:
        return self.road._run(drill.end_test(self.bench.ends, self.bench.pair(), run_id=run_id), kill_after=kill_after)

    def test_vm(self) -> TwinMachine | None:
        return next((m for m in self.bench.fleet.machines_on(B) if m.name.endswith(" - Test")), None)


@pytest.fixture
def rehearsal(bench: Bench) -> Drill:
    return Drill(bench)


def _runs_isolated(rehearsal: Drill) -> TwinMachine:
    test = rehearsal.test_vm()
    assert test is not None
    assert test.state == "Running"
    assert [card.switch for card in test.adapters] == [BUBBLE]
    serving = rehearsal.bench.world.serving_copy(rehearsal.bench.name)
    assert serving is not None
    assert serving.host == A
    assert rehearsal.road.switches(rehearsal.bench.original) == [LAN]
    return test


def test_it_runs_isolated_while_production_and_replication_go_on(rehearsal: Drill) -> None:
    assert rehearsal.start() == START
    _runs_isolated(rehearsal)
    assert rehearsal.bench.fleet.replicate(rehearsal.bench.original)
    assert rehearsal.road.stamps(rehearsal.bench.replica) == {"run": RUN, "phase": "testing"}
    assert rehearsal.start() == []


def test_ended_nothing_is_left_of_it(rehearsal: Drill) -> None:
    rehearsal.start()
    rehearsal.bench.wait(30)
    assert rehearsal.end() == END
    assert rehearsal.test_vm() is None
    assert rehearsal.bench.shape() == rehearsal.bench.was
    assert rehearsal.end() == []


def test_any_recovery_point_can_be_tested(rehearsal: Drill) -> None:
    night = rehearsal.bench.points()[0]
    rehearsal.start(night)
    test = _runs_isolated(rehearsal)
    generation = rehearsal.bench.world.data_of(rehearsal.bench.fleet.copy(test)).generation
    assert 3000 <= generation < 4000


def test_without_a_network_it_is_connected_to_none(rehearsal: Drill) -> None:
    assert "name the isolated switch of the test" not in rehearsal.start(network="")
    test = rehearsal.test_vm()
    assert test is not None
    assert [card.switch for card in test.adapters] == [""]
    assert test.state == "Running"


@pytest.mark.parametrize("number", range(1, len(START) + 1))
def test_killed_at_any_act_it_continues_and_can_be_ended(rehearsal: Drill, number: int) -> None:
    with pytest.raises(Killed):
        rehearsal.start(kill_after=number)
    assert rehearsal.start() == START[number:]
    _runs_isolated(rehearsal)
    assert rehearsal.end() == END
    assert rehearsal.bench.shape() == rehearsal.bench.was


@pytest.mark.parametrize("number", range(1, len(START) + 1))
def test_what_was_cut_off_anywhere_can_be_ended(rehearsal: Drill, number: int) -> None:
    with pytest.raises(Killed):
        rehearsal.start(kill_after=number)
    rehearsal.end()
    assert rehearsal.test_vm() is None
    assert rehearsal.bench.shape() == rehearsal.bench.was


@pytest.mark.parametrize("number", [1, 2])
def test_an_end_that_was_cut_off_is_continued(rehearsal: Drill, number: int) -> None:
    rehearsal.start()
    with pytest.raises(Killed):
        rehearsal.end(kill_after=number)
    assert rehearsal.end() == END[number:]
    assert rehearsal.bench.shape() == rehearsal.bench.was


# --- what it must not touch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [LAN, "Nirvana"])
def test_only_an_isolated_network_will_do(rehearsal: Drill, network: str) -> None:
    with pytest.raises(Refused, match="isolated networks"):
        rehearsal.start(network=network)
    assert rehearsal.bench.shape() == rehearsal.bench.was


def test_the_isolated_network_must_be_there(rehearsal: Drill) -> None:
    del rehearsal.bench.fleet.hosts[B].switches[BUBBLE]
    with pytest.raises(Refused, match="no virtual switch"):
        rehearsal.start()


@pytest.mark.parametrize("state", ["Resynchronizing", "Error", "WaitingForInitialReplication"])
def test_a_replica_in_no_state_for_it_is_refused(rehearsal: Drill, state: str) -> None:
    assert rehearsal.bench.replica.endpoint is not None
    rehearsal.bench.replica.endpoint.state = state
    with pytest.raises(Refused, match=state):
        rehearsal.start()


def test_a_vm_without_replication_cannot_be_tested(rehearsal: Drill) -> None:
    rehearsal.bench.replica.endpoint = None
    with pytest.raises(NotReplicated, match="no replica"):
        rehearsal.start()


def test_another_runs_test_is_neither_used_nor_ended(rehearsal: Drill) -> None:
    rehearsal.start(run_id=OTHER_RUN)
    with pytest.raises(Refused, match=OTHER_RUN):
        rehearsal.start()
    with pytest.raises(Refused, match=OTHER_RUN):
        rehearsal.end()
    assert rehearsal.test_vm() is not None


def test_a_test_that_a_person_made_is_left_alone(rehearsal: Drill) -> None:
    rehearsal.start()
    rehearsal.bench.replica.notes = ""
    with pytest.raises(Refused, match="no run of ours"):
        rehearsal.start()
    with pytest.raises(Refused, match="not tested by run"):
        rehearsal.end()
    assert rehearsal.test_vm() is not None


def test_a_real_failover_is_never_ended_as_a_test(bench: Bench) -> None:
    rehearsal = Drill(bench, is_promoted=True)
    with pytest.raises(Refused, match="phase failover"):
        rehearsal.end()
    with pytest.raises(Refused, match="holds it"):
        rehearsal.start()
    assert bench.replica.state == "Running"


@pytest.mark.parametrize("state", ["Error", "Resynchronizing", "WaitingForUpdateCompletion"])
def test_a_test_is_ended_whatever_became_of_the_replication_meanwhile(rehearsal: Drill, state: str) -> None:
    rehearsal.start()
    assert rehearsal.bench.replica.endpoint is not None
    rehearsal.bench.replica.endpoint.state = state
    assert rehearsal.end() == END
    assert rehearsal.test_vm() is None


def test_what_became_a_real_failover_meanwhile_is_left_as_it_is(rehearsal: Drill) -> None:
    rehearsal.start()

    def fail_over(number: int) -> None:
        if number == 1 and rehearsal.bench.replica.endpoint is not None:
            rehearsal.bench.replica.endpoint.state = "FailedOverWaitingCompletion"

    with pytest.raises(StepFailed, match="is no test"):
        rehearsal.road._run(drill.end_test(rehearsal.bench.ends, rehearsal.bench.pair(), run_id=RUN), before=fail_over)
