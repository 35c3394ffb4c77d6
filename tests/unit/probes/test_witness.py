# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A witness says alive or off only when something told it so; everything else is silence."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.checks import WitnessSpec, read_witnesses
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import WitnessSays
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.witness import ask, ask_witnesses
from ansible_collections.ferragosto.dr.tests.unit.probes.servers import (
    Board,
    Certificates,
    Reply,
    Server,
    closed_port,
    listening,
    serving,
)


@contextmanager
def board(state: Board, certificates: Certificates) -> Iterator[Server]:
    with serving(state.reply, tls=certificates.context()) as server:
        yield server


def spec(server: Server, certificates: Certificates, **more: object) -> WitnessSpec:
    words = {"user": "dr", "password": "s3cret", "ca_path": certificates.ca_path, "timeout": 2}
    (read,) = read_witnesses([{"redfish": f"{server.host}:{server.port}", **words, **more}])
    return read


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("Off", WitnessSays.OFF),
        ("On", WitnessSays.ALIVE),
        ("PoweringOn", WitnessSays.ALIVE),
        ("PoweringOff", WitnessSays.ALIVE),
        ("Paused", WitnessSays.ALIVE),
        ("off", WitnessSays.SILENT),
        (None, WitnessSays.SILENT),
        (0, WitnessSays.SILENT),
        ({"Off": 1}, WitnessSays.SILENT),
    ],
)
def test_only_the_words_of_the_standard_are_believed(
    state: object, says: WitnessSays, certificates: Certificates
) -> None:
    with board(Board(power={"1": state}), certificates) as server:
        witness = ask(spec(server, certificates))
    assert witness.says is says
    assert witness.name == f"redfish 127.0.0.1:{server.port}"
    assert "host-1" in witness.detail


def test_a_board_without_basic_authentication_is_asked_by_session_and_the_session_is_closed(
    certificates: Certificates,
) -> None:
    state = Board(power={"1": "Off"}, takes_basic=False)
    with board(state, certificates) as server:
        assert ask(spec(server, certificates)).says is WitnessSays.OFF
    assert (state.opened, state.sessions) == (1, set())


def test_of_several_systems_one_must_be_named(certificates: Certificates) -> None:
    with board(Board(power={"1": "Off", "2": "On"}), certificates) as server:
        witness = ask(spec(server, certificates))
        assert witness.says is WitnessSays.SILENT
        assert "2 systems (1, 2), not one: name one with 'system'" in witness.detail
        assert ask(spec(server, certificates, system="1")).says is WitnessSays.OFF
        assert ask(spec(server, certificates, system="2")).says is WitnessSays.ALIVE
        missing = ask(spec(server, certificates, system="3"))
        assert (missing.says, "status 404" in missing.detail) == (WitnessSays.SILENT, True)


@pytest.mark.parametrize("takes_sessions", [True, False])
def test_a_wrong_password_is_silence_and_stays_secret(takes_sessions: bool, certificates: Certificates) -> None:
    with board(Board(power={"1": "Off"}, takes_sessions=takes_sessions), certificates) as server:
        witness = ask(spec(server, certificates, password="wr0ng"))
    assert witness.says is WitnessSays.SILENT
    assert "refuses the account" in witness.detail
    assert "wr0ng" not in repr(witness)


def test_an_account_is_never_sent_to_a_foreign_board(tmp_path: Path, certificates: Certificates) -> None:
    foreign = Certificates(tmp_path)
    with board(Board(power={"1": "Off"}), foreign) as server:
        witness = ask(spec(server, certificates))
        pinned = ask(spec(server, certificates, ca_path=None, tls_fingerprint=certificates.fingerprint()))
    assert (witness.says, pinned.says) == (WitnessSays.SILENT, WitnessSays.SILENT)
    assert "certificate is not trusted" in witness.detail
    assert "certificate is another one" in pinned.detail
    assert server.asked == []


def test_a_pinned_board_is_believed(certificates: Certificates) -> None:
    with board(Board(power={"1": "Off"}), certificates) as server:
        witness = ask(spec(server, certificates, ca_path=None, tls_fingerprint=certificates.fingerprint()))
    assert witness.says is WitnessSays.OFF


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        (Reply(status=302, headers={"Location": "https://other.example/redfish"}), "redirects to another host"),
        (Reply(status=500), "status 500"),
        (Reply(body=b"<html>"), "not a JSON object"),
        (Reply(body=b"[]"), "not a JSON object"),
        (Reply(body=b"{}"), "0 systems (none)"),
        (Reply(body=b'{"Members": [{"@odata.id": "https://other/1"}]}'), "not a path of its own"),
        (Reply(body=b'{"Members": [7, {"@odata.id": 8}]}'), "0 systems"),
    ],
)
def test_a_board_that_answers_strangely_is_silent(reply: Reply, detail: str, certificates: Certificates) -> None:
    with serving(lambda asked: reply, tls=certificates.context()) as server:
        witness = ask(spec(server, certificates))
    assert witness.says is WitnessSays.SILENT
    assert detail in witness.detail


def test_tcp_takes_a_refusal_for_life_and_silence_for_nothing() -> None:
    with listening() as port:
        assert ask(WitnessSpec(kind="tcp", host="127.0.0.1", port=port)).says is WitnessSays.ALIVE
    refused = ask(WitnessSpec(kind="tcp", host="127.0.0.1", port=closed_port()))
    assert (refused.says, refused.detail) == (WitnessSays.ALIVE, "connection refused")
    unknown = ask(WitnessSpec(kind="tcp", host="no-such-host.invalid", port=22, timeout_s=2))
    assert unknown.says is WitnessSays.SILENT


def test_no_ping_command_is_said_and_proves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    witness = ask(WitnessSpec(kind="ping", host="127.0.0.1"))
    assert (witness.says, witness.name) == (WitnessSays.SILENT, "ping 127.0.0.1")
    assert "no ping command" in witness.detail


@pytest.mark.parametrize(
    ("ends", "says", "detail"),
    [
        ("exit 0", WitnessSays.ALIVE, "it echoes"),
        ("exit 1", WitnessSays.SILENT, "no echo in 1 s"),
        ("echo 'ping: x: Name or service not known' >&2; exit 2", WitnessSays.SILENT, "Name or service not known"),
        ("exec /bin/sleep 9", WitnessSays.SILENT, "no echo in 1 s"),
    ],
)
def test_ping_is_believed_by_its_exit_code(
    ends: str, says: WitnessSays, detail: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "ping"
    program.write_text(f'#!/bin/sh\nprintf "%s " "$@" > {tmp_path}/asked\n{ends}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    witness = ask(WitnessSpec(kind="ping", host="10.0.0.1", timeout_s=1))
    assert witness.says is says
    assert detail in witness.detail
    assert (tmp_path / "asked").read_text() == "-n -c 1 -W 1 10.0.0.1 "


def test_all_witnesses_are_asked_at_once_and_a_slow_one_is_not_waited_for() -> None:
    with serving(lambda asked: Reply(delay_s=3.0)) as slow, listening() as port:
        specs = (
            WitnessSpec(kind="redfish", host="127.0.0.1", port=slow.port, timeout_s=0.2),
            WitnessSpec(kind="tcp", host="127.0.0.1", port=port, timeout_s=0.2),
        )
        started = time.monotonic()
        silent, alive = ask_witnesses(specs)
        assert time.monotonic() - started < 2.5
    assert (silent.says, alive.says) == (WitnessSays.SILENT, WitnessSays.ALIVE)
    assert ask_witnesses(()) == ()
