# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that may befall a client of the lab, and that its effect is what the fault's name says."""

from __future__ import annotations

import http.client
import ssl
import threading
import time

import pytest
from pyVmomi import vim, vmodl

from ansible_collections.ferragosto.dr.extensions.twin.vsphere import VsphereLab
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.lab import wait_for
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.rules import Rule, Rules
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.soap import Call
from ansible_collections.ferragosto.dr.tests.unit.twin.conftest import Client

CUT = (http.client.HTTPException, OSError)


def call(method: str, moid: str = "vm-1") -> Call:
    return Call(method, "VirtualMachine", moid, b"", "")


@pytest.mark.parametrize(
    ("nth", "count", "struck"),
    [(1, 1, [1]), (2, 1, [2]), (1, 2, [1, 2]), (2, None, [2, 3, 4])],
)
def test_a_rule_strikes_from_the_nth_call_on_and_so_often(nth: int, count: int | None, struck: list[int]) -> None:
    rules = Rules()
    rules.add(Rule(method="PowerOnVM_Task", action="fault", nth=nth, count=count))
    assert [n for n in (1, 2, 3, 4) if rules.strike(call("PowerOnVM_Task"))] == struck


@pytest.mark.parametrize(
    ("method", "moid", "fits"),
    [
        ("PowerOnVM_Task", None, True),
        ("Power*", None, True),
        ("ResetVM_Task|PowerOnVM_Task", None, True),
        ("@changing", None, True),
        ("ResetVM_Task", None, False),
        ("PowerOnVM_Task", "vm-1", True),
        ("PowerOnVM_Task", "vm-2", False),
    ],
)
def test_a_rule_fits_by_method_and_object(method: str, moid: str | None, fits: bool) -> None:
    assert Rule(method=method, action="fault", moid=moid).fits(call("PowerOnVM_Task")) is fits
    assert not Rule(method="@changing", action="fault").fits(call("RetrievePropertiesEx"))


def test_an_unknown_action_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="drop_before"):
        Rule(method="*", action="explode")


@pytest.mark.parametrize(
    ("action", "has_effect"), [("drop_before", False), ("drop_after", True), ("die_before", False), ("die_after", True)]
)
def test_a_lost_answer_tells_nothing_about_the_effect(
    client: Client, lab: VsphereLab, action: str, has_effect: bool
) -> None:
    vm = client.vm("files01")
    lab.control.rule("PowerOffVM_Task", action)
    with pytest.raises(CUT):
        vm.PowerOffVM_Task()
    lab.control.endpoint_up()
    assert (Client(lab).vm("files01").runtime.powerState == "poweredOff") is has_effect


def test_a_fault_has_the_type_and_text_that_was_wished(client: Client, lab: VsphereLab) -> None:
    lab.control.rule("PowerOffVM_Task", "fault", fault="TaskInProgress", text="busy", vm="files01")
    with pytest.raises(vim.fault.TaskInProgress, match="busy"):
        client.vm("files01").PowerOffVM_Task()
    assert client.vm("files01").runtime.powerState == "poweredOn"


def test_a_held_call_holds_nobody_else(client: Client, lab: VsphereLab) -> None:
    vm = client.vm("files01")
    lab.control.rule("PowerOffVM_Task", "hold")
    failed: list[Exception] = []

    def held() -> None:
        try:
            vm.PowerOffVM_Task()
        except CUT as error:
            failed.append(error)

    thread = threading.Thread(target=held)
    thread.start()
    wait_for(lambda: lab.control.calls().get("PowerOffVM_Task") == 1, 5, "the held call")
    client.finish(client.vm("magazzino").PowerOffVM_Task())
    assert client.vm("files01").runtime.powerState == "poweredOn"
    assert thread.is_alive()
    lab.control.clear_rules()
    thread.join(timeout=5)
    assert len(failed) == 1


