# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power and health of a guest: the rules of facts-proxmox.md, section 3."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Screen
from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.engine_kit import HOUR, A, B, Site, vm, wish

PING = f"/nodes/{A}/qemu/100/agent/ping"


@pytest.fixture
def site() -> Site:
    return Site()


# --- what is not there, what is in the way ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["config", "status/current", "pending", "snapshot"])
def test_an_unknown_guest_is_an_error_500(site: Site, path: str) -> None:
    refused = site.refused("GET", f"/nodes/{A}/qemu/999/{path}")
    assert refused.status == 500
    assert refused.text == "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist"


def test_a_guest_is_not_found_on_another_node(site: Site) -> None:
    assert site.refused("GET", f"/nodes/{B}/qemu/100/config").text.startswith("Configuration file 'nodes/pve2/")


def test_a_start_of_a_running_guest_fails_in_its_task(site: Site) -> None:
    assert site.ended(site.power("start")) == "VM 100 already running"


def test_a_stop_of_a_stopped_guest_is_ok(site: Site) -> None:
    site.done(site.power("stop"))
    site.done(site.power("stop"))


@pytest.mark.parametrize("word", ["reset", "reboot", "suspend", "resume"])
def test_a_stopped_guest_cannot_be(site: Site, word: str) -> None:
    site.done(site.power("stop"))
    assert site.refused("POST", f"/nodes/{A}/qemu/100/status/{word}").text == "VM 100 not running"


@pytest.mark.parametrize("word", ["stop", "shutdown", "reboot", "reset", "suspend"])
@pytest.mark.parametrize("lock", ["backup", "migrate", "snapshot"])
def test_a_locked_guest_is_left_alone(site: Site, word: str, lock: str) -> None:
    site.dc.guests[100].config["lock"] = lock
    assert site.ended(site.power(word)) == f"VM is locked ({lock})"
    assert site.current()["status"] == "running"


def test_a_lock_stops_a_change_and_a_protection_a_removal(site: Site) -> None:
    site.dc.guests[100].config["lock"] = "backup"
    assert site.refused("PUT", f"/nodes/{A}/qemu/100/config", onboot=0).text == "VM is locked (backup)"
    del site.dc.guests[100].config["lock"]
    site.put(f"/nodes/{A}/qemu/100/config", protection=1)
    refused = site.refused("DELETE", f"/nodes/{A}/qemu/100", purge=1)
    assert refused.text == "can't remove VM 100 - protection mode enabled"


def test_a_running_guest_is_not_destroyed(site: Site) -> None:
    assert site.refused("DELETE", f"/nodes/{A}/qemu/100", purge=1).text == "VM 100 is running - destroy failed"


def test_a_replicated_guest_is_destroyed_only_with_purge(site: Site) -> None:
    site.done(site.power("stop"))
    refused = site.refused("DELETE", f"/nodes/{A}/qemu/100")
    assert refused.text == "There is a replication job '100-0' for guest '100' - Please remove that first."
    site.done(site.delete(f"/nodes/{A}/qemu/100", purge=1))
    assert site.get("/cluster/replication") == []
    assert "cluster/100" not in site.world.copies


# --- shutdown ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_tools", [True, False])
def test_a_guest_shuts_down_by_its_agent_or_by_the_power_button(has_tools: bool) -> None:
    site = Site(wish(vm(has_tools=has_tools)))
    site.done(site.power("shutdown"))
    assert site.current()["status"] == "stopped"


@pytest.mark.parametrize("has_tools", [True, False])
def test_a_crashed_guest_hears_neither_agent_nor_power_button(has_tools: bool) -> None:
    site = Site(wish(vm(has_tools=has_tools)))
    site.world.crash("cluster/100")
    assert site.ended(site.power("shutdown", timeout=20)) == "VM quit/powerdown failed - got timeout"
    assert site.current()["status"] == "running"


def test_a_guest_whose_agent_alone_is_dead_hears_the_power_button(site: Site) -> None:
    site.dc.trouble.dead_agents.add(100)
    upid = site.power("shutdown", timeout=20)
    site.done(upid)
    assert "QEMU Guest Agent is not running" in site.task_log(upid)
    assert site.current()["status"] == "stopped"


