# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a real (simulated) endpoint: what is seen, what it costs, and what is said when nothing is seen."""

from __future__ import annotations

import dataclasses
import datetime
import time

import pytest
from pyVmomi import vim

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, Heartbeat, Power, Tools
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.registry import open_site
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import edition
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.read import read_endpoint, refresh
from ansible_collections.ferragosto.dr.tests.unit.vsphere.conftest import SystemClock, vcsim_process


@pytest.fixture
def site_of(spec_for):
    """Open a site over the given production and replica ports."""
    opened = []

    def build(production_port, replica_port, **changes):
        production = spec_for(production_port, **{"node": "DC0_H0", **changes})
        replica = spec_for(replica_port, **{"node": "DC0_H1"})
        spec = SiteSpec(name="luca-sede", provider="vsphere", production=production, replica=replica)
        site = open_site(spec, clock=SystemClock(), progress=lambda line: None)
        opened.append(site)
        return site

    yield build
    for site in opened:
        site.close()


def named(reading, name):
    return next(vm for vm in reading.vms if vm.name == name)


def set_hidden(client, vm, **properties):
    """Set VM properties by vcsim's own hook; __ stands for a dot."""
    options = [vim.option.OptionValue(key="SET." + path.replace("__", "."), value=v) for path, v in properties.items()]
    machine = client.object(vim.VirtualMachine, vm.handle)
    client.run_task("set", lambda: machine.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=options)), within_s=10)


def pending(text):
    choices = [vim.ElementDescription(key="0", label="Cancel", summary="Cancel")]
    return vim.vm.QuestionInfo(id="1", text=text, choice=vim.option.ChoiceOption(choiceInfo=choices))


# --- one endpoint ----------------------------------------------------------------------------------------------------


def test_hosts_and_vms_are_read_with_what_the_rules_need(open_client, vcenter_port):
    reading = read_endpoint(open_client(vcenter_port), node="DC0_H0", clock=SystemClock())
    assert reading.error is None
    assert reading.api == "VirtualCenter 6.5.0"
    assert {h.name for h in reading.hosts} == {"DC0_H0", "DC0_H1", "DC0_C0_H0", "DC0_C0_H1"}
    host = reading.host("DC0_H0")
    assert host.connection is Connection.CONNECTED
    assert host.memory_bytes > host.memory_used_bytes > 0
    assert 0 < host.cpu_used_share < 1
    assert [store.name for store in host.datastores] == ["LocalDS_0"]
    assert host.datastores[0].capacity_bytes > host.datastores[0].free_bytes > 0
    assert "VM Network" in host.networks
    vm = named(reading, "DC0_H1_VM2")
    assert (vm.host, vm.power, vm.datastores) == ("DC0_H1", Power.ON, ("LocalDS_0",))
    assert (vm.memory_bytes, vm.cpu_count) == (32 * 1024 * 1024, 1)
    assert [(n.key, n.network, n.is_connected, n.starts_connected) for n in vm.nics] == [
        ("4000", "DC0_DVPG0", True, True)
    ]
    assert len(vm.id) == 36
    assert vm.is_live()
    assert abs(vm.guest.boot_at_s - time.time()) < 600


@pytest.mark.parametrize("is_first", [True, False])
def test_a_bulk_read_is_one_collector_call(open_client, vcenter_port, is_first):
    client = open_client(vcenter_port)
    assert client.is_vcenter  # the session is open
    if not is_first:
        read_endpoint(client, node="", clock=SystemClock())
    assert read_endpoint(client, node="", clock=SystemClock()).calls == (2 if is_first else 1)


def test_the_endpoints_own_clock_is_told(open_client, vcenter_port):
    reading = read_endpoint(open_client(vcenter_port), node="", clock=SystemClock())
    assert reading.clock_at_s is not None
    assert abs(reading.clock_at_s - reading.read_at_s) < 1
    assert 0 < reading.took_s < 10


