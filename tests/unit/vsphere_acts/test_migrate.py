# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM moves to the other host whole, once, or stays where it is with the reason."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Iterator

import pytest
from pyVmomi import vim

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, Refused, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step, predict_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.migrate import end_migration, migrate
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.promote import promote
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.settle import undo_promotion

from .conftest import HOST_A, HOST_B, ONLY_B, STORE_A, STORE_B, Clock, Killed, Memory, Protected, Sim, acted, run


@pytest.fixture
def promoted(sim: Sim, protected: Protected) -> Protected:
    """The replica serves on host B, from a datastore that host A does not see."""
    handle = sim.make_vm("gestionale_replica", host=HOST_B, store=STORE_B)
    point = sim.snapshot(handle, "Restore Point")
    sim.guest_lives(handle)
    found = Protected(sim=sim, production=protected.production, replica=handle, points=(point,))
    run(promote(sim.client, found.pair(), found.point(), run_id="run-1", guest_within_s=5, clock=Clock()))
    return found


def to(node: str, store: str | None = None, **more: t.Any) -> EndpointSpec:
    return EndpointSpec(api_host="127.0.0.1", node=node, datastore=store, **more)


def move(promoted: Protected, target: EndpointSpec, mode: str = "live") -> Iterator[Step]:
    sim = promoted.sim
    return migrate(sim.client, sim.vm(promoted.replica), to=target, mode=mode, run_id="run-1")


def end(promoted: Protected, phase: str) -> list[Step]:
    return end_migration(promoted.sim.client, promoted.sim.vm(promoted.replica), run_id="run-1", phase=phase)


def test_a_live_move_brings_host_and_datastore_and_never_stops_the_vm(promoted: Protected) -> None:
    booted = promoted.sim.vm(promoted.replica).guest.boot_at_s
    done = run(move(promoted, to(HOST_A, STORE_A)))
    assert acted(done) == ["stamp as migrating", f"relocate to {HOST_A}"]
    seen = promoted.sim.vm(promoted.replica)
    assert (seen.host, seen.power) == (HOST_A, Power.ON)
    assert STORE_A in seen.datastores
    assert seen.guest.boot_at_s == booted
    assert seen.stamps[stamps.PHASE] == "migrating"
    run(end(promoted, "failback"))
    assert promoted.sim.vm(promoted.replica).stamps[stamps.PHASE] == "failback"


def test_a_move_run_again_changes_nothing(promoted: Protected) -> None:
    run(move(promoted, to(HOST_A, STORE_A)))
    assert acted(run(move(promoted, to(HOST_A, STORE_A)))) == []
    run(end(promoted, "failback"))
    assert acted(run(move(promoted, to(HOST_A, STORE_A)))) == []
    assert acted(run(end(promoted, "failback"))) == []


def test_a_cold_move_stops_relocates_and_starts(promoted: Protected) -> None:
    done = run(move(promoted, to(HOST_A, STORE_A), "cold"))
    assert acted(done) == ["stamp as migrating", "power off", f"relocate to {HOST_A}", "power on"]
    seen = promoted.sim.vm(promoted.replica)
    assert (seen.host, seen.power) == (HOST_A, Power.ON)
    assert acted(run(move(promoted, to(HOST_A, STORE_A), "cold"))) == []


@pytest.mark.parametrize("mode", ["live", "cold"])
@pytest.mark.parametrize("kill_after", [1, 2, 3, 4])
def test_a_move_killed_after_any_act_ends_the_same(promoted: Protected, mode: str, kill_after: int) -> None:
    with contextlib.suppress(Killed):
        run(move(promoted, to(HOST_A, STORE_A), mode), kill_after=kill_after)
    run(move(promoted, to(HOST_A, STORE_A), mode))
    seen = promoted.sim.vm(promoted.replica)
    assert (seen.host, seen.power) == (HOST_A, Power.ON)
    assert STORE_A in seen.datastores


def test_check_mode_names_the_relocation_and_makes_none(promoted: Protected) -> None:
    before = promoted.sim.shape(promoted.replica)
    predicted = predict_steps(move(promoted, to(HOST_A, STORE_A)))
    (call,) = [call for step in predicted for call in step.calls if call.startswith("Relocate")]
    assert call.startswith(f"RelocateVM_Task({promoted.replica}, host='{HOST_A}', pool=resgroup-")
    assert call.endswith(f"datastore='{STORE_A}')")
    assert promoted.sim.shape(promoted.replica) == before


def test_a_move_needs_no_datastore_named(promoted: Protected) -> None:
    run(move(promoted, to(HOST_A)))
    assert promoted.sim.vm(promoted.replica).host == HOST_A


def test_back_on_the_replica_host_an_undo_returns_the_exact_former_state(sim: Sim, protected: Protected) -> None:
    handle = sim.make_vm("gestionale_replica", host=HOST_B, store=STORE_B)
    point = sim.snapshot(handle, "Restore Point")
    sim.guest_lives(handle)
    found = Protected(sim=sim, production=protected.production, replica=handle, points=(point,))
    before, log = sim.shape(handle), Memory()
    run(promote(sim.client, found.pair(), found.point(), run_id="run-1", guest_within_s=5, clock=Clock()), log)
    run(move(found, to(HOST_A, STORE_A)))
    run(end(found, "failback"))
    run(move(found, to(HOST_B, STORE_B)))
    run(undo_promotion(sim.client, found.pair(), log.former(), run_id="run-1"))
    assert sim.shape(handle) == before


