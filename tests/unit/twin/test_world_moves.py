# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the world knows of guests that go on elsewhere, of backups, and of power buttons."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import (
    Copy,
    DataState,
    Nic,
    Phase,
    Power,
    Role,
    Timing,
)
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

CONNECTED = (Nic("net0", "vmbr0", True),)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def world(clock: TurnedClock) -> World:
    world = World(clock, Timing())
    for host in ("a", "b"):
        world.add_host(host)
    world.add_copy(Copy("p", "erp", "erp", Role.PRODUCTION, "a", DataState(1000, clock.now_s()), guest_id="gen-1"))
    world.add_copy(Copy("r", "erp", "erp", Role.REPLICA, "b", DataState(500, clock.now_s() - 3600)))
    world.observe("p", power=Power.ON, nics=CONNECTED)
    clock.turn(10)
    world.tick()
    return world


def test_a_guest_that_is_handed_over_never_serves_twice_and_never_reboots(world: World, clock: TurnedClock) -> None:
    before, written = world.copy("p").booted_at_s, world.data_of(world.copy("p"))
    world.handed_over("p", "r")
    source, target = world.copy("p"), world.copy("r")
    assert (source.power, source.phase, target.power, target.phase) == (Power.OFF, Phase.OFF, Power.ON, Phase.RUNNING)
    assert (target.booted_at_s, target.guest_id, target.nics) == (before, "gen-1", CONNECTED)
    assert source.data == target.data == written
    assert world.serving_copy("erp") is target
    assert world.violations == ()
    clock.turn(10)
    assert world.data_of(target).generation == written.generation + 10
    assert world.data_of(source) == written


@pytest.mark.parametrize(("age_s", "is_rotten"), [(3600, True), (3601, False), (0, True)])
def test_a_backup_younger_than_the_rot_is_rotten(
    world: World, clock: TurnedClock, age_s: float, is_rotten: bool
) -> None:
    now_s = clock.now_s()
    world.archives["erp"] = {"night": DataState(1, now_s - age_s)}
    world.corrupt("erp", since_s=now_s - 3600)
    assert world.archives["erp"]["night"].is_corrupted is is_rotten


@pytest.mark.parametrize("has_tools", [True, False])
@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.CRASHED, Phase.HUNG])
def test_a_power_button_needs_a_live_guest_and_no_tools(world: World, has_tools: bool, phase: Phase) -> None:
    world.copy("p").has_tools = has_tools
    if phase is Phase.CRASHED:
        world.crash("p")
    elif phase is Phase.HUNG:
        world.hang("p")
    assert world.shutdown_asked("p", by_power_button=True) is (phase is Phase.RUNNING)


def test_a_hung_guest_can_be_woken_and_a_crashed_one_cannot(world: World) -> None:
    world.hang("p")
    world.woken("p")
    assert world.copy("p").phase is Phase.RUNNING
    world.crash("p")
    world.woken("p")
    assert world.copy("p").phase is Phase.CRASHED


def test_the_picture_of_the_world_holds_backups_and_generation_ids(world: World) -> None:
    world.archives["erp"] = {"night": DataState(1, 2.0)}
    picture = world.snapshot()
    assert picture["archives"]["erp"]["night"] == {"generation": 1, "as_of_s": 2.0, "is_corrupted": False}
    assert picture["copies"]["p"]["guest_id"] == "gen-1"
