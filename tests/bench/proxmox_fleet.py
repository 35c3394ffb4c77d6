# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of twin sites in a process of its own: each a cluster of two nodes, every VM of it replicated.

``python -m ...proxmox_fleet`` is that process. It tells its addresses in one line of JSON, then answers one line for each line
of its standard input, and ends with it, so it cannot outlive who started it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Callable
from pathlib import Path
from unittest import mock
from urllib.parse import urlencode

from ansible_collections.ferragosto.dr.extensions.twin.inventory import End, HostWish, VmWish
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.auth import Keys
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.build import build
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.certificates import Certificates
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.loop import DoorLoop
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.server import Doors
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.timing import PveTiming
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, Route
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wish import BRIDGE, STORAGE, ProxmoxWish
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import RunningClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

START_WITHIN_S = 120.0
ANSWER_WITHIN_S = 30.0
NODES = ("pve1", "pve2")
HOME, AWAY = NODES
PREFIX = "/api2/json"
LOG_LINES = 2_000
FILES_OF_A_SITE = 8  # open files: for each node its listener, the reservation of its port, and two clients


class Fleet:
    """The process, seen from the side of who measures."""

    def __init__(self, sites: int, vms: int, latency_s: float) -> None:
        self.sites, self.vms = sites, vms
        self._folder = tempfile.TemporaryDirectory(prefix="bench-fleet-")
        self.ca_path = Path(self._folder.name) / "ca.pem"
        started_s = time.monotonic()
        words = {"sites": sites, "vms": vms, "latency": latency_s, "ca": self.ca_path}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, *(f"--{name}={value}" for name, value in words.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        told = self._line(START_WITHIN_S)
        self.ports: list[dict[str, int]] = told["ports"]
        self.user: str = told["user"]
        self.token_id: str = told["token_id"]
        self._secrets: list[str] = told["secrets"]  # a client's token opens no other client's site
        self.start_s = time.monotonic() - started_s

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait(timeout=10)
        self._folder.cleanup()

    def account(self, number: int) -> dict[str, str]:
        """How a client of a site logs in, in the words that all Ansible modules use."""
        return {"api_user": self.user, "api_token_id": self.token_id, "api_token_secret": self._secrets[number]}

    def token_header(self, number: int) -> str:
        return f"PVEAPIToken={self.user}!{self.token_id}={self._secrets[number]}"

    def cpu_s(self) -> float:
        """Return the CPU seconds that the fleet has used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def site_vars(self, count: int) -> list[dict[str, t.Any]]:
        """Return ``dr_site`` of so many clients; beyond the fleet's number, several clients share one twin."""
        return [
            {
                "name": f"client-{number:04d}",
                "provider": "proxmox",
                **{
                    end: {
                        "node": node,
                        "api_host": "127.0.0.1",
                        "api_port": self.ports[number % self.sites][node],
                        "ca_path": str(self.ca_path),
                        **self.account(number % self.sites),
                    }
                    for end, node in (("production", HOME), ("replica", AWAY))
                },
            }
            for number in range(count)
        ]

    def set_latency(self, seconds: float) -> None:
        self._ask({"latency": seconds})

    def heard(self) -> list[list[str]]:
        """Return, for each site, the calls that came in since the last question, as ``<node> <method> <target>``."""
        return t.cast("list[list[str]]", self._ask({"heard": True}))

    def _ask(self, question: dict[str, t.Any]) -> t.Any:
        stdin: t.Any = self._process.stdin
        stdin.write(json.dumps(question).encode() + b"\n")
        stdin.flush()
        return self._line(ANSWER_WITHIN_S)

    def _line(self, within_s: float) -> t.Any:
        out: t.Any = self._process.stdout
        said, deadline = b"", time.monotonic() + within_s
        while time.monotonic() < deadline:
            if select.select([out], [], [], 0.2)[0]:
                piece = os.read(out.fileno(), 1 << 20)
                if not piece:
                    break
                said += piece
                if said.endswith(b"\n"):
                    return json.loads(said)
        self._process.kill()
        raise RuntimeError(f"the fleet did not answer within {within_s:.0f} s")


# --- the process -----------------------------------------------------------------------------------------------------


def main() -> None:
    given = _arguments()
    dummy, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 256 + given.sites * FILES_OF_A_SITE), most))
    certificates, loop = Certificates(), DoorLoop()
    given.ca.write_bytes(certificates.ca_pem)
    calls: dict[int, list[str]] = {}
    every: list[Doors] = []
    for number in range(given.sites):
        datacenters = _site(number, given.vms)
        doors = Doors(datacenters, ca=certificates, loop=loop, keys=Keys(), has_ssh=False, latency_s=given.latency)
        doors.open()
        every.append(doors)
        calls.update({id(datacenter): [] for datacenter in datacenters})
    # What stands now stands to the end: no round pays for looking at it again
    gc.collect()
    gc.freeze()
    keys = [doors.keys.assess for doors in every]
    _tell(
        {
            "ports": [{node: doors.endpoint(node)[1] for node in doors.nodes} for doors in every],
            "user": keys[0].user,
            "token_id": keys[0].token_id,
            "secrets": [key.secret for key in keys],
        }
    )
    with mock.patch.object(Datacenter, "carry_out", _heard(calls)):
        _obey(every, calls)
    os._exit(0)  # hundreds of listeners need no farewell


def _obey(every: list[Doors], calls: dict[int, list[str]]) -> None:
    for line in sys.stdin:
        question = json.loads(line)
        if "latency" in question:
            for doors in every:
                doors.gate.latency_s = question["latency"]
            _tell(True)
        else:
            _tell([_taken(log) for log in calls.values()])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="proxmox_fleet")
    parser.add_argument("--sites", type=int, required=True)
    parser.add_argument("--vms", type=int, required=True)
    parser.add_argument("--latency", type=float, required=True)
    parser.add_argument("--ca", type=Path, required=True)
    return parser.parse_args()


def _site(number: int, vms: int) -> list[Datacenter]:
    """Build one client's cluster as the lab does: its VMs on one node, their replicas on the other."""
    wish = ProxmoxWish(
        name=f"client-{number:04d}",
        group=f"client{number:04d}",
        provider="proxmox",
        production=End(node=HOME, datastore=STORAGE, network=BRIDGE),
        replica=End(node=AWAY, datastore=STORAGE, network=BRIDGE),
        site_vars={},
        vms=tuple(VmWish(host=f"vm{at}.client{number:04d}", vm=f"vm{at}", replica_name=f"vm{at}") for at in range(vms)),
        vmids={f"vm{at}": 100 + at for at in range(vms)},
        hosts={node: HostWish() for node in NODES},
    )
    return build(wish, World(RunningClock(), Timing.fast(), log_size=LOG_LINES), PveTiming.fast())


def _heard(calls: dict[int, list[str]]) -> Callable[..., t.Any]:
    """Return ``Datacenter.carry_out`` with every call written down first."""
    carry_out = Datacenter.carry_out

    def noted(self: Datacenter, route: Route, call: Call) -> t.Any:
        query = f"?{urlencode(call.params)}" if call.params else ""
        calls[id(self)].append(f"{call.door_node} {call.method} {PREFIX}{call.path}{query}")
        return carry_out(self, route, call)

    return noted


def _taken(log: list[str]) -> list[str]:
    calls = log[:]
    del log[: len(calls)]
    return calls


def _tell(content: t.Any) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
