# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One copy of a protected VM under our hands: read afresh, change one thing, read afresh.

Every act of this provider is made here into a ``Step``, so that all of them share what is easy to forget: a task of an earlier,
killed controller may still run, and a task may wait for the answer to a question.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import keepsake
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.read import refresh
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import vim

RECONFIGURE_WITHIN_S = 120.0  # seconds on a sound host; a busy hostd has been seen to take one minute
QUESTION_EVERY_S = 3.0  # a task waiting for an answer never ends: look for the question this often
_ENDED = ("success", "error")

Look: t.TypeAlias = Callable[[Vm], bool]


class Copy:
    """``vm`` is what a read showed; only its identity is used, all facts are read again."""

    def __init__(self, client: Client, vm: Vm) -> None:
        self.client = client
        self.vm = vm
        self.handle = vm.handle
        self.target = f"{vm.name} on {vm.host}"
        self.object: vim.VirtualMachine = client.object(vim.VirtualMachine, vm.handle)

    def now(self) -> Vm:
        return refresh(self.client, self.vm)

    def step(
        self,
        name: str,
        *,
        calls: Sequence[str],
        is_done: Look,
        act: Callable[[], None],
        next: str,
        task: str = "",
        within_s: float = RECONFIGURE_WITHIN_S,
        more: Callable[[Vm], Mapping[str, t.Any]] = lambda vm: {},
    ) -> Step:
        """Return the step. ``task`` is the beginning of the names of the tasks that ``act`` starts.

        ``more`` adds facts to what the look has seen.
        """

        started_s: list[float] = []  # when ``act`` began: its time is not given twice

        def look() -> Sight:
            vm = self.now()
            if not is_done(vm) and task:
                left_s = within_s if not started_s else started_s[0] + within_s - self.client.clock.now_s()
                if self._outlast_tasks(task, left_s):
                    vm = self.now()
            return Sight(is_done=is_done(vm), seen={**facts(vm), **more(vm)})

        def act_in_time() -> None:
            started_s[:] = [self.client.clock.now_s()]
            act()

        return Step(name=name, target=self.target, calls=tuple(calls), look=look, act=act_in_time, next=next)

    def run(self, what: str, start: Callable[[], vim.Task], *, within_s: float = RECONFIGURE_WITHIN_S) -> t.Any:
        """Run a task to its end and return its result."""
        return self.client.run_task(f"{what} of {self.target}", start, within_s=within_s)

    def run_unless_asked(self, what: str, start: Callable[[], vim.Task], *, within_s: float) -> t.Any:
        """As ``run``; raise ProviderFault as soon as the task waits for somebody's answer: it would wait for ever."""
        return self.client.run_task(
            f"{what} of {self.target}",
            start,
            within_s=within_s,
            hindrance=lambda: self._question(what),
            look_every_s=QUESTION_EVERY_S,
        )

    def reconfigure(self, what: str, spec: vim.vm.ConfigSpec) -> None:
        self.run(what, lambda: self.object.ReconfigVM_Task(spec=spec))

    def is_busy(self) -> bool:
        """Tell whether any task works on this copy now."""
        return bool(self._running_tasks(""))

    def _outlast_tasks(self, name: str, within_s: float) -> bool:
        """Wait for the end of running tasks of that name, started by whomever; tell whether there was one."""
        running = self._running_tasks(name)
        deadline = self.client.clock.now_s() + within_s
        for task in running:
            left_s = max(0.0, deadline - self.client.clock.now_s())
            self.client.wait_for(
                task, ["info.state"], lambda seen: True if seen.get("info.state") in _ENDED else None, within_s=left_s
            )
        return bool(running)

    def _running_tasks(self, name: str) -> list[vim.Task]:
        shown = self.client.retrieve([self.object], ["recentTask"]).get(self.handle, {})
        recent = list(shown.get("recentTask") or ())
        if not recent:
            return []
        try:
            states = self.client.retrieve(recent, ["info.state", "info.descriptionId"])
        except ProviderFault as fault:
            # vCenter forgets a task some minutes after its end; one that is gone does not run.
            if fault.is_answer_lost:
                raise
            return []
        return [
            task
            for task in recent
            if _is_running(states.get(task._GetMoId(), {})) and _is_named(states[task._GetMoId()], name)
        ]

    def _question(self, what: str) -> ProviderFault | None:
        question = self.now().question
        if not question:
            return None
        return ProviderFault(
            what=f"{what} of {self.target}",
            why=f"it waits for the answer to a question: {question}",
            next="answer it in the vSphere client (a moved VM keeps its identity, a copied one does not), "
            "then run the same command again",
        )


def facts(vm: Vm) -> dict[str, t.Any]:
    """Return what the journal keeps of a copy; the first intent of a run is what undo restores (``ports.Former``)."""
    return {
        "id": vm.id,
        "power": vm.power.value,
        "nics": {n.key: {"is_connected": n.is_connected, "starts_connected": n.starts_connected} for n in vm.nics},
        "has_autostart": vm.has_autostart,
        "has_ha": vm.has_ha,
        "host": vm.host,
        "datastores": list(vm.datastores),
        "current_point": vm.current_point,
        "points": [p.id for p in vm.points],
        "stamps": {key: value for key, value in vm.stamps.items() if key != keepsake.KEY},
        "question": vm.question,
    }


def _is_running(info: Mapping[str, t.Any]) -> bool:
    state = info.get("info.state")
    return state is not None and state not in _ENDED


def _is_named(info: Mapping[str, t.Any], name: str) -> bool:
    """``descriptionId`` is like "VirtualMachine.powerOff" or "vm.Snapshot.revert"."""
    return str(info.get("info.descriptionId") or "").rpartition(".")[2].lower().startswith(name)
