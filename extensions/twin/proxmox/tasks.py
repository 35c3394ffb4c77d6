# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks: UPIDs, bodies that take their time by the world's clock, logs, and how they ended."""

from __future__ import annotations

import itertools
import typing as t
from collections.abc import Generator
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

# A body yields the seconds it wants to wait and returns the number of its warnings; TaskFailed is its exit status.
Body: t.TypeAlias = "Generator[float, None, int]"
_RECENT = 25  # what /cluster/tasks shows of one node [INFER]


class TaskFailed(Exception):
    """The exit status of a task, in PVE's words."""


@dataclass(slots=True, kw_only=True)
class Task:
    upid: str
    node: str
    kind: str
    id: str
    user: str
    token_id: str
    pid: int
    started_at_s: float
    ended_at_s: float | None = None
    status: str = ""  # "OK", "WARNINGS: 1" or an error, once it ended
    log: list[str] = field(default_factory=list)
    due_s: float = 0.0
    body: Body | None = None
    before_end: str = ""  # a fault: let it do its work, then fail with this text

    @property
    def is_running(self) -> bool:
        return self.ended_at_s is None

    @property
    def words(self) -> tuple[str, ...]:
        """What a fault may call it by: its type, its type and id, or its UPID."""
        return self.kind, f"{self.kind}:{self.id}", self.upid

    def say(self, text: str) -> None:
        self.log.extend(text.splitlines())


class TaskBook:
    """All tasks of a datacenter, by node, newest last."""

    def __init__(self, datacenter: Datacenter) -> None:
        self._datacenter = datacenter
        self.tasks: dict[str, Task] = {}
        self._running: list[Task] = []
        self._lost: list[Body | None] = []  # bodies of workers that died: kept, or Python would let them clean up
        self._pids = itertools.count(2001)

    def start(
        self, node: str, kind: str, vmid: int | str, make: t.Callable[[Task], Body], call: Call | None = None
    ) -> str:
        """Begin a task and carry it to its first wait; returns its UPID."""
        user, token_id = (call.user, call.token_id) if call is not None else ("root@pam", "")
        task = self._new(node, kind, str(vmid), user, token_id, self._datacenter.now_s())
        trouble = self._datacenter.trouble
        task.due_s = task.started_at_s
        key = f"{kind}:{vmid}" if f"{kind}:{vmid}" in trouble.failing_tasks else kind
        text = trouble.failing_tasks.get(key)
        if text is not None and key in trouble.failing_after_effect:
            task.before_end = text
        elif text is not None:
            self._end(task, text)
            return task.upid
        task.body = make(task)
        self._running.append(task)
        self._resume(task)
        return task.upid

    def past(
        self,
        node: str,
        kind: str,
        vmid: int | str,
        *,
        user: str,
        age_s: float,
        lasted_s: float = 1.0,
        status: str = "OK",
        log: t.Iterable[str] = (),
    ) -> Task:
        """Write down a task that ended before the lab began."""
        task = self._new(node, kind, str(vmid), user, "", self._datacenter.now_s() - age_s)
        task.log.extend(log)
        self._end(task, status)
        task.ended_at_s = task.started_at_s + lasted_s
        return task

    def find(self, node: str, upid: str) -> Task:
        task = self.tasks.get(upid)
        if task is None or task.node != node:
            words = "no such task" if ":" in upid else "unable to parse worker upid"
            raise PveError(400, "Parameter verification failed.", {"upid": words})
        return task

    def on(self, node: str) -> list[Task]:
        return [task for task in self.tasks.values() if task.node == node]

    def recent(self) -> list[Task]:
        found = []
        for node in self._datacenter.nodes:
            found += self.on(node)[-_RECENT:]
        return sorted(found, key=lambda task: task.started_at_s, reverse=True)

    # --- life --------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        now_s = self._datacenter.now_s()
        for task in list(self._running):
            while task.is_running and task.due_s <= now_s and self._can_go_on(task):
                self._resume(task)

    def next_due_s(self) -> float | None:
        return min((task.due_s for task in self._running if self._can_go_on(task)), default=None)

    def kill(self, task: Task) -> None:
        """What DELETE on a task does: its body cleans up behind it."""
        if task.is_running:
            if task.body is not None:
                task.body.close()
            self._end(task, "interrupted by signal")

    def fail(self, task: Task, text: str, *, after_effect: bool = False) -> None:
        """A fault: let this task fail, now or when it has done its work."""
        if task.is_running and after_effect:
            task.before_end = text
        elif task.is_running:
            if task.body is not None:
                task.body.close()
            self._end(task, text)
        elif after_effect:
            task.status = text
            task.log[-1:] = [f"TASK ERROR: {text}"]

    def node_died(self, node: str) -> None:
        """Its workers are gone without a last line; what they had locked stays locked."""
        for task in [task for task in self._running if task.node == node]:
            self._running.remove(task)
            self._lost.append(task.body)
            task.ended_at_s, task.status, task.body = self._datacenter.now_s(), "unexpected status", None

    # --- inner -------------------------------------------------------------------------------------------------------

    def _new(self, node: str, kind: str, vmid: str, user: str, token_id: str, at_s: float) -> Task:
        pid = next(self._pids)
        who = f"{user}!{token_id}" if token_id else user
        upid = f"UPID:{node}:{pid:08X}:{pid * 100:08X}:{int(at_s):08X}:{kind}:{vmid}:{who}:"
        task = Task(upid=upid, node=node, kind=kind, id=vmid, user=user, token_id=token_id, pid=pid, started_at_s=at_s)
        self.tasks[upid] = task
        return task

    def _can_go_on(self, task: Task) -> bool:
        return not {task.kind, f"{task.kind}:{task.id}", task.upid} & self._datacenter.trouble.stuck_tasks

    def _resume(self, task: Task) -> None:
        if task.body is None or not self._can_go_on(task):
            return
        try:
            task.due_s += max(next(task.body), 0.001)
        except StopIteration as end:
            warnings = int(end.value or 0)
            self._end(task, task.before_end or (f"WARNINGS: {warnings}" if warnings else "OK"))
        except TaskFailed as failed:
            self._end(task, str(failed))
        except PveError as failed:
            self._end(task, failed.text)

    def _end(self, task: Task, status: str) -> None:
        if task in self._running:
            self._running.remove(task)
        task.body, task.ended_at_s, task.status = None, self._datacenter.now_s(), status
        is_good = status == "OK" or status.startswith("WARNINGS: ")
        task.say(f"TASK {status}" if is_good else f"TASK ERROR: {status}")


def waiting(
    question: t.Callable[[], bool], within_s: float, now_s: t.Callable[[], float]
) -> Generator[float, None, bool]:
    """Wait in a task's body until it is so; returns False when the time is up."""
    deadline_s = now_s() + within_s
    while not question():
        left_s = deadline_s - now_s()
        if left_s <= 0:
            return False
        yield min(left_s, 0.1)
    return True
