# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fault plan of a Proxmox twin: data in, and what a client then meets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from proxmoxer import ResourceException  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin.plan import BadFault
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.faults import Fault, Seen, read_fault
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.happenings import NoTarget
from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.door_kit import Site, site

VM = "/nodes/pve1/qemu/100"
CONFIG = "/nodes/{node}/qemu/{vmid}/config"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


def onboot(made: Site) -> Any:
    return made.datacenter.guests[100].config.get("onboot")


def ended(made: Site, upid: str, within_s: float = 5.0) -> str:
    task = made.by_token().nodes(upid.split(":")[1]).tasks(upid).status
    deadline = time.monotonic() + within_s
    while (row := task.get())["status"] == "running":
        if time.monotonic() > deadline:
            return "still running"
        time.sleep(0.02)
    return str(row["exitstatus"])


# --- the plan is data ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({}, "unknown action None; there are latency, "),
        ({"action": "explode"}, "unknown action 'explode'"),
        ({"action": "latency", "second": 1}, "latency does not know second; it takes action, count, "),
        ({"action": "latency", "target": "pve1"}, "latency does not know target"),
        ({"action": "latency", "seconds": "1"}, "latency: seconds must be float, not '1'"),
        ({"action": "latency", "nth": 0}, "nth counts from 1"),
        ({"action": "latency", "nth": True}, "nth must be int, not True"),
        ({"action": "latency", "regex": "("}, "is no regular expression"),
        ({"action": "dead_node"}, "dead_node wants a target: node `target` loses its power"),
        ({"action": "stuck_task"}, "stuck_task wants a target"),
        ({"action": "dead_node", "target": "pve1", "moment": "later"}, "moment is before or after, not 'later'"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused_with_what_can(row, complaint):
    with pytest.raises(BadFault) as caught:
        read_fault(row)
    assert complaint in str(caught.value)


def test_a_plan_is_taken_whole_or_not_at_all(own):
    with pytest.raises(BadFault):
        own.doors.faults.load([{"action": "latency", "seconds": 1.0}, {"action": "explode"}])
    assert own.doors.faults.rows() == []
    first, second = own.doors.faults.load([{"action": "latency"}, {"action": "drop_before", "method": "@changing"}])
    own.doors.faults.clear(first)
    assert [row["id"] for row in own.doors.faults.rows()] == [second]


@pytest.mark.parametrize(("action", "target"), [("dead_node", "pve9"), ("full_storage", "disk"), ("dead_agent", "999")])
def test_a_target_that_is_not_there_is_named_with_those_that_are(own, action, target):
    with pytest.raises(NoTarget, match=f"'{target}'; there are (pve1, pve2|tank|100, 200)"):
        own.doors.faults.add(action=action, target=target)


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"method": "PUT"}, True),
        ({"method": "GET|PUT"}, True),
        ({"method": "GET"}, False),
        ({"method": "@changing"}, True),
        ({"path": CONFIG}, True),
        ({"path": f"{VM}/config"}, True),
        ({"path": "/nodes/*/config"}, True),
        ({"path": "/cluster/*"}, False),
        ({"regex": r"/nodes/pve\d/qemu/1\d\d/config"}, True),
        ({"regex": "config"}, False),
        ({"node": "pve1", "vmid": 100}, True),
        ({"node": "pve2"}, False),
        ({"vmid": 200}, False),
    ],
)
def test_what_a_fault_matches(match, fits):
    call = Seen("PUT", f"{VM}/config", CONFIG, "pve1", 100)
    assert Fault(action="latency", **match).fits(call) is fits


def test_the_nth_call_is_struck_and_no_other(own):
    own.doors.faults.add(action="error_before", status=500, text="struck", path=CONFIG, method="GET", nth=2, count=1)
    assert [own.raw("GET", f"{VM}/config").reason for dummy in range(4)] == ["OK", "struck", "OK", "OK"]
    (row,) = own.doors.faults.rows()
    assert (row["seen"], row["struck"]) == (2, 1)


