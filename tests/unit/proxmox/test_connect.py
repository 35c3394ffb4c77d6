# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opening an endpoint: who answers, whom we trust, and what a technician reads when it goes wrong."""

from __future__ import annotations

import hashlib
import socket
import ssl
import traceback

import pytest
import trustme

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import faults, sdk, transport
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared import line
from ansible_collections.ferragosto.dr.tests.unit.proxmox.conftest import SECRET, TOKEN
from ansible_collections.ferragosto.dr.tests.unit.proxmox.front import Say


def fingerprint(pem):
    with open(pem["server.pem"]) as file:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).hexdigest()


@pytest.fixture
def answering(door):
    door.script["GET /version"] = Say({"version": "9.2.11"})
    return door


def test_nothing_is_sent_before_the_first_use(answering, open_client):
    client = open_client(answering.port)
    assert (client.calls, answering.connections) == (0, 0)


# --- whom we trust ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form", [str, str.upper, lambda pin: ":".join(pin[i : i + 2] for i in range(0, 64, 2)).upper()]
)
def test_a_pinned_certificate_needs_no_authority_and_no_fitting_name(answering, open_client, pem, form):
    client = open_client(answering.port, ca_path=None, tls_fingerprint=form(fingerprint(pem)))
    assert client.get("/version") == {"version": "9.2.11"}


@pytest.mark.parametrize("validate_certs", [True, False])
def test_another_certificate_than_the_pinned_one_is_refused_before_the_token_is_sent(
    answering, open_client, pem, validate_certs
):
    client = open_client(answering.port, ca_path=None, tls_fingerprint="00" * 32, validate_certs=validate_certs)
    with pytest.raises(BadInput, match="tls_fingerprint") as refused:
        client.get("/version")
    assert line.with_colons(fingerprint(pem)) in refused.value.why
    assert answering.log == []


def test_a_fingerprint_that_is_none_is_told_with_how_to_get_it(open_client):
    with pytest.raises(BadInput, match="64 hex digits") as refused:
        open_client(1, tls_fingerprint="abc").get("/version")
    assert "openssl" in refused.value.next


def test_an_unknown_authority_is_refused(answering, open_client):
    with pytest.raises(BadInput, match="not trusted") as refused:
        open_client(answering.port, ca_path=None).get("/version")
    assert "pve-root-ca.pem" in refused.value.next
    assert answering.log == []


