# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTPS doors of a Proxmox twin, as proxmoxer and plain requests find them."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from proxmoxer import ResourceException  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.loop import DoorLoop
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schema import UNKNOWN_NAME
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.server import Doors
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import RunningClock
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World
from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.door_kit import Site, datacenter, site

CONFIG = "/nodes/pve1/qemu/100/config"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For claims that change nothing."""
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


# --- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_is_an_envelope_around_data(shared):
    answer = shared.raw("GET", "/nodes/pve1/qemu/100/status/current")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert set(answer.json()) == {"data"}
    assert answer.json()["data"]["status"] == "running"


def test_extjs_says_success_with_200_always(shared):
    assert shared.raw("GET", "/nodes/pve1/qemu/100/status/current", style="extjs").json()["success"] == 1
    refused = shared.raw("GET", "/nodes/pve1/qemu/999/config", style="extjs")
    assert (refused.status_code, refused.json()["success"], refused.json()["status"]) == (200, 0, 500)
    assert "999.conf" in refused.json()["message"]


def test_a_missing_vm_is_a_500_whose_reason_tells(shared):
    words = "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist"
    answer = shared.raw("GET", "/nodes/pve1/qemu/999/config")
    assert (answer.status_code, answer.reason) == (500, words)
    assert answer.json() == {"data": None, "message": f"{words}\n"}
    with pytest.raises(ResourceException, match=r"999\.conf") as caught:
        shared.by_token().nodes("pve1").qemu(999).config.get()
    assert (caught.value.status_code, caught.value.errors) == (500, None)


@pytest.mark.parametrize(
    ("params", "errors"),
    [
        ({"onboot": "True"}, {"onboot": "type check ('boolean') failed - got 'True'"}),
        ({"onboot": "yes"}, {"onboot": "type check ('boolean') failed - got 'yes'"}),
        ({"memory_mb": "1"}, {"memory_mb": UNKNOWN_NAME}),
        ({"cores": "0"}, {"cores": "value must have a minimum value of 1"}),
        ({"bios": "efi"}, {"bios": "value 'efi' does not have a value in the enumeration 'seabios, ovmf'"}),
        ({"net0": "virtio,linkdown=1"}, {"net0": "invalid format - invalid key in comma-separated list property: linkdown\n"}),
    ],
    ids=["python's True", "a word", "unknown", "bound", "enumeration", "property string"],
)  # fmt: skip
def test_a_wrong_parameter_is_refused_in_pves_words(shared, params, errors):
    answer = shared.raw("PUT", CONFIG, data=params)
    assert (answer.status_code, answer.reason) == (400, "Parameter verification failed.")
    assert answer.json()["errors"] == errors


def test_a_missing_parameter_is_refused_in_pves_words(shared):
    with pytest.raises(ResourceException) as caught:
        shared.by_token().nodes("pve1").qemu(100).migrate.post()
    assert caught.value.status_code == 400
    assert caught.value.errors == {"target": "property is missing and it is not optional"}


def test_a_python_boolean_is_refused_without_the_schema_too(tmp_path):
    with site(tmp_path, schema=None) as made, pytest.raises(ResourceException, match="got 'True'"):
        made.by_token().nodes("pve1").qemu(100).config.put(onboot=True)


def test_a_parameter_must_not_contradict_the_path(shared):
    answer = shared.raw("PUT", CONFIG, data={"vmid": "101"})
    assert answer.json()["errors"] == {"vmid": "duplicate parameter (already defined in URI) with conflicting values!"}
    assert shared.raw("PUT", CONFIG, data={"vmid": "100", "onboot": "0"}).status_code == 200


def test_forms_and_json_say_the_same(own):
    bodies: list[dict[str, t.Any]] = [{"data": {"onboot": 1}}, {"json": {"onboot": True}}, {"json": {"onboot": 1}}]
    for number, body in enumerate(bodies):
        own.raw("PUT", CONFIG, json={"onboot": False, "description": f"{number}"})
        assert own.by_token().nodes("pve1").qemu(100).config.get().get("onboot") == 0
        assert own.raw("PUT", CONFIG, **body).status_code == 200
        assert own.by_token().nodes("pve1").qemu(100).config.get()["onboot"] == 1


def test_a_description_survives_the_wire(own):
    words = "Gestionale della ditta «Luca» — 50 % & più\nseconda riga = 1+1"
    own.by_token().nodes("pve1").qemu(100).config.put(description=words)
    assert own.by_token().nodes("pve1").qemu(100).config.get()["description"].rstrip("\n") == words


def test_a_message_of_several_lines_gives_its_first_to_the_reason(own):
    own.doors.faults.add(
        action="error_before", status=500, text="No common base snapshot on volume(s) tank:x\nPlease remove"
    )
    answer = own.raw("GET", CONFIG)
    assert answer.reason == "No common base snapshot on volume(s) tank:x"
    assert answer.json()["message"] == "No common base snapshot on volume(s) tank:x\nPlease remove\n"


def test_an_unknown_call_is_a_501(shared):
    answer = shared.raw("GET", "/nodes/pve1/nonsense")
    assert (answer.status_code, answer.reason) == (501, "Method 'GET /nodes/pve1/nonsense' not implemented")


def test_one_connection_carries_many_calls(shared):
    host, port = shared.doors.endpoint("pve1")
    context = ssl.create_default_context(cafile=shared.ca_path)
    token = shared.doors.keys.operator.header["Authorization"]
    with context.wrap_socket(socket.create_connection((host, port)), server_hostname="127.0.0.1") as line:
        for dummy in range(3):
            line.sendall(f"GET /api2/json{CONFIG} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
            assert line.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_every_call_is_counted_and_logged_by_its_template(own):
    own.raw("GET", CONFIG)
    own.raw("GET", CONFIG, headers={})
    own.raw("GET", "/nodes/pve9/qemu/100/config")
    assert own.world.calls["GET /nodes/{node}/qemu/{vmid}/config"] == 3
    assert [text for dummy, text in own.world.log].count("pve1: GET /nodes/{node}/qemu/{vmid}/config") == 3


def test_every_error_ends_the_connection(shared):
    assert shared.raw("GET", CONFIG).headers.get("Connection") != "close"
    assert shared.raw("GET", "/nodes/pve1/qemu/999/config").headers["Connection"] == "close"


def test_long_answers_are_compressed_for_those_who_can(shared):
    for accepts, encoding in (("gzip", "gzip"), ("identity", None)):
        headers = {**shared.doors.keys.operator.header, "Accept-Encoding": accepts}
        answer = shared.raw("GET", "/access/permissions", headers=headers)
        assert answer.headers.get("Content-Encoding") == encoding
        assert "/vms" in answer.json()["data"]


def test_a_read_with_a_body_is_a_501(shared):
    answer = shared.raw("GET", CONFIG, data={"current": 1})
    assert (answer.status_code, answer.reason) == (501, "Unexpected content for method 'GET'")


# --- nodes -----------------------------------------------------------------------------------------------------------


def test_any_node_answers_for_the_others(shared):
    for door in ("pve1", "pve2"):
        api = shared.by_token(node=door)
        assert api.nodes("pve1").qemu(100).status.current.get()["name"] == "gestionale"
        assert api.nodes("pve2").qemu(200).status.current.get()["name"] == "dc01"
        assert api.nodes("localhost").qemu.get()[0]["vmid"] == {"pve1": 100, "pve2": 200}[door]


def test_a_node_that_nobody_knows_has_no_address(shared):
    answer = shared.raw("GET", "/nodes/pve9/qemu")
    words = "hostname lookup 'pve9' failed - failed to get address info for: pve9: Name or service not known"
    assert (answer.status_code, answer.reason) == (500, words)


@pytest.mark.parametrize("isolated", [False, True], ids=["dead", "isolated"])
def test_a_lost_node_is_a_595_at_the_others_and_refuses_connections_itself(own, isolated):
    client = own.by_token(node="pve2")
    assert client.nodes("pve2").qemu.get()
    own.datacenter.fail_node("pve2", isolated=isolated)
    own.doors.settle()
    with pytest.raises(ResourceException) as caught:
        own.by_token().nodes("pve2").qemu(200).config.get()
    assert (caught.value.status_code, caught.value.content) == (595, "No route to host")
    assert caught.value.errors == {"errors": b""}, "no body: proxmoxer makes that of it"
    with pytest.raises(requests.exceptions.ConnectionError):
        client.nodes("pve2").qemu.get()
    assert own.by_token().nodes("pve1").qemu.get()

    own.datacenter.return_node("pve2")
    own.doors.settle()
    assert own.by_token(node="pve2").nodes("pve1").qemu(100).status.current.get()["status"] == "running"


def test_no_route_takes_the_time_that_it_takes(tmp_path):
    with site(tmp_path, pace=2.0) as made:  # 0.1 s of the fast timing, twice as slow
        made.datacenter.fail_node("pve2")
        began = time.monotonic()
        assert made.raw("GET", "/nodes/pve2/qemu").status_code == 595
        assert 0.2 <= time.monotonic() - began < 1.5


# --- certificates ----------------------------------------------------------------------------------------------------


def test_certificates_change_while_the_node_listens(own):
    def shown() -> str:
        pem = ssl.get_server_certificate(own.doors.endpoint("pve1"))
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
        return ":".join(digest[at : at + 2] for at in range(0, 64, 2))

    good = own.doors.fingerprint("pve1")
    assert shown() == good
    for kind, complaint in (("expired", "certificate has expired"), ("foreign", "unable to get local issuer")):
        own.doors.set_certificate(kind, "pve1")
        assert shown() == own.doors.fingerprint("pve1") != good
        with pytest.raises(requests.exceptions.SSLError, match=complaint):
            own.by_token().nodes("pve1").qemu.get()
        assert own.by_token(node="pve2").nodes("pve1").qemu.get(), "the other node keeps its own"
    own.doors.set_certificate("good")
    assert shown() == good
    assert own.by_token().nodes("pve1").qemu.get()
    with pytest.raises(ValueError, match="no certificate 'rotten'; there are good, expired, foreign"):
        own.doors.set_certificate("rotten")


# --- life ------------------------------------------------------------------------------------------------------------


def test_addresses_and_keys_outlive_a_reset(own):
    before = [own.doors.endpoint(node) for node in own.doors.nodes]
    ticket = own.by_password().get_tokens()[0]
    own.doors.faults.add(action="error_before", text="gone with the reset", count=0)
    world = World(RunningClock())
    own.doors.move_to([datacenter(world)])
    assert [own.doors.endpoint(node) for node in own.doors.nodes] == before
    assert own.by_token().nodes("pve1").qemu.get() == []
    assert own.raw("GET", "/nodes/pve1/qemu", headers={"Cookie": f"PVEAuthCookie={ticket}"}).status_code == 401
    assert world.calls["GET /nodes/{node}/qemu"] == 2


def test_shut_doors_keep_their_ports(own):
    before = own.doors.endpoint("pve1")
    own.doors.shut()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(before)
    own.doors.open()
    assert own.by_token().nodes("pve1").qemu.get()
    assert own.doors.endpoint("pve1") == before


def test_forty_sites_live_in_one_thread(tmp_path):
    loop, sites = DoorLoop(), []
    first = Doors([datacenter(World(RunningClock()))], loop=loop, has_ssh=False)
    with contextlib.ExitStack() as stack:
        stack.callback(loop.end)
        for dummy in range(40):
            made = Doors(
                [datacenter(World(RunningClock()))], loop=loop, ca=first.certificates, keys=first.keys, has_ssh=False
            )
            stack.callback(made.end)
            made.open()
            sites.append(made)
        stack.callback(first.end)
        (tmp_path / "ca.pem").write_bytes(first.certificates.ca_pem)
        with requests.Session() as session:
            session.headers.update(first.keys.assess.header)
            for made in sites:
                for node in made.nodes:
                    host, port = made.endpoint(node)
                    url = f"https://{host}:{port}/api2/json/nodes/{node}/qemu"
                    assert session.get(url, verify=str(tmp_path / "ca.pem"), timeout=10).json() == {"data": []}