# --- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "has_effect"), [("error_before", False), ("error_after", True)])
@pytest.mark.parametrize(
    ("status", "text"),
    [(500, "got timeout"), (595, "No route to host"), (596, "Broken pipe"), (599, "Too many redirections")],
)
def test_an_error_comes_before_or_after_the_effect(own, action, has_effect, status, text):
    own.doors.faults.add(action=action, method="PUT", status=status, text=text)
    with pytest.raises(ResourceException) as caught:
        own.by_token().nodes("pve1").qemu(100).config.put(onboot=1)
    assert (caught.value.status_code, caught.value.content) == (status, text)
    assert onboot(own) == ("1" if has_effect else None)


@pytest.mark.parametrize(("action", "has_effect"), [("drop_before", False), ("drop_after", True)])
def test_a_dropped_line_says_nothing_of_the_effect(own, action, has_effect):
    own.doors.faults.add(action=action, method="PUT")
    with pytest.raises(requests.exceptions.ConnectionError):
        own.by_token().nodes("pve1").qemu(100).config.put(onboot=1)
    assert onboot(own) == ("1" if has_effect else None)
    assert own.raw("GET", f"{VM}/config").status_code == 200


@pytest.mark.parametrize(("action", "has_effect"), [("hold_before", False), ("hold_after", True)])
def test_a_held_call_never_answers(own, action, has_effect):
    rule = own.doors.faults.add(action=action, method="PUT")
    with pytest.raises(requests.exceptions.ReadTimeout):
        own.raw("PUT", f"{VM}/config", data={"onboot": 1}, timeout=0.4)
    own.doors.faults.clear(rule)
    assert onboot(own) == ("1" if has_effect else None)


def test_a_slow_call_delays_nobody_else(tmp_path):
    with site(tmp_path, pace=1.0) as made:
        made.doors.faults.add(action="latency", seconds=0.6, vmid=100)
        began = time.monotonic()
        slow = threading.Thread(target=lambda: made.raw("GET", f"{VM}/config"))
        slow.start()
        assert made.raw("GET", "/nodes/pve2/qemu/200/config").status_code == 200
        assert time.monotonic() - began < 0.5
        slow.join()
        assert time.monotonic() - began >= 0.6


def test_a_fixed_latency_is_on_every_call(tmp_path):
    with site(tmp_path, latency_s=0.1) as made:
        began = time.monotonic()
        for dummy in range(3):
            made.raw("GET", f"{VM}/config")
        assert time.monotonic() - began >= 0.3


def test_sessions_expire_and_tokens_do_not(own):
    api = own.by_password()
    assert api.nodes("pve1").qemu.get()
    own.doors.faults.add(action="session_expiry")
    with pytest.raises(ResourceException, match="Authentication failed!"):
        api.nodes("pve1").qemu.get()
    assert own.by_token().nodes("pve1").qemu.get()
    assert own.by_password().nodes("pve1").qemu.get(), "a new login works"


# --- the site --------------------------------------------------------------------------------------------------------


def test_a_node_dies_after_the_call_that_was_its_last(own):
    own.doors.faults.add(action="dead_node", target="pve1", method="PUT", path=CONFIG)
    with pytest.raises(requests.exceptions.ConnectionError):
        own.by_token().nodes("pve1").qemu(100).config.put(onboot=1)
    assert onboot(own) == "1"
    with pytest.raises(requests.exceptions.ConnectionError):
        own.by_token(node="pve1").nodes("pve1").qemu.get()
    with pytest.raises(ResourceException, match="No route to host"):
        own.by_token(node="pve2").nodes("pve1").qemu.get()


def test_a_node_dies_before_the_call_that_would_have_been_its_next(own):
    own.doors.faults.add(action="dead_node", target="pve2", moment="before", method="PUT", path=CONFIG)
    with pytest.raises(ResourceException, match="No route to host"):
        own.by_token().nodes("pve2").qemu(200).config.put(onboot=1)
    assert "onboot" not in own.datacenter.guests[200].config


