# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WinRS shells and processes, by the real clients: input, output, limits, ends."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import pytest
import requests
from pypsrp.exceptions import WSManFaultError as PypsrpFault
from pypsrp.powershell import RunspacePool
from pypsrp.shell import Process, SignalCode, WinRS
from winrm.exceptions import WinRMOperationTimeoutError, WinRMTransportError, WSManFaultError

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.executor import split_command_line
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.shells import Limits
from ansible_collections.ferragosto.dr.extensions.twin.lab import wait_for
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.wsman.wire_kit import ANNA, begin, door, run

NO_SUCH_SHELL = 2150858843


def test_input_goes_and_comes_back_whole_in_chunks(tmp_path):
    story = ("Città di Castello 日本 Ж " * 700).encode()
    assert len(story) > 20_000
    with door(tmp_path) as host, host.shell() as (client, shell):
        command = begin(client, shell, "cat")
        for at in range(0, len(story), 7001):  # cuts characters too
            client.send_command_input(shell, command, story[at : at + 7001], end=at + 7001 >= len(story))
        assert client.get_command_output(shell, command) == (story, b"", 0)


def test_input_of_the_providers_largest_chunk_fits(tmp_path):
    chunk = bytes(range(256)) * (200_000 // 256)
    with door(tmp_path) as host, host.shell() as (client, shell):
        assert run(client, shell, "cat", stdin=chunk) == (chunk, b"", 0)


def test_a_warm_shell_costs_four_requests_a_process(tmp_path):
    with door(tmp_path) as host, host.shell() as (client, shell):
        host.server.calls.clear()
        run(client, shell, "cat", stdin=b"x")
        assert host.server.calls == {"Command": 1, "Send": 1, "Receive": 1, "Signal": 1}


def test_requests_are_told_by_their_kind(tmp_path):
    told: list[str] = []
    with door(tmp_path, count=told.append) as host, host.shell() as (client, shell):
        run(client, shell, "cat")
    kinds = ["Authenticate"] * 3 + ["Create", "Command", "Send", "Receive", "Signal", "Delete"]
    assert told == kinds


def test_the_second_client_runs_commands_too(tmp_path):
    with door(tmp_path) as host, host.pypsrp() as client:
        assert client.execute_cmd("echo one two") == ("one two\r\n", "", 0)
        assert client.execute_cmd("exit 3") == ("", "bad news", 3)
        assert client.execute_cmd("whoami") == ("luca", "", 0)


def test_the_second_client_learns_how_large_an_envelope_may_be(tmp_path):
    with door(tmp_path, limits=Limits(max_envelope_kb=750)) as host, host.pypsrp() as client:
        client.wsman.update_max_payload_size()
        assert client.wsman.max_envelope_size == 750 * 1024


def test_what_a_client_sets_for_its_shell_reaches_the_process(tmp_path):
    with door(tmp_path) as host:
        client = host.winrm()
        shell = client.open_shell(
            working_directory="C:\\dr",
            env_vars={"A": "1", "B": "ü"},
            noprofile=True,
            codepage=65001,
            idle_timeout="PT90S",
        )
        run(client, shell, "cat", '"a b"')
        plain = client.open_shell()
        client.get_command_output(plain, client.run_command(plain, "whoami"))
        first, second = host.processes.begun
        assert (first.host, first.user, first.argv, first.codepage) == ("hv-milano", "luca", ("cat", "a b"), 65001)
        assert (first.working_directory, first.environment) == ("C:\\dr", {"A": "1", "B": "ü"})
        assert (first.has_profile, first.is_under_cmd) == (False, False)
        assert (second.has_profile, second.is_under_cmd, second.codepage) == (True, True, 437)
        assert [s.idle_s for s in host.server.shells.all()] == [90.0, 7200.0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a  b\tc", ("a", "b", "c")),
        ('"C:\\Program Files\\x.exe" -f', ("C:\\Program Files\\x.exe", "-f")),
        ('a"b c"d', ("ab cd",)),
        ('"a\\"b"', ('a"b',)),
        ('a\\\\\\"b c', ('a\\"b', "c")),
        ('"a\\\\" b', ("a\\", "b")),
        ("C:\\x\\ y", ("C:\\x\\", "y")),
        ('"" x', ("", "x")),
        ("", ()),
    ],
)
def test_a_command_line_is_split_as_windows_does(line, words):
    assert split_command_line(line) == words


