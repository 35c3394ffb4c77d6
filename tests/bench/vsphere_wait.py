# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a step of ours adds to the hypervisor's own task: slow tasks of the lab, driven by the real module."""

from __future__ import annotations

import json
import statistics
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.vsphere.lab import VsphereLab
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client, vim
from ansible_collections.ferragosto.dr.plugins.module_utils.session import SystemClock
from ansible_collections.ferragosto.dr.tests.bench import commands
from ansible_collections.ferragosto.dr.tests.bench.figures import Figure, at_most

VM = "gestionale"
TASK_S = 3.0
FAR_S = 0.1  # delay of each call on the far site
SLACK_S = 0.3
POWER = "PowerOnVM_Task|PowerOffVM_Task"
WITHIN_S = 180.0


def figures(lab: VsphereLab, rounds: int, folder: Path) -> Iterator[Figure]:
    """Yield the time added to tasks of known duration, near and far."""
    trip_s = _round_trip_s(lab)
    lab.control.rule(POWER, "slow_task", count=None, seconds=TASK_S)
    added, tasks = _steps_less_tasks(lab, max(1, rounds - 1), folder)
    yield at_most(
        f"power on or off, task of {TASK_S:g} s: step less task",
        added,
        2 * trip_s + SLACK_S,
        note=f"the module's whole step: act, wait, and the look that proves it; one round trip {trip_s:.4f} s;"
        f" the server's own tasks took {min(tasks):.3f} to {max(tasks):.3f} s",
    )
    # The call that starts the task falls under the first rule alone: it is not delayed
    lab.control.rule("*", "delay", count=None, seconds=FAR_S)
    far_trip_s, far = _round_trip_s(lab), f"at {FAR_S * 1000:.0f} ms per call"
    noticed, dummy = _waits_less_tasks(lab, 1)
    yield at_most(
        f"power on or off {far}: wait less task",
        noticed,
        2 * far_trip_s + SLACK_S,
        note=f"from the call that starts the task to its result in our hands; one round trip {far_trip_s:.4f} s",
    )
    added, dummy = _steps_less_tasks(lab, 1, folder)
    yield at_most(
        f"power on or off {far}: step less task",
        added,
        2 * far_trip_s + SLACK_S,
        floors=[far_trip_s],
        note="the ratio is the number of round trips after the task's end: the wait's, and the look that proves the step",
    )
    lab.control.clear_rules()


# --- through the module ----------------------------------------------------------------------------------------------


def _steps_less_tasks(lab: VsphereLab, rounds: int, folder: Path) -> tuple[list[float], list[float]]:
    """Power the VM off and on by one playbook; return each step's time less its task's, and the tasks' times."""
    out = folder / "steps.json"
    options = {"site": _site(lab), "vm": VM, "journal": f"sqlite:///{folder / 'steps.sqlite'}", "shutdown_timeout": 0}
    names = [f"step_{number}" for number in range(2 * rounds)]
    tasks: list[dict[str, t.Any]] = [
        {"name": name, "ferragosto.dr.vm_power": {**options, "state": state}, "register": name}
        for name, state in zip(names, ["off", "on"] * rounds, strict=True)
    ]
    took = "{{ [" + ", ".join(f"{name}.steps" for name in names) + "] | to_json }}"
    tasks.append({"name": "Tell", "ansible.builtin.copy": {"content": took, "dest": str(out), "mode": "0600"}})
    play = commands.write_play(folder / "steps-play.json", tasks)
    before = _slow_tasks(lab)
    env = commands.environment(folder / "ansible")
    commands.measure(commands.playbook(str(play)), env=env, within_s=WITHIN_S)
    steps = [step for steps in json.loads(out.read_text(encoding="utf-8")) for step in steps if step["changed"]]
    times = [took_s for task, took_s in _slow_tasks(lab).items() if task not in before]
    return [step["took_s"] - task_s for step, task_s in zip(steps, times, strict=True)], times


def _site(lab: VsphereLab) -> dict[str, t.Any]:
    host, port = lab.endpoint
    end = {
        "api_host": host,
        "api_port": port,
        "api_user": lab.user,
        "api_password": lab.password,
        "ca_path": str(lab.ca_path.resolve()),
    }
    production, replica = ({**end, "node": one.node} for one in (lab.wish.production, lab.wish.replica))
    return {"name": lab.wish.name, "provider": "vsphere", "production": production, "replica": replica}


# --- through the client alone ----------------------------------------------------------------------------------------


def _waits_less_tasks(lab: VsphereLab, rounds: int) -> tuple[list[float], list[float]]:
    client, took, before = _client(lab), [], _slow_tasks(lab)
    machine = client.object(vim.VirtualMachine, _moid(lab))
    for start in [machine.PowerOffVM_Task, machine.PowerOnVM_Task] * rounds:
        started_s = time.monotonic()
        client.run_task("power", start, within_s=WITHIN_S)
        took.append(time.monotonic() - started_s)
    client.close()
    times = [took_s for task, took_s in _slow_tasks(lab).items() if task not in before]
    return [took_s - task_s for took_s, task_s in zip(took, times, strict=True)], times


def _round_trip_s(lab: VsphereLab) -> float:
    """Time the cheapest call there is."""
    client, took = _client(lab), []
    clock = client.object(vim.ServiceInstance, "ServiceInstance")
    for dummy in range(9):
        started_s = time.monotonic()
        client.read_call("read the clock", clock.CurrentTime)
        took.append(time.monotonic() - started_s)
    client.close()
    return statistics.median(took)


def _client(lab: VsphereLab) -> Client:
    end = _site(lab)["production"]
    spec = EndpointSpec(**{key: value for key, value in end.items() if key != "node"}, node=end["node"])
    return Client(spec, clock=SystemClock(), progress=lambda words: None)


# --- past the proxy --------------------------------------------------------------------------------------------------


def _moid(lab: VsphereLab) -> str:
    return lab.built.moids[next(c.id for c in lab.world.copies.values() if c.name == VM)]


def _slow_tasks(lab: VsphereLab) -> dict[str, float]:
    """Return the seconds that each slow task of the VM took by the server's own account, by its id, oldest first."""
    session = lab.session_as(lab.user)
    vm = session.object("VirtualMachine", _moid(lab))
    tasks = session.read([vm], ["recentTask"])[vm._moId].get("recentTask", [])
    rows = session.read(tasks, ["info.queueTime", "info.completeTime"])
    began = {task: row["info.queueTime"] for task, row in rows.items() if "info.completeTime" in row}
    took_s = {task: (rows[task]["info.completeTime"] - began[task]).total_seconds() for task in began}
    return {task: took_s[task] for task in sorted(began, key=began.__getitem__) if took_s[task] >= TASK_S}
