# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power acts on a Hyper-V host, and restart attempts that happen once."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.world.model import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Refused, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import predict_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.power import power_off, reset

from .conftest import ODD_NAME, RUN, A, Bench, Fault, Killed, Memory, acted

Make = t.Callable[..., Bench]


def _off(bench: Bench, *, guest_within_s: float = 0.0) -> list[str]:
    vm = bench.vm(bench.original)
    return acted(bench.run(power_off(bench.ends.production, vm, guest_within_s=guest_within_s)))


def _reset(bench: Bench, attempt: int, log: Memory | None = None, kill_after: int | None = None) -> list[str]:
    steps = reset(bench.ends.production, bench.vm(bench.original), attempt=attempt, run_id=RUN)
    return acted(bench.run(steps, log, kill_after=kill_after))


def test_a_guest_is_asked_before_the_plug_is_pulled(bench: Bench) -> None:
    assert _off(bench, guest_within_s=60) == ["power off"]
    assert bench.ran(A) == ["shut the guest down"]
    assert bench.original.state == "Off"


def test_a_guest_that_does_not_obey_is_turned_off_when_its_time_is_up(bench: Bench) -> None:
    bench.world.hang(bench.original.copy_id)
    bench.original.has_heartbeat = False  # so that nothing tells that it hangs
    began_at_s = bench.clock.now_s()
    assert _off(bench, guest_within_s=3) == ["power off"]
    assert bench.ran(A) == ["shut the guest down", "power off"]
    assert bench.original.state == "Off"
    assert bench.clock.now_s() - began_at_s < 20


def test_a_guest_whose_heartbeat_is_lost_is_not_asked(bench: Bench) -> None:
    bench.world.crash(bench.original.copy_id)
    bench.wait(1)
    assert _off(bench, guest_within_s=60) == ["power off"]
    assert bench.ran(A) == ["power off"]


@pytest.mark.parametrize("state", ["save", "pause"])
def test_a_vm_that_is_saved_or_paused_is_off_afterwards(bench: Bench, state: str) -> None:
    getattr(bench.fleet.powers, state)(bench.original)
    assert _off(bench, guest_within_s=60) == ["power off"]
    assert bench.original.state == "Off"
    assert bench.ran(A) == ["power off"]


def test_what_is_as_wanted_is_left_alone(bench: Bench) -> None:
    assert bench.power_on() == []
    assert _off(bench) == ["power off"]
    assert _off(bench, guest_within_s=60) == []
    assert bench.power_on() == ["power on"]
    assert bench.ran(A) == ["power off", "power on"]


@pytest.mark.parametrize("state", ["save", "pause"])
def test_power_on_lets_a_saved_or_paused_vm_go_on(bench: Bench, state: str) -> None:
    getattr(bench.fleet.powers, state)(bench.original)
    assert bench.power_on() == ["power on"]
    assert bench.original.state == "Running"


@pytest.mark.parametrize("kind", ["before", "after"])
def test_a_lost_answer_to_a_start_is_settled_by_reading(bench: Bench, kind: str) -> None:
    _off(bench)
    bench.forget_calls()
    bench.wires[A].faults.append(Fault("power on", kind))
    if kind == "after":
        assert bench.power_on() == ["power on"]
    else:
        with pytest.raises(StepFailed):
            bench.power_on()
        assert bench.power_on() == ["power on"]
    assert bench.original.state == "Running"
    assert bench.ran(A) == ["power on"]


def test_an_act_that_reads_the_vm_at_its_end_costs_two_processes(bench: Bench) -> None:
    bench.forget_calls()
    _off(bench)
    assert bench.wires[A].ran == ["read the VM", "power off"]


def test_a_start_that_the_host_refuses_says_its_words_in_its_language(make_bench: Make) -> None:
    bench = make_bench(culture="de-DE")
    _off(bench)
    bench.original.memory_bytes = 2**50
    with pytest.raises(StepFailed) as told:
        bench.power_on()
    assert A in told.value.why
    assert "Hyper-V-Worker" in told.value.next or "VMMS" in told.value.next


def test_a_role_of_a_cluster_is_refused_before_anything(bench: Bench) -> None:
    bench.original.is_clustered = True
    with pytest.raises(Refused) as told:
        _off(bench)
    assert "cluster" in told.value.why
    assert bench.ran(A) == []
    assert bench.original.state == "Running"


def test_check_mode_looks_only_and_shows_the_cmdlets(make_bench: Make) -> None:
    bench = make_bench(name=ODD_NAME)
    found = predict_steps(power_off(bench.ends.production, bench.vm(bench.original), guest_within_s=60))
    assert found[0].changed
    assert [call.partition("' ")[2] for call in found[0].calls] == [
        "-Force, ended after 60 s",
        "-TurnOff -Force (saved: Remove-VMSavedState)",
    ]
    assert all(call.startswith(f"{A}: Stop-VM -VM '{bench.guid}' ") for call in found[0].calls)
    assert bench.ran(A) == []
    assert bench.original.state == "Running"


# --- restart attempts ------------------------------------------------------------------------------------------------


def _starts(bench: Bench) -> int:
    return bench.ran(A).count("restart")


def test_each_restart_attempt_happens_once(bench: Bench) -> None:
    for number in (1, 2):
        assert _reset(bench, number) == [f"restart attempt {number}"]
        assert _reset(bench, number) == []
        bench.wait(10)
        assert _reset(bench, number) == []
    assert _reset(bench, 1) == []
    assert _starts(bench) == 2
    assert bench.fleet.copy(bench.original).phase is Phase.RUNNING


@pytest.mark.parametrize("kind", ["after", "before"])
def test_a_reset_whose_answer_is_lost_is_not_made_again(bench: Bench, kind: str) -> None:
    bench.wires[A].faults.append(Fault("restart", kind))
    if kind == "before":
        with pytest.raises(StepFailed):
            _reset(bench, 1)
    _reset(bench, 1)
    assert _starts(bench) == 1
    assert bench.fleet.guests.uptime_s(bench.original) < 60


def test_a_controller_killed_right_after_the_reset_knows_it_again(bench: Bench) -> None:
    log = Memory()
    with pytest.raises(Killed):
        _reset(bench, 1, log, kill_after=1)
    assert _reset(bench, 1, log) == []
    assert _starts(bench) == 1


@pytest.mark.parametrize("state", ["turn_off", "pause", "save"])
def test_a_vm_that_does_not_run_is_started_as_an_attempt(bench: Bench, state: str) -> None:
    getattr(bench.fleet.powers, state)(bench.original)
    assert _reset(bench, 1) == ["restart attempt 1"]
    assert bench.original.state == "Running"
    assert _reset(bench, 1) == []


def test_the_note_of_an_attempt_leaves_a_persons_words(bench: Bench) -> None:
    before = bench.original.notes
    _reset(bench, 1)
    assert bench.original.notes.startswith(before)
    assert RUN in bench.original.notes
