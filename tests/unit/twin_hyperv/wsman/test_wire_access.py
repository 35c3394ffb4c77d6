# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is let in by a host's WinRM door, and how."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypsrp.exceptions
import pytest
import requests
import spnego
from pypsrp.encryption import WinRMEncryption
from spnego.exceptions import SpnegoError
from winrm.exceptions import InvalidCredentialsError, WinRMTransportError, WSManFaultError

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.certificates import upn_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.negotiate import Ways
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.users import User
from ansible_collections.ferragosto.dr.extensions.twin.lab import wait_for
from ansible_collections.ferragosto.dr.extensions.twin.loopback import Listener
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.wsman.wire_kit import (
    ALL_WAYS,
    ANNA,
    CERTIFICATES,
    CLIENTS,
    GUEST,
    LUCA,
    door,
    once,
    run,
    threads_of,
)


def test_ntlm_over_http_runs_a_command_in_encrypted_messages(tmp_path):
    with door(tmp_path) as host:
        assert once(host.winrm(message_encryption="always"), "whoami") == b"luca"
        # an empty call, the challenge, the proof; then every call once: nothing is asked twice
        assert host.server.calls == {"Authenticate": 3, "Create": 1, "Command": 1, "Receive": 1, "Delete": 1}


@pytest.mark.parametrize(
    ("username", "user"),
    [
        ("luca", LUCA),
        ("LUCA", LUCA),
        (".\\luca", LUCA),
        ("HV-MILANO\\luca", LUCA),
        ("CORP\\anna", ANNA),
        ("corp\\Anna", ANNA),
        ("anna@corp.example", ANNA),
    ],
)
def test_an_account_is_known_by_every_spelling_that_windows_takes(tmp_path, username, user):
    with door(tmp_path) as host:
        assert once(host.winrm(username=username, password=user.password), "whoami").decode() == user.account


@pytest.mark.parametrize(
    ("username", "password"),
    [("luca", "wrong"), ("nobody", LUCA.password), ("CORP\\luca", LUCA.password), ("hv-roma\\luca", LUCA.password)],
)
def test_a_wrong_password_or_name_is_refused(tmp_path, username, password):
    with door(tmp_path) as host:
        with pytest.raises(InvalidCredentialsError):
            host.winrm(username=username, password=password).open_shell()
        with (
            host.pypsrp(username=username, password=password) as client,
            pytest.raises(pypsrp.exceptions.AuthenticationError),
        ):
            client.execute_cmd("whoami")
        assert not host.processes.begun


def test_a_password_may_change_while_the_host_runs(tmp_path):
    with door(tmp_path) as host:
        host.server.users.replace([replace(LUCA, password="new")])
        with pytest.raises(InvalidCredentialsError):
            once(host.winrm(), "whoami")
        assert once(host.winrm(password="new"), "whoami") == b"luca"


def test_an_account_without_the_right_to_log_on_is_denied_by_a_fault(tmp_path):
    with door(tmp_path) as host, pytest.raises(WSManFaultError) as denied:
        host.winrm(user=GUEST).open_shell()
    assert (denied.value.wsman_fault_code, denied.value.fault_subcode) == (5, "w:AccessDenied")


def test_an_unencrypted_message_over_http_is_refused(tmp_path):
    with door(tmp_path) as host:
        with pytest.raises(WinRMTransportError, match="500"):
            host.winrm(message_encryption="never").open_shell()
        assert host.server.calls == {"Authenticate": 2, "Refused": 1}


def test_an_unencrypted_message_is_taken_where_the_host_allows_it(tmp_path):
    with door(tmp_path, allows_unencrypted=True) as host:
        assert once(host.winrm(message_encryption="never"), "whoami") == b"luca"


def test_a_message_encrypted_with_another_connections_key_is_refused(tmp_path):
    """pywinrm proves itself anew on a new connection, and goes on with the old key: Windows answers 400."""
    with door(tmp_path) as host:
        client = host.winrm()
        shell = client.open_shell()
        host.server.cut()
        wait_for(
            lambda: not threads_of(host.server.name), 5.0, "the end of the connection"
        )  # as the client's pool sees it
        with pytest.raises(WinRMTransportError, match="400"):
            client.run_command(shell, "whoami")
        assert not host.processes.begun


def test_basic_is_for_tls_only(tmp_path):
    with door(tmp_path, ways=ALL_WAYS, allows_unencrypted=True) as host, pytest.raises(InvalidCredentialsError):
        host.winrm("basic").open_shell()
    with door(tmp_path, is_tls=True, ways=ALL_WAYS) as host:
        assert once(host.winrm("basic"), "whoami") == b"luca"
        with pytest.raises(InvalidCredentialsError):
            host.winrm("basic", password="wrong").open_shell()


def test_a_host_offers_no_basic_by_itself(tmp_path):
    with door(tmp_path, is_tls=True) as host, pytest.raises(InvalidCredentialsError):
        host.winrm("basic").open_shell()