def test_a_clock_that_runs_ahead_is_noticed(open_client, vcenter_port):
    class Late(SystemClock):
        @staticmethod
        def now_s():
            return time.time() - 7200

    client = open_client(vcenter_port)
    client.clock = Late()
    reading = read_endpoint(client, node="", clock=Late())
    assert reading.clock_at_s is not None
    assert 7190 < reading.clock_at_s - reading.read_at_s < 7210


def test_a_standalone_esxi_is_the_node_of_its_endpoint(open_client, esxi_port):
    reading = read_endpoint(open_client(esxi_port, node="esx1"), node="esx1", clock=SystemClock())
    assert [h.name for h in reading.hosts] == ["esx1"]
    assert {vm.host for vm in reading.vms} == {"esx1"}
    assert refresh(open_client(esxi_port, node="esx1"), reading.vms[0]).host == "esx1"


def test_an_account_that_sees_nothing_is_no_error_and_shows_nothing(open_client, pem):
    simulator = vcsim_process(pem, "-vm", "0")
    try:
        reading = read_endpoint(open_client(simulator.port), node="", clock=SystemClock())
        assert (reading.error, reading.vms) == (None, ())
        assert reading.is_reachable
    finally:
        simulator.end()


def test_templates_are_no_vms(open_client, pem):
    simulator = vcsim_process(pem, "-vm", "2", "-cluster", "0")
    try:
        client = open_client(simulator.port)
        reading = read_endpoint(client, node="", clock=SystemClock())
        machine = client.object(vim.VirtualMachine, reading.vms[0].handle)
        client.run_task("off", machine.PowerOffVM_Task, within_s=5)
        client.call("mark", machine.MarkAsTemplate)
        left = read_endpoint(client, node="", clock=SystemClock())
        assert {vm.id for vm in reading.vms} - {vm.id for vm in left.vms} == {reading.vms[0].id}
    finally:
        simulator.end()


def test_a_name_with_quotes_braces_and_other_letters_comes_back_as_it_is(open_client, vcenter_port):
    name = "Gestionale \"Città\" '{{ 7 * 7 }}' Ωμέγα 東京 & <b>"
    client = open_client(vcenter_port)
    vm = named(read_endpoint(client, node="", clock=SystemClock()), "DC0_C0_RP0_VM2")
    machine = client.object(vim.VirtualMachine, vm.handle)
    client.run_task("rename", lambda: machine.Rename_Task(name), within_s=5)
    try:
        assert named(read_endpoint(client, node="", clock=SystemClock()), name).id == vm.id
        assert refresh(client, vm).name == name
    finally:
        client.run_task("rename", lambda: machine.Rename_Task(vm.name), within_s=5)


# --- one VM again ----------------------------------------------------------------------------------------------------


def test_a_vm_is_read_again_with_everything_the_bulk_read_shows(open_client, vcenter_port):
    client = open_client(vcenter_port)
    for vm in read_endpoint(client, node="", clock=SystemClock()).vms:
        fresh = refresh(client, vm)
        assert dataclasses.replace(fresh, has_ha=None, has_autostart=None) == vm


def test_a_vm_can_be_read_again_in_a_new_session(open_client, vcenter_port):
    vm = named(read_endpoint(open_client(vcenter_port), node="", clock=SystemClock()), "DC0_H0_VM1")
    assert refresh(open_client(vcenter_port), vm) == vm


def test_reading_one_vm_again_costs_at_most_two_calls(open_client, vcenter_port):
    client = open_client(vcenter_port)
    vm = named(read_endpoint(client, node="", clock=SystemClock()), "DC0_C0_RP0_VM1")
    refresh(client, vm)
    before = client.calls
    refresh(client, vm)
    assert client.calls - before <= 2


