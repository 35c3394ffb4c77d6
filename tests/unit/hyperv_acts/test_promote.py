# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promoting a replica by Hyper-V's failover: what is refused untouched, what happens in which order, killed anywhere."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.effects import Effects
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Phase as GuestPhase
from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    BadInput,
    Refused,
    SiteUnreachable,
    StepFailed,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import predict_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import notes, promote

from .conftest import LAN, ODD_NAME, OTHER_RUN, RUN, A, B, Bench, Fault, Killed, Memory

Make = t.Callable[..., Bench]
ALL_STEPS = [
    "stamp as being promoted",
    "fail over to the recovery point",
    "power on",
    "see the guest alive",
    "connect the NICs",
    "stamp as failed over",
]


def last_night(bench: Bench) -> RecoveryPoint:
    return next(one for one in bench.points() if one.id == f"point:{bench.night.key}")


def newest(bench: Bench) -> RecoveryPoint:
    return bench.points()[-1]


def is_serving(bench: Bench, *, generation: int) -> bool:
    machine, copy = bench.replica, bench.fleet.copy(bench.replica)
    marks = notes.stamps_of(machine.notes)
    return (
        machine.state == "Running"
        and copy.phase is GuestPhase.RUNNING
        and bench.world.serving_copy(bench.original.vm) is copy
        and copy.data.generation >= generation
        and copy.data.generation < generation + 100
        and (marks.get(stamps.RUN), marks.get(stamps.PHASE), marks.get(stamps.MODE))
        == (RUN, Phase.FAILOVER, "failover")
    )


def test_last_nights_point_serves_and_is_found_done(bench: Bench) -> None:
    bench.fence()
    assert bench.promote(last_night(bench)) == ALL_STEPS
    assert is_serving(bench, generation=3000)
    assert bench.replica.endpoint is not None
    assert bench.replica.endpoint.state == "FailedOverWaitingCompletion"
    assert bench.replica.auto_start == "Nothing"
    assert len(bench.replica.checkpoints) == 2
    assert bench.promote(last_night(bench)) == []


def test_the_newest_log_serves(bench: Bench) -> None:
    bench.fence()
    assert bench.promote(newest(bench)) == ALL_STEPS
    assert is_serving(bench, generation=4990)


def test_a_dead_production_host_is_not_needed(make_bench: Make) -> None:
    bench = make_bench(network=LAN)
    bench.fleet.host_lost(A)
    assert bench.promote(last_night(bench)) == ALL_STEPS
    assert is_serving(bench, generation=3000)
    assert bench.wires[A].ran == []


def test_the_guest_is_alone_until_it_was_seen_alive(bench: Bench) -> None:
    bench.replica.adapters[0].switch = LAN  # somebody meant well
    bench.fence()
    steps = promote.promote(
        bench.ends, bench.pair(), newest(bench), way="failover", run_id=RUN, guest_within_s=30, clock=bench.fleet
    )
    done = []
    for step in steps:
        bench.run([step])
        done.append((step.name, bench.replica.state, bool(bench.replica.adapters[0].switch)))
    assert ("power on", "Running", False) in done
    assert ("see the guest alive", "Running", False) in done
    assert done[-2:] == [("connect the NICs", "Running", True), ("stamp as failed over", "Running", True)]


@pytest.mark.parametrize("heartbeat", ["Disabled", "Unknown"])
def test_a_guest_that_nothing_speaks_for_counts_as_alive_after_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, heartbeat: str
) -> None:
    bench.fence()
    monkeypatch.setattr(bench.fleet.guests, "heartbeat", lambda machine: heartbeat if machine.is_on else None)
    started_s = bench.clock.now_s()
    assert bench.promote(last_night(bench)) == ALL_STEPS
    assert bench.clock.now_s() - started_s > 19  # uptime is told in whole seconds
    assert bench.promote(last_night(bench)) == []


@pytest.mark.parametrize("kill_after", range(1, 7))
@pytest.mark.parametrize("name", ["gestionale", ODD_NAME])
def test_a_promotion_that_was_cut_off_is_finished(make_bench: Make, name: str, kill_after: int) -> None:
    bench = make_bench(name=name)
    bench.fence()
    log = Memory()
    with pytest.raises(Killed):
        bench.promote(last_night(bench), log, kill_after=kill_after)
    bench.promote(last_night(bench), log)
    assert is_serving(bench, generation=3000)
    assert bench.promote(last_night(bench), log) == []
    assert bench.ran(B).count("fail over to a recovery point") == 1
    assert bench.ran(B).count("power on") == 1


@pytest.mark.parametrize(
    "script", ["write the notes", "fail over to a recovery point", "power on", "connect the adapters"]
)
@pytest.mark.parametrize("kind", ["before", "after", "refuse"])
def test_a_lost_answer_is_settled_by_reading(bench: Bench, script: str, kind: str) -> None:
    bench.fence()
    bench.wires[B].faults.append(Fault(script, kind))
    if kind != "after":
        with pytest.raises((StepFailed, SiteUnreachable)):
            bench.promote(last_night(bench))
    bench.promote(last_night(bench))
    assert is_serving(bench, generation=3000)
    assert bench.ran(B).count("fail over to a recovery point") == 1


