# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Benchmarks of the Proxmox VE provider, each against a floor or a peer measured in the same run, on loopback alone.

A fleet of twin sites stands in a process of its own: each a cluster of two nodes behind verified TLS, every VM replicated,
every call 20 ms away. What is measured:

scan   a playbook with one site_info task over all sites, from `ansible-playbook` to its end, against a raw asyncio script on
       aiohttp that makes the same calls (learnt from the fleet's own log) and knows nothing but to count VMs: wall and CPU.
       Beside it the same script on asyncio's bare streams. Then where the CPU goes, what an added site costs, and the wall time
       when a call takes 150 ms.
peer   CPU of the same scan against community.proxmox's proxmox_vm_info in one play, one task per site, for 20 sites; its cost per
       site is scaled to the fleet.

How to read it: the fleet's CPU is in neither side, but it works on the same cores, and takes most of the floor's wall time (its
CPU per scan is in the table). A real fleet answers on its own machines: there both sides are faster, and Ansible's start-up weighs
more. Wall times are judged less what a side waited for a core. CPU seconds are dearer on a machine whose other core works too, and
Ansible's start-up is half of ours, so compare runs of a quiet machine alone: see `load_1m` in the file. A partial run writes a file
of its own beside build/bench/proxmox.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.ferragosto.dr.tests.bench import proxmox_peer, proxmox_scan
from ansible_collections.ferragosto.dr.tests.bench.commands import ROOT
from ansible_collections.ferragosto.dr.tests.bench.figures import Figure, publish
from ansible_collections.ferragosto.dr.tests.bench.proxmox_fleet import Fleet

PARTS = ("scan", "peer")
OUT = ROOT / "build" / "bench"
LATENCY_S = 0.02


def main() -> int:
    given = _arguments()
    if "peer" in given.parts and not given.peers:
        print("bench: no peers to compare with: run `make bench`, or name their folder by DR_PEERS", file=sys.stderr)
        return 2
    name = "proxmox" if set(given.parts) == set(PARTS) else f"proxmox-{'-'.join(given.parts)}"
    more = {"sites": given.sites, "vms": given.vms, "latency_s": LATENCY_S, "parts": given.parts}
    with tempfile.TemporaryDirectory(prefix="bench-proxmox-") as folder:
        return publish(_figures(given, Path(folder)), OUT / f"{name}.json", notes=__doc__ or "", more=more)


def _figures(given: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    with Fleet(given.sites, given.vms, LATENCY_S) as fleet:
        scan = proxmox_scan.Scan(fleet, folder)
        if "peer" in given.parts:
            yield from proxmox_peer.figures(scan, given.rounds, peers=given.peers, folder=folder)
        if "scan" in given.parts:
            yield from proxmox_scan.figures(scan, given.rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench_proxmox", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"which of {', '.join(PARTS)}; default: all")
    parser.add_argument("--sites", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--vms", type=int, default=10, help="VMs of each site; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement; default: %(default)s")
    given = parser.parse_args()
    given.parts = given.parts or list(PARTS)
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    given.peers = os.environ.get("DR_PEERS", "")
    return given


if __name__ == "__main__":
    sys.exit(main())
