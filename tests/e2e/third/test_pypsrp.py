# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pypsrp's execute_cmd, without a line of ours round it: a technician's own failover, step by step, on the twin's hosts.

Its scripts are Microsoft's published sequences, each command on the host that it is local to, and none of the provider's text.
"""

from __future__ import annotations

import base64
import json
import re
import typing as t
from collections.abc import Iterator

import pytest
from pypsrp.client import Client
from pypsrp.exceptions import AuthenticationError, WinRMTransportError

from ansible_collections.ferragosto.dr.tests.e2e.hv_kit import AWAY, HOME, machine
from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench

QUIET = "$ErrorActionPreference = 'Stop'\n$ProgressPreference = 'SilentlyContinue'\n"
STATE = "$r = Get-VMReplication -VMName 'solo'\n[string]$r.ReplicationMode + ' ' + [string]$r.ReplicationState\n"


class Desk:
    """A colleague's machine: one pypsrp client for each host."""

    def __init__(self, bench: Bench, **login: t.Any) -> None:
        self.bench = bench
        self._login = login
        self._clients: dict[str, Client] = {}

    def end(self) -> None:
        for client in self._clients.values():
            client.close()

    def run(self, node: str, *lines: str) -> tuple[str, str, int]:
        """Run a script; return what it printed, its errors in plain words, and the exit code."""
        script = QUIET + "\n".join(lines)
        encoded = base64.b64encode(script.encode("utf-16-le")).decode()
        words = f"powershell.exe -NoProfile -NonInteractive -EncodedCommand {encoded}"
        out, error, code = self.client(node).execute_cmd(words)
        return out.strip(), _plain(error), code

    def done(self, node: str, *lines: str) -> str:
        out, error, code = self.run(node, *lines)
        assert (error, code) == ("", 0)
        return out

    def refused(self, node: str, *lines: str) -> str:
        out, error, code = self.run(node, *lines)
        assert code == 1, out
        assert error
        return error

    def states(self) -> tuple[str, str]:
        return self.done(HOME, STATE), self.done(AWAY, STATE)

    def client(self, node: str) -> Client:
        if node not in self._clients:
            lab = self.bench.lab
            host, port = lab.doors.endpoint(node, "https")
            given = {
                "username": lab.user,
                "password": lab.password,
                "ssl": True,
                "auth": "ntlm",
                "port": port,
                "cert_validation": str(lab.ca_path),
                "no_proxy": True,
            }
            self._clients[node] = Client(host, **(given | self._login))
        return self._clients[node]


@pytest.fixture
def desk(hv: Bench) -> Iterator[Desk]:
    desk = Desk(hv)
    yield desk
    desk.end()


def test_who_is_not_known_is_not_let_in(hv: Bench) -> None:
    with pytest.raises((AuthenticationError, WinRMTransportError)):
        Desk(hv, password="of-another-site").done(HOME, "(Get-VM).Count")
    with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
        Desk(hv, cert_validation=True).done(HOME, "(Get-VM).Count")


def test_planned_failover_goes_step_by_step_and_takes_every_write_along(desk: Desk) -> None:
    bench = desk.bench
    assert desk.states() == ("Primary Replicating", "Replica Replicating")
    desk.done(HOME, "Stop-VM -Name 'solo' -Force")
    written = bench.copy("solo", "production")["data"]
    desk.done(HOME, "Start-VMFailover -VMName 'solo' -Prepare -Confirm:$false")
    assert desk.states() == ("Primary PreparedForFailover", "Replica Replicating"), "B cannot see that A is prepared"
    assert desk.refused(HOME, "Start-VM -Name 'solo'"), "it is locked"
    desk.done(AWAY, "Start-VMFailover -VMName 'solo' -Confirm:$false")
    assert desk.states() == ("Primary PreparedForFailover", "Replica FailedOverWaitingCompletion")
    thumbprint = bench.site()["replica"]["replica_thumbprint"]
    assert desk.refused(AWAY, f"Set-VMReplication -VMName 'solo' -Reverse -ReplicaServerName '{HOME}'"), "no thumbprint"
    desk.done(
        AWAY,
        f"Set-VMReplication -VMName 'solo' -Reverse -ReplicaServerName '{HOME}' -CertificateThumbprint '{thumbprint}'",
    )
    assert desk.states() == ("Replica Replicating", "Primary Replicating")
    desk.done(
        AWAY,
        "Get-VMNetworkAdapter -VMName 'solo' | Connect-VMNetworkAdapter -SwitchName 'VM Network'",
        "Start-VM -Name 'solo'",
    )
    bench.await_serving("solo", "replica")
    served = bench.lab.world.serving_copy("solo")
    assert served.host == AWAY
    assert bench.lab.world.data_of(served).generation >= written["generation"]
    assert bench.control.accidents() == []


