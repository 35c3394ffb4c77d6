# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.world.clock import RunningClock, TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import (
    Copy,
    DataState,
    Nic,
    Phase,
    Power,
    ReplicationJob,
    Role,
    Service,
    Timing,
)
from ansible_collections.ferragosto.dr.extensions.twin.world.world import UnknownThing, World

CONNECTED = (Nic("4000", "VM Network", True),)
DISCONNECTED = (Nic("4000", "VM Network", False),)
IN_BUBBLE = (Nic("4000", "bubble", True),)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def world(clock: TurnedClock) -> World:
    """One VM, running on esx1, with last night's and an older point on its replica on esx2."""
    world = World(clock, Timing(), isolated=["bubble"])
    now_s = clock.now_s()
    for host in ("esx1", "esx2"):
        world.add_host(host)
    world.add_copy(Copy("p", "erp", "erp", Role.PRODUCTION, "esx1", DataState(1000, now_s)))
    night, older = DataState(500, now_s - 7 * 3600), DataState(100, now_s - 31 * 3600)
    replica = Copy("r", "erp", "erp_replica", Role.REPLICA, "esx2", night, points={"old": older, "new": night})
    replica.vendor_points = ["old", "new"]
    world.add_copy(replica)
    world.add_job(ReplicationJob("erp", "p", "r"))
    world.observe("p", power=Power.ON, nics=CONNECTED)
    clock.turn(10)
    world.tick()
    return world


def test_a_guest_runs_only_after_its_boot_time(world: World, clock: TurnedClock) -> None:
    world.observe("r", power=Power.ON)
    clock.turn(3.9)
    world.tick()
    assert world.copy("r").phase is Phase.BOOTING
    clock.turn(0.2)
    assert [(c.copy, c.phase) for c in world.tick()] == [("r", Phase.RUNNING)]


def test_rotten_data_crash_again_at_every_boot(world: World, clock: TurnedClock) -> None:
    world.corrupt("erp")
    assert world.copy("p").phase is Phase.CRASHED
    for dummy in range(3):
        world.observe("p", power=Power.ON, was_restarted=True)
        assert world.copy("p").phase is Phase.BOOTING
        clock.turn(2.1)
        world.tick()
        assert world.copy("p").phase is Phase.CRASHED


@pytest.mark.parametrize(
    ("rotten_since_h", "point", "phase"),
    [
        (2, "new", Phase.RUNNING),
        (8, "new", Phase.CRASHED),
        (8, "old", Phase.RUNNING),
        (32, "old", Phase.CRASHED),
    ],
)
def test_a_point_older_than_the_rot_boots(
    world: World, clock: TurnedClock, rotten_since_h: float, point: str, phase: Phase
) -> None:
    world.corrupt("erp", since_s=clock.now_s() - rotten_since_h * 3600)
    world.reverted("r", point)
    world.observe("r", power=Power.ON)
    clock.turn(5)
    world.tick()
    assert world.copy("r").phase is phase


def test_a_copy_that_booted_from_a_sound_point_stays_sound_whatever_it_writes(world: World, clock: TurnedClock) -> None:
    world.corrupt("erp")
    world.observe("r", power=Power.ON)
    clock.turn(3600)
    world.tick()
    world.observe("r", power=Power.ON, was_restarted=True)
    clock.turn(5)
    world.tick()
    assert world.copy("r").phase is Phase.RUNNING


def test_a_running_guest_writes_and_a_stopped_one_does_not(world: World, clock: TurnedClock) -> None:
    before = world.data_of(world.copy("p"))
    clock.turn(30)
    running = world.data_of(world.copy("p"))
    assert running.generation == before.generation + 30
    assert running.as_of_s == clock.now_s()
    world.observe("p", power=Power.OFF)
    clock.turn(30)
    assert world.data_of(world.copy("p")) == running


@pytest.mark.parametrize(
    ("production", "replica", "is_violation"),
    [
        (CONNECTED, CONNECTED, True),
        (DISCONNECTED, CONNECTED, False),
        (CONNECTED, DISCONNECTED, False),
        (CONNECTED, IN_BUBBLE, False),
        (CONNECTED, (*IN_BUBBLE, *CONNECTED), True),
        (CONNECTED, (), False),
    ],
)
def test_two_copies_on_a_production_network_are_a_violation(
    world: World, production: tuple[Nic, ...], replica: tuple[Nic, ...], is_violation: bool
) -> None:
    world.observe("p", nics=production)
    world.observe("r", power=Power.ON, nics=replica)
    assert [v.kind for v in world.violations] == (["two_on_production_network"] if is_violation else [])


