# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A WinRM door at its worst: answers that never come, effects that nobody hears of, hosts that die and return."""

from __future__ import annotations

import threading
import time

import pytest
import requests
from pypsrp.exceptions import WSManFaultError as PypsrpFault
from winrm.exceptions import WinRMTransportError, WSManFaultError

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.faults import Faults
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.server import Server
from ansible_collections.ferragosto.dr.extensions.twin.lab import wait_for
from ansible_collections.ferragosto.dr.extensions.twin.plan import BadFault
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.wsman.wire_kit import (
    ANNA,
    EVERYBODY,
    Door,
    Processes,
    begin,
    door,
    once,
    run,
    threads_of,
)

LOST = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("call", ["Command", "Send"])
def test_a_connection_cut_before_the_effect_has_none(tmp_path, call, is_tls):
    with door(tmp_path, is_tls=is_tls) as host:
        client = host.winrm()
        shell = client.open_shell()
        host.server.faults.add(action="drop_before", call=call)
        with pytest.raises(LOST):
            run(client, shell, "act", stdin=b"web")
        assert host.processes.ended == []
        with host.shell() as (again, fresh):
            assert run(again, fresh, "act", stdin=b"web")[0] == b"done web"


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("call", ["Send", "Receive"])
def test_a_connection_cut_after_the_effect_loses_the_answer_only(tmp_path, call, is_tls):
    """This is what "read the state again, never do it twice" is for."""
    with door(tmp_path, is_tls=is_tls) as host:
        client = host.winrm()
        shell = client.open_shell()
        host.processes.effort_s = 0.2
        host.server.faults.add(action="drop_after", call=call)
        with pytest.raises(LOST):
            run(client, shell, "act", stdin=b"web")
        assert host.processes.ended == ["act web"]  # at once: the process has ended before the client noticed anything


def test_an_output_that_was_lost_can_be_asked_for_again(tmp_path):
    with door(tmp_path) as host:
        client = host.winrm()
        shell = client.open_shell()
        command = begin(client, shell, "act")
        client.send_command_input(shell, command, b"web", end=True)
        host.server.faults.add(action="drop_after", call="Receive")
        with pytest.raises(LOST):
            client.get_command_output(shell, command)
        again = host.winrm()
        assert again.get_command_output(shell, command) == (b"done web", b"", 0)
        again.close_shell(shell)


@pytest.mark.parametrize(("action", "effect"), [("hold_before", []), ("hold_after", ["act web"])])
def test_a_held_answer_ends_in_the_clients_own_time_out(tmp_path, action, effect):
    with door(tmp_path) as host:
        client = host.winrm(read_timeout_sec=2, operation_timeout_sec=1)
        shell = client.open_shell()
        host.server.faults.add(action=action, call="Send")
        with pytest.raises(requests.ReadTimeout):
            run(client, shell, "act", stdin=b"web")
        assert host.processes.ended == effect
        wait_for(
            lambda: not [name for name in threads_of(host.server.name) if "connection" in name],
            5.0,
            "the end of the connection",
        )


def test_a_held_call_is_let_go_when_the_fault_is_taken_away(tmp_path):
    with door(tmp_path) as host:
        fault = host.server.faults.add(action="hold_before", call="Create", count=0)
        release = threading.Timer(0.3, host.server.faults.clear, [fault])
        release.start()
        with pytest.raises(LOST):
            host.winrm().open_shell()
        release.join()
        assert once(host.winrm(), "whoami") == b"luca"


@pytest.mark.parametrize(("action", "effect"), [("error_before", []), ("error_after", ["act web"])])
def test_an_http_error_comes_with_its_status(tmp_path, action, effect):
    with door(tmp_path) as host, host.shell() as (client, shell):
        host.server.faults.add(action=action, call="Send", status=503)
        with pytest.raises(WinRMTransportError, match="503"):
            run(client, shell, "act", stdin=b"web")
        assert host.processes.ended == effect


def test_a_quota_comes_as_windows_says_it(tmp_path):
    with door(tmp_path) as host, host.shell() as (client, shell):
        host.server.faults.add(action="quota", call="Command")
        with pytest.raises(WSManFaultError) as full:
            begin(client, shell, "echo")
        assert full.value.wmierror_code == 0x803381A6
        assert run(client, shell, "cat", stdin=b"on")[0] == b"on"


