# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider's read of one endpoint against one raw pyvmomi read of the same objects and paths."""

from __future__ import annotations

import gc
import http.client
import math
import time
import typing as t
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from pyVmomi import vim, vmodl

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import EndpointReading
from ansible_collections.ferragosto.dr.plugins.module_utils.options import as_site
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.site import VsphereSite
from ansible_collections.ferragosto.dr.plugins.module_utils.session import SystemClock
from ansible_collections.ferragosto.dr.tests.bench.bare_vcsim import BareVcsim
from ansible_collections.ferragosto.dr.tests.bench.figures import Figure, at_most, at_most_times, told

PAGE = 500  # objects per answer, as performance.md has it
PATHS = {
    vim.VirtualMachine: wire.VM_PATHS,
    vim.HostSystem: wire.HOST_PATHS,
    vim.Datastore: wire.DATASTORE_PATHS,
    vim.Network: wire.NETWORK_PATHS,
}
WALL_GOAL = 1.3


def figures(simulator: BareVcsim, rounds: int) -> Iterator[Figure]:
    """Yield wall, CPU and round trips, of reads in turns."""
    site = VsphereSite(as_site(simulator.site), clock=SystemClock(), progress=lambda words: None)
    try:
        with simulator.session() as content:
            read_raw = raw_reader(content)
            objects = len(read_raw())
            site.refusals()  # opens the session and reads nothing
            with counted_requests() as requests:
                first = site.read().production
            _check(first, simulator, told_calls=requests)
            pages = math.ceil(objects / PAGE)
            before_s = simulator.cpu_s()
            ours, raw = _in_turns(lambda: _check(site.read().production, simulator), read_raw, rounds)
            simulator_s = (simulator.cpu_s() - before_s) / (2 * rounds)
    finally:
        site.close()
    at = f"site read of {simulator.vms} VMs"
    yield at_most_times(
        f"{at}, wall, against one raw read",
        [one.wall_s - one.queued_s for one in ours],
        [one.wall_s - one.queued_s for one in raw],
        times=WALL_GOAL,
        note="session open, same process, same objects and paths; the raw read asks for one page and maps nothing;"
        " less the time that this thread waited for a core, which other work on this machine took",
    )
    waited, raw_waited = (_median([one.wall_s for one in each]) for each in (ours, raw))
    yield told(f"{at}, wall with waits for a core", waited, floor=raw_waited)
    cpu_s, raw_cpu_s = (_median([one.cpu_s for one in each]) for each in (ours, raw))
    yield told(f"{at}, client CPU", cpu_s, floor=raw_cpu_s)
    yield told(f"{at}, simulator's CPU beside the client's", simulator_s, floor=cpu_s)
    yield at_most(
        f"{at}, round trips, first of a session",
        [float(len(requests))],
        1 + pages,
        floors=[float(pages)],
        unit="calls",
        note=f"counted at the HTTP client; {pages} pages of {PAGE} for {objects} objects, and the view",
    )


def raw_reader(content: t.Any) -> Callable[[], list[t.Any]]:
    """Return the read that any script would make: one view, one call, and the further pages if the server wants them."""
    kinds = vmodl.query.PropertyCollector
    view = content.viewManager.CreateContainerView(content.rootFolder, list(PATHS), True)
    walk = kinds.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)
    spec = kinds.FilterSpec(
        objectSet=[kinds.ObjectSpec(obj=view, skip=True, selectSet=[walk])],
        propSet=[kinds.PropertySpec(type=kind, pathSet=list(paths)) for kind, paths in PATHS.items()],
    )

    def read() -> list[t.Any]:
        answer = content.propertyCollector.RetrievePropertiesEx([spec], kinds.RetrieveOptions())
        found = list(answer.objects)
        while answer.token:
            answer = content.propertyCollector.ContinueRetrievePropertiesEx(answer.token)
            found += answer.objects
        return found

    return read


@contextmanager
def counted_requests() -> Iterator[list[str]]:
    """List every HTTP request of this process, whoever makes it."""
    seen: list[str] = []
    put = http.client.HTTPConnection.putrequest

    def note(self: http.client.HTTPConnection, method: str, url: str, *more: t.Any, **words: t.Any) -> None:
        seen.append(f"{method} {url}")
        put(self, method, url, *more, **words)

    with mock.patch.object(http.client.HTTPConnection, "putrequest", note):
        yield seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    wall_s: float
    queued_s: float  # this thread could run and had no core
    cpu_s: float


def _in_turns(ours: Callable[[], object], raw: Callable[[], object], rounds: int) -> tuple[list[Timing], list[Timing]]:
    """Time both, each first in every other round."""
    found: dict[bool, list[Timing]] = {True: [], False: []}
    for number in range(rounds):
        for is_ours in (True, False) if number % 2 else (False, True):
            found[is_ours].append(_timed(ours if is_ours else raw))
    return found[True], found[False]


def _timed(act: Callable[[], object]) -> Timing:
    gc.collect()
    wall_s, queued_s, cpu_s = time.perf_counter(), _queued_s(), time.process_time()
    act()
    return Timing(
        wall_s=time.perf_counter() - wall_s,
        queued_s=_queued_s() - queued_s,
        cpu_s=time.process_time() - cpu_s,
    )


def _queued_s() -> float:
    """Return the seconds that this thread has waited for a core so far; 0 where the system does not tell."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except OSError:
        return 0.0


def _check(reading: EndpointReading, simulator: BareVcsim, told_calls: list[str] | None = None) -> None:
    """Refuse to time a read that failed, or that miscounts its own calls."""
    if reading.error is not None or len(reading.vms) != simulator.vms:
        raise RuntimeError(f"read {len(reading.vms)} of {simulator.vms} VMs: {reading.error}")
    if told_calls is not None and reading.calls != len(told_calls):
        raise RuntimeError(f"the reading says {reading.calls} calls, the wire saw {len(told_calls)}: {told_calls}")


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
