# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Benchmarks of the Hyper-V provider, on loopback alone: round trips by the hosts' own count, and time lost in waits.

Over WinRM a process on the host costs seconds and a request a round trip, whatever the machine that measures. So the first
figures are counts, of the twin's WS-Man server (real NTLM over TLS, pywinrm as it is), and any machine finds the same ones:

reads  a site read of two hosts with 20 VMs each: processes on both hosts together, and requests per process when the shell is
       open; for one VM the same of a look and of a failover's preflight. A cold read adds log-in and shell.
waits  a failover and a reversed replication by the modules, the twin set to take known times: each step less the time that the
       twin itself takes for it. The durations differ from round to round, so that no wait is met by luck at the moment of a look;
       the worst counts.

Nothing here has seen a Windows host: there the same counts stand beside processes that take seconds to start.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.ferragosto.dr.tests.bench import hyperv_site
from ansible_collections.ferragosto.dr.tests.bench.commands import ROOT
from ansible_collections.ferragosto.dr.tests.bench.figures import Figure, at_most, publish, told
from ansible_collections.ferragosto.dr.tests.bench.hyperv_site import Site

OUT = ROOT / "build" / "bench"
PARTS = ("reads", "waits")
MOST_COMMANDS, MOST_REQUESTS, MOST_ADDED_S = 2, 5, 1.0
# Step -> which of the twin's durations it waits for
WAITS = {
    "fail over to the recovery point": "failover_s",
    "see the guest alive": "boot_s",
    "see the replica in sync": "initial_s",
}


def main() -> int:
    given = _arguments()
    name = "hyperv" if set(given.parts) == set(PARTS) else f"hyperv-{'-'.join(given.parts)}"
    more = {"vms": given.vms, "parts": given.parts}
    with tempfile.TemporaryDirectory(prefix="bench-hyperv-") as folder:
        return publish(_figures(given, Path(folder)), OUT / f"{name}.json", notes=__doc__ or "", more=more)


def _figures(given: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    with hyperv_site.site(given.vms, folder) as site:
        if "reads" in given.parts:
            yield from reads(site, given.vms, given.rounds)
        if "waits" in given.parts:
            yield from waits(site, given.rounds)


def reads(site: Site, vms: int, rounds: int) -> Iterator[Figure]:
    """Yield the round trips of what is read, with a cold shell and with a warm one."""
    commands, requests, cold, took = [], [], [], []
    for dummy in range(rounds):
        with site.open() as opened:
            with site.asked() as first:
                opened.read()
            started_s = time.monotonic()
            with site.asked() as again:
                reading = opened.read()
            took.append(time.monotonic() - started_s)
            if [len(end.vms) for end in reading.endpoints()] != [vms, vms]:
                raise RuntimeError(f"a host does not show its {vms} VMs")
            pair = hyperv_site.pair_of(reading, "vm00")
            with site.asked() as looked:
                opened.refresh(pair.copies()[0])
            with site.asked() as checked:
                opened.ways(pair, pair.copies()[1].points[-1])
        commands.append(float(max(first[0].commands, again[0].commands)))
        cold.append(float(first[0].requests))
        requests += [one[0].requests / one[0].commands for one in (again, looked, checked)]
    yield at_most(f"site read, 2 x {vms} VMs: processes on both hosts", commands, MOST_COMMANDS, unit="")
    yield at_most(
        "requests per process, shell open: the worst of a site read, a look and a preflight",
        [max(requests)],
        MOST_REQUESTS,
        unit="",
        note=f"every one: {sorted(set(requests))}",
    )
    yield told("site read, cold: requests of both hosts with log-in and shell", statistics.median(cold), unit="")
    yield told("site read, shell open: wall time", statistics.median(took), note="the twin works on the same cores")


def waits(site: Site, rounds: int) -> Iterator[Figure]:
    """Yield what each waiting step adds to the time that the twin takes for it; the worst of the rounds."""
    added: dict[str, list[float]] = {step: [] for step in WAITS}
    for number in range(rounds):
        # A third of a second apart: a look every second or half a second meets each end at another moment
        known = {"failover_s": 1.0, "boot_s": 2.0 + number / 3, "initial_s": 2.0 + number / 3}
        took = site.steps("vm00", **known)
        for step, duration in WAITS.items():
            added[step].append(took[step] - known[duration])
    for step, values in added.items():
        yield at_most(
            f"{step}: step less the twin's own time, the worst",
            [max(values)],
            MOST_ADDED_S,
            note=f"every round: {[round(value, 3) for value in values]}",
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench_hyperv", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"which of {', '.join(PARTS)}; default: all")
    parser.add_argument("--vms", type=int, default=20, help="VMs of each host; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement; default: %(default)s")
    given = parser.parse_args()
    given.parts = given.parts or list(PARTS)
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    return given


if __name__ == "__main__":
    sys.exit(main())
