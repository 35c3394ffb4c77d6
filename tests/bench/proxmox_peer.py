# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CPU of our fleet scan against community.proxmox's proxmox_vm_info run for each site of the same fleet."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from ansible_collections.ferragosto.dr.tests.bench import commands
from ansible_collections.ferragosto.dr.tests.bench.figures import Figure, at_most_times, scaled, told
from ansible_collections.ferragosto.dr.tests.bench.proxmox_fleet import Fleet
from ansible_collections.ferragosto.dr.tests.bench.proxmox_scan import Scan

GOAL = 1 / 50
FEW = 20
MOST_ROUNDS = 3  # the peer is slow
WITHIN_S = 300.0
MODULE = "community.proxmox.proxmox_vm_info"


def figures(scan: Scan, rounds: int, *, peers: str, folder: Path) -> Iterator[Figure]:
    """Yield the CPU of both for the whole fleet, in turns."""
    fleet = scan.fleet
    few = min(FEW, fleet.sites)
    starts, ours, found = [], [], []
    for dummy in range(min(rounds, MOST_ROUNDS)):
        starts.append(scan.start_up().cpu_s)
        ours.append(scan.ours().cpu_s)
        found.append(_peer(fleet, few, peers=peers, folder=folder).cpu_s)
    whole = [scaled(peer, start, few, fleet.sites) for peer, start in zip(found, starts, strict=True)]
    yield at_most_times(
        f"site_info of {fleet.sites} sites x {fleet.vms} VMs, CPU, against proxmox_vm_info *",
        ours,
        whole,
        times=GOAL,
        note=f"* the peer ran for {few} sites, one task each ({median(found):.2f} CPU s, {median(starts):.2f} of them Ansible's"
        f" start-up); its cost per site is scaled to {fleet.sites}. It tells power and resources of the VMs alone; verified TLS"
        " for both",
    )
    alone = [fleet.sites * scaled(peer, start, few, 1) for peer, start in zip(found, starts, strict=True)]
    yield told(
        "the same, against a playbook of its own for every site *",
        median(ours),
        floor=median(alone),
        note="where each client has an inventory of its own, and so a run of its own: Ansible starts once per site",
    )


def _peer(fleet: Fleet, few: int, *, peers: str, folder: Path) -> commands.Usage:
    """Run the peer the way it is used: its sites are hosts of the inventory, and each runs the one task."""
    words = ("api_host", "api_port", "api_user", "api_token_id", "api_token_secret")
    hosts = {
        site["name"]: {word: site["production"][word] for word in words} | {"ansible_connection": "local"}
        for site in fleet.site_vars(few)
    }
    inventory = folder / "peer-inventory.json"
    variables = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    inventory.touch(mode=0o600)
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}), encoding="utf-8")
    options: dict[str, t.Any] = {
        **{word: f"{{{{ {word} }}}}" for word in words},
        "validate_certs": True,
        "type": "qemu",
    }
    play = commands.write_play(
        folder / "peer.json",
        [
            {
                "name": "Read",
                MODULE: options,
                "register": "found",
                "failed_when": f"found.proxmox_vms | length != {fleet.vms}",
            }
        ],
        hosts="all",
    )
    env = {
        **commands.environment(folder / "ansible", peers),
        "REQUESTS_CA_BUNDLE": str(fleet.ca_path),
    }
    return commands.measure(commands.playbook("-i", str(inventory), str(play)), env=env, within_s=WITHIN_S)
