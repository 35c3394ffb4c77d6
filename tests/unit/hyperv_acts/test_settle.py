# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a promotion on Hyper-V: undone to the exact former state, or committed; killed anywhere; refused where it is too late."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Refused, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import notes

from .conftest import ODD_NAME, OTHER_RUN, RUN, A, B, Bench, Fault, Killed, Memory
from .test_promote import last_night, newest

Make = t.Callable[..., Bench]


def _promoted(bench: Bench, log: Memory) -> None:
    bench.fence(log)
    bench.promote(last_night(bench))


def _home_again(bench: Bench, log: Memory) -> None:
    bench.unfence(log)
    bench.power_on()


@pytest.mark.parametrize("kill_after", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("name", ["gestionale", ODD_NAME])
def test_an_undone_promotion_leaves_everything_as_it_was(make_bench: Make, name: str, kill_after: int | None) -> None:
    bench, log = make_bench(name=name), Memory()
    _promoted(bench, log)
    assert bench.original.endpoint is not None
    bench.original.endpoint.state = "WaitingForStartResynchronize"
    if kill_after is not None:
        with pytest.raises(Killed):
            bench.undo(kill_after=kill_after)
    bench.undo()
    assert bench.undo() == []
    _home_again(bench, log)
    bench.wait(60)
    was = {host: {**shown, "points": None} for host, shown in bench.was.items()}
    now = {host: {**shown, "points": None} for host, shown in bench.shape().items()}
    assert now == was
    assert set(bench.was[B]["points"]) <= set(bench.shape()[B]["points"])
    assert bench.fleet.copy(bench.original).data.generation >= 5000


@pytest.mark.parametrize("kill_after", range(1, 7))
def test_a_promotion_that_was_cut_off_anywhere_is_undone(bench: Bench, kill_after: int) -> None:
    log = Memory()
    bench.fence(log)
    with pytest.raises(Killed):
        bench.promote(last_night(bench), kill_after=kill_after)
    bench.undo()
    assert bench.shape()[B] == bench.was[B]
    _home_again(bench, log)
    assert bench.shape() == bench.was


@pytest.mark.parametrize("script", ["cancel the failover", "write the notes", "connect the adapters"])
@pytest.mark.parametrize("kind", ["before", "after"])
def test_a_lost_answer_is_settled_by_reading(bench: Bench, script: str, kind: str) -> None:
    log = Memory()
    _promoted(bench, log)
    bench.wires[B].faults.append(Fault(script, kind))
    if kind == "before":
        with pytest.raises(StepFailed):
            bench.undo()
    bench.undo()
    assert bench.shape()[B] == bench.was[B]


def test_a_replication_that_a_person_had_suspended_stays_so(bench: Bench) -> None:
    assert bench.original.endpoint is not None
    bench.original.endpoint.state = "Suspended"
    log = Memory()
    _promoted(bench, log)
    bench.undo()
    assert bench.original.endpoint.state == "Suspended"
    assert bench.undo() == []  # run again, with nothing kept any more that tells it
    assert bench.original.endpoint.state == "Suspended"


def test_a_copy_that_serves_is_not_stopped_for_a_dead_host(bench: Bench) -> None:
    log = Memory()
    _promoted(bench, log)
    bench.fleet.host_lost(A)
    with pytest.raises(Refused) as told:
        bench.undo()
    assert A in told.value.why
    assert bench.replica.state == "Running"


def test_what_another_run_holds_is_not_undone(bench: Bench) -> None:
    log = Memory()
    _promoted(bench, log)
    with pytest.raises(Refused) as told:
        bench.undo(run_id=OTHER_RUN)
    assert RUN in told.value.why
    assert bench.replica.state == "Running"


def test_a_failover_that_a_person_began_is_not_taken_back(bench: Bench) -> None:
    assert bench.replica.endpoint is not None
    bench.replica.endpoint.state = "FailedOverWaitingCompletion"
    assert bench.undo() == []
    assert bench.replica.endpoint.state == "FailedOverWaitingCompletion"


# --- commit ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kill_after", [None, 1, 2])
def test_a_commit_ends_the_failover_and_starts_with_its_host(bench: Bench, kill_after: int | None) -> None:
    _promoted(bench, Memory())
    if kill_after is not None:
        with pytest.raises(Killed):
            bench.commit(kill_after=kill_after)
    bench.commit()
    assert bench.commit() == []
    assert bench.replica.endpoint is not None
    assert bench.replica.endpoint.state == "FailedOver"
    assert (bench.replica.state, bench.replica.auto_start) == ("Running", "Start")
    assert notes.stamps_of(bench.replica.notes)[stamps.PHASE] == Phase.COMMITTED
    assert notes.stamps_of(bench.original.notes)[stamps.FENCED] == RUN
    assert (bench.original.state, bench.original.auto_start) == ("Off", "Nothing")
    with pytest.raises(Refused):
        bench.undo()


def test_a_commit_after_the_production_host_died_remembers_its_autostart(bench: Bench) -> None:
    _promoted(bench, Memory())
    bench.fleet.host_lost(A)
    bench.commit()
    assert bench.replica.auto_start == "Start"


def test_no_recovery_point_goes_before_the_word(bench: Bench) -> None:
    _promoted(bench, Memory())
    with pytest.raises(Killed):
        bench.commit(kill_after=1)
    assert notes.stamps_of(bench.replica.notes)[stamps.PHASE] == Phase.COMMITTED
    assert len(bench.replica.checkpoints) == 2


def test_a_commit_of_another_run_is_refused(bench: Bench) -> None:
    _promoted(bench, Memory())
    with pytest.raises(Refused):
        bench.commit(run_id=OTHER_RUN)


@pytest.mark.parametrize("kill_after", [None, 1, 2, 3])
def test_at_home_no_stamp_stays_on_either_vm(bench: Bench, kill_after: int | None) -> None:
    """As a migration home leaves them: the line is the VM at home, the one away is fenced."""
    log = Memory()
    _promoted(bench, log)
    marks = {stamps.RUN: RUN, stamps.PHASE: Phase.FAILBACK, stamps.MODE: "failover", stamps.FENCED: ""}
    bench.original.notes = notes.written(bench.original.notes, marks)
    gone = dict.fromkeys((stamps.RUN, stamps.PHASE, stamps.MODE, stamps.POINT), "")
    bench.replica.notes = notes.written(bench.replica.notes, {**gone, stamps.FENCED: RUN})

    def pair() -> t.Any:
        home, away = bench.vm(bench.original), bench.vm(bench.replica)
        if stamps.MODE not in home.stamps:
            return replace(bench.pair(), production=home, replica=away)
        return replace(
            bench.pair(), production=replace(away, id=bench.guid), replica=replace(home, id=f"replica:{bench.guid}")
        )

    if kill_after is not None:
        with pytest.raises(Killed):
            bench.commit(pair(), kill_after=kill_after)
    bench.commit(pair())
    assert bench.commit(pair()) == []
    assert (bench.original.notes, bench.original.auto_start) == (bench.was[A]["notes"], "Start")
    assert (bench.replica.notes, bench.replica.auto_start) == (bench.was[B]["notes"], bench.was[B]["autostart"])


def test_an_undo_at_home_or_of_a_reversed_replication_is_refused_untouched(bench: Bench) -> None:
    _promoted(bench, Memory())
    assert bench.replica.endpoint is not None
    bench.replica.endpoint.mode, bench.replica.endpoint.state = "Primary", "Replicating"
    before = bench.shape()
    with pytest.raises(Refused) as told:
        bench.undo()
    assert "reversed" in told.value.why
    assert bench.shape() == before


def test_the_newest_is_undone_too(bench: Bench) -> None:
    log = Memory()
    bench.fence(log)
    bench.promote(newest(bench))
    bench.undo()
    _home_again(bench, log)
    assert bench.shape() == bench.was
