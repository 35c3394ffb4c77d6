# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider's client against a real WinRM door: pywinrm, sockets, NTLM, TLS, and what goes wrong on the way."""

from __future__ import annotations

import hashlib
import importlib.util
import ssl
import time
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.executor import Said
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.shells import Limits
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    BadInput,
    DrError,
    ProviderFault,
    SiteUnreachable,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import reading
from ansible_collections.ferragosto.dr.tests.unit.hyperv.host_kit import ECHO, SLOW, host
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.wsman.wire_kit import (
    ALL_WAYS,
    ANNA,
    CERTIFICATES,
    CLIENTS,
    GUEST,
    LUCA,
)

ODD = "ge'sti\"onale [1] $(Stop-VM *) `n {{ è }} Бухгалтерия 山 ; | & > %PATH% </rsp:Stream>"
WAYS = replace(ALL_WAYS, offers=(*ALL_WAYS.offers, "CredSSP"))
WARM = 4  # Command, Send, Receive, Signal


def fingerprint(kind="good"):
    leaf = CERTIFICATES.of(kind).chain.decode().split("-----END")[0] + "-----END CERTIFICATE-----\n"
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest()


# --- what goes over ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_tls", [True, False])
def test_a_value_arrives_as_it_is_whatever_it_holds(tmp_path, is_tls):
    with host(tmp_path, is_tls=is_tls) as one:
        assert one.client().run(ECHO, word=ODD) == {"word": ODD, "length": len(ODD)}


@pytest.mark.parametrize("is_tls", [True, False])
def test_an_operation_costs_four_requests_once_the_shell_is_open(tmp_path, is_tls):
    with host(tmp_path, is_tls=is_tls) as one:
        client = one.client()
        client.run(ECHO, word="first")
        before, made = client.calls, sum(one.calls.values())
        client.run(ECHO, word="second")
        assert client.calls - before == WARM
        assert sum(one.calls.values()) - made == WARM
        assert one.calls["Create"] == 1
        assert one.done == ["first", "second"]


def test_a_host_of_twenty_vms_is_read_by_one_process_in_at_most_five_requests(tmp_path):
    with host(tmp_path) as one:
        for number in range(20):
            one.fleet.add_vm("hv-milano", f"vm{number:02}", notes="not empty " * 10)
        client = one.client()
        client.run(ECHO, word="warm")
        before = client.calls
        assert len(client.run(reading.SITE)["vms"]) == 20
        assert client.calls - before <= 5
        assert client.commands == 2


def test_a_job_longer_than_one_envelope_goes_in_chunks(tmp_path):
    with host(tmp_path) as one:
        client = one.client()
        word = "ü" * 250_000
        assert client.run(ECHO, word=word)["length"] == len(word)
        assert one.calls["Send"] == 3


def test_an_answer_longer_than_one_envelope_comes_whole(tmp_path):
    with host(tmp_path) as one:
        word = "x" * 300_000
        assert one.client().run(ECHO, word=word)["word"] == word


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"winrm_transport": "basic"},
        {"winrm_transport": "basic", "winrm_cert_path": "/of/another/day", "winrm_key_path": "/of/another/day"},
        {"winrm_transport": "credssp"},
        {"api_user": "CORP\\anna", "api_password": ANNA.password},
        {"api_user": "anna@corp.example", "api_password": ANNA.password},
    ],
)
def test_an_account_may_prove_itself_in_the_ways_that_the_host_offers(tmp_path, words):
    with host(tmp_path, ways=WAYS) as one:
        assert one.client(**words).run(ECHO, word="let in")["word"] == "let in"


def test_a_certificate_stands_for_an_account(tmp_path):
    shown = CLIENTS.issue("luca@localhost", tmp_path)
    with host(tmp_path, ways=WAYS) as one:
        client = one.client(
            winrm_transport="certificate",
            winrm_cert_path=str(shown.cert_path),
            winrm_key_path=str(shown.key_path),
            api_user=None,
            api_password=None,
        )
        assert client.run(ECHO, word="let in")["word"] == "let in"


