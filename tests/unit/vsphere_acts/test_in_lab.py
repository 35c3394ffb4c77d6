# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The acts on Luca's site in the lab: guests that boot and crash, autostart and HA that start what they may, calls that fail."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.vsphere import Timing, VsphereLab
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.simulator import SimulatorMissing, find_vcsim
from ansible_collections.ferragosto.dr.plugins.module_utils.core import resolve, stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, Former, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import fence, migrate
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.site import VsphereSite

from .conftest import Clock, Memory, acted, run

LUCA = Path(__file__).resolve().parents[3] / "clients" / "luca"
QUICK = Timing(boot_s=0.15, crash_after_s=0.1, shutdown_s=0.15, relocate_s=0.3, write_interval_s=0.05)
VM = "gestionale"


class Bench:
    """The lab, and our provider's site on it."""

    def __init__(self, lab: VsphereLab) -> None:
        self.lab = lab
        wish = lab.wish
        host, port = lab.endpoint

        def end(of: t.Any) -> EndpointSpec:
            return EndpointSpec(
                api_host=host,
                api_port=port,
                api_user=lab.user,
                api_password=lab.password,
                ca_path=str(lab.ca_path),
                node=of.node,
                datastore=of.datastore,
                timeout_s=5.0,
            )

        spec = SiteSpec(name=wish.name, provider="vsphere", production=end(wish.production), replica=end(wish.replica))
        self.nodes = (wish.production.node, wish.replica.node)
        self.site = VsphereSite(spec, clock=Clock(), progress=lambda words: None)

    def pair(self) -> Pair:
        reading = self.site.read()
        assert reading.production.error is None, reading.production.error
        wish = next(v for v in self.lab.wish.vms if v.vm == VM)
        return resolve.resolve(reading, vm=VM, replica={"name": wish.replica_name})

    def production(self) -> Vm:
        found = self.pair().production
        assert found is not None
        return self.site.refresh(found)

    def replica(self) -> Vm:
        found = self.pair().replica
        assert found is not None
        return self.site.refresh(found)

    def fence(self, log: Memory | None = None) -> list[str]:
        return acted(run(self.site.fence(self.production(), run_id="run-1"), log))

    def promote(self, log: Memory | None = None, point: int = -1, guest_within_s: float = 10) -> list[str]:
        pair = self.pair()
        assert pair.replica is not None
        chosen = pair.replica.vendor_points()[point]
        return acted(
            run(self.site.promote(pair, chosen, way="revert", run_id="run-1", guest_within_s=guest_within_s), log)
        )

    def undo(self, log: Memory | None = None) -> list[str]:
        former = log.former() if log is not None else Former()
        return acted(run(self.site.undo_promotion(self.pair(), former, run_id="run-1")))

    def shape(self, vm: Vm) -> dict[str, t.Any]:
        return {
            "power": vm.power,
            "nics": vm.nics,
            "points": vm.points,
            "current": vm.current_point,
            "stamps": dict(vm.stamps),
            "autostart": vm.has_autostart,
            "ha": vm.has_ha,
            "host": vm.host,
            "autostart_words": self.autostart_words(vm),
        }

    def autostart_words(self, vm: Vm) -> dict[str, str] | None:
        from pyVmomi import vim

        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.guards import autostart_of

        client = self.site._production
        return autostart_of(client, client.object(vim.VirtualMachine, vm.handle))


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VsphereLab]:
    try:
        find_vcsim()
    except SimulatorMissing as missing:
        pytest.skip(str(missing))
    with VsphereLab.start(LUCA, timing=QUICK, state_dir=tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def bench(shared_lab: VsphereLab) -> Iterator[Bench]:
    shared_lab.reset()
    found = Bench(shared_lab)
    yield found
    found.site.close()
    assert not shared_lab.world.violations


# --- what must not start by itself --------------------------------------------------------------------------------------


def test_a_fenced_copy_does_not_start_when_its_host_returns(bench: Bench) -> None:
    assert "switch autostart off" in bench.fence()
    bench.lab.control.host_lost(bench.nodes[0])
    assert not [name for name in bench.lab.control.host_back(bench.nodes[0]) if name == VM]
    assert bench.production().power is Power.OFF


def test_without_a_fence_it_does_start_so_the_claim_above_says_something(bench: Bench) -> None:
    bench.lab.control.host_lost(bench.nodes[0])
    assert VM in bench.lab.control.host_back(bench.nodes[0])


def test_unfence_and_power_on_restore_autostart_with_its_order(bench: Bench) -> None:
    before, log = bench.shape(bench.production()), Memory()
    assert before["autostart"] is True
    bench.fence(log)
    assert bench.production().has_autostart is False
    run(bench.site.unfence(bench.production(), log.former()))
    run(bench.site.power_on(bench.production()))
    assert bench.shape(bench.production()) == before


# --- the story ----------------------------------------------------------------------------------------------------------


def test_fence_promote_go_home_and_back_and_undo_leaves_no_trace(bench: Bench) -> None:
    production, replica = bench.shape(bench.production()), bench.shape(bench.replica())
    fenced, promoted = Memory(), Memory()
    bench.lab.control.crash(VM)
    bench.fence(fenced)
    assert bench.promote(promoted)[-1] == "stamp as failed over"
    for to, phase, node in (("production", "failback", bench.nodes[0]), ("replica", "failover", bench.nodes[1])):
        run(bench.site.migrate(bench.replica(), to=to, mode="live", run_id="run-1"))
        run(bench.site.end_migration(bench.replica(), run_id="run-1", phase=phase))
        assert (bench.replica().host, bench.replica().stamps[stamps.PHASE]) == (node, phase)
    bench.undo(promoted)
    run(bench.site.unfence(bench.production(), fenced.former()))
    run(bench.site.power_on(bench.production()))
    assert bench.shape(bench.replica()) == replica
    assert bench.shape(bench.production()) == production


def test_home_and_committed_the_vendors_points_are_all_there(bench: Bench) -> None:
    vendor = bench.replica().vendor_points()
    bench.fence()
    bench.promote()
    run(bench.site.migrate(bench.replica(), to="production", mode="live", run_id="run-1"))
    run(bench.site.end_migration(bench.replica(), run_id="run-1", phase="failback"))
    run(bench.site.commit(bench.pair(), run_id="run-1"))
    assert bench.replica().points == vendor
    assert bench.production().stamps[stamps.FENCED] == "run-1"


def test_a_rotten_point_crashes_and_an_older_one_serves_in_the_same_run(bench: Bench) -> None:
    bench.lab.control.corrupt(VM, since_s=20 * 3600)
    bench.fence()
    with pytest.raises(StepFailed) as failed:
        bench.promote()
    assert "crashed" in failed.value.why
    assert "older recovery point" in failed.value.next
    assert not any(n.is_connected for n in bench.replica().nics)
    assert bench.promote(point=0)[:2] == ["power off", "go to the recovery point"]
    assert bench.replica().stamps[stamps.PHASE] == "failover"


# --- answers that get lost, tasks that fail -------------------------------------------------------------------------------

CHANGES = ["ReconfigVM_Task", "CreateSnapshot_Task", "RevertToSnapshot_Task", "PowerOnVM_Task"]


@pytest.mark.parametrize(
    ("method", "action"),
    [
        *((method, "drop_after") for method in CHANGES),
        ("CreateSnapshot_Task", "drop_before"),
        ("PowerOnVM_Task", "drop_before"),
        ("RevertToSnapshot_Task", "slow_task"),
        ("PowerOnVM_Task", "session_lost"),
    ],
)
def test_a_promotion_survives_what_befalls_one_call(bench: Bench, method: str, action: str) -> None:
    """Lost answers and sessions are settled by looking; where the call had no effect the same command does it."""
    before = bench.shape(bench.replica())
    bench.fence()
    bench.lab.control.rule(method, action, seconds=0.5)
    log = Memory()
    try:
        bench.promote(log)
    except StepFailed:
        assert action == "drop_before"
        bench.promote(log)
    assert bench.replica().stamps[stamps.PHASE] == "failover"
    assert [p.name for p in bench.replica().points].count("dr-promote-run-1") == 1
    bench.undo(log)
    assert bench.shape(bench.replica()) == before


def test_a_wait_whose_connection_is_cut_goes_on(bench: Bench) -> None:
    bench.fence()
    bench.lab.control.rule("PowerOnVM_Task", "slow_task", seconds=1.0)
    bench.lab.control.rule("WaitForUpdatesEx", "drop_before", nth=12)
    assert "power on" in bench.promote()


def test_a_copy_that_refuses_to_power_off_is_seen_unplugged_at_least(bench: Bench) -> None:
    bench.lab.control.rule("PowerOffVM_Task", "failing_task", fault="GenericVmConfigFault", count=None)
    bench.lab.control.crash(VM)
    with pytest.raises(StepFailed) as failed:
        bench.fence()
    assert failed.value.what.startswith("power off")
    assert "esxcli vm process kill" in f"{failed.value.next}" or "vSphere" in failed.value.next
    seen = bench.production()
    assert seen.power is Power.ON
    assert not any(n.is_connected or n.starts_connected for n in seen.nics)
    assert (seen.has_autostart, seen.has_ha) in ((False, False), (False, None))
    bench.lab.control.clear_rules()
    assert bench.fence() == ["power off"]


def test_a_power_off_that_never_ends_is_given_up_at_its_deadline(bench: Bench) -> None:
    bench.lab.control.rule("PowerOffVM_Task", "endless_task")
    bench.lab.control.crash(VM)
    client = bench.site._production
    with pytest.raises(StepFailed, match="did not end within"):
        run(fence.fence(client, bench.production(), run_id="run-1", off_within_s=1))


def test_a_relocation_left_running_by_a_dead_controller_is_waited_for(bench: Bench) -> None:
    """The answer to RelocateVM_Task is lost; the task runs on; the look waits for it instead of starting a second one."""
    bench.fence()
    bench.promote()
    bench.lab.control.rule("RelocateVM_Task", "drop_after")
    done = run(bench.site.migrate(bench.replica(), to="production", mode="live", run_id="run-1"))
    assert acted(done)[-1] == f"relocate to {bench.nodes[0]}"
    assert bench.lab.world.calls["RelocateVM_Task"] == 1


def test_a_relocation_that_never_ends_is_given_up_and_says_where_the_vm_serves(bench: Bench) -> None:
    bench.fence()
    bench.promote()
    bench.lab.control.rule("RelocateVM_Task", "endless_task")
    client, target = bench.site._production, bench.site._end("production")
    with pytest.raises(StepFailed, match="did not end within 2 s") as failed:
        run(migrate.migrate(client, bench.replica(), to=target, mode="live", run_id="run-1", within_s=2))
    assert f"goes on serving on {bench.nodes[1]}" in failed.value.next


def test_a_missing_vmotion_licence_names_the_policy_that_allows_a_cold_move(bench: Bench) -> None:
    bench.fence()
    bench.promote()
    bench.lab.control.rule("RelocateVM_Task", "failing_task", fault="VMotionNotLicensed")
    with pytest.raises(StepFailed) as failed:
        run(bench.site.migrate(bench.replica(), to="production", mode="live", run_id="run-1"))
    assert "VMotionNotLicensed" in failed.value.why
    assert "dr_policy.cold_migration: true" in failed.value.next
    done = acted(run(bench.site.migrate(bench.replica(), to="production", mode="cold", run_id="run-1")))
    assert done == ["power off", f"relocate to {bench.nodes[0]}", "power on"]


def test_restart_attempts_of_a_rotten_vm_are_counted_by_what_happened(bench: Bench) -> None:
    bench.lab.control.corrupt(VM)
    for attempt in (1, 2):
        done = run(bench.site.reset(bench.production(), attempt=attempt, run_id="run-1"))
        assert acted(done) == [f"restart attempt {attempt}"]
        assert acted(run(bench.site.reset(bench.production(), attempt=attempt, run_id="run-1"))) == []
    assert bench.lab.world.calls["ResetVM_Task"] == 2