def test_an_authority_of_another_cluster_is_refused(answering, open_client, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with pytest.raises(BadInput, match="not trusted"):
        open_client(answering.port, ca_path=str(tmp_path / "other.pem")).get("/version")


def test_a_certificate_for_another_name_is_told(answering, open_client, authority, tmp_path, open_door):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("pve9.luca.example").configure_cert(tls)
    with pytest.raises(BadInput, match="not trusted") as refused:
        open_client(open_door(tls).port).get("/version")
    assert "api_host" in refused.value.next


def test_an_expired_certificate_is_told(open_door, expired_tls, open_client):
    with pytest.raises(BadInput, match="expired") as refused:
        open_client(open_door(expired_tls).port).get("/version")
    assert "pvecm updatecerts" in refused.value.next


def test_checks_can_be_switched_off_by_a_person_only(answering, open_client):
    assert open_client(answering.port, ca_path=None, validate_certs=False).get("/version")


def test_all_clients_of_one_trust_share_one_tls_context(spec_for):
    assert transport.tls_context("", True) is transport.tls_context("", True)
    spec = spec_for(1)
    assert transport.tls_context(spec.ca_path, True) is transport.tls_context(spec.ca_path, True)


def test_a_missing_ca_file_is_told(open_client):
    with pytest.raises(BadInput, match="read the CA file"):
        open_client(1, ca_path="nowhere.pem").get("/version")


# --- who answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("errno", "kind"), [(socket.EAI_NONAME, BadInput), (socket.EAI_AGAIN, SiteUnreachable)])
def test_a_name_that_is_none_is_a_mistake_and_a_silent_name_server_an_outage(spec_for, errno, kind):
    error = faults.from_network(
        "read", socket.gaierror(errno, "said the resolver"), spec_for(8006, api_host="pve1.luca")
    )
    assert error.__class__ is kind
    assert "pve1.luca does not resolve" in error.why
    assert "api_host" in error.next


def test_an_unknown_host_is_told(open_client):
    with pytest.raises((BadInput, SiteUnreachable), match="does not resolve"):
        open_client(8006, api_host="pve1.invalid").get("/version")


def test_a_closed_port_is_told(open_client, open_door):
    door = open_door()
    door.end()
    with pytest.raises(SiteUnreachable, match="refuses the connection") as gone:
        open_client(door.port).get("/version")
    assert "pveproxy" in gone.value.next


def test_plain_http_is_told(open_client, open_door):
    with pytest.raises(SiteUnreachable, match="plain HTTP") as gone:
        open_client(open_door(None).port).get("/version")
    assert "8006" in gone.value.next


def test_an_endpoint_that_accepts_and_says_nothing_is_left_in_time(open_client, clock):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began_s = clock.now_s()
        with pytest.raises(SiteUnreachable, match="did not answer"):
            open_client(silent.getsockname()[1], timeout_s=0.3).get("/version")
        assert clock.now_s() - began_s < 2


@pytest.mark.parametrize("host", ["https://pve1:8006/", "", "pve1/api2"])
def test_an_address_is_no_url(open_client, host):
    with pytest.raises(BadInput, match="no host name"):
        open_client(8006, api_host=host).get("/version")


# --- who we are ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"api_token_secret": None}, "api_token_secret is not"),
        ({"api_token_id": "ferragosto"}, "names no user"),
        ({"api_token_id": None, "api_user": "root@pam", "api_password": None}, "api_password"),
        ({"api_token_id": None, "api_user": None}, "api_user"),
        ({"api_token_id": None, "api_user": "root", "api_password": "x"}, "no realm"),
    ],
)
def test_credentials_that_cannot_work_are_refused_before_anything_is_sent(answering, open_client, changes, words):
    with pytest.raises(BadInput, match=words):
        open_client(answering.port, **changes).get("/version")
    assert answering.connections == 0


def test_user_and_token_name_may_stand_apart_as_in_community_proxmox(answering, open_client):
    open_client(answering.port, api_user="dr@pve", api_token_id="ferragosto").get("/version")
    assert answering.log[0].headers["authorization"] == f"PVEAPIToken={TOKEN}={SECRET}"


def test_a_wrong_token_is_told_with_its_name_and_without_its_secret(door, open_client):
    door.script["GET /version"] = Say(status=401, text="Authentication failed!")
    with pytest.raises(BadInput, match="Authentication failed!") as refused:
        open_client(door.port).get("/version")
    assert TOKEN in refused.value.what
    assert SECRET not in str(refused.value)
    assert len(door.log) == 1


def test_no_secret_is_in_any_text(door, open_client):
    tickets = "ticket=PVE:root@pam:66BE0000::c2lnbmF0dXJl PVEVNC:66BE0000::c2lnbmF0dXJl"
    echo = f"value PVEAPIToken={TOKEN}={SECRET} {tickets} of {SECRET}, password={SECRET}"
    door.script["POST /x"] = Say(status=400, text="Parameter verification failed.", errors={"target-endpoint": echo})
    client = open_client(door.port)
    with pytest.raises(faults.VendorFault) as raised:
        client.send("POST", "/x", password=SECRET)
    text = "".join(traceback.format_exception(raised.value))
    text += repr(client) + repr(client.account) + repr(client.spec)
    assert SECRET not in text
    assert "c2lnbmF0dXJl" not in text


def test_a_controller_without_the_library_is_told(monkeypatch, open_client):
    monkeypatch.setattr(sdk, "IMPORT_ERROR", "ImportError: no proxmoxer")
    with pytest.raises(BadInput, match="proxmoxer") as refused:
        open_client(1).get("/version")
    assert "pip install proxmoxer" in refused.value.next