@pytest.mark.parametrize(
    ("length", "skip_cmd_shell", "answer"),
    [
        (8191, False, "ran"),
        (8192, False, "cmd says no"),
        (8192, True, "ran"),
        (32767, True, "ran"),
        (32768, True, "no process"),
    ],
)
def test_a_command_line_has_a_limit(tmp_path, length, skip_cmd_shell, answer):
    words = "x" * (length - len("echo "))
    with door(tmp_path) as host, host.shell() as (client, shell):
        if answer == "no process":
            with pytest.raises(WSManFaultError) as refused:
                begin(client, shell, "echo", words, skip_cmd_shell=skip_cmd_shell)
            assert refused.value.wsman_fault_code == 0x800700CE
        else:
            command = begin(client, shell, "echo", words, skip_cmd_shell=skip_cmd_shell)
            outcome = client.get_command_output(shell, command)
            assert outcome == (
                (words.encode() + b"\r\n", b"", 0)
                if answer == "ran"
                else (b"", b"The command line is too long.\r\n", 1)
            )
        assert len(host.processes.begun) == (answer == "ran")


def test_a_command_of_nothing_is_refused(tmp_path):
    with door(tmp_path) as host, host.shell() as (client, shell), pytest.raises(WSManFaultError) as refused:
        client.run_command(shell, " ")
    assert refused.value.wsman_fault_code == 87


@pytest.mark.parametrize("is_tls", [False, True])
def test_an_oversized_request_is_refused(tmp_path, is_tls):
    with door(tmp_path, is_tls=is_tls) as host, host.shell() as (client, shell):
        command = begin(client, shell, "cat")
        with pytest.raises(WinRMTransportError, match="413"):
            client.send_command_input(
                shell, command, b"x" * 400_000, end=True
            )  # 533,336 of base64; 512,000 are allowed
        client.send_command_input(shell, command, b"small", end=True)
        assert client.get_command_output(shell, command)[0] == b"small"


def test_output_beyond_the_clients_envelope_comes_in_pieces(tmp_path):
    with door(tmp_path) as host, host.shell() as (client, shell):
        host.server.calls.clear()
        command = begin(client, shell, "big", "400000")
        assert client.get_command_output(shell, command) == (b"x" * 400_000, b"y" * 10, 0)
        assert host.server.calls["Receive"] == 4  # of 153,600 each, base64


def test_a_process_that_is_silent_lets_the_operation_time_out(tmp_path):
    with door(tmp_path) as host, host.shell(host.winrm(operation_timeout_sec=1)) as (client, shell):
        command = begin(client, shell, "act")  # silent until its input ends
        asked_s = time.monotonic()
        with pytest.raises(WinRMOperationTimeoutError):
            client.get_command_output_raw(shell, command)
        assert 0.9 < time.monotonic() - asked_s < 6.0
        client.send_command_input(shell, command, b"web", end=True)
        assert client.get_command_output(shell, command) == (b"done web", b"", 0)
        assert host.server.calls["Receive"] == 2


def test_terminating_a_process_ends_it_and_forgets_it(tmp_path):
    with door(tmp_path) as host, host.shell() as (client, shell):
        command = begin(client, shell, "sleep", "30")
        client.cleanup_command(shell, command)
        wait_for(lambda: host.processes.ended == ["sleep stopped"], 5.0, "the end of the process")
        with pytest.raises(WSManFaultError) as gone:
            client.get_command_output_raw(shell, command)
        assert gone.value.wsman_fault_code == NO_SUCH_SHELL
        assert "command identifier that does not exist" in gone.value.response


def test_a_process_terminated_before_its_input_does_nothing(tmp_path):
    with door(tmp_path) as host, host.shell() as (client, shell):
        command = begin(client, shell, "act")
        client.send_command_input(shell, command, b"half of", end=False)
        client.cleanup_command(shell, command)
        assert run(client, shell, "cat", stdin=b"next")[0] == b"next"
        assert host.processes.ended == []
        assert host.server.failures == []


def test_a_waiting_client_hears_that_its_process_was_terminated(tmp_path):
    with door(tmp_path) as host, host.shell() as (client, shell):
        command = begin(client, shell, "sleep", "30")
        other = host.winrm()
        killer = threading.Timer(0.3, lambda: other.cleanup_command(shell, command))
        killer.start()
        with pytest.raises(WSManFaultError) as aborted:
            client.get_command_output_raw(shell, command)
        killer.join()
        assert aborted.value.wsman_fault_code == 995


