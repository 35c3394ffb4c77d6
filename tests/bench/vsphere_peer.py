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
OWN_WITHIN_S = 120.0


def figures(simulator: BareVcsim, rounds: int, *, peers: str, folder: Path, peer_within_s: float) -> Iterator[Figure]:
    """Yield CPU with and without Ansible's start-up. The peer runs once: it is slow, and CPU seconds vary little."""
    env = {**commands.environment(folder / "ansible", peers), "SSL_CERT_FILE": str(simulator.ca_path)}
    plays = {name: commands.playbook(str(play)) for name, play in _plays(simulator, folder).items()}
    runs: dict[str, list[commands.Usage]] = {"start": [], "ours": [], "peer": []}
    for _ in range(rounds):
        for name in ("start", "ours"):
            runs[name].append(commands.measure(plays[name], env=env, within_s=OWN_WITHIN_S))
    runs["peer"].append(commands.measure(plays["peer"], env=env, within_s=peer_within_s))
    peer = runs["peer"][0]
    note = "the peer's own defaults; verified TLS and the same Ansible for both"
    if not peer.is_complete:
        note = (
            f"the peer was ended after {peer.wall_s:.0f} s: it needs at least this much CPU, the ratio is at most this"
        )
    start_s, ours_s = (statistics.median(run.cpu_s for run in runs[name]) for name in ("start", "ours"))
    at = f"site_info of {simulator.vms} VMs, client CPU, against vmware_vm_info"
    yield at_most_times(at, [run.cpu_s for run in runs["ours"]], [peer.cpu_s], times=GOAL, note=note)
    yield at_most_times(
        f"{at}, no start-up",
        [ours_s - start_s],
        [peer.cpu_s - start_s],
        times=GOAL,
        note="less the CPU of the same playbook with ansible.builtin.ping, in either",
    )
    yield told("Ansible's start-up, client CPU", start_s)
    wall_s = statistics.median(run.wall_s for run in runs["ours"])
    yield told(f"site_info of {simulator.vms} VMs, wall, against vmware_vm_info", wall_s, floor=peer.wall_s, note=note)


def _plays(simulator: BareVcsim, folder: Path) -> dict[str, Path]:
    peer = {"hostname": "127.0.0.1", "port": simulator.port, "username": USER, "password": PASSWORD}
    tasks: dict[str, tuple[str, dict[str, t.Any], str]] = {
        "start": ("ansible.builtin.ping", {}, f"{simulator.vms}"),
        "ours": ("ferragosto.dr.site_info", {"site": simulator.site}, "found.sites[0].vms | length"),
        "peer": ("community.vmware.vmware_vm_info", peer, "found.virtual_machines | length"),
    }
    return {
        name: commands.write_play(
            folder / f"{name}.json",
            [
                {"name": "Read", module: options, "register": "found"},
                {"name": "Count", "ansible.builtin.assert": {"that": f"{count} == {simulator.vms}", "quiet": True}},
            ],
        )
        for name, (module, options, count) in tasks.items()
    }
