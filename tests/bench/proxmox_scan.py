# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet scan: one playbook with one site_info task over all sites, against a raw asyncio script making the same calls."""

from __future__ import annotations

import json
import sys
import typing as t
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median

from ansible_collections.ferragosto.dr.tests.bench import commands, proxmox_floor
from ansible_collections.ferragosto.dr.tests.bench.figures import Figure, at_most, at_most_times, slope_ms, told
from ansible_collections.ferragosto.dr.tests.bench.proxmox_fleet import Fleet

WALL_GOAL, CPU_GOAL, SLOPE_GOAL_MS = 2.0, 3.0, 8.0
FAR_S = 0.15  # a site behind a slow line
TIMES_MORE = 5  # the slope is taken from the fleet to so many times its sites
WITHIN_S = 120.0
MODULE = "ansible_collections.ferragosto.dr.plugins.modules.site_info"


class Scan:
    """Runs the scan and its floor, and sees to it that both made the same calls."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self._folder = fleet, folder
        self._env = commands.environment(folder / "ansible")
        self.calls = self._learn()

    def ours(self, count: int | None = None) -> commands.Usage:
        return self._run(commands.playbook(str(self._play(count or self.fleet.sites))), count or self.fleet.sites)

    def module(self) -> commands.Usage:
        """Run the module alone, as Ansible would start it, without Ansible round it."""
        path = self._folder / "arguments.json"
        path.touch(mode=0o600)
        arguments = {"ANSIBLE_MODULE_ARGS": {"sites": self.fleet.site_vars(self.fleet.sites)}}
        path.write_text(json.dumps(arguments), encoding="utf-8")
        return self._run([sys.executable, "-m", MODULE, str(path)], self.fleet.sites)

    def start_up(self) -> commands.Usage:
        play = commands.write_play(self._folder / "ping.json", [{"name": "Ping", "ansible.builtin.ping": {}}])
        return commands.measure(commands.playbook(str(play)), env=self._env, within_s=WITHIN_S)

    def floor(self, way: str = "aiohttp") -> commands.Usage:
        """``way`` is one of proxmox_floor.WAYS."""
        path = self._folder / "floor.json"
        path.touch(mode=0o600)
        sites = [
            (self.fleet.token_header(number), [(ports[node], target) for node, target in self.calls])
            for number, ports in enumerate(self.fleet.ports)
        ]
        given = {
            "ca": str(self.fleet.ca_path),
            "sites": sites,
            "vms": self.fleet.sites * self.fleet.vms,
        }
        path.write_text(json.dumps(given), encoding="utf-8")
        return self._run([sys.executable, str(Path(proxmox_floor.__file__)), way, str(path)], self.fleet.sites)

    def _run(self, command: Sequence[str], count: int) -> commands.Usage:
        self.fleet.heard()
        used = commands.measure(command, env=self._env, within_s=WITHIN_S)
        heard = sum(len(calls) for calls in self.fleet.heard())
        if heard != count * len(self.calls):
            raise RuntimeError(f"{heard} calls for {count} sites, not {len(self.calls)} for each: {' '.join(command)}")
        return used

    def _learn(self) -> list[tuple[str, str]]:
        """Return the calls that our scan makes at every site, as node and target, once all of it was seen to be right."""
        play = self._play(self.fleet.sites, is_checked=True)
        self.fleet.heard()
        commands.measure(commands.playbook(str(play)), env=self._env, within_s=WITHIN_S)
        heard = self.fleet.heard()
        if not heard[0] or any(calls != heard[0] for calls in heard):
            raise RuntimeError(f"not every site was asked the same: {sorted({tuple(calls) for calls in heard})}")
        calls = [line.split(" ") for line in heard[0]]
        if any(method != "GET" for dummy, method, target in calls):
            raise RuntimeError(f"the scan does not only read: {heard[0]}")
        return [(node, target) for node, method, target in calls]

    def _play(self, count: int, *, is_checked: bool = False) -> Path:
        tasks: list[dict[str, t.Any]] = [
            {"name": "Scan the fleet", "ferragosto.dr.site_info": {"sites": "{{ fleet }}"}, "register": "found"}
        ]
        if is_checked:
            rows, vms = "found.sites | map(attribute='vms') | flatten(levels=1)", count * self.fleet.vms
            that = [
                f"{rows} | length == {vms}",
                f"{rows} | selectattr('replica_host', 'defined') | length == {vms}",
                "found.sites | rejectattr('is_reachable') | length == 0",
                "found.sites | map(attribute='findings') | flatten | length == 0",
            ]
            tasks.append({"name": "Count", "ansible.builtin.assert": {"that": that}})
        path = self._folder / f"fleet-{count}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"fleet": self.fleet.site_vars(count)}), encoding="utf-8")
        return commands.write_play(self._folder / f"scan-{count}.json", tasks, vars_files=[path.name])


def figures(scan: Scan, rounds: int) -> Iterator[Figure]:
    """Yield wall and CPU against the floor, in turns, then what takes the CPU, the slope, and the scan of far sites."""
    fleet = scan.fleet
    before_s = fleet.cpu_s()
    ours, floors, barest = _in_turns(rounds, scan.ours, scan.floor, lambda: scan.floor("streams"))
    fleet_s = (fleet.cpu_s() - before_s) / (3 * rounds)
    at = f"site_info of {fleet.sites} sites x {fleet.vms} VMs"
    note = f"{len(scan.calls)} calls a site; the whole process tree of ansible-playbook against the whole script, on aiohttp"
    cpu = _cpus(ours)
    yield at_most_times(
        f"{at}, wall, against a raw asyncio script",
        _walls(ours),
        _walls(floors),
        times=WALL_GOAL,
        note=f"{note}; less the time that either waited for a core, which the fleet and other work on this machine took",
    )
    plain, plain_floor = (median(one.wall_s for one in runs) for runs in (ours, floors))
    yield told("the same, wall with waits for a core", plain, floor=plain_floor)
    yield at_most_times(f"{at}, CPU, against a raw asyncio script", cpu, _cpus(floors), times=CPU_GOAL, note=note)
    bare = "the same script on asyncio's own streams, with just enough HTTP for these answers"
    yield told("the same, wall, against bare streams", median(_walls(ours)), floor=median(_walls(barest)), note=bare)
    yield told("the same, CPU, against bare streams", median(cpu), floor=median(_cpus(barest)), note=bare)
    yield from _parts(scan, rounds, median(cpu))
    yield told("the fleet's own CPU per scan, on the same cores", fleet_s)
    many = fleet.sites * TIMES_MORE
    few = max(1, rounds // 2)
    yield at_most(
        f"CPU per added site, from {fleet.sites} to {many} sites",
        [slope_ms(cpu, [scan.ours(many).cpu_s for dummy in range(few)], many - fleet.sites)],
        SLOPE_GOAL_MS,
        unit="ms",
        note="the further sites are further clients of the same twins",
    )
    fleet.set_latency(FAR_S)
    ours, floors = _in_turns(few, scan.ours, scan.floor)
    far = f"{at} at {FAR_S * 1000:.0f} ms per call"
    yield told(f"{far}, wall", median(_walls(ours)), floor=median(_walls(floors)), note=note)


def _parts(scan: Scan, rounds: int, whole_s: float) -> Iterator[Figure]:
    start_s = median(scan.start_up().cpu_s for dummy in range(rounds))
    module_s = median(scan.module().cpu_s for dummy in range(rounds))
    yield told("of which the module's process, CPU", module_s, floor=whole_s)
    yield told("of which Ansible's start-up (a play with ping), CPU", start_s, floor=whole_s)
    yield told(
        "of which the rest, CPU",
        whole_s - module_s - start_s,
        floor=whole_s,
        note="arguments and results on their way through Ansible, less ping's own process, which start-up holds",
    )


def _in_turns(rounds: int, *sides: Callable[[], commands.Usage]) -> list[list[commands.Usage]]:
    """Run all sides, each first in some round."""
    found: list[list[commands.Usage]] = [[] for dummy in sides]
    for number in range(rounds):
        for at in range(len(sides)):
            turn = (at + number) % len(sides)
            found[turn].append(sides[turn]())
    return found


def _walls(runs: Iterable[commands.Usage]) -> list[float]:
    return [run.wall_s - run.queued_s for run in runs]


def _cpus(runs: Iterable[commands.Usage]) -> list[float]:
    return [run.cpu_s for run in runs]