def test_unplanned_failover_to_last_nights_point_is_cancelled_and_completed(desk: Desk) -> None:
    bench = desk.bench
    bench.control.corrupt("solo", since_s=3600)
    desk.done(HOME, "Stop-VM -Name 'solo' -TurnOff -Force")
    begin = (
        "$kinds = @('Replica', 'AppConsistentReplica', 'SyncedReplica')",
        "$points = @(Get-VMSnapshot -VMName 'solo' | Where-Object { [string]$_.SnapshotType -in $kinds })",
        "$newest = $points | Sort-Object -Property CreationTime | Select-Object -Last 1",
        "$newest | Start-VMFailover -Confirm:$false",
        "Start-VM -Name 'solo'",
    )
    desk.done(AWAY, *begin)
    assert desk.states()[1] == "Replica FailedOverWaitingCompletion"
    desk.done(AWAY, "Stop-VMFailover -VMName 'solo'")
    assert desk.states()[1] == "Replica Replicating"
    assert machine(bench, "solo", AWAY).state == "Off", "it turns the VM off and drops what it wrote"
    desk.done(
        AWAY,
        *begin,
        "Get-VMNetworkAdapter -VMName 'solo' | Connect-VMNetworkAdapter -SwitchName 'VM Network'",
    )
    bench.await_serving("solo", "replica")
    desk.done(AWAY, "Complete-VMFailover -VMName 'solo' -Confirm:$false")
    assert desk.states()[1] == "Replica FailedOver"
    count = "@(Get-VMSnapshot -VMName 'solo').Count"
    assert desk.done(AWAY, count) == "0", "complete lets the other points go"
    desk.done(HOME, "Set-VMReplication -VMName 'solo' -AsReplica")
    assert desk.states()[0] == "Replica WaitingForInitialReplication"
    # What a person did by hand our own card takes for what it is, and begins nothing over it
    card = bench.card("solo")
    assert card["state"] == "found_running"
    assert not card["decision"]["is_go"]


@pytest.mark.parametrize(
    ("node", "line", "words"),
    [
        (AWAY, "Start-VMFailover -VMName 'solo'", "NonInteractive mode"),
        (HOME, "Start-VMFailover -VMName 'solo' -Prepare -Confirm:$false", "InvalidOperation|current state"),
        (AWAY, "Stop-VMFailover -VMName 'solo'", "."),
        (AWAY, "Complete-VMFailover -VMName 'solo' -Confirm:$false", "."),
        (HOME, "Resume-VMReplication -VMName 'solo'", "valid replication state"),
        (HOME, "Get-VM -Name 'sola'", "unable to find a virtual machine"),
    ],
)
def test_what_the_state_does_not_allow_is_refused_and_changes_nothing(
    desk: Desk, node: str, line: str, words: str
) -> None:
    before = desk.bench.shown("solo")
    assert re.search(words, desk.refused(node, line))
    assert desk.bench.shown("solo") == before


def test_names_and_answers_of_any_script_come_through_as_they_are(desk: Desk) -> None:
    (odd,) = (wish.vm for wish in desk.bench.lab.wish.vms if "{{" in wish.vm)
    guid = machine(desk.bench, odd, HOME).key
    told = desk.done(
        HOME,
        f"$vm = Get-VM -Id '{guid}'",
        "$utf8 = New-Object -TypeName System.Text.UTF8Encoding -ArgumentList $false",
        "$json = ConvertTo-Json -InputObject ([ordered]@{",
        "    name = [string]$vm.Name",
        "    state = [string]$vm.State",
        "}) -Compress",
        "[Convert]::ToBase64String($utf8.GetBytes($json))",
    )
    assert json.loads(base64.b64decode(told)) == {"name": odd, "state": "Running"}


def test_errors_are_said_in_the_language_of_the_host(desk: Desk) -> None:
    english = desk.refused(HOME, "Resume-VMReplication -VMName 'solo'")
    desk.bench.control.culture("de-DE")
    german = desk.refused(HOME, "Resume-VMReplication -VMName 'solo'")
    assert german != english


def _plain(error: str) -> str:
    """Return the words of an error stream: PowerShell writes CLIXML there when it is started with -EncodedCommand."""
    if not error.startswith("#< CLIXML"):
        return error.strip()
    return "".join(re.findall(r'<S S="Error">(.*?)</S>', error, re.DOTALL)).replace("_x000D__x000A_", " ").strip()