def test_any_fault_of_windows_can_be_said(tmp_path):
    with door(tmp_path) as host, host.pypsrp() as client:
        host.server.faults.add(
            action="fault", call="Create", code=2147943418, subcode="w:InternalError", text="registry"
        )
        with pytest.raises(PypsrpFault) as said:
            client.execute_cmd("whoami")
        assert (said.value.code, said.value.reason) == (2147943418, "registry")


def test_a_slow_host_is_slow_at_every_call_or_at_one(tmp_path):
    with door(tmp_path) as host, host.shell() as (client, shell):
        host.server.faults.add(action="latency", call="Command|Receive", seconds=0.2, count=0)
        begun_s = time.monotonic()
        run(client, shell, "cat")
        assert 0.4 <= time.monotonic() - begun_s < 8.0
    with door(tmp_path, latency_s=0.1) as host:
        begun_s = time.monotonic()
        once(host.winrm(), "whoami")
        assert 0.4 <= time.monotonic() - begun_s < 8.0


def test_a_connection_can_be_reset_at_the_door(tmp_path):
    with door(tmp_path) as host:
        host.server.faults.add(action="refuse", count=2)
        for dummy in range(2):
            with pytest.raises(LOST):
                host.winrm().open_shell()
        assert once(host.winrm(), "whoami") == b"luca"
        assert host.server.faults.rows()[0]["struck"] == 2


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_host_that_accepts_and_says_nothing_is_waited_for_no_longer_than_the_client_likes(tmp_path, is_tls):
    with door(tmp_path, is_tls=is_tls) as host:
        host.server.faults.add(action="hold_before", call="Connect", count=0)
        with pytest.raises(requests.Timeout):
            requests.post(host.server.url, timeout=0.4, verify=host.ca_path)
        host.server.faults.clear()
        assert once(host.winrm(), "whoami") == b"luca"


def test_a_service_that_is_stopped_answers_nobody(tmp_path):
    """HTTP.sys lives on and says 503 before it asks who is there."""
    with door(tmp_path) as host:
        host.server.faults.add(action="error_before", call="Authenticate", status=503, count=0)
        with pytest.raises(WinRMTransportError, match="503"):
            host.winrm().open_shell()
        host.server.faults.clear()
        assert once(host.winrm(), "whoami") == b"luca"


def test_a_host_that_is_shut_refuses_and_returns_on_its_port_with_its_shells(tmp_path):
    with door(tmp_path) as host:
        client, port = host.winrm(), host.server.port
        shell = client.open_shell()
        command = begin(client, shell, "act")
        host.server.shut()
        with pytest.raises(requests.ConnectionError):
            client.send_command_input(shell, command, b"web", end=True)
        with pytest.raises(requests.ConnectionError, match="refused"):
            host.winrm().open_shell()
        host.server.open()
        assert host.server.port == port
        again = host.winrm()
        again.send_command_input(shell, command, b"web", end=True)
        assert again.get_command_output(shell, command)[0] == b"done web"


def test_a_host_without_power_loses_its_processes_and_shells(tmp_path):
    with door(tmp_path) as host:
        client = host.winrm()
        shell = client.open_shell()
        begin(client, shell, "sleep", "30")
        host.server.shut(kills=True)
        wait_for(lambda: host.processes.ended == ["sleep stopped"], 5.0, "the end of the process")
        host.server.open()
        with pytest.raises(WSManFaultError) as gone:
            begin(host.winrm(), shell, "echo")
        assert gone.value.wsman_fault_code == 2150858843


