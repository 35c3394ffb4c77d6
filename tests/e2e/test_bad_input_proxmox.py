# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bad input that a recovery must survive, on Proxmox VE: a clear error before anything is touched, and nothing is lost."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.lab import ProxmoxLab
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing
from ansible_collections.ferragosto.dr.tests.e2e.deaths import Hands
from ansible_collections.ferragosto.dr.tests.e2e.kit import CLINIC, CONTRACT
from ansible_collections.ferragosto.dr.tests.e2e.pve_kit import PveBench

ESX1 = "esx1.clinic.example"


# --- endpoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("certificate", "login", "why", "then"),
    [
        pytest.param("good", {"api_token_secret": "of-another-site"}, "token", "api_token_secret", id="wrong token"),
        pytest.param("expired", {}, "certificate has expired", "renew", id="expired certificate"),
        pytest.param("foreign", {}, "is not trusted", "ca_path", id="foreign certificate"),
        pytest.param("good", {"tls_fingerprint": "AB:" * 31 + "AB"}, "fingerprint", "tls_fingerprint", id="wrong pin"),
        pytest.param(
            "good", {"api_host": "no-such-host.invalid"}, "no-such-host.invalid", "api_host", id="unknown host"
        ),
        pytest.param("good", {"node": "pve7"}, "pve7", "node", id="unknown node"),
    ],
)
def test_wrong_endpoint_is_named_and_nothing_is_touched(
    pve: PveBench, certificate: str, login: dict[str, t.Any], why: str, then: str
) -> None:
    pve.control.certificate(certificate)
    failed = pve.module("vm_fence", vm="solo", site=pve.site(**login))
    assert failed["failed"]
    assert why in failed["error"]["what"] + failed["error"]["why"], failed["msg"]
    assert then in failed["error"]["next"], failed["msg"]
    assert pve.changing_calls() == {}
    assert pve.records("solo", "intent") == []
    assert "of-another-site" not in failed["msg"]


def test_token_that_sees_no_vm_is_never_taken_for_health(pve: PveBench) -> None:
    site = pve.login(pve.lab.keys.blind)
    failed = pve.module("vm_fence", vm="solo", site=site)
    assert failed["failed"]
    # The API hides VMs silently, but not the cluster's state: that is asked first, so the missing right is told by its name
    assert "lacks Sys.Audit on /" in failed["error"]["why"]
    with pytest.raises(
        AssertionError, match=r"lacks Sys\.Audit"
    ):  # no card at all: the module fails with the same words
        pve.card("solo", site=site)
    assert pve.changing_calls() == {}


def test_missing_right_names_the_privilege_and_where_it_is_missing(pve: PveBench) -> None:
    failed = pve.module("vm_fence", vm="solo", site=pve.login(pve.lab.keys.assess))
    assert failed["failed"]
    assert "VM.Config" in failed["msg"]
    assert f"/vms/{pve.vmid('solo')}" in failed["msg"]
    assert pve.copy("solo", "production")["power"] == "on"


def test_dead_endpoint_makes_its_vms_unknown_and_refuses_to_promote_them(pve: PveBench) -> None:
    pve.control.endpoint_down()
    card = pve.card("solo")
    assert (card["verdict"], card["blast"]) == ("unreachable", "site")
    # its service still answers: nothing to recover, and said with the doubt that is left
    assert card["decision"]["outcome"] == "healthy"
    assert "although it looks unreachable" in card["decision"]["reason"]
    pve.control.corrupt("spare", since_s=3600)
    refused = pve.card("spare")["decision"]
    assert refused["outcome"] == "refused"
    assert pve.changing_calls() == {}


# --- VMs -------------------------------------------------------------------------------------------------------------


def test_unknown_vm_is_named_with_the_nearest_known_ones(pve: PveBench) -> None:
    failed = pve.module("vm_fence", vm="sola")
    assert "no VM of this name or id" in failed["error"]["why"]
    assert "nearest: solo" in failed["error"]["next"]


def test_two_vms_of_one_name_are_told_apart_by_their_id_only(pve: PveBench) -> None:
    card = pve.card("twin")
    assert not card["decision"]["is_go"]
    assert "2 VMs carry this name" in card["decision"]["reason"]
    assert "give the id instead of the name" in card["decision"]["next"]
    by_id = pve.done("vm_health_info", vm=str(pve.vmid("twin")))
    assert by_id["diagnosis"]["verdict"] in ("healthy", "guest_tools_missing")