# --- refused before anything ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (to("esx9.luca"), "no host of that name"),
        (to(HOST_A, "no-such-store"), "no accessible datastore 'no-such-store'"),
        (to(HOST_A, ONLY_B), "no accessible datastore"),
        (to(HOST_A, pool="{{ pool }}"), "no resource pool"),
    ],
)
def test_a_target_that_is_not_there_is_refused_in_words(promoted: Protected, target: EndpointSpec, words: str) -> None:
    before = promoted.sim.shape(promoted.replica)
    with pytest.raises(Refused, match=words) as refused:
        run(move(promoted, target))
    assert refused.value.next
    assert promoted.sim.shape(promoted.replica) == before


def test_a_host_in_maintenance_is_refused(promoted: Protected) -> None:
    sim = promoted.sim
    host = sim.host(HOST_A)
    sim.task(lambda: host.EnterMaintenanceMode_Task(timeout=0))
    try:
        with pytest.raises(Refused, match="maintenance"):
            run(move(promoted, to(HOST_A, STORE_A)))
    finally:
        sim.task(lambda: host.ExitMaintenanceMode_Task(timeout=0))


def test_a_host_without_connection_is_refused(promoted: Protected) -> None:
    sim = promoted.sim
    host = sim.host(HOST_A)
    sim.task(host.DisconnectHost_Task)
    try:
        with pytest.raises(Refused, match="no connection to host"):
            run(move(promoted, to(HOST_A, STORE_A)))
    finally:
        sim.task(lambda: host.ReconnectHost_Task(None, None))


def test_a_host_without_the_vms_network_is_refused(promoted: Protected) -> None:
    sim = promoted.sim
    system = sim.client.retrieve([sim.host(HOST_B)], ["configManager.networkSystem"])
    only_here = vim.host.PortGroup.Specification(
        name="only on B", vlanId=0, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy()
    )
    next(iter(system.values()))["configManager.networkSystem"].AddPortGroup(only_here)
    raw = sim.raw(promoted.replica)
    devices = sim.client.retrieve([raw], ["config.hardware.device"])[promoted.replica]["config.hardware.device"]
    nic = next(d for d in devices if isinstance(d, vim.vm.device.VirtualEthernetCard))
    network = next(
        one for one, shown in sim.client.survey([vim.Network], {vim.Network: ("name",)}) if shown["name"] == "only on B"
    )
    nic.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="only on B", network=network)
    edit = vim.vm.device.VirtualDeviceSpec(operation="edit", device=nic)
    sim.task(lambda: raw.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[edit])))
    hosts = {h: sim.client.retrieve([sim.host(h)], ["network"]) for h in (HOST_A, HOST_B)}
    if any(network in shown["network"] for shown in hosts[HOST_A].values()):
        pytest.xfail("vcsim shows a port group of one host on all hosts of the cluster")
    with pytest.raises(Refused, match="no network 'only on B'"):
        run(move(promoted, to(HOST_A, STORE_A)))


def test_a_full_datastore_is_refused(promoted: Protected) -> None:
    promoted.sim.extra(promoted.replica, config__hardware__memoryMB=2**31 - 1)
    with pytest.raises(Refused, match="GiB free, the VM needs"):
        run(move(promoted, to(HOST_A, STORE_A)))


def test_a_failed_live_move_says_how_to_allow_a_cold_one(promoted: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    """vcsim has no vMotion licence to lack: the fault is put where the task would bring it."""
    client = promoted.sim.client
    run_task = client.run_task

    def unlicensed(what: str, start: t.Any, *, within_s: float) -> t.Any:
        if "relocate" in what:
            raise ProviderFault(what=what, why="vcenter answered VMotionNotLicensed", next="look at the task")
        return run_task(what, start, within_s=within_s)

    monkeypatch.setattr(client, "run_task", unlicensed)
    with pytest.raises(StepFailed) as failed:
        run(move(promoted, to(HOST_A, STORE_A)))
    assert "VMotionNotLicensed" in failed.value.why
    assert "dr_policy.cold_migration: true" in failed.value.next
    assert promoted.sim.vm(promoted.replica).power is Power.ON


def test_a_standalone_esxi_is_refused_in_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    from ansible_collections.ferragosto.dr.tools.get_simulators import get_simulator

    esxi = Sim(get_simulator("vcsim"), tmp_path_factory.mktemp("esxi"), "-esx")
    try:
        shown = esxi.client.survey([vim.VirtualMachine], {vim.VirtualMachine: ("name",)})
        vm = esxi.vm(shown[0][0]._moId)
        with pytest.raises(Refused, match="standalone ESXi"):
            run(migrate(esxi.client, vm, to=to("esx2"), mode="live", run_id="run-1"))
    finally:
        esxi.end()
