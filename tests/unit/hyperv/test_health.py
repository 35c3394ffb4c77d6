# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How guests fare: events of the worker's log, waiting for a guest, its screen, and what the core makes of them."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from ansible_collections.ferragosto.dr.plugins.module_utils.core.diagnose import diagnose
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Verdict
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import EventKind
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import GuestOutcome
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import events, thumbnail, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.hints import Hint
from ansible_collections.ferragosto.dr.tests.unit.hyperv.fleet_kit import A, Bench


@pytest.fixture
def bench():
    made = Bench()
    yield made
    assert not made.fleet.mishaps


def judged(bench, machine, since_s=0.0):
    """Return the diagnosis of the production copy, as the modules make it."""
    shown = bench.read()
    vm = next(one for one in shown.production.vms if one.id == machine.key)
    return diagnose(
        vm,
        endpoint=shown.production,
        host=shown.production.hosts[0],
        events=bench.site.events(vm, since_s),
        now_s=bench.fleet.now_s(),
        others=(shown.replica,),
    )


def crash(bench, machine):
    bench.fleet.world.crash(machine.copy_id)


# --- events -----------------------------------------------------------------------------------------------------------


def test_a_blue_screen_is_told_with_its_stop_code(bench):
    machine = bench.protect()
    began_s = bench.fleet.now_s()
    bench.fleet.sleep(5)
    crash(bench, machine)
    found = bench.site.events(bench.vm(machine.key), began_s)
    assert [one.kind for one in found] == [EventKind.CRASHED]
    assert "0xD1 (DRIVER_IRQL_NOT_LESS_OR_EQUAL)" in found[0].text
    assert "18590" in found[0].text
    assert not found[0].is_hint
    assert judged(bench, machine).verdict is Verdict.CRASHED
    assert judged(bench, machine).is_certain


def test_a_panic_of_a_linux_guest_is_told_with_its_code(bench):
    machine = bench.protect(is_windows=False)
    crash(bench, machine)
    found = bench.site.events(bench.vm(machine.key), 0.0)
    assert "code 0x0" in found[-1].text


@pytest.mark.parametrize("number", events.CRASHES)
def test_every_event_of_a_death_is_a_crash(bench, number):
    machine = bench.protect()
    machine.crash_events = (number,)
    crash(bench, machine)
    found = bench.site.events(bench.vm(machine.key), bench.fleet.now_s() - 60)
    assert [(one.kind, f"(event {number})" in one.text) for one in found] == [(EventKind.CRASHED, True)]


@pytest.mark.parametrize("number", events.IDS)
def test_every_event_that_is_asked_for_is_told(bench, number):
    machine = bench.protect()
    codes = ("0xD1", "0x0", "0x0", "0x0", "0x0", "0") if number == events.FATAL_ERROR else ()
    bench.fleet.events.write(machine, number, data=codes)
    assert f"(event {number})" in bench.site.last_events(bench.vm(machine.key))[-1].text


def test_a_namesake_is_not_blamed(bench):
    first, second = bench.protect("web"), bench.fleet.add_vm(A, "web", switch="LAN")
    crash(bench, first)
    told = bench.site.events(bench.vm(second.key), 0.0)
    assert [event.kind for event in told] == [EventKind.RECONFIGURED], "it was made once, and that is all"
    assert bench.site.events(bench.vm(first.key), 0.0) != ()


def test_a_host_without_any_event_is_no_error(bench):
    machine = bench.protect()
    assert bench.site.events(bench.vm(machine.key), bench.fleet.now_s() + 1) == ()
    assert not bench.said


def test_events_are_told_alike_in_every_language(bench):
    machine = bench.protect()
    crash(bench, machine)
    vm = bench.vm(machine.key)
    english = bench.site.events(vm, 0.0)
    bench.fleet.host(A).culture = "de-DE"
    assert bench.site.events(vm, 0.0) == english


def test_starts_stops_and_checkpoints_are_the_last_events(bench):
    machine = bench.protect()
    for number in (18500, 18502, 18508, 18514, 18512):
        bench.fleet.events.write(machine, number)
        bench.fleet.sleep(1)
    bench.fleet.add_point(machine, age_s=0, data=bench.fleet.copy(machine).data, kind="Standard")
    found = bench.site.last_events(bench.vm(machine.key), 6)
    assert [one.kind for one in found] == [
        EventKind.POWERED_ON,
        EventKind.POWERED_OFF,
        EventKind.GUEST_SHUTDOWN,
        EventKind.RESET,
        EventKind.RESET,
        EventKind.SNAPSHOT,
    ]
    assert [one.user for one in found] == ["", events.SOMEBODY, "", "", "", ""]
    assert len(bench.site.last_events(bench.vm(machine.key), 2)) == 2