def test_locked_vm_is_waited_for_or_named_with_its_lock(pve: PveBench) -> None:
    pve.control.lock("solo", "backup")
    failed = pve.module("vm_fence", vm="solo")
    assert failed["failed"]
    assert "locked (backup)" in failed["msg"]
    assert "qm unlock" in failed["error"]["next"]
    assert pve.copy("solo", "production")["power"] == "on"
    pve.control.unlock("solo")
    assert pve.done("vm_fence", vm="solo")["proof"]["kind"] == "seen_off"


def test_a_healthy_vm_is_not_touched(pve: PveBench) -> None:
    before = pve.shown("solo")
    ended = pve.play("recover", limit="solo.clinic")
    assert ended.rc == 0, ended.text
    assert ended.outcome("solo.clinic").startswith("healthy")
    assert pve.changing_calls() == {}
    assert pve.shown("solo") == before


def test_check_mode_foresees_the_whole_recovery_and_touches_nothing(pve: PveBench) -> None:
    pve.control.corrupt("solo", since_s=3600)
    before = pve.shown("solo")
    ended = pve.play("recover", "--check", limit="solo.clinic", extra={"dr_policy": pve.policy(migrate_home="auto")})
    assert ended.rc == 0, ended.text
    (promoted,) = ended.of("replica")
    assert any("clone" in call for call in promoted.result["calls"]), promoted.result
    assert pve.changing_calls() == {}
    assert pve.shown("solo") == before
    assert pve.records("solo", "intent") == []


# --- on the way ------------------------------------------------------------------------------------------------------


def test_production_copy_that_refuses_to_power_off_stops_the_recovery_before_the_promotion(pve: PveBench) -> None:
    pve.control.corrupt("solo", since_s=3600)
    pve.control.refuse_power_off("solo")
    pve.done("journal", vm="solo", state="open", op="recover", contract=CONTRACT)
    failed = pve.module("vm_fence", vm="solo", policy=pve.policy(deadlines={"fence": "3s"}))
    assert failed["error"]["code"] == "step_failed"
    assert "timeout" in failed["error"]["why"]
    assert not any(nic["is_connected"] for nic in pve.copy("solo", "production")["nics"]), "unplugged at least"
    pve.control.refuse_power_off("solo", refuses=False)
    assert pve.done("vm_fence", vm="solo")["proof"]["kind"] == "seen_off"
    assert not pve.promote("solo").get("failed")
    assert pve.serving("solo") == "replica"


def test_task_that_fails_is_named_with_its_own_words_and_the_same_call_completes(pve: PveBench) -> None:
    pve.control.corrupt("solo", since_s=3600)
    pve.begun("solo")
    pve.control.rule(action="failing_task", target="qmclone", text="zfs error: out of space")
    failed = pve.promote("solo")
    assert failed["error"]["code"] == "step_failed"
    assert "zfs error: out of space" in failed["msg"]
    assert pve.copy("solo", "production")["power"] == "off"
    pve.control.clear_rules()
    with pve.lab.world.lock:
        for datacenter in pve.lab.datacenters:
            datacenter.trouble.failing_tasks.clear()
    again = pve.promote("solo")
    assert not again.get("failed"), again["msg"]
    assert pve.serving("solo") == "replica"
    assert pve.control.accidents() == []


def test_task_that_never_ends_is_given_up_at_its_deadline_while_the_replica_serves(pve: PveBench) -> None:
    pve.control.corrupt("solo", since_s=3600)
    pve.fail_over("solo")
    pve.control.rule(action="stuck_task", target="qmigrate")
    moved = pve.module("vm_migration", vm="solo", to="production", policy={"deadlines": {"migrate": "2s"}})
    assert moved["error"]["code"] in ("step_failed", "provider_fault"), moved
    assert "2 s" in moved["msg"], moved["msg"]
    assert pve.serving("solo") == "replica"