def test_the_clock_of_the_host_comes_with_every_answer(tmp_path):
    with host(tmp_path) as one:
        client = one.client()
        client.run(ECHO, word="")
        assert client.clock_offset_s == pytest.approx(one.fleet.now_s() - time.time(), abs=2.0)


# --- who is let in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_tls", [True, False])
@pytest.mark.parametrize("words", [{"api_password": "wrong-Secret"}, {"api_user": "nobody"}])
def test_a_wrong_login_is_a_mistake_of_ours_and_told_without_the_password(tmp_path, is_tls, words):
    with host(tmp_path, is_tls=is_tls) as one:
        client = one.client(**words)
        with pytest.raises(BadInput) as told:
            client.run(ECHO, word="")
        assert "api_password" in told.value.next
        assert "wrong-Secret" not in str(told.value)
        assert not one.done


@pytest.mark.parametrize("is_tls", [True, False])
def test_a_wrong_login_by_credssp_is_told_alike(tmp_path, is_tls):
    with host(tmp_path, is_tls=is_tls, ways=WAYS) as one, pytest.raises(BadInput, match="by credssp"):
        one.client(winrm_transport="credssp", api_password="wrong-Secret").run(ECHO, word="")


def test_a_host_that_does_not_take_credssp_is_told(tmp_path):
    with host(tmp_path) as one, pytest.raises(BadInput, match="credssp"):
        one.client(winrm_transport="credssp").run(ECHO, word="")


def test_a_login_that_the_host_does_not_offer_is_told(tmp_path):
    with host(tmp_path) as one, pytest.raises(BadInput, match="by basic"):
        one.client(winrm_transport="basic").run(ECHO, word="")


def test_an_account_that_may_not_use_winrm_is_sent_to_the_group(tmp_path):
    with host(tmp_path) as one, pytest.raises(BadInput) as told:
        one.client(api_user=GUEST.account, api_password=GUEST.password).run(ECHO, word="")
    assert "Remote Management Users" in str(told.value) or "api_password" in str(told.value)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"winrm_transport": "basic", "winrm_scheme": "http"}, "basic"),
        ({"winrm_transport": "basic", "validate_certs": False}, "basic"),
        ({"api_password": None}, "api_password"),
        ({"api_user": None, "api_password": None}, "api_user and api_password"),
        ({"winrm_transport": "certificate"}, "winrm_cert_path"),
        ({"winrm_transport": "certificate", "winrm_cert_path": "/no/such", "winrm_key_path": "/no/such"}, "/no/such"),
        ({"ca_path": "/no/such/ca.pem"}, "/no/such/ca.pem"),
        ({"tls_fingerprint": "AB:CD"}, "SHA-1"),
        ({"winrm_transport": "kerberos", "api_user": None}, "api_user"),
    ],
)
def test_what_cannot_work_is_refused_before_a_word_is_sent(tmp_path, words, named):
    with host(tmp_path, ways=WAYS) as one:
        with pytest.raises(BadInput) as told:
            one.client(**words).run(ECHO, word="")
        assert named in str(told.value)
        assert not one.calls


@pytest.mark.parametrize(("transport", "library"), [("kerberos", "kerberos"), ("credssp", "requests_credssp")])
def test_a_way_to_log_in_whose_library_is_missing_is_told_what_to_install(tmp_path, monkeypatch, transport, library):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else find(name))
    with host(tmp_path) as one:
        with pytest.raises(BadInput, match=rf"pywinrm\[{transport}\]"):
            one.client(winrm_transport=transport).run(ECHO, word="")
        assert not one.calls


# --- whom we talk to --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shows", "words"),
    [("foreign", "not trusted"), ("expired", "renew")],
)
def test_a_certificate_that_cannot_be_verified_is_refused_and_named(tmp_path, shows, words):
    with host(tmp_path, shows=shows) as one:
        with pytest.raises(BadInput) as told:
            one.client().run(ECHO, word="")
        assert words in str(told.value)
        assert not one.calls


def test_a_pinned_certificate_is_trusted_whoever_issued_it(tmp_path):
    with host(tmp_path, shows="foreign") as one:
        client = one.client(tls_fingerprint=fingerprint("foreign").upper(), ca_path=None)
        assert client.run(ECHO, word="pinned")["word"] == "pinned"


