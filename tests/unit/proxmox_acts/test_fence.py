# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fence holds, is read back, and comes off without a trace."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import predict_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.fence import fence, unfence
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.power import power_on

from .conftest import RUN, VMID, A, Bench, Fault, Killed, Memory, PveError, acted, run, stamps_of

FENCE = [
    "stamp as fenced",
    "switch autostart off",
    "shut the guest down",
    "disconnect the NICs",
    "protect against removal",
]


def test_a_fenced_copy_is_off_unplugged_unguarded_and_stamped(bench: Bench) -> None:
    assert acted(run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock)) == FENCE
    config = bench.guest.config
    assert not bench.datacenter.machines.running
    assert all("link_down=1" in config[net] for net in ("net0", "net1"))
    assert (config.get("onboot"), config.get("protection")) == ("0", "1")
    assert stamps_of(bench.guest) == {stamps.FENCED: RUN}
    assert config["tags"] == "dr.fenced.20260815+t021400+z-1f3a9c;erp;windows"
    assert config["description"].startswith("Il gestionale.\nChiamare Luca.\nferragosto.dr: {")
    bench.no_harm()


def test_a_crashed_guest_is_not_asked_but_stopped(bench: Bench) -> None:
    bench.world.crash(bench.copy(VMID).id)
    bench.wait(1)
    done = acted(run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock))
    assert "shut the guest down" not in done
    assert "power off" in done


def test_a_fence_run_again_changes_nothing(bench: Bench) -> None:
    run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock)
    bench.forget_calls()
    assert acted(run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock)) == []
    assert bench.sent == []


def test_check_mode_names_the_calls_and_makes_none(bench: Bench) -> None:
    predicted = predict_steps(fence(bench.at_b, bench.vm(), run_id=RUN))
    calls = [call for step in predicted if step.changed for call in step.calls]
    assert any("status/stop" in call for call in calls)
    assert bench.sent == []


def test_an_unfence_brings_everything_back_to_the_letter(bench: Bench) -> None:
    before = bench.shape()
    log = Memory()
    run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock, log)
    run(unfence(bench.at_b, bench.vm(), log.former()), bench.clock)
    run(power_on(bench.at_b, bench.vm()), bench.clock)
    assert bench.shape() == before
    bench.forget_calls()
    assert acted(run(unfence(bench.at_b, bench.vm(), log.former()), bench.clock)) == []
    assert bench.sent == []


def test_an_unfence_needs_no_journal(bench: Bench) -> None:
    before = bench.shape()
    run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock)
    run(unfence(bench.at_b, bench.vm(), Former()), bench.clock)
    run(power_on(bench.at_b, bench.vm()), bench.clock)
    assert bench.shape() == before


@pytest.mark.parametrize("kill", ["kill_after", "kill_before"])
@pytest.mark.parametrize("number", range(1, 6))
def test_a_controller_killed_at_any_act_is_continued_without_a_call_made_twice(
    bench: Bench, kill: str, number: int
) -> None:
    before = bench.shape()
    log = Memory()
    with pytest.raises(Killed):
        run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock, log, **{kill: number})
    run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock, log)
    made = [(s.method, s.path, tuple(sorted(s.params))) for s in bench.sent]
    assert len(made) == len(set(made)), made
    assert stamps_of(bench.guest) == {stamps.FENCED: RUN}
    run(unfence(bench.at_b, bench.vm(), log.former()), bench.clock)
    run(power_on(bench.at_b, bench.vm()), bench.clock)
    assert bench.shape() == before


@pytest.mark.parametrize("kind", ["drop", "after"])
@pytest.mark.parametrize("path", ["config", "status/shutdown"])
def test_an_answer_that_is_lost_or_false_is_settled_by_reading(bench: Bench, kind: str, path: str) -> None:
    bench.at_b.faults.append(Fault(lambda method, where: where.endswith(path), kind))
    run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock)
    made = [(s.method, s.path, tuple(sorted(s.params))) for s in bench.sent]
    assert len(made) == len(set(made)), made
    assert not bench.datacenter.machines.running


def test_a_locked_vm_is_refused_with_the_technicians_move(bench: Bench) -> None:
    bench.guest.config["lock"] = "backup"
    with pytest.raises(StepFailed) as told:
        run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock)
    assert "VM is locked (backup)" in told.value.why
    assert "qm unlock" in told.value.next


def test_without_quorum_the_step_says_what_to_do(bench: Bench) -> None:
    bench.datacenter.votes.lost.add(A)
    with pytest.raises(StepFailed) as told:
        run(fence(bench.at_a, bench.vm(), run_id=RUN), bench.clock)
    assert "quorum" in told.value.next


def test_a_missing_right_is_named(bench: Bench) -> None:
    bench.at_b.denied.add((f"/vms/{VMID}", "VM.Config.Options"))
    with pytest.raises(StepFailed) as told:
        run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock)
    assert "VM.Config.Options" in told.value.why


def test_somebody_elses_change_between_reading_and_writing_is_kept(bench: Bench) -> None:
    error = PveError(500, "detected modified configuration - file changed by other user? Try again.")
    bench.at_b.faults.append(Fault(lambda method, where: where.endswith("config"), "before", error))
    run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock)
    assert stamps_of(bench.guest) == {stamps.FENCED: RUN}


def test_ha_is_left_alone_where_it_has_no_part_and_ignored_where_it_has(bench: Bench) -> None:
    run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock)
    assert not [s for s in bench.sent if "/ha/" in s.path]


def test_a_vm_in_ha_is_not_started_again_by_it_and_given_back(bench: Bench) -> None:
    bench.at_a.send("POST", "/cluster/ha/resources", sid=f"vm:{VMID}", state="started", comment="erp")
    bench.wait(3)
    before = bench.shape()
    log = Memory()
    run(fence(bench.at_b, bench.vm(), run_id=RUN), bench.clock, log)
    bench.wait(30)
    assert not bench.datacenter.machines.running
    run(unfence(bench.at_b, bench.vm(), log.former()), bench.clock)
    run(power_on(bench.at_b, bench.vm()), bench.clock)
    bench.wait(5)
    assert bench.shape() == before
    bench.no_harm()
