# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fence holds, is read back, and comes off without a trace."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import predict_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.fence import fence, unfence
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.power import power_on

from .conftest import Killed, Memory, Protected, Sim, acted, run

FENCE = ["stamp as fenced", "switch HA restart off", "disconnect the NICs", "power off"]


def test_a_fenced_copy_is_off_unplugged_unguarded_and_stamped(protected: Protected) -> None:
    sim = protected.sim
    assert acted(run(fence(sim.client, sim.vm(protected.production), run_id="run-1"))) == FENCE
    seen = sim.vm(protected.production)
    assert seen.power is Power.OFF
    assert not any(n.is_connected or n.starts_connected for n in seen.nics)
    assert seen.stamps[stamps.FENCED] == "run-1"
    assert seen.has_ha is False
    assert sim.ha_override(protected.production) == "disabled"


def test_a_fence_run_again_changes_nothing(protected: Protected) -> None:
    sim = protected.sim
    run(fence(sim.client, sim.vm(protected.production), run_id="run-1"))
    assert acted(run(fence(sim.client, sim.vm(protected.production), run_id="run-1"))) == []


def test_check_mode_names_every_call_and_makes_none(protected: Protected) -> None:
    sim, handle = protected.sim, protected.production
    before = sim.shape(handle)
    predicted = predict_steps(fence(sim.client, sim.vm(handle), run_id="run-1"))
    calls = [call for step in predicted if step.changed for call in step.calls]
    nics = sorted(int(key) for key in before["nics"])
    assert calls == [
        f"ReconfigVM_Task({handle}, extraConfig ferragosto.dr.fenced='run-1', ferragosto.dr.former)",
        f"ReconfigureComputeResource_Task(dasVmConfig {handle}: restartPriority=disabled)",
        f"ReconfigVM_Task({handle}, nic {nics[0]}: connected=False, startConnected=False; "
        f"nic {nics[1]}: connected=False, startConnected=False)",
        f"PowerOffVM_Task({handle})",
    ]
    assert sim.shape(handle) == before


@pytest.mark.parametrize("priority", [None, "high", "disabled"])
def test_unfence_and_power_on_restore_the_exact_former_state(protected: Protected, priority: str | None) -> None:
    sim, handle, log = protected.sim, protected.production, Memory()
    if priority:
        sim.set_ha_override(handle, priority)
    before = sim.shape(handle)
    run(fence(sim.client, sim.vm(handle), run_id="run-1"), log)
    run(unfence(sim.client, sim.vm(handle), log.former()))
    run(power_on(sim.client, sim.vm(handle)))
    assert sim.shape(handle) == before
    assert acted(run(unfence(sim.client, sim.vm(handle), log.former()))) == []


def test_unfence_knows_the_former_state_without_a_journal(protected: Protected) -> None:
    sim, handle = protected.sim, protected.production
    sim.set_ha_override(handle, "high")
    before = sim.shape(handle)
    run(fence(sim.client, sim.vm(handle), run_id="run-1"))
    run(unfence(sim.client, sim.vm(handle), Former()))
    run(power_on(sim.client, sim.vm(handle)))
    assert sim.shape(handle) == before


def test_a_second_fence_does_not_forget_what_the_first_one_found(protected: Protected) -> None:
    sim, handle = protected.sim, protected.production
    before = sim.shape(handle)
    run(fence(sim.client, sim.vm(handle), run_id="run-1"))
    second = Memory()
    run(fence(sim.client, sim.vm(handle), run_id="run-2"), second)
    run(unfence(sim.client, sim.vm(handle), second.former()))
    run(power_on(sim.client, sim.vm(handle)))
    assert sim.shape(handle) == before


@pytest.mark.parametrize("kill_after", range(1, len(FENCE) + 1))
def test_a_fence_killed_after_any_act_ends_the_same(protected: Protected, kill_after: int) -> None:
    sim, handle, log = protected.sim, protected.production, Memory()
    before = sim.shape(handle)
    with pytest.raises(Killed):
        run(fence(sim.client, sim.vm(handle), run_id="run-1"), log, kill_after=kill_after)
    assert acted(run(fence(sim.client, sim.vm(handle), run_id="run-1"), log)) == FENCE[kill_after:]
    for kill_undo in range(1, 4):
        try:
            run(unfence(sim.client, sim.vm(handle), log.former()), kill_after=kill_undo)
        except Killed:
            continue
    run(unfence(sim.client, sim.vm(handle), log.former()))
    run(power_on(sim.client, sim.vm(handle)))
    assert sim.shape(handle) == before


def test_a_guest_that_can_be_asked_shuts_down_before_its_network_goes(sim: Sim, protected: Protected) -> None:
    sim.guest_lives(protected.production)
    done = run(fence(sim.client, sim.vm(protected.production), run_id="run-1"))
    names = acted(done)
    assert names.index("shut the guest down") < names.index("disconnect the NICs")
    assert "power off" not in names
    assert sim.vm(protected.production).power is Power.OFF


def test_a_crashed_guest_is_not_asked(sim: Sim, protected: Protected) -> None:
    sim.guest_lives(protected.production)
    sim.guest_crashed(protected.production)
    names = [step.name for step in fence(sim.client, sim.vm(protected.production), run_id="run-1")]
    assert "shut the guest down" not in names