def test_a_host_that_lost_its_production_host_half_way_goes_on(bench: Bench) -> None:
    bench.fence()
    with pytest.raises(Killed):
        bench.promote(last_night(bench), kill_after=2)
    bench.fleet.host_lost(A)
    bench.promote(last_night(bench))
    assert is_serving(bench, generation=3000)


def test_a_rotten_point_is_left_for_an_older_one_and_none_is_lost(bench: Bench) -> None:
    bench.world.corrupt(bench.original.vm, since_s=bench.clock.now_s() - 7200)
    bench.fence()
    log = Memory()
    with pytest.raises(StepFailed) as told:
        bench.promote(newest(bench), log)
    assert "older recovery point" in told.value.next
    assert bench.promote(last_night(bench), log)[0] == "cancel the failover"
    assert is_serving(bench, generation=3000)
    assert len(bench.replica.checkpoints) == 2
    assert bench.promote(last_night(bench), log) == []


@pytest.mark.parametrize("kill_after", [1, 2, 3])
def test_a_second_choice_that_was_cut_off_is_finished(bench: Bench, kill_after: int) -> None:
    bench.world.corrupt(bench.original.vm, since_s=bench.clock.now_s() - 7200)
    bench.fence()
    with pytest.raises(StepFailed):
        bench.promote(newest(bench))
    with pytest.raises(Killed):
        bench.promote(last_night(bench), kill_after=kill_after)
    bench.promote(last_night(bench))
    assert is_serving(bench, generation=3000)


def test_a_point_that_brings_its_settings_along_is_claimed_and_isolated_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No document says whether a failover keeps the VM's settings or takes those of the point: both must do."""
    fail_over = Effects._fail_over

    def with_settings(self: Effects, call: t.Any) -> float:
        took_s = fail_over(self, call)
        call.machine.notes, call.machine.auto_start = "as it was last night", "Start"
        call.machine.adapters[0].switch = LAN
        return took_s

    monkeypatch.setattr(Effects, "_fail_over", with_settings)
    bench.fence()
    assert "isolate before power on" in bench.promote(last_night(bench))
    assert is_serving(bench, generation=3000)
    assert bench.replica.auto_start == "Nothing"
    assert bench.promote(last_night(bench)) == []
    bench.undo()
    assert bench.shape()[B] == bench.was[B]


# --- switches --------------------------------------------------------------------------------------------------------


def test_each_adapter_goes_to_the_switch_of_the_originals_or_to_none(make_bench: Make) -> None:
    bench = make_bench(adapters=3)
    bench.original.adapters[1].switch = ""
    bench.original.adapters[2].switch = "Bubble"
    bench.fence()
    bench.promote(newest(bench))
    assert [card.switch for card in bench.replica.adapters] == [LAN, "", "Bubble"]


def test_the_sites_network_wins_over_the_originals_switch(make_bench: Make) -> None:
    bench = make_bench(network="Bubble")
    bench.fence()
    bench.promote(newest(bench))
    assert bench.replica.adapters[0].switch == "Bubble"


def test_an_original_whose_every_cable_was_pulled_by_hand_is_replaced_on_the_network(make_bench: Make) -> None:
    bench = make_bench(network=LAN, adapters=2)
    for adapter in bench.original.adapters:
        adapter.switch = ""
    bench.fence()
    bench.promote(newest(bench))
    assert [card.switch for card in bench.replica.adapters] == [LAN, LAN]


@pytest.mark.parametrize(
    ("network", "is_home_dead", "says"),
    [("WAN", False, "no switch 'WAN'"), (None, True, "is not known"), ("lan", False, "no switch 'lan'")],
)
def test_a_switch_that_is_missing_or_unknown_is_refused_untouched(
    make_bench: Make, network: str | None, is_home_dead: bool, says: str
) -> None:
    bench = make_bench(network=network)
    if is_home_dead:
        bench.fleet.host_lost(A)
    before = bench.shape()[B]
    (way,) = promote.ways(bench.ends, bench.pair(), newest(bench))
    assert not way.is_possible
    assert says in way.reason
    with pytest.raises(Refused) as told:
        bench.promote(newest(bench))
    assert says in told.value.why
    assert "network" in told.value.why
    assert bench.shape()[B] == before


@pytest.mark.parametrize("kill_after", [1, None])
def test_a_point_that_vanished_since_the_check_is_said_in_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kill_after: int | None
) -> None:
    point, run = last_night(bench), bench.wires[B].run

    def run_late(*arguments: t.Any, **more: t.Any) -> t.Any:
        if b"Start-VMFailover" in arguments[2] and b"-WhatIf" not in arguments[2]:
            bench.fleet.replication.drop_points(bench.replica, [bench.night])
        return run(*arguments, **more)

    bench.fence()
    if kill_after is None:
        monkeypatch.setattr(bench.wires[B], "run", run_late)
        with pytest.raises(StepFailed) as told:
            bench.promote(point)
        assert told.value.why.endswith("the recovery point is gone")
    else:
        with pytest.raises(Killed):
            bench.promote(point, kill_after=kill_after)
        bench.fleet.replication.drop_points(bench.replica, [bench.night])
        with pytest.raises(Refused) as refused:
            bench.promote(point)
        assert "gone" in refused.value.why
    assert bench.promote(newest(bench))[-1] == "stamp as failed over"
    assert is_serving(bench, generation=4990)