def test_a_vm_that_moved_is_seen_on_its_new_host(open_client, vcenter_port):
    client = open_client(vcenter_port)
    reading = read_endpoint(client, node="", clock=SystemClock())
    vm = named(reading, "DC0_H1_VM1")
    hosts = {
        shown["name"]: handle for handle, shown in client.view([vim.HostSystem], {vim.HostSystem: ["name"]}).items()
    }
    machine = client.object(vim.VirtualMachine, vm.handle)

    def move(name):
        host = client.object(vim.HostSystem, hosts[name])
        compute = client.retrieve([host], ["parent"])[host._moId]["parent"]
        pool = client.retrieve([compute], ["resourcePool"])[compute._moId]["resourcePool"]
        spec = vim.vm.RelocateSpec(host=host, pool=pool)
        client.run_task("move", lambda: machine.RelocateVM_Task(spec), within_s=10)

    move("DC0_C0_H0")
    try:
        fresh = refresh(client, vm)
        assert (fresh.host, fresh.id) == ("DC0_C0_H0", vm.id)
        assert fresh.has_ha is not None  # it stands in a cluster now
        assert refresh(open_client(vcenter_port), vm).host == "DC0_C0_H0"
    finally:
        move("DC0_H1")


def test_ha_is_told_of_a_vm_in_a_cluster_and_unknown_elsewhere(open_client, vcenter_port):
    client = open_client(vcenter_port)
    reading = read_endpoint(client, node="", clock=SystemClock())
    clustered, alone = named(reading, "DC0_C0_RP0_VM0"), named(reading, "DC0_H0_VM0")
    assert refresh(client, alone).has_ha is None
    (handle,) = client.view([vim.ClusterComputeResource], {vim.ClusterComputeResource: ["name"]})
    cluster = client.object(vim.ClusterComputeResource, handle)

    def configure(**spec):
        change = vim.cluster.ConfigSpecEx(**spec)
        client.run_task("ha", lambda: cluster.ReconfigureComputeResource_Task(change, True), within_s=10)

    def override(operation, priority):
        settings = vim.cluster.DasVmSettings(restartPriority=priority)
        info = vim.cluster.DasVmConfigInfo(
            key=client.object(vim.VirtualMachine, clustered.handle), dasSettings=settings
        )
        configure(dasVmConfigSpec=[vim.cluster.DasVmConfigSpec(operation=operation, info=info)])

    configure(dasConfig=vim.cluster.DasConfigInfo(enabled=True))
    assert refresh(client, clustered).has_ha is True
    override("add", "disabled")
    assert refresh(client, clustered).has_ha is False
    override("edit", "high")
    assert refresh(client, clustered).has_ha is True
    configure(dasConfig=vim.cluster.DasConfigInfo(enabled=False))
    assert refresh(client, clustered).has_ha is False


def test_a_vm_that_is_gone_says_so(open_client, vcenter_port):
    client = open_client(vcenter_port)
    vm = dataclasses.replace(read_endpoint(client, node="", clock=SystemClock()).vms[0], handle="vm-4711")
    with pytest.raises(ProviderFault, match="ManagedObjectNotFound"):
        refresh(client, vm)


def test_guest_question_and_backdated_snapshots_come_through(open_client, vcenter_port):
    client = open_client(vcenter_port)
    vm = named(read_endpoint(client, node="", clock=SystemClock()), "DC0_H0_VM2")
    machine = client.object(vim.VirtualMachine, vm.handle)
    for name in ("night 1", "night 2"):
        client.run_task("snapshot", lambda name=name: machine.CreateSnapshot_Task(name, "", False, False), within_s=5)
    shown = client.retrieve([machine], ["snapshot"])[vm.handle]["snapshot"]
    night = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=9)
    shown.rootSnapshotList[0].createTime = night
    set_hidden(
        client,
        vm,
        snapshot=shown,
        guestHeartbeatStatus="green",
        guest__toolsRunningStatus="guestToolsRunning",
        guest__ipAddress="192.0.2.7",
        runtime__question=pending("moved or copied?"),
    )
    fresh = refresh(client, vm)
    assert [p.name for p in fresh.points] == ["night 1", "night 2"]
    assert abs(fresh.points[0].created_at_s - night.timestamp()) < 1
    assert fresh.current_point == fresh.points[-1].id
    assert (fresh.guest.heartbeat, fresh.guest.tools) == (Heartbeat.GREEN, Tools.RUNNING)
    assert fresh.guest.addresses == ("192.0.2.7",)
    assert fresh.question == "moved or copied?"
    client.run_task("clean", machine.RemoveAllSnapshots_Task, within_s=5)


