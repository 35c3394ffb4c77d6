# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider's reads before the Proxmox twin: a client's site, its guests, its screens, and what befalls them."""

from __future__ import annotations

import io
import json
import time
import typing as t
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import pictures
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.lab import ProxmoxLab
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Screen
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing
from ansible_collections.ferragosto.dr.plugins.module_utils.core import resolve
from ansible_collections.ferragosto.dr.plugins.module_utils.core.diagnose import diagnose
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Verdict
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, EventKind, Heartbeat, Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, GuestOutcome, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import screen
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.site import ProxmoxSite
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared import hints
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.hints import Hint
from ansible_collections.ferragosto.dr.tests.unit.proxmox.conftest import SystemClock

LUCA = Path(__file__).resolve().parents[3] / "clients" / "luca"
QUICK = Timing(boot_s=0.15, crash_after_s=0.1, shutdown_s=0.15, relocate_s=0.3, write_interval_s=0.05)
VM = "gestionale"


def lab_of(layout, folder):
    return ProxmoxLab.start(LUCA, timing=QUICK, state_dir=folder, layout=layout)


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory):
    with lab_of("cluster", tmp_path_factory.mktemp("cluster")) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab):
    shared_lab.reset()
    wait_until(lambda: all(c.phase == "running" for c in shared_lab.world.copies.values() if c.power == "on"))
    return shared_lab


@pytest.fixture(scope="module")
def shared_pair_of_nodes(tmp_path_factory):
    with lab_of("standalone", tmp_path_factory.mktemp("standalone")) as lab:
        yield lab


@pytest.fixture
def lone_nodes(shared_pair_of_nodes):
    shared_pair_of_nodes.reset()
    return shared_pair_of_nodes