def test_a_switch_that_vanished_since_the_check_is_said_in_words(bench: Bench) -> None:
    bench.fence()
    with pytest.raises(Killed):
        bench.promote(newest(bench), kill_after=4)
    del bench.fleet.host(B).switches[LAN]
    with pytest.raises(StepFailed) as told:
        bench.promote(newest(bench))
    assert "no switch" in told.value.why
    assert "switch" in told.value.next


# --- refusals --------------------------------------------------------------------------------------------------------


def test_what_is_possible_is_said_and_nothing_is_touched(bench: Bench) -> None:
    (way,) = promote.ways(bench.ends, bench.pair(), last_night(bench))
    assert (way.name, way.is_possible, way.copied_bytes) == ("failover", True, 0)
    assert bench.shape() == bench.was


@pytest.mark.parametrize(
    "state", ["Error", "WaitingForInitialReplication", "FailedOver", "FailedOverWaitingCompletion"]
)
@pytest.mark.parametrize("culture", ["en-US", "de-DE"])
def test_a_state_that_no_failover_starts_from_is_refused_untouched(make_bench: Make, state: str, culture: str) -> None:
    bench = make_bench(culture=culture)
    assert bench.replica.endpoint is not None
    bench.replica.endpoint.state = state
    before = bench.shape()
    (way,) = promote.ways(bench.ends, bench.pair(), newest(bench))
    assert not way.is_possible
    assert state in way.reason
    with pytest.raises(Refused):
        bench.promote(newest(bench))
    assert bench.shape() == before


def test_a_point_that_is_gone_is_refused_untouched(bench: Bench) -> None:
    point = last_night(bench)
    bench.fleet.replication.drop_points(bench.replica, [bench.night])
    before = bench.shape()
    (way,) = promote.ways(bench.ends, bench.pair(), point)
    assert "gone" in way.reason
    with pytest.raises(Refused):
        bench.promote(point)
    assert bench.shape() == before


def test_the_hosts_own_guard_is_asked_before_anything(bench: Bench) -> None:
    """Only the host knows of a test that runs: nothing that we read speaks against the failover."""
    bench.fleet.add_test_vm(bench.replica, bench.fleet.copy(bench.replica).data)
    assert bench.replica.endpoint is not None
    bench.replica.endpoint.test = bench.fleet.machines[-1]
    bench.fleet.host(B).culture = "de-DE"
    (way,) = promote.ways(bench.ends, bench.pair(), newest(bench))
    assert not way.is_possible
    assert f"{B} itself would refuse" in way.reason


def test_a_vm_that_is_no_replica_is_refused(bench: Bench) -> None:
    bench.replica.endpoint = None
    (way,) = promote.ways(bench.ends, bench.pair(), newest(bench))
    assert "no replica" in way.reason


def test_a_replica_that_another_run_holds_is_refused(bench: Bench) -> None:
    bench.fence()
    bench.promote(newest(bench))
    with pytest.raises(Refused) as told:
        bench.promote(newest(bench), run_id=OTHER_RUN)
    assert RUN in told.value.why


def test_another_way_or_another_id_is_bad_input(bench: Bench) -> None:
    for more in ({"way": "clone"}, {"way": "failover", "promoted_id": "7"}):
        with pytest.raises(BadInput):
            next(
                promote.promote(
                    bench.ends,
                    bench.pair(),
                    newest(bench),
                    run_id=RUN,
                    guest_within_s=1,
                    clock=bench.fleet,
                    **t.cast("dict[str, t.Any]", more),
                )
            )


def test_check_mode_shows_every_cmdlet_and_touches_nothing(make_bench: Make) -> None:
    bench = make_bench(name=ODD_NAME)
    found = predict_steps(
        promote.promote(
            bench.ends,
            bench.pair(),
            last_night(bench),
            way="failover",
            run_id=RUN,
            guest_within_s=30,
            clock=bench.fleet,
        )
    )
    calls = [call for step in found for call in step.calls]
    assert any(f"Start-VMFailover -VM '{bench.guid}' -VMRecoverySnapshot '{bench.night.key}'" in call for call in calls)
    assert all(call.startswith(f"{B}: ") for call in calls)
    assert bench.shape() == bench.was


def test_names_do_not_matter(make_bench: Make) -> None:
    bench = make_bench(name=ODD_NAME, culture="de-DE")
    other = bench.fleet.add_vm(B, ODD_NAME, switch=LAN, vm="another", auto_start="Start")
    bench.fence()
    bench.promote(last_night(bench))
    assert is_serving(bench, generation=3000)
    assert (other.state, other.notes) == ("Off", "")