@pytest.mark.parametrize(
    ("data", "text", "said"),
    [
        (("web", "GUID", "0xD1", "0x8"), "", "stop code 0xD1 (DRIVER_IRQL_NOT_LESS_OR_EQUAL)"),
        (("web", "GUID", "239"), "", "stop code 0xEF (CRITICAL_PROCESS_DIED)"),
        (("web", "GUID"), "... ErrorCode0: 0x7B, ErrorCode1: ...", "stop code 0x7B (INACCESSIBLE_BOOT_DEVICE)"),
        (("web", "GUID"), "", "fatal error (event"),
        (("0xEE", "GUID", "0x123456"), "", "stop code 0x123456 (event"),
    ],
)
def test_a_stop_code_is_found_in_whatever_form_it_comes(data, text, said):
    guid = "0c1d2e3f-0000-1111-2222-333344445555"
    shown = [guid.upper() if one == "GUID" else one for one in data]
    row = {"id": 18590, "at": "2026-08-15T02:14:00.1234567Z", "data": shown, "text": text}
    event = events.to_event(row, guid)
    assert said in event.text
    assert wire.to_instant(row["at"]) == event.at_s


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_guest_that_boots_again_and_again_is_in_a_crash_loop(bench):
    machine = bench.protect(reboots_after_crash_s=5.0)
    for dummy in range(3):
        crash(bench, machine)
        bench.fleet.sleep(7)
    crash(bench, machine)
    bench.fleet.sleep(1)
    assert judged(bench, machine, since_s=bench.fleet.now_s() - 3600).verdict is Verdict.CRASH_LOOP


def test_a_guest_that_answers_is_healthy(bench):
    assert judged(bench, bench.protect()).verdict is Verdict.HEALTHY


def test_a_guest_that_was_just_started_is_booting(bench):
    machine = bench.protect()
    bench.fleet.world.hang(machine.copy_id)
    machine.started_at_s = bench.fleet.now_s() - 30
    assert judged(bench, machine).verdict is Verdict.BOOTING


def test_a_degraded_status_is_shown_though_the_heartbeat_is_good(bench):
    machine = bench.protect()
    machine.operational_status = ("Degraded", "Ok")
    assert judged(bench, machine).verdict is Verdict.DEGRADED


def test_a_vm_on_lost_storage_is_blocked(bench):
    machine = bench.protect()
    machine.operational_status = ("CriticalIoError",)
    assert judged(bench, machine).verdict is Verdict.BLOCKED


def test_a_disabled_heartbeat_is_missing_tools_and_no_illness(bench):
    machine = bench.protect()
    machine.has_heartbeat = False
    assert judged(bench, machine).verdict is Verdict.GUEST_TOOLS_MISSING


# --- waiting ----------------------------------------------------------------------------------------------------------


def wait(bench, machine, *, since_s=None, within_s=60.0):
    vm = bench.vm(machine.key)
    return bench.site.await_guest(vm, within_s=within_s, since_s=bench.fleet.now_s() if since_s is None else since_s)


def test_a_guest_that_runs_is_alive_at_once(bench):
    found = wait(bench, bench.protect())
    assert (found.outcome, found.took_s) == (GuestOutcome.ALIVE, 0.0)
    assert "OkApplicationsHealthy" in found.evidence


def test_a_guest_without_applications_to_tell_of_is_alive(bench):
    assert wait(bench, bench.protect(is_windows=False)).outcome is GuestOutcome.ALIVE


def test_a_guest_that_boots_is_waited_for_and_no_longer(bench):
    machine = bench.fleet.add_vm(A, "gestionale", switch="LAN", uptime_s=None)
    began_s = bench.fleet.now_s()
    bench.fleet.powers.start(machine)
    boots_s = bench.fleet.world.timing.boot_s
    found = wait(bench, machine)
    assert found.outcome is GuestOutcome.ALIVE
    assert boots_s <= bench.fleet.now_s() - began_s <= boots_s + 1.0