def test_ctrl_c_leaves_an_exit_code_to_be_read(tmp_path):
    with door(tmp_path) as host, host.pypsrp() as client, WinRS(client.wsman) as shell:
        process = Process(shell, "cat")
        process.begin_invoke()
        process.signal(SignalCode.CTRL_C)
        process.end_invoke()
        assert process.rc == 0xC000013A
        process.signal(SignalCode.CTRL_C)


def test_deleting_a_shell_ends_its_processes(tmp_path):
    with door(tmp_path) as host:
        with host.shell() as (client, shell):
            begin(client, shell, "sleep", "30")
            begin(client, shell, "sleep", "30")
        wait_for(lambda: host.processes.ended == ["sleep stopped"] * 2, 5.0, "the end of both")
        with pytest.raises(WSManFaultError) as gone:
            host.winrm().run_command(shell, "echo")
        assert gone.value.wsman_fault_code == NO_SUCH_SHELL
        assert f"ShellId {shell} failed because the shell was not found" in gone.value.response


def test_a_shell_that_never_was_is_not_found(tmp_path):
    with door(tmp_path) as host:
        client = host.winrm()
        for ask in (
            lambda: client.run_command(str(uuid.uuid4()), "echo"),
            lambda: client.close_shell(str(uuid.uuid4()), close_session=False),
            lambda: client.get_command_output(str(uuid.uuid4()), str(uuid.uuid4())),
        ):
            with pytest.raises(WSManFaultError) as gone:
                ask()
            assert (gone.value.wsman_fault_code, gone.value.fault_subcode) == (NO_SUCH_SHELL, "w:InvalidSelectors")


def test_a_shell_belongs_to_its_user(tmp_path):
    with door(tmp_path) as host:
        shell = host.winrm().open_shell()
        with pytest.raises(WSManFaultError) as denied:
            host.winrm(user=ANNA).run_command(shell, "echo")
    assert denied.value.wsman_fault_code == 5


def test_a_user_may_have_so_many_shells(tmp_path):
    with door(tmp_path, limits=Limits(max_shells_per_user=2)) as host:
        client = host.winrm()
        first, second = client.open_shell(), client.open_shell()
        with pytest.raises(WSManFaultError) as full:
            client.open_shell()
        assert (full.value.wsman_fault_code, full.value.fault_subcode) == (0x803381A5, "w:QuotaLimit")
        assert "maximum number of 2 concurrent shells" in full.value.response
        host.winrm(user=ANNA).open_shell()
        client.close_shell(first, close_session=False)
        assert client.open_shell() not in (first, second)


def test_a_users_operations_run_out_until_the_shell_is_made_anew(tmp_path):
    """Windows gives a finished command's operation back with its shell only; ansible-core works around it."""
    with door(tmp_path, limits=Limits(max_operations_per_user=3)) as host:
        client = host.winrm()
        shell = client.open_shell()
        for dummy in range(3):
            run(client, shell, "cat")
        with pytest.raises(WSManFaultError) as full:
            begin(client, shell, "cat")
        assert (full.value.wmierror_code, full.value.wsman_fault_code) == (0x803381A6, None)
        client.close_shell(shell, close_session=False)
        shell_anew = client.open_shell()
        assert run(client, shell_anew, "cat", stdin=b"on")[0] == b"on"


def test_a_shell_may_have_so_many_processes(tmp_path):
    with door(tmp_path, limits=Limits(max_processes_per_shell=1)) as host, host.shell() as (client, shell):
        command = begin(client, shell, "cat")
        with pytest.raises(WSManFaultError) as full:
            begin(client, shell, "cat")
        assert full.value.wsman_fault_code == 2150859241
        client.cleanup_command(shell, command)
        wait_for(
            lambda: not any(c.is_running for s in host.server.shells.all() for c in s.commands.values()),
            5.0,
            "the end of every process",
        )
        assert run(client, shell, "cat", stdin=b"on")[0] == b"on"