@pytest.mark.parametrize(
    "rule",
    [
        {"method": "POST", "path": "/nodes/{node}/qemu/{vmid}/clone", "action": "drop_after"},
        {"method": "POST", "path": "/nodes/{node}/qemu/{vmid}/clone", "action": "error_after", "status": 596},
        {"method": "POST", "path": "/nodes/{node}/qemu", "action": "drop_after"},
        {"method": "POST", "path": "/nodes/{node}/qemu/{vmid}/status/start", "action": "drop_after"},
        {"method": "PUT", "path": "/cluster/replication/{id}", "action": "drop_after"},
        {"method": "GET", "path": "/nodes/{node}/tasks/{upid}/status", "action": "error_before", "status": 595},
        {"method": "GET", "path": "/cluster/resources", "action": "drop_before"},
    ],
    ids=lambda rule: f"{rule['action']} {rule['method']} {rule['path'].rpartition('/')[2]}",
)
def test_lost_answer_is_settled_by_reading_and_nothing_is_asked_twice(pve: PveBench, rule: dict[str, t.Any]) -> None:
    pve.control.corrupt("solo", since_s=3600)
    pve.begun("solo")
    calls = pve.changing_calls()
    assert not pve.promote("solo").get("failed")
    usual = {name: n - calls.get(name, 0) for name, n in pve.changing_calls().items() if n != calls.get(name, 0)}
    pve.lab.reset()
    pve.journal_url += ".second"
    pve.control.corrupt("solo", since_s=3600)
    pve.begun("solo")
    calls = pve.changing_calls()
    pve.control.rule(**rule)
    promoted = pve.promote("solo")
    assert not promoted.get("failed"), promoted["msg"]
    assert [one["struck"] for one in pve.control.rules()] == [1]
    found = {name: n - calls.get(name, 0) for name, n in pve.changing_calls().items() if n != calls.get(name, 0)}
    assert found == usual
    assert pve.serving("solo") == "replica"
    assert pve.control.accidents() == []


@pytest.mark.parametrize("action", ["drop_after", "drop_before"])
def test_cut_ssh_line_is_settled_by_reading_where_the_configuration_is(pve_ssh: PveBench, action: str) -> None:
    pve_ssh.control.corrupt("solo", since_s=3600)
    pve_ssh.begun("solo")
    pve_ssh.control.rule(method="SSH", path="mv", action=action)
    in_place = pve_ssh.policy(promotion="in_place")
    promoted = pve_ssh.promote("solo", policy=in_place)
    assert bool(promoted.get("failed")) == (action == "drop_before"), promoted.get("msg")
    if action == "drop_before":
        assert "was lost" in promoted["error"]["why"]
        promoted = pve_ssh.promote("solo", policy=in_place)
    assert not promoted.get("failed"), promoted["msg"]
    assert pve_ssh.lab.world.serving_copy("solo").host == "esx2"


def test_node_dying_in_mid_promotion_is_survived_by_the_same_command(pve: PveBench) -> None:
    pve.control.corrupt("solo", since_s=3600)
    pve.control.rule(method="POST", path="/nodes/{node}/qemu/{vmid}/clone", action="dead_node", target="esx2")
    pve.begun("solo")
    failed = pve.promote("solo")
    assert failed["failed"]
    assert "esx2" in failed["msg"]
    assert failed["error"]["next"], failed
    pve.control.host_back("esx2")
    again = pve.promote("solo")
    assert not again.get("failed"), again["msg"]
    assert pve.serving("solo") == "replica"
    assert pve.control.accidents() == []


def test_expired_session_is_renewed_in_mid_wait(pve: PveBench) -> None:
    by_password = pve.site(
        api_user="root@pam", api_password=pve.lab.keys.root_password, api_token_id=None, api_token_secret=None
    )
    pve.control.rule(method="GET", path="/nodes/{node}/tasks/{upid}/status", action="session_expiry")
    fenced = pve.done("vm_fence", vm="solo", site=by_password)
    assert fenced["proof"]["kind"] == "seen_off"
    assert pve.control.calls()["POST /access/ticket"] >= 2


def test_cluster_without_quorum_is_refused_before_anything_is_touched(pve: PveBench) -> None:
    pve.control.corrupt("solo", since_s=3600)
    pve.control.quorum(is_lost=True)
    card = pve.card("solo")
    assert not card["decision"]["is_go"], card["decision"]
    assert any("quor" in note for note in card["notes"])
    failed = pve.module("vm_fence", vm="solo")
    assert failed["failed"]
    assert "quorum" in failed["msg"]
    assert pve.copy("solo", "production")["power"] == "on"


