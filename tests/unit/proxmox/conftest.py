# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Doors on loopback and clients that trust them; a clock that tests can turn."""

from __future__ import annotations

import datetime
import ssl
import time

import pytest
import trustme

from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.site import ProxmoxSite
from ansible_collections.ferragosto.dr.tests.unit.proxmox.cluster import Cluster
from ansible_collections.ferragosto.dr.tests.unit.proxmox.front import Door

TOKEN, SECRET = "dr@pve!ferragosto", "5ec2e7-of-luca"


class SystemClock:
    now_s = staticmethod(time.time)
    sleep = staticmethod(time.sleep)


class TurnedClock:
    """Sleeps by turning; what it slept is kept."""

    def __init__(self) -> None:
        self.start_s = time.time()
        self.turned_s = 0.0
        self.slept: list[float] = []

    def now_s(self) -> float:
        return time.time() + self.turned_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.turned_s += seconds


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture(scope="session")
def pem(authority, tmp_path_factory):
    """Write CA, server certificate and key; return their paths."""
    folder = tmp_path_factory.mktemp("tls")
    server = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    return {name: str(folder / name) for name in ("ca.pem", "server.pem", "server.key")}


@pytest.fixture(scope="session")
def server_tls(pem):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pem["server.pem"], pem["server.key"])
    return tls


@pytest.fixture(scope="session")
def expired_tls(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("expired")
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    server = authority.issue_cert("127.0.0.1", not_before=yesterday - datetime.timedelta(days=9), not_after=yesterday)
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "server.pem", folder / "server.key")
    return tls


@pytest.fixture
def open_door(server_tls):
    opened = []

    def build(tls: ssl.SSLContext | None = server_tls) -> Door:
        opened.append(Door(tls))
        return opened[-1]

    yield build
    for door in opened:
        door.end()


@pytest.fixture
def door(open_door):
    return open_door()


@pytest.fixture
def spec_for(pem):
    def build(port: int, **changes) -> EndpointSpec:
        given = {
            "api_host": "127.0.0.1",
            "api_port": port,
            "api_token_id": TOKEN,
            "api_token_secret": SECRET,
            "ca_path": pem["ca.pem"],
            "timeout_s": 10.0,
            **changes,
        }
        return EndpointSpec(**given)

    return build


@pytest.fixture
def clock():
    return TurnedClock()


@pytest.fixture
def said():
    """What the client told the technician."""
    return []


@pytest.fixture
def open_client(spec_for, clock, said):
    opened = []

    def build(port: int, **changes) -> Client:
        client = Client(spec_for(port, **changes), clock=clock, progress=said.append)
        opened.append(client)
        return client

    yield build
    for client in opened:
        client.close()


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def open_site(spec_for, clock, said):
    """Open a site over one door used twice, or over two."""
    opened = []

    def build(production: Door, replica: Door | None = None, **changes) -> ProxmoxSite:
        ports = (production.port, (replica or production).port)
        ends = [spec_for(port, node=node, **changes) for port, node in zip(ports, ("pve1", "pve2"), strict=True)]
        spec = SiteSpec(name="luca-sede", provider="proxmox", production=ends[0], replica=ends[1])
        opened.append(ProxmoxSite(spec, clock=clock, progress=said.append))
        return opened[-1]

    yield build
    for site in opened:
        site.close()
