# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Hyper-V lab of a client: what its overlay says, what its hosts show, what befalls it, and what the world makes of that."""

from __future__ import annotations

import datetime as dt
import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import winrm.exceptions

from ansible_collections.ferragosto.dr.extensions.twin import overlay
from ansible_collections.ferragosto.dr.extensions.twin.hyperv import processes
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.lab import HypervLab
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.processes import is_changing
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.executor import Request, Said
from ansible_collections.ferragosto.dr.extensions.twin.inventory import BadInventory
from ansible_collections.ferragosto.dr.extensions.twin.lab import LabRunning, wait_for
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Role
from ansible_collections.ferragosto.dr.tests.unit.twin.lab_kit import (
    LUCA,
    QUICK,
    ROOT,
    VERDI,
    await_page,
    inventory_of,
    page,
)
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.lab_kit import lines, run, session, words

NAMES = "Get-VM | ForEach-Object { $_.Name }"
STATES = "Get-VM | ForEach-Object { [string]$_.State }"
HOSTS = ("hv1.verdi.example", "hv2.verdi.example")
VMS = {"dominio", "gestionale", "centralino"}


def of(vm: str, what: str) -> str:
    return f"$vm = Get-VM -Name '{vm}'\n{what}"


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HypervLab]:
    with HypervLab.start(VERDI, timing=QUICK, state_dir=tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: HypervLab) -> Iterator[HypervLab]:
    shared_lab.reset()
    yield shared_lab
    assert shared_lab.simulator_errors == []


# --- overlay ---------------------------------------------------------------------------------------------------------


def test_the_overlay_says_how_to_reach_both_hosts_and_only_its_owner_may_read_it(shared_lab: HypervLab) -> None:
    plain = inventory_of("gestionale.verdi", VERDI)
    shown = inventory_of("gestionale.verdi", VERDI, shared_lab.overlay_path)
    assert {key for key in shown if shown[key] != plain.get(key)} == {"dr_site", "dr_checks"}
    production, replica = shown["dr_site"]["production"], shown["dr_site"]["replica"]
    assert (shown["dr_site"]["provider"], shown["dr_site"]["name"]) == ("hyperv", plain["dr_site"]["name"])
    assert (production["node"], replica["node"]) == HOSTS
    assert production["api_port"] != replica["api_port"]
    assert production["replica_thumbprint"] != replica["replica_thumbprint"]
    assert (production["winrm_transport"], production["winrm_scheme"]) == ("ntlm", "https")
    for secret in (shared_lab.overlay_path, shared_lab.state_dir / "control-token"):
        assert oct(secret.stat().st_mode & 0o777) == "0o600"


def test_a_client_of_another_platform_loses_what_belongs_there(tmp_path: Path) -> None:
    with HypervLab.start(LUCA, timing=QUICK, state_dir=tmp_path, limit={"gestionale.luca"}) as lab:
        shown = inventory_of("gestionale.luca", LUCA, lab.overlay_path)
        assert shown["dr_replica"] is None
        assert "job_hook" not in shown["dr_policy"]
        (group,) = overlay.read(lab.overlay_path).values()
        assert list(group["hosts"]) == ["gestionale.luca"]
        assert lines(lab, NAMES, "replica") == ["gestionale"]
        said = lab.technician_says()
        assert list(said["dr_accept"]) == ["original_overwritten"]
        assert said["recover_point"].startswith("20")
        assert lab.simulator_errors == []


def test_the_clinic_and_its_odd_name_are_played_too(tmp_path: Path) -> None:
    with HypervLab.start(ROOT / "tests/e2e/clinic.yml", timing=QUICK, state_dir=tmp_path) as lab:
        odd = 'L\'"Über" {{ 7 * 7 }} {# no #} склад 倉庫'
        utf8 = "[Console]::OutputEncoding = [Text.Encoding]::UTF8\n"
        assert odd in lines(lab, utf8 + NAMES)
        here, there = lines(lab, utf8 + NAMES), lines(lab, utf8 + NAMES, "replica")
        assert here.count("twin") == 2
        assert ("lost" in here, "lost" in there) == (True, False)
        found = of("found", "[string]$vm.State; [string]$vm.ReplicationMode; [string]$vm.ReplicationState")
        assert lines(lab, found, "replica") == ["Running", "Replica", "FailedOverWaitingCompletion"]
        assert page(lab, "found")["host"] == "esx2.clinic.example"
        assert (lab.simulator_errors, lab.control.violations()) == ([], [])