def test_full_storage_is_a_reason_before_and_an_error_in_words_afterwards(pve: PveBench) -> None:
    pve.control.corrupt("solo", since_s=3600)
    pve.control.full_storage(pve.site()["replica"]["datastore"], node="esx2")
    card = pve.card("solo")
    assert not card["decision"]["is_go"]
    assert "has 0.0 GiB free, a full copy needs" in card["decision"]["reason"], card["decision"]


def test_copy_that_cannot_be_replicated_is_told_and_does_not_turn_a_recovery_into_a_failure(pve: PveBench) -> None:
    pve.control.corrupt("solo", since_s=3600)
    said = "missing replicate feature on volume 'local-lvm:vm-112-disk-0'"
    pve.control.rule(method="POST", path="/cluster/replication", action="error_before", text=said, count=0)
    assert Hands(pve.orders("solo")).recover() == "recovered_home"
    (noted,) = pve.records("solo", "not_reprotected")
    assert said in noted.body["why"]
    assert "T13" not in pve.run("solo")["marks"]


def test_two_lone_nodes_recover_from_the_backup_and_stay_there(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    with ProxmoxLab.start(CLINIC, timing=Timing.fast(), state_dir=folder, layout="standalone") as lab:
        alone = PveBench(lab, tmp_path)
        alone.control.corrupt("solo", since_s=3600)
        assert Hands(alone.orders("solo")).recover() == "recovered_on_replica"
        assert alone.card("solo")["way"] == "restore"
        served = lab.world.serving_copy("solo")
        assert served is not None
        assert (served.host, lab.world.data_of(served).is_corrupted) == (alone.site()["replica"]["node"], False)
        assert alone.copy("solo", "production")["power"] == "off"
        assert alone.control.violations() == []


# --- a dead host -----------------------------------------------------------------------------------------------------


def test_age_of_the_replica_of_a_dead_node_is_known_from_the_journal(pve: PveBench) -> None:
    pve.card("solo")
    pve.control.host_lost(ESX1)
    card = pve.card("solo")
    assert card["verdict"] == "unreachable"
    assert card["points"], card["state_reason"]
    assert card["points"][0]["age_s"] == pytest.approx(7 * 3600, abs=300)
    assert any("known as of" in note for note in card["notes"])


def test_age_of_the_replica_of_a_dead_node_is_read_off_the_replica_node_where_ssh_is_configured(
    pve_ssh: PveBench,
) -> None:
    pve_ssh.card("solo")
    assert pve_ssh.control.run_job("solo")  # nobody has looked since, so the journal knows an older one only
    pve_ssh.control.host_lost(ESX1)
    card = pve_ssh.card("solo")
    assert card["points"][0]["age_s"] < 300
    assert not any("known as of" in note for note in card["notes"])


def test_dead_node_is_not_proof_and_a_consent_lets_the_recovery_go_with_a_third_vote(pve: PveBench) -> None:
    pve.card("solo")
    with pve.lab.world.lock:
        for datacenter in pve.lab.datacenters:
            datacenter.votes.has_qdevice = True
    pve.control.host_lost(ESX1)
    refused = pve.card("solo")["decision"]
    assert not refused["is_go"]
    assert "silence is not proof" in refused["reason"]
    accept = {"unfenced": "Luca pulled its power cord at 04:30"}
    pve.done("journal", vm="solo", state="open", op="recover", contract=CONTRACT)
    pve.done("vm_fence", vm="solo", accept=accept)
    promoted = pve.promote("solo", accept=accept)
    assert not promoted.get("failed"), promoted["msg"]
    pve.await_serving("solo", "replica")


@pytest.mark.split_brain
def test_production_copy_that_comes_back_is_reported_by_the_first_check(pve: PveBench) -> None:
    test_dead_node_is_not_proof_and_a_consent_lets_the_recovery_go_with_a_third_vote(pve)
    pve.done("journal", vm="solo", state="closed", outcome="recovered_on_replica")
    assert "solo" in pve.control.host_back(ESX1), "nobody could fence it: it starts with its node"
    card = pve.card("solo")
    assert card["state"] == "split_brain"
    assert any("SPLIT BRAIN" in alarm for alarm in card["alarms"])
