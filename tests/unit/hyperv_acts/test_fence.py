# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fencing the production copy on a Hyper-V host, and taking the fence off to the letter, killed anywhere."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import SiteUnreachable, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import predict_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import fence, notes

from .conftest import LAN, ODD_NAME, RUN, A, Bench, Fault, Killed, Memory

Make = t.Callable[..., Bench]
ALL_STEPS = ["stamp as fenced, autostart off", "shut the guest down", "disconnect the NICs", "power off"]


def is_fenced(bench: Bench) -> bool:
    machine = bench.original
    return (
        machine.state == "Off"
        and machine.auto_start == "Nothing"
        and not any(card.switch for card in machine.adapters)
        and notes.stamps_of(machine.notes).get(stamps.FENCED) == RUN
    )


def test_a_running_copy_is_fenced_once(bench: Bench) -> None:
    assert bench.fence() == ["stamp as fenced, autostart off", "shut the guest down", "disconnect the NICs"]
    assert is_fenced(bench)
    assert bench.fence() == []


def test_a_copy_that_hangs_loses_its_network_before_its_power(bench: Bench) -> None:
    bench.world.hang(bench.original.copy_id)
    bench.original.has_heartbeat = False
    assert bench.fence(guest_within_s=2) == ALL_STEPS
    assert is_fenced(bench)
    assert bench.ran(A) == ["write the notes", "shut the guest down", "connect the adapters", "power off"]


def test_a_crashed_guest_is_not_asked(bench: Bench) -> None:
    bench.world.crash(bench.original.copy_id)
    bench.wait(1)
    assert bench.fence() == ["stamp as fenced, autostart off", "disconnect the NICs", "power off"]
    assert is_fenced(bench)


@pytest.mark.parametrize("state", ["save", "pause", "turn_off"])
def test_a_copy_that_does_not_run_is_fenced_too(bench: Bench, state: str) -> None:
    getattr(bench.fleet.powers, state)(bench.original)
    bench.fence()
    assert is_fenced(bench)
    assert bench.fence() == []


@pytest.mark.parametrize("kill_after", range(1, 5))
def test_a_fence_that_was_cut_off_is_finished(bench: Bench, kill_after: int) -> None:
    bench.world.hang(bench.original.copy_id)
    bench.original.has_heartbeat = False
    log = Memory()
    with pytest.raises(Killed):
        bench.fence(log, kill_after=kill_after, guest_within_s=2)
    bench.fence(log, guest_within_s=2)
    assert is_fenced(bench)
    assert bench.fence(log) == []
    bench.unfence(log)
    bench.power_on()
    assert bench.shape() == bench.was


@pytest.mark.parametrize("script", ["write the notes", "connect the adapters", "power off"])
@pytest.mark.parametrize("kind", ["before", "after"])
def test_a_lost_answer_is_settled_by_reading(bench: Bench, script: str, kind: str) -> None:
    bench.world.crash(bench.original.copy_id)
    bench.wait(1)
    bench.wires[A].faults.append(Fault(script, kind))
    if kind == "before":
        with pytest.raises(StepFailed):
            bench.fence()
    bench.fence()
    assert is_fenced(bench)
    assert bench.ran(A).count(script) == 1


@pytest.mark.parametrize("kill_after", [None, 1, 2])
@pytest.mark.parametrize("name", ["gestionale", ODD_NAME])
def test_an_unfenced_copy_is_what_it_was_to_the_letter(make_bench: Make, name: str, kill_after: int | None) -> None:
    bench = make_bench(name=name, adapters=3)
    bench.original.adapters[1].switch = ""
    bench.fleet.powers.rewired(bench.original)
    was, log = bench.shape(), Memory()
    bench.fence(log)
    assert is_fenced(bench)
    if kill_after is not None:
        with pytest.raises(Killed):
            bench.unfence(log, kill_after=kill_after)
    bench.unfence(log)
    assert bench.unfence(log) == []
    bench.power_on()
    assert bench.shape() == was


def test_a_fence_works_in_german_and_beside_a_vm_of_the_same_name(make_bench: Make) -> None:
    bench = make_bench(culture="de-DE", name=ODD_NAME)
    twin = bench.fleet.add_vm(A, ODD_NAME, switch=LAN, uptime_s=100.0, vm="another")
    bench.fence()
    assert is_fenced(bench)
    assert (twin.state, twin.notes, twin.adapters[0].switch) == ("Running", "", LAN)


def test_what_a_person_wrote_meanwhile_is_not_overwritten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = bench.wires[A]
    run = wire.run
    wrote: list[bool] = []

    def run_late(*arguments: t.Any, **more: t.Any) -> t.Any:
        if b"-cne" in arguments[2] and not wrote:
            wrote.append(True)
            bench.original.notes += "\nLuca: back at 5 pm"
        return run(*arguments, **more)

    monkeypatch.setattr(wire, "run", run_late)
    bench.fence()
    assert is_fenced(bench)
    assert notes.plain(bench.original.notes).endswith("Luca: back at 5 pm")
    assert bench.ran(A).count("write the notes") == 2


def test_check_mode_touches_nothing(bench: Bench) -> None:
    found = predict_steps(fence.fence(bench.ends.production, bench.vm(bench.original), run_id=RUN, guest_within_s=30))
    assert [step.step for step in found if step.changed] == ALL_STEPS
    assert all(call.startswith(f"{A}: ") and bench.guid in call for step in found for call in step.calls)
    assert bench.shape() == bench.was
    assert bench.ran(A) == []


def test_a_host_that_dies_meanwhile_is_said_to_be_unreachable(bench: Bench) -> None:
    bench.wires[A].faults.append(Fault("connect the adapters", "refuse"))
    with pytest.raises(SiteUnreachable):
        bench.fence()
    bench.fence()
    assert is_fenced(bench)
