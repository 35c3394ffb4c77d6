# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Benchmarks of the vSphere provider, each against a floor measured in the same run, on loopback alone.

What is measured:

read   the provider's read of one endpoint with 1,000 VMs (session open, same process) against one raw pyvmomi property
       collector read of the same objects and paths; and its round trips, counted at the HTTP client. Wall times are judged
       less the time that the reading thread waited for a core: on an idle machine there is none.
peer   client CPU of a playbook with site_info against one with community.vmware's vmware_vm_info, on the same vcsim.
       The peer makes tens of calls per VM and runs once; with fewer --peer-vms its cost per VM is scaled up, and the table
       says so.
wait   the time a step of the real module takes beyond the server's own task, on the lab with tasks of 3 s; and the same on
       a far site of 100 ms per call.
card   from the start of `ansible-playbook ferragosto.dr.assess` to the decision card on screen, with both cores busy.

How to read it: no vCenter answers at vcsim's speed, and vcsim shares the cores with the client (its own CPU per read is in the
table; most of the rest of a read's wall time is pyvmomi's parsing, in either read). The ratios say what our code adds, not how
long a real site takes. What carries over to a real site is client CPU and the number of round trips; multiply the latter by
the site's latency. vcsim's tasks end at once, so the lab lets them last, and its proxy (Python, one process with this script)
adds some milliseconds to each call of `wait` and `card`. CPU seconds vary little on a busy machine, wall times much: see
`load_1m` in the file. A partial run writes a file of its own beside build/bench/vsphere.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.vsphere.lab import VsphereLab
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing
from ansible_collections.ferragosto.dr.tests.bench import vsphere_card, vsphere_peer, vsphere_read, vsphere_wait
from ansible_collections.ferragosto.dr.tests.bench.bare_vcsim import BareVcsim
from ansible_collections.ferragosto.dr.tests.bench.commands import ROOT
from ansible_collections.ferragosto.dr.tests.bench.figures import Figure, publish

PARTS = ("read", "peer", "wait", "card")
OUT = ROOT / "build" / "bench"
CLIENT = ROOT / "clients" / "luca"


def main() -> int:
    given = _arguments()
    if "peer" in given.parts and not given.peers:
        print("bench: no peers to compare with: run `make bench`, or name their folder by DR_PEERS", file=sys.stderr)
        return 2
    name = "vsphere" if set(given.parts) == set(PARTS) else f"vsphere-{'-'.join(given.parts)}"
    more = {"vms": given.vms, "parts": given.parts}
    with tempfile.TemporaryDirectory(prefix="bench-vsphere-") as folder:
        return publish(_figures(given, Path(folder)), OUT / f"{name}.json", notes=__doc__ or "", more=more)


def _figures(given: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    if {"wait", "card"} & set(given.parts):
        with (
            vsphere_card.on_two_cores(),
            VsphereLab.start(CLIENT, timing=Timing.fast(), state_dir=folder / "lab") as lab,
        ):
            if "wait" in given.parts:
                yield from vsphere_wait.figures(lab, given.rounds, folder)
            if "card" in given.parts:
                yield from vsphere_card.figures(lab, CLIENT, given.rounds, folder)
    if {"read", "peer"} & set(given.parts):
        with BareVcsim(given.vms) as simulator:
            if "read" in given.parts:
                yield from vsphere_read.figures(simulator, given.rounds + 2)
            if "peer" in given.parts:
                yield from vsphere_peer.figures(
                    simulator, given.rounds, peers=given.peers, folder=folder, peer_vms=given.peer_vms or given.vms
                )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench_vsphere", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"which of {', '.join(PARTS)}; default: all")
    parser.add_argument("--vms", type=int, default=1000, help="VMs of the read and the peer; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement; default: %(default)s")
    parser.add_argument(
        "--peer-vms",
        type=int,
        metavar="N",
        help="let the peer read folders of 20 and N VMs and scale its cost per VM to --vms; default: it reads all",
    )
    given = parser.parse_args()
    given.parts = given.parts or list(PARTS)
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    given.peers = os.environ.get("DR_PEERS", "")
    return given


if __name__ == "__main__":
    sys.exit(main())