def test_a_delayed_call_comes_late_and_in_full(client: Client, lab: VsphereLab) -> None:
    vm = client.vm("files01")
    lab.control.rule("PowerOffVM_Task", "delay", seconds=0.4)
    began = time.monotonic()
    client.finish(vm.PowerOffVM_Task())
    assert time.monotonic() - began >= 0.4
    assert vm.runtime.powerState == "poweredOff"


def test_a_slow_task_is_seen_running_and_then_done(client: Client, lab: VsphereLab) -> None:
    vm = client.vm("files01")
    lab.control.rule("PowerOffVM_Task", "slow_task", seconds=0.4)
    task = vm.PowerOffVM_Task()
    assert (task.info.state, task.info.descriptionId, task.info.entity) == ("running", "VirtualMachine.powerOff", vm)
    assert vm.runtime.powerState == "poweredOn"
    assert client.changes_until(task, "info.state", "success")[-1] == "success"
    assert vm.runtime.powerState == "poweredOff"


def test_a_slow_snapshot_brings_its_result(client: Client, lab: VsphereLab) -> None:
    vm = client.vm("files01")
    lab.control.rule("CreateSnapshot_Task", "slow_task", seconds=0.1)
    point = client.finish(vm.CreateSnapshot_Task("slow", "", False, False))
    assert vm.snapshot.currentSnapshot == point


@pytest.mark.parametrize("effect", [False, True])
def test_a_failing_task_may_or_may_not_have_had_its_effect(client: Client, lab: VsphereLab, effect: bool) -> None:
    vm = client.vm("files01")
    lab.control.rule("PowerOffVM_Task", "failing_task", seconds=0.1, fault="InvalidState", text="no", effect=effect)
    with pytest.raises(vim.fault.InvalidState, match="no"):
        client.finish(vm.PowerOffVM_Task())
    assert (vm.runtime.powerState == "poweredOff") is effect


def test_an_endless_task_runs_until_it_is_cancelled(client: Client, lab: VsphereLab) -> None:
    lab.control.rule("PowerOffVM_Task", "endless_task")
    task = client.vm("files01").PowerOffVM_Task()
    time.sleep(0.3)
    assert task.info.state == "running"
    task.CancelTask()
    with pytest.raises(vmodl.fault.RequestCanceled):
        client.finish(task)


def test_a_cancelled_slow_task_has_no_effect(client: Client, lab: VsphereLab) -> None:
    vm = client.vm("files01")
    lab.control.rule("PowerOffVM_Task", "slow_task", seconds=0.3)
    task = vm.PowerOffVM_Task()
    task.CancelTask()
    time.sleep(0.5)
    assert vm.runtime.powerState == "poweredOn"


def test_a_copy_that_refuses_to_power_off_says_so_and_stays_on(client: Client, lab: VsphereLab) -> None:
    vm = client.vm("files01")
    lab.control.refuse_power_off("files01")
    vm.ShutdownGuest()
    with pytest.raises(vim.fault.InvalidState):
        client.finish(vm.PowerOffVM_Task())
    time.sleep(0.3)
    assert vm.runtime.powerState == "poweredOn"
    lab.control.refuse_power_off("files01", refuses=False)
    client.finish(vm.PowerOffVM_Task())


def test_a_lost_session_stays_lost_until_the_next_login(client: Client, lab: VsphereLab) -> None:
    vm = client.vm("files01")
    lab.control.rule("*", "session_lost")
    for dummy in range(2):
        with pytest.raises(vim.fault.NotAuthenticated):
            vm.PowerOffVM_Task()
    assert Client(lab).vm("files01").runtime.powerState == "poweredOn"


def test_a_session_killed_in_mid_wait_ends_the_wait_with_nothing(client: Client, lab: VsphereLab) -> None:
    wire = vmodl.query.PropertyCollector
    collector = client.content.propertyCollector.CreatePropertyCollector()
    vm = client.vm("files01")
    spec = wire.FilterSpec(
        objectSet=[wire.ObjectSpec(obj=vm)],
        propSet=[wire.PropertySpec(type=vim.VirtualMachine, pathSet=["runtime.powerState"])],
    )
    collector.CreateFilter(spec, True)
    version = collector.WaitForUpdatesEx("", wire.WaitOptions(maxWaitSeconds=1)).version
    threading.Timer(0.2, lab.control.kill_sessions).start()
    assert collector.WaitForUpdatesEx(version, wire.WaitOptions(maxWaitSeconds=1)) is None
    with pytest.raises(vim.fault.NotAuthenticated):
        vm.PowerOffVM_Task()