@pytest.mark.parametrize("skew_s", [0.0, 3600.0, -3600.0])
def test_a_crash_while_it_is_waited_for_ends_the_wait(bench, skew_s):
    machine = bench.protect()
    bench.fleet.hosts[A].clock_skew_s = skew_s
    since_s = bench.fleet.now_s()
    bench.fleet.sleep(2)
    crash(bench, machine)
    bench.vm(machine.key)
    found = wait(bench, machine, since_s=since_s)
    assert found.outcome is GuestOutcome.CRASHED
    assert "0xD1" in found.evidence


def test_a_crash_is_seen_behind_the_many_of_another_vm(bench):
    """The log is the host's: what comes back after a power loss and crashes again and again fills it."""
    machine, loud = bench.protect(), bench.protect("loud")
    since_s = bench.fleet.now_s()
    bench.fleet.sleep(2)
    crash(bench, machine)
    for number in range(400):
        bench.fleet.events.crash(loud, at_s=bench.fleet.now_s() + number / 100)
    assert wait(bench, machine, since_s=since_s).outcome is GuestOutcome.CRASHED


def test_an_old_crash_is_not_held_against_a_new_boot(bench):
    machine = bench.protect(reboots_after_crash_s=1.0)
    crash(bench, machine)
    bench.fleet.sleep(2)
    assert wait(bench, machine).outcome is GuestOutcome.ALIVE


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("Off", GuestOutcome.POWERED_OFF),
        ("Saved", GuestOutcome.POWERED_OFF),
        ("RunningCritical", GuestOutcome.BLOCKED),
    ],
)
def test_a_vm_that_cannot_come_up_is_not_waited_for(bench, state, outcome):
    machine = bench.protect()
    machine.state = state
    assert wait(bench, machine).outcome is outcome


def test_a_guest_that_hangs_is_given_up_in_time_with_what_was_seen(bench):
    machine = bench.protect()
    bench.fleet.world.hang(machine.copy_id)
    found = wait(bench, machine, within_s=10)
    assert (found.outcome, found.took_s) == (GuestOutcome.TIMED_OUT, pytest.approx(10, abs=1))
    assert "LostCommunication" in found.evidence


def test_a_guest_without_a_heartbeat_counts_as_up_after_a_while(bench):
    machine = bench.protect()
    machine.has_heartbeat = False
    found = wait(bench, machine)
    assert found.outcome is GuestOutcome.ALIVE
    assert "without a heartbeat" in found.evidence


def test_a_host_that_comes_back_in_time_is_no_end_of_the_wait(bench):
    machine = bench.protect()
    vm = bench.vm(machine.key)
    bench.fleet.host_lost(A)
    found = bench.site.await_guest(vm, within_s=3, since_s=bench.fleet.now_s())
    assert found.outcome is GuestOutcome.TIMED_OUT
    assert "refuses the connection" in found.evidence


# --- the screen -------------------------------------------------------------------------------------------------------


def test_the_screen_is_a_picture_for_people_and_a_hint_for_us(bench):
    machine = bench.protect()
    crash(bench, machine)
    vm = bench.vm(machine.key)
    with Image.open(io.BytesIO(bench.site.screenshot(vm))) as picture:
        assert picture.size == (640, 480)
        pixel = picture.getpixel((3, 3))
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    assert blue > 180 > green > red
    seen = thumbnail.look(bench.site._client(vm), vm)
    assert seen.hint is Hint.BLUE_SCREEN


def test_a_vm_that_is_off_has_no_screen(bench):
    machine = bench.fleet.add_vm(A, "gestionale", switch="LAN", uptime_s=None)
    assert machine.state == "Off"
    assert bench.site.screenshot(bench.vm(machine.key)) is None


def test_a_blue_screen_without_an_event_is_a_hint_and_never_certain(bench):
    machine = bench.protect()
    machine.crash_events = ()
    crash(bench, machine)
    found = bench.site.events(bench.vm(machine.key), bench.fleet.now_s() - 60)
    assert [(one.kind, one.is_hint) for one in found] == [(EventKind.CRASHED, True)]
    assert not judged(bench, machine).is_certain


def test_a_login_screen_of_a_silent_guest_hints_at_nothing(bench):
    machine = bench.protect()
    bench.fleet.world.hang(machine.copy_id)
    assert bench.site.events(bench.vm(machine.key), bench.fleet.now_s() - 60) == ()
