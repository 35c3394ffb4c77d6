# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the start of ``ansible-playbook ferragosto.dr.assess`` to the decision card on screen, on two busy cores."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.vsphere.lab import VsphereLab
from ansible_collections.ferragosto.dr.tests.bench import commands
from ansible_collections.ferragosto.dr.tests.bench.figures import Figure, at_most, told

CORES = 2
GOAL_S = 10.0
WITHIN_S = 60.0
CALM_WITHIN_S = 20.0
SAMPLES = 20  # of the run queue, in one second
HOST = "gestionale.luca"
CARD_LINE = "DECISION"  # the card is printed in one piece
SPIN = "import sys, time; end = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end: pass"


def figures(lab: VsphereLab, client: Path, rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the time to the card, beside the time that an empty play of the same inventory needs for its first line."""
    env = commands.environment(folder / "ansible")
    inventory = ["-i", str(client), "-i", str(lab.overlay_path), "--limit", HOST]
    extra = json.dumps({"dr_journal": f"sqlite:///{folder / 'card.sqlite'}"})
    assess = commands.playbook("ferragosto.dr.assess", *inventory, "-e", extra)
    nothing = commands.playbook(str(_nothing(folder)), *inventory)
    lab.control.begin_story()
    cards, floors, cpu, busy = [], [], [], []
    for dummy in range(rounds):
        with busy_cores(seconds=2 * WITHIN_S) as number:
            busy.append(number)
            floors.append(commands.seconds_to_line(nothing, "ok:", env=env, within_s=WITHIN_S)[0])
            shown_s, cpu_s = commands.seconds_to_line(assess, CARD_LINE, env=env, within_s=WITHIN_S)
            cards.append(shown_s)
            cpu.append(cpu_s)
    yield at_most(
        f"assess of one VM to the card on screen, {CORES} busy cores",
        cards,
        GOAL_S,
        floors=floors,
        note="the floor is an empty play of the same inventory to its first line, on the same busy cores; the lab's own"
        f" vcsim and proxy share them too; processes that kept them busy, by round: {busy} (the goal is for {CORES})",
    )
    yield told("assess of one VM, client CPU of the whole command", statistics.median(cpu))


def _nothing(folder: Path) -> Path:
    play = [{"hosts": "all", "gather_facts": False, "tasks": [{"name": "Say", "ansible.builtin.debug": {"msg": "."}}]}]
    path = folder / "nothing.json"
    path.write_text(json.dumps(play), encoding="utf-8")
    return path


@contextmanager
def on_two_cores() -> Iterator[None]:
    """Keep this thread and all that it starts on two cores, however many there are."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    whole = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(whole)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, whole)


@contextmanager
def busy_cores(*, seconds: float) -> Iterator[int]:
    """Keep the two cores busy with other people's work, and give the number of processes that do.

    The goal is for two busy cores, not for ten: where others keep them busy already, so many fewer spinning processes are
    started, and where others do more than that, they get some time to end. Ours end by themselves after so long, come what may.
    """
    deadline = time.monotonic() + CALM_WITHIN_S
    while (others := round(_running_elsewhere())) > CORES and time.monotonic() < deadline:
        pass
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN, str(seconds)]) for dummy in range(CORES - others)]
    try:
        yield others + len(spinning)
    finally:
        for one in spinning:
            one.kill()
            one.wait(timeout=10)


def _running_elsewhere() -> float:
    """Return how many processes want a core just now, besides this one."""
    seen = []
    for dummy in range(SAMPLES):
        seen.append(int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0]) - 1)
        time.sleep(0.05)
    return statistics.mean(seen)
