# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real vcsim per test session, plain and behind a misbehaving TLS door; nothing of the vSphere API is imitated here."""

from __future__ import annotations

import datetime
import importlib.util
import os
import re
import select
import shutil
import ssl
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
import trustme

from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.tests.unit.vsphere.front import Front

ROOT = Path(__file__).resolve().parents[3]
USER, PASSWORD = "dr@vsphere.local", "s3cret-of-luca"


class SystemClock:
    now_s = staticmethod(time.time)
    sleep = staticmethod(time.sleep)


def find_vcsim() -> str:
    spec = importlib.util.spec_from_file_location("get_simulators", ROOT / "tools" / "get_simulators.py")
    if spec is not None and spec.loader is not None and (ROOT / "tools" / "get_simulators.py").exists():
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        found = tool.find_simulator("vcsim")
        if found is not None:
            return str(found)
    found_on_path = shutil.which("vcsim")
    if found_on_path is None:
        pytest.skip("no vcsim: run `make setup`, or name one by VCSIM")
    return found_on_path


class Vcsim:
    """One process; it ends when its standard input closes, so it cannot outlive this one."""

    def __init__(self, *options: str) -> None:
        # vcsim opens -l 127.0.0.1:0 on a free port and prints it
        self.process = subprocess.Popen(
            [find_vcsim(), "-l", "127.0.0.1:0", "-stdinexit", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "GOMAXPROCS": "2"},
        )
        self.port = self._port()

    def _port(self) -> int:
        deadline = time.monotonic() + 60
        line = b""
        while time.monotonic() < deadline and b"GOVC_SIM_PID" not in line:
            stdout = t.cast("t.IO[bytes]", self.process.stdout)
            readable, dummy, dummy = select.select([stdout], [], [], 1.0)
            line = stdout.readline() if readable else b""
            if self.process.poll() is not None:
                raise RuntimeError(f"vcsim ended at once with {self.process.returncode}")
        return int(re.search(rb"@127\.0\.0\.1:(\d+)/", line).group(1))

    def end(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


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


def vcsim_process(pem, *options):
    user = USER if "-esx" in options else USER.partition("@")[0]  # as a vCenter, vcsim adds the domain by itself
    tls = ("-tlscert", pem["server.pem"], "-tlskey", pem["server.key"])
    return Vcsim("-username", user, "-password", PASSWORD, *tls, *options)


@pytest.fixture(scope="session")
def vcenter_port(pem):
    simulator = vcsim_process(pem, "-vm", "3", "-cluster", "1", "-host", "2", "-standalone-host", "2")
    yield simulator.port
    simulator.end()


@pytest.fixture(scope="session")
def esxi_port(pem):
    simulator = vcsim_process(pem, "-esx", "-vm", "2")
    yield simulator.port
    simulator.end()


@pytest.fixture
def spec_for(pem):
    def build(port: int, **changes) -> EndpointSpec:
        given = {
            "api_host": "127.0.0.1",
            "api_port": port,
            "api_user": USER,
            "api_password": PASSWORD,
            "ca_path": pem["ca.pem"],
            "timeout_s": 10.0,
            **changes,
        }
        return EndpointSpec(**given)

    return build


@pytest.fixture
def open_client(spec_for):
    opened = []

    def build(port: int, **changes) -> Client:
        client = Client(spec_for(port, **changes), clock=SystemClock(), progress=lines.append)
        setattr(client, "lines", lines)  # noqa: B010  (what a test may read back)
        opened.append(client)
        return client

    lines: list[str] = []
    yield build
    for client in opened:
        client.close()


@pytest.fixture(scope="session")
def plain_vcsim():
    """vcsim without TLS, for the door in front of it."""
    simulator = Vcsim(
        "-tls=false",
        "-username",
        USER.partition("@")[0],
        "-password",
        PASSWORD,
        "-vm",
        "2",
        "-host",
        "1",
        "-cluster",
        "1",
    )
    yield simulator.port
    simulator.end()


@pytest.fixture
def front(plain_vcsim, pem):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pem["server.pem"], pem["server.key"])
    door = Front(plain_vcsim, tls)
    yield door
    door.end()


@pytest.fixture(scope="session")
def expired_pem(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("expired")
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    server = authority.issue_cert("127.0.0.1", not_before=yesterday - datetime.timedelta(days=9), not_after=yesterday)
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    return folder
