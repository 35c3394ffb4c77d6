# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opening an endpoint: who answers, whom we trust, and what a technician reads when it goes wrong."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import trustme
from pyVmomi import vim

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import sdk
from ansible_collections.ferragosto.dr.tests.unit.vsphere.conftest import PASSWORD
from ansible_collections.ferragosto.dr.tests.unit.vsphere.front import Front


def fingerprint(pem, algorithm):
    with open(pem["server.pem"]) as file:
        return hashlib.new(algorithm, ssl.PEM_cert_to_DER_cert(file.read())).hexdigest()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_vcenter_and_a_standalone_esxi_are_told_apart(open_client, vcenter_port, esxi_port):
    assert open_client(vcenter_port).is_vcenter
    assert not open_client(esxi_port).is_vcenter
    assert open_client(esxi_port).about.startswith("HostAgent ")


def test_nothing_is_sent_before_the_first_use(open_client):
    assert open_client(free_port()).calls == 0


def test_a_session_is_opened_once_and_closed_by_logout(open_client, vcenter_port):
    client = open_client(vcenter_port)
    watcher = open_client(vcenter_port)
    sessions = watcher.content.sessionManager
    before = len(watcher.retrieve([sessions], ["sessionList"])["SessionManager"]["sessionList"])
    assert client.content is client.content
    assert client.calls == 3  # content, login, clock
    during = len(watcher.retrieve([sessions], ["sessionList"])["SessionManager"]["sessionList"])
    client.close()
    after = len(watcher.retrieve([sessions], ["sessionList"])["SessionManager"]["sessionList"])
    assert (during - before, after - before) == (1, 0)


# --- whom we trust ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_a_pinned_certificate_needs_no_authority(open_client, vcenter_port, pem, algorithm):
    pin = fingerprint(pem, algorithm)
    with_colons = ":".join(pin[i : i + 2] for i in range(0, len(pin), 2)).upper()
    assert open_client(vcenter_port, ca_path=None, tls_fingerprint=with_colons).is_vcenter


@pytest.mark.parametrize("validate_certs", [True, False])
@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_another_certificate_than_the_pinned_one_is_refused(open_client, front, algorithm, validate_certs):
    other = hashlib.new(algorithm, b"another certificate").hexdigest()
    client = open_client(front.port, ca_path=None, tls_fingerprint=other, validate_certs=validate_certs)
    with pytest.raises(BadInput, match="tls_fingerprint") as refused:
        dummy = client.content
    assert f"127.0.0.1:{front.port}" in str(refused.value)
    assert front.log == []  # not one byte of a request, let alone the password


def test_a_pin_does_not_switch_the_checks_of_others_off(open_client, vcenter_port, front, pem):
    with pytest.raises(BadInput):
        dummy = open_client(front.port, tls_fingerprint="00" * 32).content
    assert open_client(vcenter_port).is_vcenter
    with pytest.raises(BadInput, match="not trusted"):
        dummy = open_client(vcenter_port, ca_path=None).content


def test_an_authority_that_nobody_knows_is_refused_for_loopback_too(open_client, vcenter_port):
    with pytest.raises(BadInput, match="ca_path") as refused:
        dummy = open_client(vcenter_port, ca_path=None).content
    assert "not trusted" in refused.value.why