def test_a_host_returns_with_its_autostart(own):
    own.by_token(node="pve2").nodes("pve2").qemu(200).config.put(onboot=1)
    own.doors.faults.load([{"action": "dead_node", "target": "pve2"}, {"action": "host_return", "target": "pve2"}])
    own.datacenter.tick()
    assert own.by_token(node="pve2").nodes("pve2").qemu(200).status.current.get()["status"] == "running"


def test_a_fault_that_names_no_call_strikes_at_once(own):
    own.doors.faults.add(action="isolated_node", target="pve2")
    with pytest.raises(requests.exceptions.ConnectionError):
        own.by_token(node="pve2").nodes("pve2").qemu.get()
    assert own.world.copy(own.datacenter.copy_id_of(own.datacenter.guests[200])).power == "on", "its guests live on"
    own.doors.faults.add(action="host_return", target="pve2")
    assert own.by_token(node="pve2").nodes("pve2").qemu.get()


def test_without_quorum_nothing_is_written(own):
    own.doors.faults.add(action="lost_quorum")
    with pytest.raises(ResourceException, match="Permission denied"):
        own.by_token().nodes("pve1").qemu(100).config.put(onboot=1)
    with pytest.raises(ResourceException, match="cluster not ready - no quorum"):
        own.by_token().nodes("pve1").qemu(100).status.start.post()


def test_the_task_of_a_call_gets_stuck(own):
    own.doors.faults.add(action="stuck_task", method="POST", path="*/status/stop")
    upid = own.by_token().nodes("pve1").qemu(100).status.stop.post()
    assert ended(own, upid, 0.5) == "still running"
    other = own.by_token().nodes("pve2").qemu(200).status.stop.post()
    assert ended(own, other) == "OK"


@pytest.mark.parametrize(("effect", "is_on"), [(False, True), (True, False)], ids=["no effect", "effect"])
def test_a_task_fails_with_its_text(own, effect, is_on):
    own.doors.faults.add(action="failing_task", target="qmstop", text="VM quit/powerdown failed", effect=effect)
    upid = own.by_token().nodes("pve1").qemu(100).status.stop.post()
    assert ended(own, upid) == "VM quit/powerdown failed"
    running = own.by_token().nodes("pve1").qemu(100).status.current.get()["status"] == "running"
    assert running is is_on


def test_one_call_alone_fails_in_its_task(own):
    own.doors.faults.add(action="failing_task", method="POST", path="*/status/stop", text="got timeout")
    stop = own.by_token().nodes("pve1").qemu(100).status.stop
    assert ended(own, stop.post()) == "got timeout"
    assert ended(own, stop.post()) == "OK"


def test_a_dead_agent_does_not_answer(own):
    ping = own.raw("POST", f"{VM}/agent/ping")
    assert ping.status_code == 200, ping.text
    own.doors.faults.add(action="dead_agent", target="100")
    assert "QEMU guest agent is not running" in own.raw("POST", f"{VM}/agent/ping").reason


def test_a_node_whose_clock_is_fast_dates_its_answers_so_and_refuses_the_others_tickets(own):
    own.doors.faults.add(action="clock_skew", target="pve2", seconds=7200.0)
    ticket = own.by_password(node="pve1").get_tokens()[0]
    headers = {"Cookie": f"PVEAuthCookie={ticket}"}
    upid = own.by_token(node="pve2").nodes("pve2").qemu(200).status.stop.post()
    row = own.by_token().nodes("pve2").tasks(upid).status.get()
    assert row["starttime"] == pytest.approx(own.datacenter.now_s() + 7200, abs=5)
    dates = {
        node: parsedate_to_datetime(own.raw("GET", f"{VM}/config", node=node).headers["Date"]).timestamp()
        for node in ("pve1", "pve2")
    }
    assert dates["pve2"] - dates["pve1"] == pytest.approx(7200, abs=3)
    fast = own.by_password(node="pve2").get_tokens()[0]
    assert own.raw("GET", f"{VM}/config", node="pve1", headers=headers).status_code == 200
    assert own.raw("GET", f"{VM}/config", headers={"Cookie": f"PVEAuthCookie={fast}"}).status_code == 401, (
        "from the future"
    )
