# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bad input that a recovery must survive, on Hyper-V: a clear error before anything is touched, and nothing is lost."""

from __future__ import annotations

import os
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.tests.e2e.deaths import Hands
from ansible_collections.ferragosto.dr.tests.e2e.hv_kit import (
    AWAY,
    HOME,
    machine,
    requests,
    reverse,
)
from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT, OVERWRITE, Bench

HOSTILE = "a'; Stop-VM * # $(x) `web` [1]* \u2019 \u5009\u5eab"


# --- endpoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("certificate", "login", "why", "then"),
    [
        pytest.param("good", {"api_password": "of-another-site"}, "(401)", "api_password", id="wrong password"),
        pytest.param("good", {"api_user": "nobody"}, "(401)", "api_user", id="unknown account"),
        pytest.param("expired", {}, "certificate has expired", "renew", id="expired certificate"),
        pytest.param("foreign", {}, "is not trusted", "ca_path", id="foreign certificate"),
        pytest.param("good", {"tls_fingerprint": "AB:" * 31 + "AB"}, "fingerprint", "tls_fingerprint", id="wrong pin"),
        pytest.param("good", {"tls_fingerprint": "AB" * 20}, "not a SHA-256 fingerprint", "SHA-1", id="a thumbprint"),
        pytest.param(
            "good", {"api_host": "no-such-host.invalid"}, "no-such-host.invalid", "api_host", id="unknown host"
        ),
        pytest.param(
            "good", {"node": "hv7.clinic.example"}, "is the host esx1.clinic.example", "node", id="wrong node"
        ),
    ],
)
def test_wrong_endpoint_is_named_and_nothing_is_touched(
    hv: Bench, certificate: str, login: dict[str, t.Any], why: str, then: str
) -> None:
    hv.control.certificate(certificate)
    failed = hv.module("vm_fence", vm="solo", site=hv.site(**login))
    assert failed["failed"]
    assert why in failed["error"]["what"] + failed["error"]["why"], failed["msg"]
    assert then in failed["error"]["next"], failed["msg"]
    assert hv.changing_calls() == {}
    assert hv.records("solo", "intent") == []
    assert "of-another-site" not in failed["msg"]


def test_password_is_never_sent_in_clear_text(hv: Bench) -> None:
    failed = hv.module("vm_fence", vm="solo", site=hv.site(winrm_transport="basic", winrm_scheme="http"))
    assert "sends the password as it is" in failed["error"]["why"]
    assert requests(hv) == {}, "not a byte has left"


@pytest.mark.parametrize(
    ("user", "why"), [("blind_user", "sees 0 VMs"), ("denied_user", "PermissionDenied, AccessDenied")]
)
def test_account_that_sees_no_vm_is_never_taken_for_health(hv: Bench, user: str, why: str) -> None:
    site = hv.site(api_user=getattr(hv.lab, user))
    hv.control.corrupt("solo", since_s=3600)
    failed = hv.module("vm_fence", vm="solo", site=site)
    assert why in failed["error"]["why"]
    assert "Add-LocalGroupMember -Group 'Hyper-V Administrators'" in failed["error"]["next"]
    card = hv.module("recovery_plan_info", site=None, vms=[_item(hv, site)])
    told = card["msg"] if card.get("failed") else card["cards"]["solo.clinic"]["decision"]["reason"]
    assert why in told
    assert hv.changing_calls() == {}


def test_missing_right_is_named_and_nothing_is_changed(hv: Bench) -> None:
    before = hv.shown("solo")
    failed = hv.module("vm_fence", vm="solo", site=hv.site(api_user=hv.lab.reader))
    assert "PermissionDenied" in failed["error"]["why"]
    assert "Hyper-V Administrators" in failed["error"]["next"]
    assert hv.shown("solo") == before
    assert hv.copy("solo", "production")["power"] == "on"


def test_dead_service_makes_its_vms_unknown_and_refuses_to_promote_them(hv: Bench) -> None:
    hv.control.endpoint_down()
    card = hv.card("solo")
    assert (card["verdict"], card["blast"]) == ("unreachable", "site")
    assert card["decision"]["outcome"] == "healthy", "its service still answers"
    assert "although it looks unreachable" in card["decision"]["reason"]
    hv.control.corrupt("spare", since_s=3600)
    assert hv.card("spare")["decision"]["outcome"] == "refused"
    assert hv.changing_calls() == {}


# --- VMs -------------------------------------------------------------------------------------------------------------


def test_unknown_vm_is_named_with_the_nearest_known_ones(hv: Bench) -> None:
    failed = hv.module("vm_fence", vm="sola")
    assert "no VM of this name or id" in failed["error"]["why"]
    assert "nearest: solo" in failed["error"]["next"]