@pytest.mark.parametrize("hardening", ["none", "relaxed", "strict"])
def test_ntlm_over_tls_is_bound_to_the_channel(tmp_path, hardening):
    with door(tmp_path, is_tls=True, ways=Ways(hardening=hardening)) as host:
        assert once(host.winrm(), "whoami") == b"luca"
        with host.pypsrp(user=ANNA) as client:
            assert client.execute_cmd("whoami") == ("CORP\\anna", "", 0)


@pytest.mark.parametrize(("hardening", "is_let_in"), [("none", True), ("relaxed", True), ("strict", False)])
def test_a_client_that_binds_nothing_is_refused_by_a_strict_host_only(tmp_path, hardening, is_let_in):
    with door(tmp_path, is_tls=True, ways=Ways(hardening=hardening)) as host:
        client = host.winrm(send_cbt=False)
        if is_let_in:
            assert once(client, "whoami") == b"luca"
        else:
            with pytest.raises(InvalidCredentialsError):
                client.open_shell()


@pytest.mark.parametrize("hardening", ["relaxed", "strict"])
def test_a_client_that_saw_another_certificate_is_refused(tmp_path, hardening):
    behind = CERTIFICATES.of("foreign").chain  # the host's own, while somebody in the middle shows the good one
    ways = Ways(hardening=hardening)
    with door(tmp_path, is_tls=True, certificate=behind, ways=ways) as host, pytest.raises(InvalidCredentialsError):
        host.winrm().open_shell()


def test_a_client_certificate_names_an_account(tmp_path):
    shown = CLIENTS.issue("luca@localhost", tmp_path)
    with door(tmp_path, is_tls=True, ways=ALL_WAYS) as host:
        client = host.winrm(
            "certificate", username=None, password=None, cert_pem=shown.cert_path, cert_key_pem=shown.key_path
        )
        assert once(client, "whoami") == b"luca"
        assert "Authenticate" not in host.server.calls


@pytest.mark.parametrize("ways", [ALL_WAYS, Ways(certificate_users={"Anna@localhost": "CORP\\anna"})])
def test_a_client_certificate_that_is_not_mapped_or_not_wanted_is_refused(tmp_path, ways):
    shown = CLIENTS.issue("anna@localhost", tmp_path)
    with door(tmp_path, is_tls=True, ways=ways) as host, pytest.raises(InvalidCredentialsError):
        host.winrm("certificate", cert_pem=shown.cert_path, cert_key_pem=shown.key_path).open_shell()


def test_a_certificate_that_is_not_made_for_clients_names_nobody(tmp_path):
    shown = CLIENTS.issue("luca@localhost", tmp_path)
    der = ssl.PEM_cert_to_DER_cert(Path(shown.cert_path).read_text())
    assert upn_of(der) == "luca@localhost"
    for_clients, for_servers = (b"\x2b\x06\x01\x05\x05\x07\x03" + bytes([usage]) for usage in (2, 1))
    assert der.count(for_clients) == 1
    assert upn_of(der.replace(for_clients, for_servers)) == ""
    assert upn_of(ssl.PEM_cert_to_DER_cert(CERTIFICATES.ca_pem.decode())) == ""


def test_the_word_certificate_without_one_is_refused(tmp_path):
    with door(tmp_path, is_tls=True, ways=ALL_WAYS) as host:
        said = {"Authorization": "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"}
        answer = requests.post(host.server.url, b"<x/>", headers=said, verify=host.ca_path, timeout=5)
        assert answer.status_code == 401


@pytest.mark.parametrize("kind", ["expired", "foreign"])
def test_a_client_refuses_a_host_whose_certificate_is_not_good(tmp_path, kind):
    with door(tmp_path, is_tls=True) as host:
        client = host.winrm()
        shell = client.open_shell()
        host.server.show(CERTIFICATES.context(kind), CERTIFICATES.of(kind).chain)
        for knocking in (client, host.winrm()):  # one had its connection open
            with pytest.raises(requests.exceptions.SSLError):
                knocking.open_shell()
        host.server.show(CERTIFICATES.context(), CERTIFICATES.of("good").chain)
        client.close_shell(shell)
        assert once(host.winrm(), "whoami") == b"luca"


def test_a_door_in_clear_text_has_no_certificate_to_show(tmp_path):
    with door(tmp_path) as host, pytest.raises(ValueError, match="speaks HTTP"):
        host.server.show(CERTIFICATES.context())


def test_hosts_at_work_at_once_keep_their_accounts_apart(tmp_path):
    """Both read pyspnego's one environment variable; none may see the other's accounts."""
    milano, roma = User("luca", "of Milano"), User("luca", "of Roma")
    before = os.environ.get("NTLM_USER_FILE")
    with door(tmp_path, "hv-a", users=[milano]) as a, door(tmp_path, "hv-b", users=[roma]) as b:

        def knock(number: int) -> bool:
            host, password = (a, b)[number % 2], (milano, roma)[number // 2 % 2].password
            try:
                return once(host.winrm(password=password), "whoami") == b"luca"
            except InvalidCredentialsError:
                return False

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(knock, range(32))) == [number % 4 in (0, 3) for number in range(32)]
    assert os.environ.get("NTLM_USER_FILE") == before