def test_a_certificate_that_is_not_the_pinned_one_gets_no_password(tmp_path):
    with host(tmp_path) as one:
        with pytest.raises(BadInput) as told:
            one.client(tls_fingerprint=fingerprint("foreign")).run(ECHO, word="")
        assert "not who it should be" in told.value.why
        assert fingerprint()[:2].upper() in told.value.why
        assert not one.calls


def test_a_certificate_is_left_unverified_only_when_asked(tmp_path):
    with host(tmp_path, shows="foreign") as one:
        assert one.client(validate_certs=False, ca_path=None).run(ECHO, word="asked")["word"] == "asked"


def test_no_proxy_of_the_environment_is_used(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with host(tmp_path) as one:
        assert one.client().run(ECHO, word="direct")["word"] == "direct"
    with host(tmp_path, is_tls=False) as one:
        assert one.client().run(ECHO, word="direct")["word"] == "direct"


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_tls", [True, False])
def test_a_port_that_refuses_is_a_host_that_is_not_reached(tmp_path, is_tls):
    with host(tmp_path, is_tls=is_tls) as one:
        client = one.client()
        client.run(ECHO, word="")
        one.server.shut()
        for call in (client.run, client.act):
            with pytest.raises(SiteUnreachable, match="refuses the connection"):
                call(ECHO, word="")
        one.server.open()
        assert client.run(ECHO, word="back")["word"] == "back"


def test_a_speaker_of_another_protocol_is_told(tmp_path):
    with host(tmp_path, is_tls=False) as one, pytest.raises(SiteUnreachable, match="not HTTPS"):
        one.client(winrm_scheme="https").run(ECHO, word="")


def test_a_name_that_does_not_resolve_is_a_mistake_of_ours(tmp_path):
    with host(tmp_path) as one, pytest.raises((BadInput, SiteUnreachable), match="cannot be found"):
        one.client(api_host="no-such-host.invalid").run(ECHO, word="")


@pytest.mark.parametrize("call", ["Command", "Send"])
@pytest.mark.parametrize("action", ["drop_before", "error_before", "fault"])
def test_a_change_that_was_not_begun_is_made_over_a_new_shell(tmp_path, call, action):
    with host(tmp_path) as one:
        client = one.client()
        client.act(ECHO, word="first")
        one.server.faults.add(action=action, call=call)
        if call == "Send":  # the one that ends the input: whether it arrived is not known
            with pytest.raises(ProviderFault) as told:
                client.act(ECHO, word="second")
            assert told.value.is_answer_lost
            assert one.done == ["first"]
        else:
            assert client.act(ECHO, word="second")["word"] == "second"
            assert one.done == ["first", "second"]


@pytest.mark.parametrize("action", ["drop_before", "drop_after", "error_before", "hold_after"])
def test_a_change_whose_answer_is_lost_is_made_once_and_told_so(tmp_path, action):
    with host(tmp_path) as one:
        client = one.client(timeout_s=3.0)
        client.act(ECHO, word="first")
        one.server.faults.add(action=action, call="Receive")
        with pytest.raises(ProviderFault) as told:
            client.act(ECHO, word="second")
        assert told.value.is_answer_lost
        assert one.done.count("second") <= 1
        assert client.act(ECHO, word="third")["word"] == "third"


@pytest.mark.parametrize("call", ["Create", "Command", "Send", "Receive"])
@pytest.mark.parametrize("is_tls", [True, False])
def test_a_read_survives_one_lost_connection(tmp_path, call, is_tls):
    with host(tmp_path, is_tls=is_tls) as one:
        client = one.client()
        one.server.faults.add(action="drop_before", call=call)
        assert client.run(ECHO, word="read")["word"] == "read"


@pytest.mark.parametrize("is_tls", [True, False])
def test_idle_connections_may_be_closed_by_the_host(tmp_path, is_tls):
    with host(tmp_path, is_tls=is_tls) as one:
        client = one.client()
        client.act(ECHO, word="first")
        one.server.cut()
        assert client.act(ECHO, word="second")["word"] == "second"
        assert one.done == ["first", "second"]


def test_a_shell_that_is_gone_is_opened_again(tmp_path):
    with host(tmp_path) as one:
        client = one.client()
        client.act(ECHO, word="first")
        one.server.shells.clear()
        assert client.act(ECHO, word="second")["word"] == "second"


def test_a_used_up_quota_takes_a_new_shell(tmp_path):
    with host(tmp_path) as one:
        client = one.client()
        client.act(ECHO, word="first")
        one.server.faults.add(action="quota", call="Command")
        assert client.act(ECHO, word="second")["word"] == "second"
        assert one.calls["Create"] == 2


def test_a_quota_that_stays_used_up_is_told_with_its_limits(tmp_path):
    with host(tmp_path) as one:
        client = one.client()
        one.server.faults.add(action="quota", call="Command", count=0)
        with pytest.raises(ProviderFault, match="MaxShellsPerUser") as told:
            client.act(ECHO, word="")
        assert not told.value.is_answer_lost


def test_long_polling_never_runs_into_the_quota_of_operations(tmp_path):
    with host(tmp_path, limits=Limits(max_operations_per_user=6)) as one:
        client = one.client()
        for number in range(20):
            assert client.run(ECHO, word=str(number))["word"] == str(number)


def test_a_job_that_does_not_end_is_stopped_at_its_deadline(tmp_path):
    with host(tmp_path) as one:
        client = one.client(timeout_s=15.0)  # in one answer of the wire the host may take 10 s: not of a job that has 2
        client.run(ECHO, word="warm")
        began_s = time.monotonic()
        with pytest.raises(ProviderFault, match="did not end within 2 s") as told:
            client.act(SLOW, seconds=60, within_s=2.0)
        assert time.monotonic() - began_s < 4.0
        assert told.value.is_answer_lost
        assert one.calls["Signal"] == 2, "one for each process"
        assert client.run(ECHO, word="still open")["word"] == "still open"
        assert one.calls["Create"] == 1


def test_words_of_a_process_that_ends_before_it_reads_its_job_are_told(tmp_path, monkeypatch):
    said = "This program is blocked by group policy."
    with host(tmp_path) as one:
        client = one.client()
        client.run(ECHO, word="warm")
        monkeypatch.setattr(one.server.shells, "executor", lambda request: Said(stderr=said.encode(), exit_code=1))
        with pytest.raises(ProviderFault, match=said) as told:
            client.act(ECHO, word="x")
        assert told.value.is_answer_lost, "the state is read again, whatever it did"
        assert "ended with 1" in told.value.why


def test_a_job_may_take_longer_than_one_answer_of_the_wire(tmp_path):
    with host(tmp_path) as one:
        assert one.client(timeout_s=3.0).run(SLOW, seconds=3, within_s=20.0) == {"slept": True}
        assert one.calls["Receive"] >= 2


def test_a_host_that_falls_silent_is_given_up_within_its_time(tmp_path):
    with host(tmp_path) as one:
        client = one.client(timeout_s=3.0)
        one.server.faults.add(action="hold_before", call="Command", count=0)
        began_s = time.monotonic()
        with pytest.raises(SiteUnreachable, match="did not answer"):
            client.run(ECHO, word="")
        assert time.monotonic() - began_s < 8.0
        one.server.faults.clear()


def test_an_error_of_the_script_is_told_by_its_id(tmp_path):
    with host(tmp_path) as one:
        client = one.client()
        with pytest.raises(DrError) as told:
            client.run(reading.MACHINE, id="00000000-0000-0000-0000-000000000001")
        assert type(told.value).__name__ == "NoSuchVm"
        assert client.run(ECHO, word="next")["word"] == "next"


def test_no_error_tells_the_password(tmp_path):
    with host(tmp_path) as one:
        client = one.client()
        one.server.faults.add(action="fault", call="Command", count=0, text=f"refused for {LUCA.password}")
        with pytest.raises(DrError) as told:
            client.act(ECHO, word="")
        assert LUCA.password not in str(told.value)
        assert LUCA.password not in repr(client) + repr(client.spec) + "".join(one.said)