def test_two_vms_of_one_name_are_told_apart_by_their_id_only(hv: Bench) -> None:
    card = hv.card("twin")
    assert not card["decision"]["is_go"]
    assert "2 VMs carry this name" in card["decision"]["reason"]
    assert "give the id instead of the name" in card["decision"]["next"]
    guid = machine(hv, "twin", HOME).key
    (stranger,) = (m for m in hv.lab.fleet.machines_on(HOME) if m.name == "twin" and m.key != guid)
    before = (stranger.state, stranger.notes, stranger.auto_start)
    assert hv.done("vm_fence", vm=guid)["proof"]["kind"] == "seen_off"
    assert (stranger.state, stranger.notes, stranger.auto_start) == before


def test_healthy_vm_is_not_touched_nor_asked_for(hv: Bench) -> None:
    before = hv.shown("solo")
    assert hv.card("solo")["decision"]["outcome"] == "healthy"
    assert hv.changing_calls() == {}
    assert hv.shown("solo") == before


def test_check_mode_foresees_the_failover_and_touches_nothing(hv: Bench) -> None:
    hv.control.corrupt("solo", since_s=3600)
    hv.begun("solo")
    before, calls = hv.shown("solo"), hv.changing_calls()
    foreseen = hv.promote("solo", is_check=True)
    assert not foreseen.get("failed"), foreseen["msg"]
    assert any("Start-VMFailover" in call for call in foreseen["calls"]), foreseen
    assert hv.shown("solo") == before
    assert hv.changing_calls() == calls


def test_clustered_vm_is_refused_before_anything_is_touched(hv: Bench) -> None:
    machine(hv, "solo", HOME).is_clustered = True
    hv.control.corrupt("solo", since_s=3600)
    decision = hv.card("solo")["decision"]
    assert not decision["is_go"], decision
    assert "failover cluster" in decision["reason"]
    failed = hv.module("vm_fence", vm="solo")
    assert "failover cluster" in failed["error"]["why"]
    assert hv.changing_calls() == {}


def test_hostile_name_is_recovered_and_brought_home_on_german_hosts(hv: Bench) -> None:
    hv.control.culture("de-DE")
    for role in ("production", "replica"):
        hv.control.rename("spare", HOSTILE, role)
    neighbours = {vm: hv.shown(vm) for vm in ("db", "app")}
    hv.control.corrupt("spare", since_s=3600)
    assert Hands(replace(hv.orders("spare", accept=OVERWRITE), about={"vm": HOSTILE})).recover() == "recovered_home"
    served = hv.lab.world.serving_copy("spare")
    assert served is not None
    assert (served.host, hv.lab.world.data_of(served).is_corrupted) == (HOME, False)
    for vm, before in neighbours.items():
        assert [hv.shown(vm)[node] for node in (HOME, AWAY)] == [before[node] for node in (HOME, AWAY)]


def test_the_clinics_odd_vm_is_promoted(hv: Bench) -> None:
    (odd,) = (wish.vm for wish in hv.lab.wish.vms if "{{" in wish.vm)
    hv.control.corrupt(odd, since_s=3600)
    hv.begun(odd)
    assert not hv.promote(odd).get("failed")
    assert hv.serving(odd) == "replica"


# --- what would bite on the day is on the card before it -------------------------------------------------------------


def _is_no_replica_server(hv: Bench) -> None:
    hv.control.replica_server(HOME, False)


def _admits_others_only(hv: Bench) -> None:
    hv.control.authorization(HOME, ["backup.clinic.example"])


def _is_closed(hv: Bench) -> None:
    hv.control.firewall(HOME, False)


def _has_another_certificate(hv: Bench) -> None:
    hv.lab.fleet.host(HOME).server.thumbprint = "AA" * 20


def _has_no_switch(hv: Bench) -> None:
    hv.lab.fleet.host(AWAY).switches.clear()


def _has_drifted(hv: Bench) -> None:
    original = machine(hv, "solo", HOME)
    original.cpus, original.memory_bytes = 8, 8 * 2**30


def _in_error(hv: Bench) -> None:
    hv.control.resync_needed("solo", role="replica", state="Error")


def _in_a_test(hv: Bench) -> None:
    hv.control._act("solo", "replica", "luca", "$t = Start-VMFailover -VM $vm -AsTest -Confirm:$false\nStart-VM -VM $t")