def test_a_paused_guest_is_shut_down_by_force_or_not_at_all(site: Site) -> None:
    site.done(site.power("suspend"))
    assert site.refused("POST", f"/nodes/{A}/qemu/100/status/shutdown").text == "VM is paused - cannot shutdown"
    upid = site.power("shutdown", forceStop=1)
    site.done(upid)
    assert ":qmshutdown:" in upid
    assert site.current()["status"] == "stopped"


@pytest.mark.parametrize("has_tools", [True, False])
def test_a_forced_shutdown_ends_it_in_the_end(has_tools: bool) -> None:
    site = Site(wish(vm(has_tools=has_tools)))
    site.world.hang("cluster/100")
    site.done(site.power("shutdown", timeout=20, forceStop=1))
    assert site.current()["status"] == "stopped"


def test_a_guest_that_halts_by_itself_ends_its_process(site: Site) -> None:
    site.post(f"/nodes/{A}/qemu/100/agent/shutdown")
    site.turn(3)
    assert site.current()["status"] == "stopped"


def test_a_reboot_takes_up_pending_changes(site: Site) -> None:
    site.put(f"/nodes/{A}/qemu/100/config", memory=8192)
    assert {"key": "memory", "value": "4096", "pending": "8192"} in site.get(f"/nodes/{A}/qemu/100/pending")
    assert site.get(f"/nodes/{A}/qemu/100/config", current=1)["memory"] == "4096"
    assert site.config()["memory"] == "8192"
    site.done(site.power("reboot"))
    assert site.get(f"/nodes/{A}/qemu/100/config", current=1)["memory"] == "8192"
    assert site.current()["uptime"] < 20


def test_a_suspended_guest_is_paused_and_comes_back(site: Site) -> None:
    site.done(site.power("suspend"))
    assert (site.current()["status"], site.current()["qmpstatus"]) == ("running", "paused")
    assert site.refused("POST", f"/nodes/{A}/qemu/100/status/shutdown").text == "VM is paused - cannot shutdown"
    site.done(site.power("resume"))
    assert site.current()["qmpstatus"] == "running"
    assert site.post(PING) == {"result": {}}


# --- health ------------------------------------------------------------------------------------------------------------


def test_agent_in_the_status_says_nothing_of_an_agent_being_alive(site: Site) -> None:
    assert site.post(PING) == {"result": {}}
    site.world.crash("cluster/100")
    assert site.current()["agent"] == 1
    refused = site.refused("POST", PING)
    assert (refused.status, refused.text) == (500, "QEMU guest agent is not running")


@pytest.mark.parametrize(
    ("config", "is_running", "text"),
    [
        ("agent=0", True, "No QEMU guest agent configured"),
        ("agent=1", False, "VM 100 is not running"),
        ("agent=0", False, "No QEMU guest agent configured"),
    ],
)
def test_an_agent_that_cannot_answer(site: Site, config: str, is_running: bool, text: str) -> None:
    site.dc.guests[100].config["agent"] = config.partition("=")[2]
    if not is_running:
        site.done(site.power("stop"))
    assert site.refused("POST", PING).text == text


def test_the_agent_tells_os_name_and_address(site: Site) -> None:
    agent = f"/nodes/{A}/qemu/100/agent"
    assert site.get(f"{agent}/get-osinfo")["result"]["id"] == "mswindows"
    assert site.get(f"{agent}/get-host-name") == {"result": {"host-name": "erp"}}
    addresses = [
        a["ip-address"] for i in site.get(f"{agent}/network-get-interfaces")["result"] for a in i["ip-addresses"]
    ]
    assert addresses == ["127.0.0.1", "192.0.2.20"]


def test_a_guest_answers_only_after_its_boot(site: Site) -> None:
    site.done(site.power("stop"))
    site.done(site.power("start"))
    assert site.refused("POST", PING).text == "QEMU guest agent is not running"
    site.turn(5)
    assert site.post(PING) == {"result": {}}