def test_the_file_of_accounts_is_private_has_no_password_and_goes_with_the_host(tmp_path):
    with door(tmp_path) as host:
        with host.server.users.consulted():
            file = Path(os.environ["NTLM_USER_FILE"])
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert not any(user.password in file.read_text() for user in (LUCA, ANNA))
    assert not file.parent.exists()


@pytest.mark.parametrize(("path", "status"), [("/wsman", 401), ("/wsman/", 401), ("/", 404), ("/other", 404)])
def test_the_service_has_one_address(tmp_path, path, status):
    with door(tmp_path) as host:
        answer = requests.post(host.server.url.removesuffix("/wsman") + path, timeout=5)
        assert answer.status_code == status
        assert answer.headers.get("WWW-Authenticate") == ("Negotiate" if status == 401 else None)


def test_a_token_of_another_scheme_or_of_nonsense_is_refused(tmp_path):
    with door(tmp_path) as host:
        for said in ("Digest abc", "Negotiate !!", "Negotiate YWJj", "Basic bHVjYTp4"):
            answer = requests.post(host.server.url, headers={"Authorization": said}, timeout=5)
            assert answer.status_code == 401, said


@pytest.mark.parametrize("is_tls", [False, True])
def test_nothing_is_readable_on_the_line(tmp_path, is_tls):
    """A listener between client and host sees neither what is run nor what it says."""
    with door(tmp_path, is_tls=is_tls) as host, overheard(host.server.port) as (port, heard):
        client = host.winrm()
        client.transport.endpoint = client.transport.endpoint.replace(str(host.server.port), str(port))
        assert once(client, "echo", "streng", "geheim") == b"streng geheim\r\n"
        assert len(heard) > 3000
        for word in (b"geheim", b"Z2VoZWlt", b"ShellId", b"Envelope"):
            assert word not in heard
        assert (b"HTTP-SPNEGO-session-encrypted" in heard) is not is_tls


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("text", ["short", "a long answer 日本 " * 3000])
def test_credssp_is_accepted_and_encrypts_whatever_the_length(tmp_path, is_tls, text):
    """pywinrm needs requests-credssp for it; this is pyspnego's own client, with pypsrp's message encryption."""
    with door(tmp_path, is_tls=is_tls, ways=Ways(offers=("Negotiate", "CredSSP")), allows_unencrypted=True) as host:
        with requests.Session() as session:
            session.trust_env, session.verify = False, host.ca_path
            context = spnego.client(LUCA.name, LUCA.password, protocol="credssp")
            sealed = WinRMEncryption(context, WinRMEncryption.CREDSSP)
            assert agree(session, host.server.url, context) == 200
            client: Any = host.winrm()
            client.transport.send_message = lambda message: send_sealed(session, host.server.url, sealed, message)
            with host.shell(client) as (client, shell):
                assert run(client, shell, "cat", stdin=text.encode())[0].decode() == text
        assert host.processes.begun[0].user == "luca"


def test_credssp_with_a_wrong_password_is_refused(tmp_path):
    with door(tmp_path, ways=Ways(offers=("CredSSP",))) as host, requests.Session() as session:
        context = spnego.client(LUCA.name, "wrong", protocol="credssp")
        with pytest.raises(SpnegoError):
            agree(session, host.server.url, context)
        assert requests.post(host.server.url, timeout=5).headers["WWW-Authenticate"] == "CredSSP"


def agree(session, url, context):
    """Exchange tokens until the client's side is done; returns the last status."""
    token = context.step()
    while True:
        said = {"Authorization": f"CredSSP {base64.b64encode(token).decode()}"}
        answer = session.post(url, headers=said, timeout=5)
        given = answer.headers.get("WWW-Authenticate", "").partition(" ")[2]
        if not given:
            return answer.status_code
        token = context.step(base64.b64decode(given))


def send_sealed(session, url, sealed, message):
    kind, body = sealed.wrap_message(message.encode())
    kind = f'{kind};protocol="{sealed.protocol}";boundary="Encrypted Boundary"'
    answer = session.post(url, body, headers={"Content-Type": kind}, timeout=5)
    assert answer.status_code == 200
    return sealed.unwrap_message(answer.content, "Encrypted Boundary")


@contextlib.contextmanager
def overheard(port):
    """Stand between a client and a host; yields the port to go to, and all that passes."""
    heard = bytearray()

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                heard.extend(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as host:
            back = threading.Thread(target=pass_on, args=(host, client), daemon=True)
            back.start()
            pass_on(client, host)
            back.join(5)

    listener = Listener(serve, name="overheard")
    listener.open()
    try:
        yield listener.port, heard
    finally:
        listener.end()