# --- what its hosts show ---------------------------------------------------------------------------------------------


def test_the_site_stands_as_the_client_describes_it(lab: HypervLab) -> None:
    assert set(lines(lab, NAMES)) == set(lines(lab, NAMES, "replica")) == VMS
    assert set(lines(lab, STATES)) == {"Running"}
    assert set(lines(lab, STATES, "replica")) == {"Off"}
    shown = "Get-VMReplication | ForEach-Object { [string]$_.ReplicationMode; [string]$_.ReplicationState }"
    assert set(lines(lab, shown)) == {"Primary", "Replicating"}
    assert set(lines(lab, shown, "replica")) == {"Replica", "Replicating"}
    for vm in VMS:
        assert page(lab, vm)["status"] == "ok"


def test_points_and_the_newest_log_are_as_old_as_the_lab_file_says(lab: HypervLab) -> None:
    made = "Get-VMSnapshot -VM $vm | ForEach-Object { $_.CreationTime.ToUniversalTime().ToString('o') }"
    log = "(Get-VMReplication -VM $vm).LastReplicationTime.ToUniversalTime().ToString('o')"
    now_s = time.time()
    points = lines(lab, of("gestionale", made), "replica")
    assert sorted(round((now_s - _seconds(at)) / 3600) for at in points) == [1, 2, 3]
    assert now_s - _seconds(lines(lab, of("gestionale", log), "replica")[0]) == pytest.approx(240, abs=20)


def test_the_page_names_the_copy_by_vm_id_and_host(lab: HypervLab) -> None:
    (vm_id,) = lines(lab, of("gestionale", "[string]$vm.Id"))
    assert page(lab, "gestionale")["copy"] == f"{vm_id}@{HOSTS[0]}"


def test_without_a_word_of_newest_no_cycle_runs_until_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "still.yml").write_text("defaults: {points: [7h, 31h]}\n", encoding="utf-8")
    with HypervLab.start(
        VERDI, tmp_path / "still.yml", timing=QUICK, state_dir=tmp_path / "lab", limit={"dominio.verdi"}
    ) as lab:
        (before,) = {row["newest_log_s"] for row in lab.control.relations()}
        assert time.time() - before == pytest.approx(7 * 3600, abs=20)
        assert lab.fleet.next_due_s() is None
        assert lab.control.replicate("dominio") is True
        assert {row["newest_log_s"] > before + 6 * 3600 for row in lab.control.relations()} == {True}


# --- accounts and doors ----------------------------------------------------------------------------------------------


def test_accounts_see_what_their_rights_allow(lab: HypervLab) -> None:
    assert lines(lab, NAMES, api_user=lab.blind_user) == []
    code, dummy, error = run(lab, NAMES, api_user=lab.denied_user)
    assert (code, "permission" in error) == (1, True)
    with pytest.raises(winrm.exceptions.InvalidCredentialsError):
        run(lab, NAMES, api_password="wrong")
    lab.control.rights(lab.blind_user, "full")
    assert len(lines(lab, NAMES, api_user=lab.blind_user)) == len(VMS)


def test_calls_are_counted_by_cmdlet_and_by_action(lab: HypervLab) -> None:
    lines(lab, of("dominio", "Stop-VM -VM $vm -TurnOff -WhatIf"))
    calls = lab.control.calls()
    assert (calls["Get-VM"], calls["Stop-VM -WhatIf"]) == (1, 1)
    assert (calls["wsman:Create"], calls["wsman:Command"], calls["wsman:Delete"]) == (1, 1, 1)
    assert [call for call in calls if is_changing(call)] == []
    lines(lab, of("dominio", "Stop-VM -VM $vm -TurnOff -Confirm:$false"))
    assert [call for call in lab.control.calls() if is_changing(call)] == ["Stop-VM"]