@pytest.mark.parametrize(
    ("args", "status"),
    [("", "running"), ("-device pvpanic", "guest-panicked"), ("-device pvpanic,x=1", "guest-panicked")],
)
def test_a_blue_screen_shows_as_running_unless_there_is_a_pvpanic(site: Site, args: str, status: str) -> None:
    guest = site.dc.guests[100]
    if args:
        guest.config["args"] = args
    site.done(site.power("stop"))
    site.world.corrupt("erp")
    site.done(site.power("start"))
    site.turn(5)
    assert site.current()["status"] == "running"
    assert site.current()["qmpstatus"] == status


@pytest.mark.parametrize(("story", "screen"), [("erp", Screen.BLUE_SCREEN), ("dc", Screen.PANIC)])
def test_a_dead_guest_shows_it_on_its_screen(story: str, screen: Screen) -> None:
    site = Site(wish(vm(), vm("dc")))
    vmid = 100 if story == "erp" else 101
    assert site.dc.screen_of(A, vmid) is Screen.LOGIN
    site.world.crash(f"cluster/{vmid}")
    assert site.dc.screen_of(A, vmid) is screen
    site.done(site.power("reset", vmid))
    assert site.dc.screen_of(A, vmid) is Screen.FIRMWARE
    site.turn(2)
    assert site.dc.screen_of(A, vmid) is Screen.BOOT
    site.world.hang(f"cluster/{vmid}")
    assert site.dc.screen_of(A, vmid) is Screen.FROZEN
    site.done(site.power("stop", vmid))
    assert site.dc.screen_of(A, vmid) is Screen.NONE


def test_a_full_storage_stops_the_guest_with_io_error(site: Site) -> None:
    site.dc.shelf.storages["tank"].full_on.add(A)
    site.turn(1)
    assert (site.current()["status"], site.current()["qmpstatus"]) == ("running", "io-error")
    site.dc.shelf.storages["tank"].full_on.clear()
    site.done(site.power("resume"))
    assert site.current()["qmpstatus"] == "running"


def test_lists_have_no_qmpstatus_unless_asked_for_in_full(site: Site) -> None:
    assert "qmpstatus" not in site.resource()
    assert "qmpstatus" not in site.get(f"/nodes/{A}/qemu")[0]
    assert site.get(f"/nodes/{A}/qemu", full=1)[0]["qmpstatus"] == "running"


def test_figures_of_a_dead_guest_are_flat(site: Site) -> None:
    site.world.hang("cluster/100")
    at_s = site.clock.now_s()
    site.turn(600, step_s=10)
    rows = site.get(f"/nodes/{A}/qemu/100/rrddata", timeframe="hour")
    assert len(rows) == 70
    assert {row["netin"] for row in rows if row["time"] > at_s + 60} == {0}
    assert all(row["netin"] > 0 for row in rows if row["time"] < at_s - 60)


def test_a_root_only_command_is_refused(site: Site) -> None:
    refused = site.refused("POST", f"/nodes/{A}/qemu/100/monitor", command="screendump /tmp/x")
    assert (refused.status, refused.text) == (500, "root-only command 'screendump'")


def test_a_console_ends_its_task_when_it_is_closed(site: Site) -> None:
    answer = site.post(f"/nodes/{A}/qemu/100/vncproxy", websocket=1, generate_password=1)
    console = site.dc.consoles.find(A, 100, int(answer["port"]), answer["ticket"])
    assert answer["password"] == console.password
    site.dc.consoles.connected(console)
    site.turn(60)
    assert site.dc.tasks.tasks[answer["upid"]].is_running
    site.dc.consoles.closed(console)
    site.done(answer["upid"])


def test_a_console_that_nobody_comes_to_gives_up(site: Site) -> None:
    answer = site.post(f"/nodes/{A}/qemu/100/vncproxy", websocket=1)
    assert site.ended(answer["upid"]) == "connection timed out"


# --- the story's evidence -----------------------------------------------------------------------------------------------


def test_several_restarts_of_a_rotten_guest_end_in_a_blue_screen(site: Site) -> None:
    site.world.corrupt("erp", since_s=site.clock.now_s() - 2 * HOUR)
    for word in ("reset", "reset", "stop"):
        site.done(site.power(word))
        if word == "stop":
            site.done(site.power("start"))
        site.turn(5)
        assert site.dc.screen_of(A, 100) is Screen.BLUE_SCREEN
        assert site.current()["uptime"] > 0
