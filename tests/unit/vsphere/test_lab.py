# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider against the lab of Luca's site: guests that boot and crash, and everything the lab can break."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.vsphere import Timing, VsphereLab
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, DrError
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    EventKind,
    Heartbeat,
    Power,
    ReplicaKind,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, GuestOutcome, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import run_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.registry import open_site
from ansible_collections.ferragosto.dr.tests.unit.vsphere.conftest import SystemClock, find_vcsim
from ansible_collections.ferragosto.dr.tests.unit.vsphere.front import later

LUCA = Path(__file__).resolve().parents[3] / "clients" / "luca"
QUICK = Timing(boot_s=0.3, crash_after_s=0.2, shutdown_s=0.15, relocate_s=0.3, write_interval_s=0.05)
ESX1, ESX2 = "esx1.luca.example", "esx2.luca.example"


class NoLog:
    """These tests look at what the hypervisor shows; the journal is tested elsewhere."""

    def intent(self, step, before):
        pass

    def result(self, step, after, *, error, took_s):
        pass

    def is_dangling(self, step):
        return False


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory):
    find_vcsim()
    with VsphereLab.start(LUCA, timing=QUICK, state_dir=tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab):
    shared_lab.reset()
    return shared_lab


@pytest.fixture
def open_luca(lab):
    opened = []

    def build(**changes):
        host, port = lab.endpoint
        given = {
            "api_host": host,
            "api_port": port,
            "api_user": lab.user,
            "api_password": lab.password,
            "ca_path": str(lab.ca_path),
            "timeout_s": 5.0,
            **changes,
        }
        production, replica = EndpointSpec(node=ESX1, **given), EndpointSpec(node=ESX2, **given)
        spec = SiteSpec(name="luca-sede", provider="vsphere", production=production, replica=replica)
        opened.append(open_site(spec, clock=SystemClock(), progress=lambda line: None))
        return opened[-1]

    yield build
    for site in opened:
        site.close()


@pytest.fixture
def site(open_luca):
    return open_luca()


def seen(site, name):
    return next(vm for vm in site.read().production.vms if vm.name == name)


def act(steps):
    run_steps(steps, log=NoLog(), now_s=time.time, progress=lambda line: None, guard=lambda: None)


def test_the_whole_site_is_read_in_one_call(site):
    site.read()
    reading = site.read()
    assert reading.production.calls == 1
    assert {h.name for h in reading.production.hosts} == {ESX1, ESX2}
    production, replica = (
        next(v for v in reading.production.vms if v.name == name) for name in ("gestionale", "gestionale_replica")
    )
    assert (production.host, production.power, production.guest.heartbeat) == (ESX1, Power.ON, Heartbeat.GREEN)
    assert production.is_live()
    assert (replica.host, replica.power, replica.replica_kind) == (ESX2, Power.OFF, ReplicaKind.SNAPSHOT)
    assert not replica.is_live()
    assert [round((time.time() - p.created_at_s) / 3600) for p in replica.points] == [55, 31, 7]
    assert replica.current_point == replica.points[-1].id
    assert production.id != replica.id


def test_autostart_is_told_of_production_and_not_of_the_replica(site):
    assert site.refresh(seen(site, "gestionale")).has_autostart is True
    assert site.refresh(seen(site, "gestionale_replica")).has_autostart is False


def test_an_account_without_rights_shows_hosts_and_no_vm(open_luca, lab):
    reading = open_luca(api_user=lab.blind_user).read()
    assert reading.production.error is None
    assert reading.production.vms == ()
    assert reading.production.hosts


def test_a_restart_that_works_is_seen_alive(site):
    vm = seen(site, "gestionale")
    since_s = time.time()
    act(site.reset(vm, attempt=1, run_id="r1"))
    wait = site.await_guest(vm, within_s=20, since_s=since_s)
    assert wait.outcome is GuestOutcome.ALIVE
    assert seen(site, "gestionale").guest.boot_at_s > since_s - 1


def test_every_restart_of_a_corrupted_vm_is_seen_to_crash(site, lab):
    lab.control.corrupt("gestionale")
    for attempt in (1, 2):
        vm = seen(site, "gestionale")
        since_s = time.time()
        act(site.reset(vm, attempt=attempt, run_id="r1"))
        wait = site.await_guest(vm, within_s=20, since_s=since_s)
        assert wait.outcome is GuestOutcome.CRASHED
        assert wait.took_s < 5
    crashes = [e for e in site.events(vm, 0.0) if e.kind is EventKind.CRASHED]
    assert len(crashes) >= 3
    assert site.last_events(vm, 5)[-1].kind is EventKind.CRASHED


def test_who_powered_a_vm_off_is_told(site, lab):
    lab.control.power_off("files01", user="marco.rinaldi")
    newest = [e for e in site.last_events(seen(site, "files01")) if e.kind is EventKind.POWERED_OFF][-1]
    assert "marco.rinaldi" in newest.user


def test_a_lost_host_leaves_its_vms_unknown_and_the_others_as_they_are(site, lab):
    lab.control.host_lost(ESX1)
    reading = site.read().production
    assert reading.host(ESX1).connection is Connection.DISCONNECTED
    states = {(v.host, v.power, v.connection) for v in reading.vms}
    assert states == {
        (ESX1, Power.UNKNOWN, Connection.DISCONNECTED),
        (ESX2, Power.OFF, Connection.CONNECTED),
    }
    fresh = site.refresh(seen(site, "gestionale"))
    assert (fresh.power, fresh.has_autostart) == (Power.UNKNOWN, None)


def test_a_wait_outlasts_the_end_of_every_session(site, lab):
    vm = seen(site, "gestionale")
    lab.control.crash("gestionale")
    since_s = time.time()
    later(1.0, lab.control.kill_sessions)
    later(2.0, lambda: lab.control.power_off("gestionale"))
    assert site.await_guest(vm, within_s=20, since_s=since_s + 0.5).outcome is GuestOutcome.POWERED_OFF


def test_a_read_goes_on_after_the_end_of_every_session(site, lab):
    vm = seen(site, "gestionale")
    lab.control.kill_sessions()
    assert site.refresh(vm).id == vm.id
    lab.control.kill_sessions()
    assert seen(site, "gestionale").id == vm.id


def test_an_endpoint_that_dies_becomes_an_error_and_comes_back(site, lab):
    vm = seen(site, "gestionale")
    lab.control.endpoint_down()
    try:
        assert "refuses the connection" in site.read().production.error
        with pytest.raises(DrError, match="refuses the connection"):
            site.refresh(vm)
    finally:
        lab.control.endpoint_up()
    assert seen(site, "gestionale").id == vm.id


@pytest.mark.parametrize(("kind", "said"), [("expired", "expired"), ("foreign", "not trusted")])
def test_a_certificate_that_changes_under_way_is_refused(site, lab, kind, said):
    site.read()
    lab.control.certificate(kind)
    try:
        with pytest.raises(BadInput, match=said):
            site.read()
    finally:
        lab.control.certificate("good")


def test_a_standalone_host_and_a_free_licence_are_refused_in_words(open_luca, lab):
    lab.control.edition(is_agent=True, is_free=True)
    try:
        site = open_luca()
        assert "standalone ESXi" in site.refusals()["migrate"]
        with pytest.raises(DrError, match="paid licence key"):
            act(site.power_off(seen(site, "gestionale"), guest_within_s=0))
    finally:
        lab.control.edition()