def test_a_certificate_of_another_authority_is_refused(open_client, vcenter_port, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with pytest.raises(BadInput, match="set ca_path to the PEM file of the authority"):
        dummy = open_client(vcenter_port, ca_path=str(tmp_path / "other.pem")).content


def test_an_expired_certificate_says_so(open_client, plain_vcsim, expired_pem):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(expired_pem / "server.pem", expired_pem / "server.key")
    door = Front(plain_vcsim, tls)
    try:
        with pytest.raises(BadInput, match="expired") as refused:
            dummy = open_client(door.port).content
        assert "renew the certificate" in refused.value.next
    finally:
        door.end()


def test_a_certificate_for_another_name_says_so(open_client, authority, plain_vcsim):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("vcenter.luca.example").configure_cert(tls)
    door = Front(plain_vcsim, tls)
    try:
        with pytest.raises(BadInput, match="set api_host to a name the certificate carries"):
            dummy = open_client(door.port).content
    finally:
        door.end()


def test_verification_is_off_only_when_asked_for(open_client, vcenter_port):
    assert open_client(vcenter_port, ca_path=None, validate_certs=False).is_vcenter


# --- wrong input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said", "fix"),
    [
        ({"api_password": "wrong"}, "InvalidLogin", "api_password"),
        ({"api_user": "nobody"}, "InvalidLogin", "api_user"),
        ({"api_password": None}, "api_password is not set", "vault"),
        ({"api_user": None, "api_token_id": "x", "api_token_secret": "y"}, "knows no API tokens", "api_user"),
        ({"tls_fingerprint": "abcd"}, "neither a SHA-256", "openssl"),
        ({"ca_path": "no/such/ca.pem"}, "No such file", "ca_path"),
        ({"ca_path": __file__}, "X509", "ca_path"),
    ],
)
def test_wrong_input_names_itself_and_the_fix(open_client, vcenter_port, changes, said, fix):
    with pytest.raises(BadInput) as refused:
        dummy = open_client(vcenter_port, **changes).content
    assert said in refused.value.why
    assert fix in refused.value.next


def test_the_password_is_in_no_message_and_in_no_traceback_text(open_client, spec_for, vcenter_port):
    client = open_client(vcenter_port, api_user="nobody")
    with pytest.raises(BadInput) as refused:
        dummy = client.content
    assert PASSWORD not in "".join(traceback.format_exception(refused.value))
    assert PASSWORD not in repr(client) + repr(spec_for(vcenter_port)) + str(refused.value.as_dict())


# --- nobody, or somebody else, answers -------------------------------------------------------------------------------


def test_a_dead_port_says_refused_at_once(open_client):
    port = free_port()
    with pytest.raises(SiteUnreachable, match="refuses the connection") as gone:
        dummy = open_client(port).content
    assert f"127.0.0.1:{port}" in gone.value.why


def test_an_unknown_name_says_so(open_client):
    with pytest.raises(SiteUnreachable, match="does not resolve"):
        dummy = open_client(443, api_host="no-such-host.invalid").content


def test_a_silent_host_is_given_up_after_its_time_limit(open_client):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(SiteUnreachable, match="did not answer within 1 s") as gone:
            dummy = open_client(listener.getsockname()[1], timeout_s=0.6).content
        assert "unknown, not down" in gone.value.next


def test_a_port_without_tls_says_so(open_client, plain_vcsim):
    with pytest.raises(SiteUnreachable, match="does not speak TLS") as gone:
        dummy = open_client(plain_vcsim).content
    assert "api_port" in gone.value.next


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, b"<html>no such page</html>", "404"),
        (503, b"starting", "503"),
        (200, b"<html>hello</html>", "not as a vSphere API"),
        (200, b"hello", "not as a vSphere API"),
    ],
)
def test_another_web_server_is_not_taken_for_vsphere(open_client, authority, status, body, said):
    class Page(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        with pytest.raises(SiteUnreachable) as gone:
            dummy = open_client(server.server_address[1]).content
        assert said in gone.value.why
    finally:
        server.shutdown()
        server.server_close()


def test_proxy_variables_of_the_environment_are_ignored(open_client, vcenter_port, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert open_client(vcenter_port).is_vcenter


def test_without_pyvmomi_the_library_is_named(open_client, vcenter_port, monkeypatch):
    monkeypatch.setattr(sdk, "IMPORT_ERROR", "Traceback: No module named 'pyVmomi'")
    with pytest.raises(BadInput, match="pip install pyvmomi"):
        dummy = open_client(vcenter_port).content


def test_objects_are_addressed_by_kind_and_handle(open_client, vcenter_port):
    client = open_client(vcenter_port)
    handles = client.view([vim.Datastore], {vim.Datastore: ["name"]})
    (handle,) = handles
    assert client.retrieve([client.object(vim.Datastore, handle)], ["name"]) == handles