def test_an_idle_shell_is_gone(tmp_path):
    now_s = [0.0]
    with door(tmp_path, now_s=lambda: now_s[0]) as host:
        client = host.winrm()
        short, long = client.open_shell(idle_timeout="PT60S"), client.open_shell()
        begin(client, short, "sleep", "30")
        now_s[0] = 60.0
        begin(client, short, "echo")  # used: its time begins anew
        now_s[0] = 120.0
        begin(client, short, "echo")
        now_s[0] = 180.5
        with pytest.raises(WSManFaultError) as gone:
            begin(client, short, "echo")
        assert gone.value.wsman_fault_code == NO_SUCH_SHELL
        begin(client, long, "echo")
        wait_for(lambda: "sleep stopped" in host.processes.ended, 5.0, "the end of the process")


def test_a_process_that_has_told_its_end_has_no_more_to_say(tmp_path):
    with door(tmp_path) as host, host.shell() as (client, shell):
        command = begin(client, shell, "whoami")
        assert client.get_command_output(shell, command) == (b"luca", b"", 0)
        with pytest.raises(WSManFaultError) as gone:
            client.get_command_output(shell, command)
        assert gone.value.wsman_fault_code == NO_SUCH_SHELL
        client.cleanup_command(shell, command)


def test_a_process_takes_no_input_after_its_end(tmp_path):
    with door(tmp_path) as host, host.shell() as (client, shell):
        command = begin(client, shell, "cat")
        client.send_command_input(shell, command, b"all", end=True)
        with pytest.raises(WSManFaultError) as closed:
            client.send_command_input(shell, command, b"more", end=True)
        assert closed.value.wsman_fault_code == 0x800700E8


def test_a_broken_twin_is_told_and_kept(tmp_path):
    with door(tmp_path) as host, host.shell() as (client, shell):
        assert run_without_input(client, shell, "nonsense") == (
            b"",
            b"the twin broke down: no such command: nonsense\r\n",
            70,
        )
        assert [str(failure) for failure in host.server.failures] == ["no such command: nonsense"]


def test_what_the_twin_does_not_serve_is_refused_with_a_fault(tmp_path):
    with door(tmp_path) as host, host.pypsrp() as client:
        with pytest.raises(PypsrpFault) as refused:
            RunspacePool(client.wsman).open()
        assert refused.value.code == 2150858811
        with pytest.raises(PypsrpFault) as refused:
            client.wsman.enumerate("http://schemas.microsoft.com/wbem/wsman/1/windows/shell")
        assert refused.value.code == 2150858771
        with pytest.raises(PypsrpFault) as refused:
            client.wsman.get("http://schemas.microsoft.com/wbem/wsman/1/config", timeout=-1)
        assert refused.value.code == 2150858767


def test_a_bug_of_the_service_itself_is_kept_for_the_lab(tmp_path, monkeypatch):
    with door(tmp_path) as host, host.shell() as (client, shell):
        monkeypatch.setattr(host.server.shells, "start", lambda shell, call: 1 // 0)
        with pytest.raises(requests.ConnectionError):
            begin(client, shell, "echo")
        monkeypatch.undo()
        assert [type(failure) for failure in host.server.failures] == [ZeroDivisionError]
        client.transport.close_session()
        client.transport.encryption = None


def test_text_that_is_no_envelope_is_refused_with_a_fault(tmp_path):
    with door(tmp_path) as host:
        client = host.winrm()
        for text in ("<broken", "<a/>"):
            with pytest.raises(WSManFaultError) as refused:
                client.send_message(text)
            assert refused.value.wsman_fault_code == 2150858819
        assert host.server.calls["Unreadable"] == 2


def test_a_shell_tells_about_itself(tmp_path):
    with door(tmp_path) as host, host.pypsrp(user=ANNA) as client:
        shell: Any = WinRS(
            client.wsman, codepage=65001, idle_time_out=120, environment={"a<b": '"1"'}, working_directory="C:\\dr & co"
        )
        shell.open()
        assert (shell.owner, shell.client_ip, shell.idle_time_out) == ("CORP\\anna", "127.0.0.1", "PT120.000S")
        told = shell._get_shell()
        assert (told["ShellId"], told["Owner"], told["WorkingDirectory"]) == (shell.id, "CORP\\anna", "C:\\dr & co")
        assert host.server.shells.all()[0].environment == {"a<b": '"1"'}
        shell.close()


def run_without_input(client, shell, command):
    command_id = begin(client, shell, command)
    return client.get_command_output(shell, command_id)