# --- the site --------------------------------------------------------------------------------------------------------


def test_one_endpoint_used_twice_is_read_once(site_of, vcenter_port):
    site = site_of(vcenter_port, vcenter_port)
    site.read()
    reading = site.read()
    assert (reading.production.node, reading.replica.node) == ("DC0_H0", "DC0_H1")
    assert reading.production.vms is reading.replica.vms
    assert reading.production.calls == 1
    assert len(reading.endpoints()) == 1


def test_a_dead_end_is_told_and_the_other_is_read(site_of, vcenter_port):
    reading = site_of(1, vcenter_port).read()
    assert not reading.production.is_reachable
    assert "127.0.0.1:1 refuses the connection" in reading.production.error
    assert reading.replica.is_reachable
    assert reading.replica.vms


def test_two_silent_ends_cost_one_time_limit(site_of, front):
    front.slow_s["RetrieveServiceContent"] = 30.0
    site = site_of(front.port, front.port, timeout_s=1.0)
    started = time.monotonic()
    reading = site.read()
    assert time.monotonic() - started < 3
    assert "did not answer within 1 s" in reading.production.error


def test_a_wrong_password_is_not_taken_for_a_dead_host(site_of, esxi_port, vcenter_port):
    with pytest.raises(BadInput, match="InvalidLogin"):
        site_of(esxi_port, vcenter_port, api_password="wrong").read()


def test_each_copy_is_read_again_at_its_own_endpoint(site_of, esxi_port, vcenter_port):
    site = site_of(esxi_port, vcenter_port, node="esx1")
    reading = site.read()
    for vm in (*reading.production.vms, *reading.replica.vms):
        assert site.refresh(vm).id == vm.id


def test_a_vm_of_nowhere_is_refused_with_the_fix(site_of, esxi_port, vcenter_port):
    site = site_of(esxi_port, vcenter_port, node="esx1")
    stray = dataclasses.replace(site.read().production.vms[0], host="esx9")
    with pytest.raises(BadInput, match="read the site first"):
        site.refresh(stray)


def test_what_a_standalone_esxi_cannot_do_is_refused_in_words(site_of, esxi_port, vcenter_port):
    assert "standalone ESXi" in site_of(esxi_port, vcenter_port).refusals()["migrate"]
    assert site_of(vcenter_port, vcenter_port).refusals() == {}
    assert site_of(1, vcenter_port).refusals() == {}


@pytest.mark.parametrize(
    ("edition_key", "is_free"), [("esxBasic", True), ("esxEnterprisePlus", False), ("eval", False)]
)
def test_a_free_licence_is_told_where_the_account_may_read_it(
    open_client, esxi_port, monkeypatch, edition_key, is_free
):
    client = open_client(esxi_port)
    licence = vim.LicenseManager.LicenseInfo(editionKey=edition_key)
    monkeypatch.setattr(client, "retrieve", lambda objects, paths: {objects[0]._moId: {"licenses": [licence]}})
    assert edition.is_read_only(client) is is_free
    assert ("power" in edition.refusals(client, client)) is is_free


def test_an_unknown_provider_is_refused_with_the_known_ones(spec_for):
    spec = SiteSpec(name="x", provider="vmware", production=spec_for(1), replica=spec_for(1))
    with pytest.raises(BadInput, match="one of: vsphere"):
        open_site(spec, clock=SystemClock(), progress=lambda line: None)