@pytest.mark.parametrize(
    ("trouble", "words", "is_go"),
    [
        pytest.param(_is_no_replica_server, "not set up as a replica server", True, id="no replica server"),
        pytest.param(_admits_others_only, "has no authorization entry for esx2", True, id="no entry"),
        pytest.param(_is_closed, "port 443 is closed", True, id="firewall"),
        pytest.param(_has_another_certificate, f"but the host replicates with {'AA' * 20}", True, id="thumbprint"),
        pytest.param(_has_drifted, "it has 8 CPUs, its replica", True, id="CPUs"),
        pytest.param(_has_drifted, "it has 8192 MiB of memory", True, id="memory"),
        pytest.param(lambda hv: hv.control.add_disk("solo"), "solo-1.vhdx is not replicated", True, id="disk"),
        pytest.param(lambda hv: hv.control.suspend_replication("solo"), "is suspended", True, id="Suspended"),
        pytest.param(
            lambda hv: hv.control.resync_needed("solo"), "WaitingForStartResynchronize on esx1", True, id="resync"
        ),
        pytest.param(_has_no_switch, "has no switch 'VM Network'", False, id="no switch"),
        pytest.param(_in_error, "its replication is in error", False, id="Error"),
        pytest.param(_in_a_test, "a test failover runs on esx2", False, id="test failover"),
    ],
)
def test_trouble_is_on_the_card_and_a_failover_that_would_fail_is_not_begun(
    hv: Bench, trouble: t.Callable[[Bench], None], words: str, is_go: bool
) -> None:
    trouble(hv)
    hv.control.corrupt("solo", since_s=3600)
    card = hv.card("solo")
    assert any(words in note for note in card["notes"]), card["notes"]
    assert not any(note.startswith("db") for note in card["notes"]), "its neighbours' troubles are on their own cards"
    assert card["decision"]["is_go"] == is_go, card["decision"]
    assert hv.changing_calls() == {}


def test_way_back_that_is_not_prepared_is_refused_in_words_while_the_replica_serves(hv: Bench) -> None:
    hv.control.corrupt("solo", since_s=3600)
    hv.fail_over("solo")
    calls, stood = hv.changing_calls(), hv.control.relations()
    thumbprints = set(hv.lab.fleet.host(AWAY).thumbprints)
    for trouble, cure, why in (
        (_is_no_replica_server, lambda: hv.control.replica_server(HOME, True), "is not a replica server"),
        (_admits_others_only, lambda: hv.control.authorization(HOME, ["*"]), "esx2.clinic.example is none of them"),
        (_is_closed, lambda: hv.control.firewall(HOME, True), "the firewall of esx1.clinic.example is closed"),
    ):
        trouble(hv)
        refused = reverse(hv, "solo")
        assert refused["error"]["code"] == "refused", refused
        assert why in refused["error"]["why"]
        assert "esx1.clinic.example" in refused["error"]["next"]
        assert (hv.changing_calls(), hv.control.relations()) == (calls, stood)
        assert hv.serving("solo") == "replica"
        cure()
    hv.control.without_certificate(AWAY)
    failed = reverse(hv, "solo")
    assert failed["failed"]
    assert "ertificate" in failed["msg"]
    assert hv.serving("solo") == "replica"
    hv.lab.fleet.host(AWAY).thumbprints |= thumbprints
    again = reverse(hv, "solo")
    assert not again.get("failed"), again["msg"]
    assert {(r["host"], r["mode"]) for r in hv.control.relations() if r["vm"] == "solo"} == {
        (AWAY, "Primary"),
        (HOME, "Replica"),
    }


def test_saved_vm_is_no_vm_that_was_switched_off_and_is_recovered_when_a_person_says_so(hv: Bench) -> None:
    hv.control.save("solo")
    assert not hv.card("solo")["decision"]["is_go"], "this may be intended"
    accepted = hv.card("solo", accept={"powered_off": "Luca: its host saved it in the storm"})["decision"]
    assert accepted["is_go"], accepted
    hv.begun("solo")
    assert not hv.promote("solo").get("failed")
    turned = reverse(hv, "solo")
    assert not turned.get("failed"), turned["msg"]
    assert machine(hv, "solo", HOME).state == "Off", "no memory may be resumed over disks that have changed"
    assert hv.serving("solo") == "replica"


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_password_is_in_no_output_and_no_file_of_a_failed_and_a_good_run(
    hv: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = hv.lab.password
    hv.control.corrupt("solo", since_s=3600)
    hv.begun("solo")
    hv.control.rule(
        "fault", call="Command", host=AWAY, nth=6, count=0, text=f"no: password={secret}"
    )  # errors tell much
    failed = hv.promote("solo", _ansible_verbosity=4, _ansible_diff=True)
    assert "no: password=<secret>" in failed["msg"]
    hv.control.clear_rules()
    done = hv.promote("solo")
    assert not done.get("failed"), done
    assert secret not in str([failed, done])
    assert secret not in "".join(capfd.readouterr())
    for folder, _folders, files in os.walk(hv.folder):
        for name in files:
            path = Path(folder) / name
            assert secret.encode() not in path.read_bytes(), path
    assert hv.records("solo"), "there is a journal to look into"


def _item(hv: Bench, site: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        "host": "solo.clinic",
        "vm": "solo",
        "site": site,
        "checks": hv.checks("solo.clinic"),
        "contract": CONTRACT,
        "policy": hv.policy(),
    }