@pytest.mark.parametrize(
    ("call", "changes"),
    [
        ("Get-VM", False),
        ("Measure-VMReplication", False),
        ("Test-VMReplicationConnection", False),
        ("Invoke-CimMethod", False),
        ("Start-VMFailover -WhatIf", False),
        ("wsman:Command", False),
        ("Start-VMFailover", True),
        ("Set-VM", True),
        ("Connect-VMNetworkAdapter", True),
        ("Remove-VMSavedState", True),
    ],
)
def test_it_is_known_which_counted_calls_change_something(call: str, changes: bool) -> None:
    assert is_changing(call) is changes


def test_what_the_twin_does_not_know_is_a_simulator_error_that_no_script_catches(shared_lab: HypervLab) -> None:
    shared_lab.reset()
    code, out, dummy = run(shared_lab, "try { Get-VMFooBar } catch { 'caught' }")
    assert (code != 0, out) == (True, "")
    (error,) = shared_lab.control.simulator_errors()
    assert "Get-VMFooBar" in error
    shared_lab.reset()
    assert (shared_lab.control.simulator_errors(), shared_lab.past_simulator_errors) == ([], [error])


def test_what_a_process_meets_while_a_reset_ends_it_is_not_forgotten(
    lab: HypervLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def run_to_the_end(fleet: Fleet, request: Request) -> Said:
        begun.set()
        assert request.stop.wait(10)
        fleet.mishaps.append(SimulatorError("met at the end"))
        return Said()

    monkeypatch.setattr(processes, "run", run_to_the_end)
    protocol = session(lab).protocol
    protocol.run_command(protocol.open_shell(), "powershell.exe")
    assert begun.wait(10)
    before = len(lab.past_simulator_errors)
    lab.reset()
    assert lab.past_simulator_errors[before:] == ["met at the end"]


@pytest.mark.parametrize(
    ("scheme", "transport"), [("http", "ntlm"), ("https", "basic"), ("https", "certificate"), ("https", "ntlm")]
)
def test_every_transport_of_a_lab_lets_a_client_in(tmp_path: Path, scheme: str, transport: str) -> None:
    with HypervLab.start(
        VERDI,
        timing=QUICK,
        state_dir=tmp_path,
        limit={"dominio.verdi"},
        scheme=scheme,
        transport=transport,
        auth="kerberos",
        culture="de-DE",
    ) as lab:
        said = words(lab)
        assert (said["winrm_scheme"], said["winrm_transport"], "replica_thumbprint" in said) == (
            scheme,
            transport,
            False,
        )
        assert lines(lab, NAMES) == ["dominio"]
        assert lines(lab, "[string](Get-VMReplication).AuthenticationType") == ["Kerberos"]
        assert lab.simulator_errors == []


def test_endpoints_go_down_and_certificates_change(lab: HypervLab) -> None:
    lab.control.endpoint_down()
    with pytest.raises(requests.exceptions.ConnectionError):
        lines(lab, NAMES)
    assert page(lab, "dominio")["status"] == "ok"
    lab.control.endpoint_up()
    lines(lab, NAMES)
    lab.control.certificate("foreign", HOSTS[0])
    with pytest.raises(requests.exceptions.SSLError):
        lines(lab, NAMES)
    lines(lab, NAMES, "replica")
    lab.control.certificate("good")
    lines(lab, NAMES)


def test_a_rule_strikes_the_calls_about_one_vm_and_is_forgotten_by_a_reset(lab: HypervLab) -> None:
    lab.control.rule("drop_before", "Command", host=HOSTS[1])
    with pytest.raises(requests.exceptions.ConnectionError):
        lines(lab, NAMES, "replica")
    lines(lab, NAMES, "replica")
    assert [rule["struck"] for rule in lab.control.rules()] == [1]
    lab.control.quota(HOSTS[0])
    with pytest.raises(winrm.exceptions.WSManFaultError):
        session(lab).run_ps(NAMES)
    assert lab.control.plan([{"action": "hold_before"}, {"action": "latency", "seconds": 0.1}]) == [3, 4]
    lab.reset()
    assert lab.control.rules() == []


# --- what befalls it -------------------------------------------------------------------------------------------------


def test_the_story_leaves_events_on_the_host_and_rotten_newest_data_on_the_replica(lab: HypervLab) -> None:
    assert lab.control.begin_story() == "gestionale"
    await_page(lab, "gestionale", "")
    wait_for(lambda: lab.control.events(HOSTS[0])[0]["id"] == 18590, 3, "the crash in the worker's log")
    event = next(row for row in lab.control.events(HOSTS[0]) if row["id"] == 18590)
    assert (event["vm"], event["data"][0]) == ("gestionale", "0xD1")
    assert lines(lab, of("gestionale", "[string]$vm.State; [string]$vm.Heartbeat")) == ["Running", "LostCommunication"]
    replica = lab.world.copy_of("gestionale", Role.REPLICA)
    assert replica.data.is_corrupted is True
    assert sorted(data.is_corrupted for data in replica.points.values()) == [False, False, True]
    assert page(lab, "dominio")["status"] == "ok"


def test_a_person_turns_off_starts_saves_and_disconnects(lab: HypervLab) -> None:
    lab.control.power_off("centralino", user="anna")
    assert lines(lab, of("centralino", "[string]$vm.State")) == ["Off"]
    await_page(lab, "centralino", "")
    lab.control.power_on("centralino", user="anna")
    await_page(lab, "centralino", HOSTS[0])
    assert [row["id"] for row in lab.control.events(HOSTS[0])][:3] == [18601, 18500, 18502]
    lab.control.disconnect_nics("centralino")
    await_page(lab, "centralino", "")
    lab.control.connect_nics("centralino")
    await_page(lab, "centralino", HOSTS[0])
    lab.control.save("centralino")
    assert lines(lab, of("centralino", "[string]$vm.State")) == ["Saved"]
    assert not [call for call in lab.control.calls() if is_changing(call)], "a person's hands are not counted"


def test_a_replica_that_nobody_failed_over_cannot_be_started_by_a_person_either(lab: HypervLab) -> None:
    with pytest.raises(ValueError, match=r"marco\.rinaldi on hv2"):
        lab.control.power_on("gestionale", "replica")


def test_a_dead_host_takes_its_guests_and_its_door_along(lab: HypervLab) -> None:
    lab.control.host_lost(HOSTS[0])
    assert page(lab, "dominio") == {}
    with pytest.raises(requests.exceptions.ConnectionError):
        lines(lab, NAMES)
    shown = of("dominio", "[string]$vm.ReplicationState")
    assert lines(lab, shown, "replica") == ["Replicating"], "a replica does not learn of its primary's death"
    assert set(lab.control.host_back(HOSTS[0])) == VMS
    await_page(lab, "dominio", HOSTS[0])
    assert set(lines(lab, STATES)) == {"Running"}
    assert lab.control.violations() == []


def test_an_isolated_host_s_guests_live_on_behind_a_shut_door(lab: HypervLab) -> None:
    lab.control.host_lost(HOSTS[0], is_dead=False)
    assert page(lab, "gestionale")["host"] == HOSTS[0]
    with pytest.raises(requests.exceptions.ConnectionError):
        lines(lab, NAMES)
    assert lab.control.replicate("gestionale") is False
    assert lab.control.host_back(HOSTS[0]) == []
    assert lab.control.replicate("gestionale") is True


def test_replication_is_suspended_resumed_and_loses_its_way(lab: HypervLab) -> None:
    state = of("dominio", "[string]$vm.ReplicationState")
    lab.control.suspend_replication("dominio")
    assert (lines(lab, state), lab.control.replicate("dominio")) == (["Suspended"], False)
    lab.control.resume_replication("dominio")
    assert (lines(lab, state), lab.control.replicate("dominio")) == (["Replicating"], True)
    lab.control.resync_needed("dominio")
    assert (lines(lab, state), lab.control.replicate("dominio")) == (["WaitingForStartResynchronize"], False)
    with pytest.raises(ValueError, match="unknown state 'Gone'; there are WaitingForStartResynchronize, Error"):
        lab.control.resync_needed("dominio", state="Gone")


@pytest.mark.parametrize(
    ("verb", "given"),
    [("replica_server", {"is_enabled": False}), ("firewall", {"is_open": False}), ("authorization", {"allowed": []})],
)
def test_a_host_that_takes_no_replicas_gets_no_log(lab: HypervLab, verb: str, given: dict[str, t.Any]) -> None:
    getattr(lab.control, verb)(node=HOSTS[1], **given)
    assert lab.control.replicate("dominio") is False


def test_clock_culture_and_names_change(lab: HypervLab) -> None:
    lab.control.clock_skew(HOSTS[0], 3600)
    (now,) = lines(lab, "(Get-Date).ToUniversalTime().ToString('o')")
    assert _seconds(now) - time.time() == pytest.approx(3600, abs=30)
    missing = "Get-VM -Name 'nobody' -ErrorAction Stop"
    english = run(lab, missing)[2]
    lab.control.culture("de-DE")
    german = run(lab, missing)[2]
    assert english != german
    lab.control.rename("dominio", "dominio-nuovo")
    lab.control.namesake("gestionale", HOSTS[0])
    assert sorted(lines(lab, NAMES)) == ["centralino", "dominio-nuovo", "gestionale", "gestionale"]
    assert page(lab, "dominio")["copy_name"] == "dominio-nuovo"


def test_a_vm_that_cannot_be_stopped_says_so(lab: HypervLab) -> None:
    lab.control.refuse_power_off("dominio")
    code, dummy, error = run(lab, of("dominio", "Stop-VM -VM $vm -TurnOff -Confirm:$false -ErrorAction Stop"))
    assert (code, error != "") == (1, True)
    assert page(lab, "dominio")["status"] == "ok"
    lab.control.refuse_power_off("dominio", refuses=False)
    lines(lab, of("dominio", "Stop-VM -VM $vm -TurnOff -Confirm:$false"))
    assert page(lab, "dominio") == {}


# --- life ------------------------------------------------------------------------------------------------------------


def test_a_reset_brings_back_the_first_state_at_the_same_addresses(lab: HypervLab) -> None:
    client, ports = session(lab), [lab.doors.endpoint(host) for host in lab.doors.hosts]
    lab.control.begin_story()
    lab.control.culture("de-DE")
    lab.control.certificate("expired")
    lab.control.host_lost(HOSTS[1])
    lab.reset()
    assert [lab.doors.endpoint(host) for host in lab.doors.hosts] == ports
    assert client.run_ps(NAMES).status_code == 0
    assert {host.culture for host in lab.fleet.hosts.values()} == {"en-US"}
    assert set(lines(lab, STATES, "replica")) == {"Off"}
    await_page(lab, "gestionale", HOSTS[0])
    assert lab.control.violations() == []


def test_two_labs_do_not_share_a_folder(lab: HypervLab) -> None:
    with pytest.raises(LabRunning, match="runs in"):
        HypervLab.start(VERDI, timing=QUICK, state_dir=lab.state_dir)
    assert page(lab, "dominio")["status"] == "ok"


def test_an_unknown_word_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("hyperv: {freqency: 300}\n", encoding="utf-8")
    with pytest.raises(BadInventory, match="unknown freqency"):
        HypervLab.start(VERDI, lab_file=tmp_path / "bad.yml", state_dir=tmp_path / "state")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("plan", "why"),
    [("{action: explode}", "unknown action 'explode'"), ("{action: quota, call: Dance}", "no call Dance")],
)
def test_a_fault_plan_that_cannot_be_meant_is_refused_by_its_place(tmp_path: Path, plan: str, why: str) -> None:
    (tmp_path / "bad.yml").write_text(f"hyperv: {{faults: [{plan}]}}\n", encoding="utf-8")
    with pytest.raises(BadInventory, match=f"bad.yml: hyperv: faults: .*{why}"):
        HypervLab.start(VERDI, lab_file=tmp_path / "bad.yml", state_dir=tmp_path / "state")


def test_a_lab_file_s_faults_are_in_force_at_the_first_call_and_after_a_reset(tmp_path: Path) -> None:
    (tmp_path / "plan.yml").write_text("hyperv: {faults: [{action: quota, call: Command}]}\n", encoding="utf-8")
    with HypervLab.start(
        VERDI, tmp_path / "plan.yml", timing=QUICK, state_dir=tmp_path / "lab", limit={"dominio.verdi"}
    ) as lab:
        for dummy in range(2):
            with pytest.raises(winrm.exceptions.WSManFaultError):
                lines(lab, NAMES)
            assert lines(lab, NAMES) == ["dominio"]
            lab.reset()


def _seconds(iso: str) -> float:
    return dt.datetime.fromisoformat(iso.strip()).timestamp()