@pytest.mark.parametrize(("stops_on_cut", "end"), [(False, "sleep over"), (True, "sleep stopped")])
def test_a_process_outlives_its_client_unless_the_lab_wants_otherwise(tmp_path, stops_on_cut, end):
    with door(tmp_path, stops_on_cut=stops_on_cut) as host:
        client = host.winrm(read_timeout_sec=2, operation_timeout_sec=1)
        shell = client.open_shell()
        command = begin(client, shell, "sleep", "1.0")

        def cut_a_waiting_client() -> None:
            wait_for(lambda: host.server.calls["Receive"] == 1, 5.0, "the call")
            host.server.cut()

        cut = threading.Thread(target=cut_a_waiting_client)
        cut.start()
        with pytest.raises(LOST):
            client.get_command_output_raw(shell, command)
        cut.join()
        wait_for(lambda: host.processes.ended == [end], 5.0, "the end of the process")


def test_a_fault_strikes_the_nth_call_that_fits_and_no_other(tmp_path):
    plan = Faults()
    with door(tmp_path, "hv-a", faults=plan) as a, door(tmp_path, "hv-b", faults=plan) as b:
        plan.load(
            [
                {
                    "action": "error_before",
                    "call": "Send",
                    "host": "hv-b",
                    "script": "act\n.*web",
                    "nth": 2,
                    "status": 500,
                },
                {"action": "error_before", "call": "Create", "user": "CORP\\anna", "status": 503, "count": 0},
            ]
        )
        with a.shell() as (on_a, shell_a), b.shell() as (on_b, shell_b):
            for dummy in range(3):
                run(on_a, shell_a, "act", stdin=b"web")
                run(on_b, shell_b, "act", stdin=b"mail")
            run(on_b, shell_b, "act", stdin=b"the web")
            with pytest.raises(WinRMTransportError, match="500"):
                run(on_b, shell_b, "act", stdin=b"the web")
            run(on_b, shell_b, "act", stdin=b"the web")
        for dummy in range(2):
            with pytest.raises(WinRMTransportError, match="503"):
                b.winrm(user=ANNA).open_shell()
        assert [(row["seen"], row["struck"]) for row in plan.rows()] == [(2, 1), (2, 2)]
        plan.clear(plan.rows()[1]["id"])
        assert [row["action"] for row in plan.rows()] == ["error_before"]
        once(b.winrm(user=ANNA), "whoami")


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"action": "explode"}, "unknown action 'explode'"),
        ({}, "unknown action None"),
        ({"action": "latency", "status": 500}, "does not know status"),
        ({"action": "latency", "seconds": "1"}, "seconds must be float"),
        ({"action": "quota", "nth": True}, "nth must be int"),
        ({"action": "quota", "nth": 0}, "nth counts from 1"),
        ({"action": "quota", "count": -1}, "count 0 means for ever"),
        ({"action": "quota", "call": "Enumerate"}, "no call Enumerate"),
        ({"action": "quota", "call": "Connect"}, "quota cannot strike Connect"),
        ({"action": "drop_after", "call": "Create|Authenticate"}, "drop_after cannot strike Authenticate"),
        ({"action": "refuse", "call": "Create"}, "refuse strikes Connect alone"),
        ({"action": "drop_before", "script": "("}, "is no regular expression"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused_whole(row, why):
    plan = Faults()
    with pytest.raises(BadFault, match=why):
        plan.load([{"action": "quota"}, row])
    assert plan.rows() == []


def test_the_end_of_a_host_says_what_did_not_end(monkeypatch, tmp_path):
    def deaf(request):
        held.wait(10)
        raise RuntimeError("late")

    held = threading.Event()
    monkeypatch.setattr("ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.server.END_S", 0.2)
    server = Server("hv-deaf", deaf, EVERYBODY)
    server.open()
    client = Door(server, Processes(), tmp_path).winrm()
    client.run_command(client.open_shell(), "x")
    with pytest.raises(RuntimeError, match="hv-deaf did not come to its end"):
        server.end()
    held.set()
    wait_for(lambda: not threads_of("hv-deaf"), 5.0, "the end of its threads")


def test_a_port_that_was_given_back_refuses():
    server = Server("hv-a", Processes(), EVERYBODY)
    with pytest.raises(requests.ConnectionError, match="refused"):
        requests.post(server.url, timeout=2)
    server.open()
    assert requests.post(server.url, timeout=2).status_code == 401
    server.end()
    with pytest.raises(requests.ConnectionError, match="refused"):
        requests.post(server.url, timeout=2)