def test_a_violation_of_an_instant_is_never_forgotten(world: World, clock: TurnedClock) -> None:
    world.observe("r", power=Power.ON, nics=CONNECTED)
    world.observe("r", power=Power.OFF)
    clock.turn(86400)
    world.tick()
    violation = world.violations[0]
    assert (violation.vm, violation.copies) == ("erp", ("p", "r"))
    assert violation.ended_at_s is not None


def test_two_serving_guests_are_a_violation_of_their_own(world: World, clock: TurnedClock) -> None:
    world.observe("r", power=Power.ON, nics=CONNECTED)
    clock.turn(5)
    world.tick()
    assert {v.kind for v in world.violations} == {"two_on_production_network", "two_guests_serving"}


def test_one_look_that_swaps_network_and_power_is_no_overlap_with_itself(world: World) -> None:
    world.observe("p", power=Power.OFF, nics=DISCONNECTED)
    world.observe("r", power=Power.ON, nics=CONNECTED)
    assert not world.violations


def test_a_job_that_nobody_disabled_throws_the_promoted_replica_s_work_away(world: World, clock: TurnedClock) -> None:
    world.observe("p", power=Power.OFF, nics=DISCONNECTED)
    world.observe("r", power=Power.ON, nics=CONNECTED)
    clock.turn(3600)
    world.tick()
    assert world.run_job("erp") == (world.jobs["erp"], True)
    assert world.copy("r").power is Power.OFF
    assert world.copy("r").data == world.copy("p").data
    assert [a.kind for a in world.accidents] == ["promoted_replica_rolled_back"]


def test_a_disabled_job_leaves_the_promoted_replica_alone(world: World) -> None:
    world.set_job("erp", is_enabled=False)
    world.observe("r", power=Power.ON, nics=DISCONNECTED)
    assert world.run_job("erp") is None
    assert world.copy("r").power is Power.ON
    assert not world.accidents


def test_an_ordinary_night_is_no_accident(world: World, clock: TurnedClock) -> None:
    clock.turn(3600)
    assert world.run_job("erp") == (world.jobs["erp"], False)
    assert world.copy("r").data.as_of_s == clock.now_s()
    assert not world.accidents


def test_a_removed_vendor_point_is_an_accident_and_a_removed_own_point_is_not(world: World) -> None:
    world.point_made("r", "ours")
    world.points_seen("r", ["old", "new"])
    assert not world.accidents
    world.points_seen("r", ["old"])
    assert [a.kind for a in world.accidents] == ["vendor_point_removed"]


def test_a_dead_host_takes_its_guests_along_and_an_isolated_one_does_not(world: World) -> None:
    world.host_lost("esx1", is_dead=False)
    assert world.serving_copy("erp") is world.copy("p")
    world.host_lost("esx1", is_dead=True)
    assert world.serving_copy("erp") is None


def test_only_a_running_guest_can_be_asked_to_shut_down(world: World, clock: TurnedClock) -> None:
    assert world.shutdown_asked("p")
    clock.turn(1.1)
    assert [(c.before, c.phase) for c in world.tick()][-1] == (Phase.SHUTTING_DOWN, Phase.OFF)
    world.observe("p", power=Power.OFF)
    assert not world.shutdown_asked("p")
    world.observe("p", power=Power.ON)
    assert not world.shutdown_asked("p")


def test_of_two_live_copies_the_one_that_was_there_first_answers(world: World, clock: TurnedClock) -> None:
    world.observe("r", power=Power.ON, nics=CONNECTED)
    clock.turn(5)
    world.tick()
    assert world.serving_copy("erp") is world.copy("p")


def test_unknown_names_are_answered_with_the_known_ones(world: World) -> None:
    with pytest.raises(UnknownThing, match="there are erp"):
        world.copies_of("nosuch")
    with pytest.raises(UnknownThing, match="there are erp"):
        world.set_service("nosuch", Service.DOWN)


def test_the_clock_can_run_faster_than_real_time() -> None:
    clock = RunningClock(speed=1000.0, epoch_s=0.0)
    assert clock.real_s(1000.0) == 1.0
    with pytest.raises(ValueError, match="positive"):
        RunningClock(speed=0)
