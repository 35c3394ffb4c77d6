# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client's two Hyper-V hosts behind verified TLS and real NTLM, and what the provider asks of them."""

from __future__ import annotations

import contextlib
import json
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.lab import HypervLab
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, SiteReading
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.site import HypervSite
from ansible_collections.ferragosto.dr.plugins.module_utils.session import SystemClock
from ansible_collections.ferragosto.dr.tests.e2e.deaths import CONTRACT, run_module

HOME, AWAY = "hv1.bench.example", "hv2.bench.example"
ACCEPT = {"original_overwritten": "the bench has no other use for these disks"}
POLICY = {"restarts": 0, "deadlines": {"shutdown": "2s", "guest": "60s", "migrate": "60s"}}
COMMANDS, SEEN = "wsman:Command", "wsman:"


@contextlib.contextmanager
def site(vms: int, folder: Path) -> Iterator[Site]:
    """Stand up a site of so many VMs, each replicated from the first host to the second."""
    inventory = folder / "bench.yml"
    inventory.write_text(json.dumps(_inventory(vms)), encoding="utf-8")
    with HypervLab.start(inventory, timing=Timing.fast(), state_dir=folder / "lab") as lab:
        yield Site(lab, folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What went over for something: processes on the hosts, and HTTP requests by the hosts' own count."""

    commands: int
    requests: int


class Site:
    def __init__(self, lab: HypervLab, folder: Path) -> None:
        self.lab, self._folder = lab, folder
        overlay = yaml.safe_load(lab.overlay_path.read_text(encoding="utf-8"))
        (group,) = overlay.values()
        self.words: dict[str, t.Any] = group["vars"]["dr_site"]
        self._rounds = 0

    @contextlib.contextmanager
    def open(self) -> Iterator[HypervSite]:
        ends = {end: _endpoint(self.words[end]) for end in ("production", "replica")}
        spec = SiteSpec(name="bench", provider="hyperv", production=ends["production"], replica=ends["replica"])
        opened = HypervSite(spec, clock=SystemClock(), progress=lambda words: None)
        try:
            yield opened
        finally:
            opened.close()

    @contextlib.contextmanager
    def asked(self) -> Iterator[list[Asked]]:
        """Count what a block asks of the hosts; the list has the count when the block is over."""
        found: list[Asked] = []
        before = self._count()
        yield found
        after = self._count()
        found.append(Asked(commands=after.commands - before.commands, requests=after.requests - before.requests))

    def _count(self) -> Asked:
        calls = self.lab.control.calls()
        return Asked(
            commands=calls.get(COMMANDS, 0), requests=sum(n for name, n in calls.items() if name.startswith(SEEN))
        )

    # --- a failover, by the modules ------------------------------------------------------------------------------------

    def steps(self, vm: str, *, boot_s: float, failover_s: float, initial_s: float) -> dict[str, float]:
        """Fail a fresh VM over and turn its replication by the modules; return how long each step took."""
        self.lab.reset()
        self.lab.world.timing = replace(self.lab.world.timing, boot_s=boot_s)
        self.lab.fleet.timing = replace(self.lab.fleet.timing, failover_s=failover_s, initial_s=initial_s)
        self._rounds += 1
        given = {
            "site": self.words,
            "journal": f"sqlite:///{self._folder / f'round-{self._rounds}.sqlite'}",
            "vm": vm,
        }
        self.lab.control.corrupt(vm, since_s=3600.0)
        said = {"policy": POLICY, "accept": ACCEPT}
        rows: list[dict[str, t.Any]] = []
        for name, more in (
            ("journal", {"state": "open", "op": "recover", "contract": CONTRACT}),
            ("vm_fence", said),
            ("replica", {"state": "failover", "contract": CONTRACT, **said}),
            ("replication", {"state": "reversed", **said}),
        ):
            result = run_module(name, {**given, **more})
            if result.get("failed"):
                raise RuntimeError(f"{name}: {result['msg']}")
            rows += result.get("steps", [])
        return {row["step"]: row["took_s"] for row in rows if row["changed"]}


def pair_of(reading: SiteReading, name: str) -> Pair:
    """Return a VM's pair as it was read."""
    (production,) = (vm for vm in reading.production.vms if vm.name == name)
    (replica,) = (vm for vm in reading.replica.vms if vm.name == name)
    return Pair(name=name, production=production, replica=replica, production_node=HOME, replica_node=AWAY)


def _endpoint(words: dict[str, t.Any]) -> EndpointSpec:
    return EndpointSpec(**words)


def _inventory(vms: int) -> dict[str, t.Any]:
    end = {"api_host": "127.0.0.1", "network": "LAN"}
    return {
        "bench": {
            "vars": {
                "dr_client": {"name": "Bench", "locale": "en", "timezone": "Europe/Rome"},
                "dr_contract": {"rto": "30m", "rpo": "24h"},
                "dr_site": {
                    "name": "bench",
                    "provider": "hyperv",
                    "production": {**end, "node": HOME},
                    "replica": {**end, "node": AWAY},
                },
            },
            "hosts": {f"vm{number:02}.bench": {"dr_vm": f"vm{number:02}"} for number in range(vms)},
        }
    }