def test_a_long_wait_hears_of_a_change_that_another_client_made(client: Client, lab: VsphereLab) -> None:
    vm = client.vm("files01")
    threading.Timer(0.3, lambda: lab.control.power_off("files01")).start()
    assert client.changes_until(vm, "runtime.powerState", "poweredOff") == ["poweredOn", "poweredOff"]


def test_a_dead_endpoint_refuses_and_comes_back(client: Client, lab: VsphereLab) -> None:
    lab.control.endpoint_down()
    with pytest.raises(CUT):
        client.si.RetrieveContent()
    with pytest.raises(ConnectionRefusedError):
        Client(lab)
    assert '"ok"' in client.page("files01")
    lab.control.endpoint_up()
    assert Client(lab).vm("files01").runtime.powerState == "poweredOn"


def test_an_endpoint_can_die_for_a_while(client: Client, lab: VsphereLab) -> None:
    lab.control.rule("PowerOffVM_Task", "die_after", seconds=0.3)
    with pytest.raises(CUT):
        client.vm("files01").PowerOffVM_Task()
    with pytest.raises(ConnectionRefusedError):
        Client(lab)
    wait_for(lab.proxy.is_open, 5, "the endpoint's return")
    assert Client(lab).vm("files01").runtime.powerState == "poweredOff"


@pytest.mark.parametrize(("kind", "why"), [("expired", "has expired"), ("foreign", "local issuer")])
def test_a_bad_certificate_is_a_bad_certificate(lab: VsphereLab, kind: str, why: str) -> None:
    lab.control.certificate(kind)
    with pytest.raises(ssl.SSLCertVerificationError, match=why):
        Client(lab)


# --- hosts -----------------------------------------------------------------------------------------------------------


def test_a_dead_host_leaves_stale_words_behind(client: Client, lab: VsphereLab) -> None:
    lab.control.host_lost("esx1.luca.example")
    vm = client.vm("files01")
    assert client.host("esx1.luca.example").runtime.connectionState == "notResponding"
    assert client.host("esx2.luca.example").runtime.connectionState == "connected"
    assert (vm.runtime.connectionState, vm.runtime.powerState) == ("disconnected", "poweredOn")
    assert client.page("files01") == "refused"
    with pytest.raises(vmodl.fault.HostNotConnected):
        vm.PowerOffVM_Task()


def test_an_isolated_host_s_guests_live_on(client: Client, lab: VsphereLab) -> None:
    lab.control.host_lost("esx1.luca.example", is_dead=False)
    assert client.vm("files01").runtime.connectionState == "disconnected"
    assert '"ok"' in client.page("files01")
    client.finish(client.vm("files01_replica").PowerOnVM_Task())
    assert [v["vm"] for v in lab.control.violations()] == ["files01"]


def fence(client: Client, name: str, *, autostart: bool, ha: bool, nics: bool) -> None:
    """Switch off what may start this VM by itself, as a fence does."""
    vm = client.vm(name)
    if autostart:
        wire = vim.host.AutoStartManager
        info = wire.AutoPowerInfo(
            key=vm,
            startOrder=-1,
            startDelay=-1,
            waitForHeartbeat="systemDefault",
            startAction="none",
            stopDelay=-1,
            stopAction="systemDefault",
        )
        vm.runtime.host.configManager.autoStartManager.ReconfigureAutostart(wire.Config(powerInfo=[info]))
    if ha:
        settings = vim.cluster.DasVmSettings(restartPriority="disabled")
        change = vim.cluster.DasVmConfigSpec(
            operation="add", info=vim.cluster.DasVmConfigInfo(key=vm, dasSettings=settings)
        )
        spec = vim.cluster.ConfigSpecEx(dasVmConfigSpec=[change])
        client.finish(vm.runtime.host.parent.ReconfigureComputeResource_Task(spec, True))
    if nics:
        card = next(d for d in vm.config.hardware.device if isinstance(d, vim.vm.device.VirtualEthernetCard))
        card.connectable.startConnected = card.connectable.connected = False
        edit = vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)
        client.finish(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[edit])))


