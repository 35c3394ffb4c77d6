# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Client CPU of our site_info against community.vmware's vmware_vm_info: two playbooks, one vcsim."""

from __future__ import annotations

import statistics
import typing as t
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.ferragosto.dr.tests.bench import commands
from ansible_collections.ferragosto.dr.tests.bench.bare_vcsim import PASSWORD, USER, BareVcsim
from ansible_collections.ferragosto.dr.tests.bench.figures import Figure, at_most_times, told

GOAL = 0.2
FEW = 20
WITHIN_S = 300.0
START, OURS, PEER = "ansible.builtin.ping", "ferragosto.dr.site_info", "community.vmware.vmware_vm_info"


def figures(simulator: BareVcsim, rounds: int, *, peers: str, folder: Path, peer_vms: int) -> Iterator[Figure]:
    """Yield CPU with and without Ansible's start-up. The peer runs once: it is slow, and CPU seconds vary little."""
    bench = _Bench(simulator, peers=peers, folder=folder)
    runs: dict[str, list[commands.Usage]] = {START: [], OURS: []}
    for dummy in range(rounds):
        runs[START].append(bench.run(START, {}, f"{simulator.vms}"))
        runs[OURS].append(bench.run(OURS, {"site": simulator.site}, "found.sites[0].vms | length"))
    peer, how = _peer(bench, peer_vms)
    start_s, ours_s = (statistics.median(run.cpu_s for run in runs[name]) for name in (START, OURS))
    at = f"site_info of {simulator.vms} VMs"
    note = f"* {how}; the peer's own defaults; verified TLS and the same Ansible for both"
    yield at_most_times(f"{at}, client CPU, against vmware_vm_info *", [ours_s], [peer.cpu_s], times=GOAL, note=note)
    yield at_most_times(
        "the same, both less Ansible's start-up *",
        [ours_s - start_s],
        [peer.cpu_s - start_s],
        times=GOAL,
        note="less the CPU of the same playbook with ansible.builtin.ping, in either",
    )
    yield told("Ansible's start-up, client CPU", start_s)
    wall_s = statistics.median(run.wall_s for run in runs[OURS])
    yield told(f"{at}, wall, against vmware_vm_info *", wall_s, floor=peer.wall_s, note=note)


class _Bench:
    """Runs one module as a playbook and sees to it that it found what it was to find."""

    def __init__(self, simulator: BareVcsim, *, peers: str, folder: Path) -> None:
        self.simulator = simulator
        self._folder = folder
        self._env = {**commands.environment(folder / "ansible", peers), "SSL_CERT_FILE": str(simulator.ca_path)}

    def run(self, module: str, options: dict[str, t.Any], found: str, vms: int | None = None) -> commands.Usage:
        """``found`` is the expression for the number of VMs in the result ``found``."""
        count = f"{found} == {self.simulator.vms if vms is None else vms}"
        play = commands.write_play(
            self._folder / f"{module}.json",
            [
                {"name": "Read", module: options, "register": "found"},
                {"name": "Count", "ansible.builtin.assert": {"that": count, "quiet": True}},
            ],
        )
        return commands.measure(commands.playbook(str(play)), env=self._env, within_s=WITHIN_S)


def _peer(bench: _Bench, many: int) -> tuple[commands.Usage, str]:
    """Run the peer on all VMs, or on two folders of them, from which its cost per VM follows; tell which."""
    simulator, count = bench.simulator, "found.virtual_machines | length"
    account = {"hostname": "127.0.0.1", "port": simulator.port, "username": USER, "password": PASSWORD}
    if many >= simulator.vms:
        return bench.run(PEER, account, count), f"the peer read all {simulator.vms} VMs, once"
    on_few = bench.run(PEER, {**account, "folder": simulator.gather("few", FEW)}, count, FEW)
    on_many = bench.run(PEER, {**account, "folder": simulator.gather("many", many)}, count, many)

    def scaled(few: float, more: float) -> float:
        return more + (more - few) / (many - FEW) * (simulator.vms - many)

    whole = commands.Usage(cpu_s=scaled(on_few.cpu_s, on_many.cpu_s), wall_s=scaled(on_few.wall_s, on_many.wall_s))
    return whole, (
        f"the peer read folders of {FEW} and {many} of these VMs ({on_few.cpu_s:.2f} and {on_many.cpu_s:.2f} CPU s); "
        f"its cost per VM beyond the first is scaled to {simulator.vms} (--peer-vms {simulator.vms} reads all)"
    )