def wait_until(look, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def site_of():
    opened: list[ProxmoxSite] = []

    def build(lab, **changes: t.Any) -> ProxmoxSite:
        ends = [
            EndpointSpec(node=end.node, **{**lab._end(end.node), "timeout_s": 5.0, **changes})
            for end in (lab.wish.production, lab.wish.replica)
        ]
        spec = SiteSpec(name="luca-sede", provider="proxmox", production=ends[0], replica=ends[1])
        opened.append(ProxmoxSite(spec, clock=SystemClock(), progress=lambda text: None))
        return opened[-1]

    yield build
    for site in opened:
        site.close()


def pair_of(site):
    return resolve.resolve(site.read(deep=(VM,)), vm=VM)


# --- the site --------------------------------------------------------------------------------------------------------


def test_a_cluster_is_read_through_one_endpoint_in_four_calls(lab, site_of):
    reading = site_of(lab).read()
    assert (reading.production.calls, len(reading.endpoints())) == (4, 1)
    names = [vm.name for vm in reading.production.vms]
    assert sorted(names) == sorted(2 * ["dc01", "gestionale", "files01", "magazzino"])


def test_the_pair_has_a_point_of_replication_and_the_backups(lab, site_of):
    pair = pair_of(site_of(lab))
    kinds = {point.id.partition(":")[0] for point in pair.replica.points}
    assert kinds == {"pvesr", "backup"}
    assert pair.production.guest.heartbeat is Heartbeat.GREEN
    assert pair.production.remembered["last_sync"] == pair.replica.points[-1].id.partition("@")[2]


def test_the_guest_names_its_copy_by_an_id_that_the_platform_knows(lab, site_of):
    vm = pair_of(site_of(lab)).production
    with urllib.request.urlopen(f"http://127.0.0.1:{lab.pages.port(VM)}/health", timeout=5) as answer:
        assert json.load(answer)["copy"].lower() in vm.guest_ids


def test_two_nodes_that_stand_alone_share_their_backups(lone_nodes, site_of):
    site = site_of(lone_nodes)
    pair = pair_of(site)
    assert pair.production.host != pair.replica.host
    assert {point.id.partition(":")[0] for point in pair.replica.points} == {"backup"}
    assert site.replication(pair) is None
    assert "remote migration" in site.refusals()["migrate"]


def test_a_dead_production_node_leaves_the_replica_visible_and_the_rest_unknown(lab, site_of):
    site = site_of(lab)
    home, away = lab.wish.production.node, lab.wish.replica.node
    lab.control.host_lost(home)
    began_s = time.monotonic()
    reading = site.read(deep=(VM,))
    assert time.monotonic() - began_s < 5
    vms = {vm.id: vm for vm in reading.production.vms}
    replicas = [vm for vm in vms.values() if vm.id.startswith("replica:")]
    dead = [vm for vm in vms.values() if vm.host == home]
    assert {vm.host for vm in replicas} == {away}
    assert len(dead) == len(replicas) == 4
    assert all((vm.power, vm.connection, vm.name) == (Power.UNKNOWN, Connection.DISCONNECTED, "") for vm in dead)
    assert all("is offline" in vm.points_note for vm in replicas)
    assert {point.id.partition(":")[0] for vm in replicas for point in vm.points} == {"backup"}
    assert any("no quorum" in note for note in reading.production.notes)
    assert "no quorum" in site.refusals()["promote"]


def test_lost_quorum_does_not_make_the_read_wait(lab, site_of):
    lab.control.quorum()
    began_s = time.monotonic()
    reading = site_of(lab).read()
    assert time.monotonic() - began_s < 3
    assert any("no quorum" in note for note in reading.production.notes)


def test_failing_replication_is_a_finding(lab, site_of):
    lab.control.replication_error(VM)
    lab.control.run_job(VM)
    notes = site_of(lab).read().production.notes
    assert any(VM in note and "No common base snapshot" in note for note in notes)


def test_replication_of_one_vm_is_read_by_itself(lab, site_of):
    site = site_of(lab)
    pair = pair_of(site)
    shown = site.replication(pair)
    home, away = lab.wish.production.node, lab.wish.replica.node
    assert (shown.source, shown.target, shown.is_enabled, shown.failures) == (home, away, True, 0)
    assert shown.last_sync_at_s == pair.replica.points[-1].created_at_s
    lab.control.job(VM, False)
    assert (site.replication(pair).is_enabled, site.replication(pair).next_sync_at_s) == (False, None)
    lab.control.host_lost(home)
    site.read()
    assert site.replication(pair).last_sync_at_s is None


def test_a_clock_that_is_wrong_is_seen(lab, site_of):
    site = site_of(lab)
    lab.control.clock_skew(lab.wish.production.node, 3600)
    reading = site.read().production
    assert reading.clock_at_s - reading.read_at_s == pytest.approx(3600, abs=2)


# --- what happened ---------------------------------------------------------------------------------------------------


def test_a_person_who_stops_a_vm_is_named(lab, site_of):
    site = site_of(lab)
    lab.control.power_off(VM)
    reading = site.read(deep=(VM,))
    vm = resolve.resolve(reading, vm=VM).production
    stop = site.events(vm, time.time() - 600)[-1]
    assert (stop.kind, bool(stop.user)) == (EventKind.POWERED_OFF, True)
    found = diagnose(
        vm, endpoint=reading.production, host=None, events=site.events(vm, time.time() - 600), now_s=time.time()
    )
    assert (found.verdict, found.by_whom) == (Verdict.POWERED_OFF, f"person {stop.user}")


def test_what_our_own_token_did_is_no_persons_doing(lab, site_of):
    site = site_of(lab)
    vm = pair_of(site).production
    client = site._client(vm)
    client.run("reset", "POST", f"/nodes/{vm.host}/qemu/{vm.handle}/status/reset", within_s=30)
    found = site.events(vm, time.time() - 60)
    assert [(event.kind, event.user) for event in found] == [(EventKind.RESET, "")]


def test_the_last_events_are_the_newest(lab, site_of):
    site = site_of(lab)
    vm = pair_of(site).production
    lab.control.snapshot(VM, "prima")
    found = site.last_events(vm, 2)
    assert len(found) == 2
    assert found[-1].kind is EventKind.SNAPSHOT


# --- the guest -------------------------------------------------------------------------------------------------------


def restart(site, vm):
    began_s = time.time()
    site._client(vm).run("reset", "POST", f"/nodes/{vm.host}/qemu/{vm.handle}/status/reset", within_s=30)
    return began_s


def test_a_guest_that_comes_back_is_alive(lab, site_of):
    site = site_of(lab)
    vm = pair_of(site).production
    found = site.await_guest(vm, within_s=15, since_s=restart(site, vm))
    assert (found.outcome, found.evidence) == (GuestOutcome.ALIVE, "the guest agent answers")


def test_a_guest_that_ends_in_a_blue_screen_again_has_crashed(lab, site_of):
    lab.world.corrupt(VM)
    site = site_of(lab)
    vm = pair_of(site).production
    found = site.await_guest(vm, within_s=30, since_s=restart(site, vm))
    assert found.outcome is GuestOutcome.CRASHED
    assert "blue" in found.evidence
    assert "agent is silent" in found.evidence


def test_a_standing_blue_screen_and_a_silent_agent_are_a_crash(lab, site_of):
    lab.world.corrupt(VM)
    site = site_of(lab)
    wait_until(lambda: pair_of(site).production.guest.heartbeat is Heartbeat.RED)
    reading = site.read(deep=(VM,))
    vm = resolve.resolve(reading, vm=VM).production
    events = site.events(vm, time.time() - 600)
    assert events[-1].kind is EventKind.CRASHED
    found = diagnose(vm, endpoint=reading.production, host=None, events=events, now_s=time.time())
    assert found.verdict is Verdict.CRASHED


def test_a_dead_agent_alone_is_no_crash(lab, site_of):
    lab.control.dead_agent(VM)
    site = site_of(lab)
    vm = pair_of(site).production
    assert vm.guest.heartbeat is Heartbeat.RED
    assert not [event for event in site.events(vm, time.time() - 600) if event.kind is EventKind.CRASHED]
    found = site.await_guest(vm, within_s=4, since_s=time.time())
    assert found.outcome is GuestOutcome.TIMED_OUT
    assert "agent is silent" in found.evidence


def test_a_guest_that_is_off_is_told_at_once(lab, site_of):
    site = site_of(lab)
    lab.control.power_off(VM)
    vm = pair_of(site).production
    assert site.await_guest(vm, within_s=30, since_s=time.time()).outcome is GuestOutcome.POWERED_OFF


def test_a_vm_stopped_by_an_io_error_is_blocked(lab, site_of):
    site = site_of(lab)
    vm = pair_of(site).production
    lab.control.full_storage("local-zfs")
    wait_until(lambda: pair_of(site).production.question is not None)
    found = site.await_guest(vm, within_s=10, since_s=time.time())
    assert (found.outcome, "I/O error" in found.evidence) == (GuestOutcome.BLOCKED, True)


# --- the screen ------------------------------------------------------------------------------------------------------


def test_a_screen_is_a_picture_to_the_pixel(lab, site_of):
    site = site_of(lab)
    vm = pair_of(site).production
    seen = screen.look(site._client(vm), vm)
    shown = Image.open(io.BytesIO(seen.png)).convert("RGB")
    drawn = pictures.picture(Screen.LOGIN, VM).convert("RGB")
    assert shown.size == drawn.size == (seen.width, seen.height)
    assert shown.tobytes() == drawn.tobytes()
    assert seen.hint is Hint.LOGIN


def test_a_screen_leaves_no_console_open(lab, site_of):
    site = site_of(lab)
    vm = pair_of(site).production
    screen.look(site._client(vm), vm)
    wait_until(lambda: all(task["status"] for task in lab.control.tasks() if task["type"] == "vncproxy"))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (Screen.BLUE_SCREEN, Hint.BLUE_SCREEN),
        (Screen.PANIC, Hint.PANIC),
        (Screen.FIRMWARE, Hint.BOOT),
        (Screen.BOOT, Hint.BOOT),
        (Screen.LOGIN, Hint.LOGIN),
        (Screen.FROZEN, Hint.LOGIN),
    ],
)
def test_a_picture_hints_at_what_it_shows(shown, expected):
    assert hints.hint(Image, pictures.picture(shown, VM)) is expected


@pytest.mark.parametrize(
    ("colour", "expected"), [((0, 0, 0), Hint.BLANK), ((0, 120, 215), Hint.BLANK), ((18, 74, 110), Hint.BLANK)]
)
def test_a_picture_with_nothing_on_it_is_blank_whatever_its_colour(colour, expected):
    assert hints.hint(Image, Image.new("RGB", (640, 480), colour)) is expected


def test_a_blue_desktop_with_a_task_bar_is_no_blue_screen():
    desktop = Image.new("RGB", (640, 480), (0, 120, 215))
    desktop.paste((30, 30, 34), (0, 450, 640, 480))
    desktop.paste((255, 255, 255), (20, 20, 120, 60))
    assert hints.hint(Image, desktop) is Hint.LOGIN