@pytest.mark.parametrize(
    ("autostart", "ha", "comes_back"),
    [(False, False, True), (True, False, True), (False, True, True), (True, True, False)],
)
def test_a_returning_host_starts_what_autostart_or_ha_tells_it_to(
    client: Client, lab: VsphereLab, autostart: bool, ha: bool, comes_back: bool
) -> None:
    fence(client, "files01", autostart=autostart, ha=ha, nics=False)
    lab.control.host_lost("esx1.luca.example")
    started = lab.control.host_back("esx1.luca.example")
    assert ("files01" in started) is comes_back
    assert (client.vm("files01").runtime.powerState == "poweredOn") is comes_back
    assert "dc01" in started


def test_a_copy_that_comes_back_without_its_nics_harms_nobody(client: Client, lab: VsphereLab) -> None:
    fence(client, "files01", autostart=False, ha=False, nics=True)
    lab.control.host_lost("esx1.luca.example")
    client.finish(client.vm("files01_replica").PowerOnVM_Task())
    assert "files01" in lab.control.host_back("esx1.luca.example")
    assert lab.control.violations() == []


def test_an_unfenced_copy_that_comes_back_is_a_violation(client: Client, lab: VsphereLab) -> None:
    lab.control.host_lost("esx1.luca.example")
    client.finish(client.vm("files01_replica").PowerOnVM_Task())
    lab.control.host_back("esx1.luca.example")
    assert [v["vm"] for v in lab.control.violations()] == ["files01"]


# --- the replication product -----------------------------------------------------------------------------------------


def test_an_ordinary_night_adds_a_point(client: Client, lab: VsphereLab) -> None:
    before = len(lab.world.copy_of("files01", "replica").points)
    assert lab.control.run_job("files01")
    assert len(lab.world.copy_of("files01", "replica").points) == before + 1
    assert lab.control.accidents() == []


def test_a_forgotten_job_rolls_the_promoted_replica_back(client: Client, lab: VsphereLab) -> None:
    client.finish(client.vm("files01").PowerOffVM_Task())
    replica = client.vm("files01_replica")
    client.finish(replica.PowerOnVM_Task())
    client.await_page("files01", "files01_replica")
    assert lab.control.run_job("files01")
    assert replica.runtime.powerState == "poweredOff"
    assert client.page("files01") == "refused"
    assert [a["kind"] for a in lab.control.accidents()] == ["promoted_replica_rolled_back"]


def test_removing_a_vendor_s_point_is_noticed(client: Client, lab: VsphereLab) -> None:
    client.finish(client.vm("files01_replica").RemoveAllSnapshots_Task())
    assert {a["kind"] for a in lab.control.accidents()} == {"vendor_point_removed"}


# --- editions --------------------------------------------------------------------------------------------------------


def test_a_free_licence_reads_and_does_not_write(client: Client, lab: VsphereLab) -> None:
    lab.control.edition(is_free=True)
    assert client.vm("files01").runtime.powerState == "poweredOn"
    with pytest.raises(vim.fault.RestrictedVersion):
        client.vm("files01").PowerOffVM_Task()


def test_a_standalone_esxi_says_what_it_is_and_moves_nothing(lab: VsphereLab) -> None:
    lab.control.edition(is_agent=True)
    client = Client(lab)
    assert client.content.about.apiType == "HostAgent"
    assert client.content.customFieldsManager is None
    vm, home = client.vm("files01"), client.host("esx2.luca.example")
    with pytest.raises(vmodl.fault.NotSupported):
        vm.RelocateVM_Task(vim.vm.RelocateSpec(host=home, datastore=home.datastore[0]))
