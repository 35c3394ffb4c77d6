# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks that take time. vcsim's end within a millisecond, so a slow one is a task of vcsim's own, made by CreateTask, that a
client can watch and cancel like any other; the call itself is sent on when its time has come.
"""

from __future__ import annotations

import threading
import time
import typing as t
from collections.abc import Callable

from pyVmomi import vim, vmodl

from ansible_collections.ferragosto.dr.extensions.twin.vsphere.session import Session, Sessions

_EXTENSION = "ferragosto.dr.lab"
_IDS = {
    "PowerOnVM_Task": "VirtualMachine.powerOn",
    "PowerOffVM_Task": "VirtualMachine.powerOff",
    "ResetVM_Task": "VirtualMachine.reset",
    "SuspendVM_Task": "VirtualMachine.suspend",
    "ReconfigVM_Task": "VirtualMachine.reconfigure",
    "RelocateVM_Task": "VirtualMachine.relocate",
    "CloneVM_Task": "VirtualMachine.clone",
    "CreateSnapshot_Task": "VirtualMachine.createSnapshot",
    "RevertToSnapshot_Task": "vm.Snapshot.revert",
    "RemoveSnapshot_Task": "vm.Snapshot.remove",
    "ReconfigureComputeResource_Task": "ComputeResource.reconfigureEx",
}
_OTHER_ID = "ferragosto.dr.lab.task"

Effect = Callable[[], "tuple[t.Any, t.Any]"]  # -> (result, error), of the real call


class TaskDesk:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._is_registered = False

    def end(self) -> None:
        """Let every waiting task stay as it is."""
        self._over.set()

    def begin(
        self, *, user: str, method: str, entity: t.Any, seconds: float, act: Effect | None, error: t.Any = None
    ) -> str:
        """Start a task that is seen running for so long; returns its id.

        ``act`` then does the real call (None: nothing happens); ``error`` makes the task fail whatever ``act`` did.
        """
        self._register()
        session = self._sessions.of(user)
        info = session.content.taskManager.CreateTask(entity, _IDS.get(method, _OTHER_ID), user, True, None, None)
        task = session.object("Task", info.key)
        self._set(task, "running")
        threading.Thread(
            target=self._run, args=(session, task, seconds, act, error), name=f"task-{info.key}", daemon=True
        ).start()
        return str(info.key)

    def _run(self, session: Session, task: t.Any, seconds: float, act: Effect | None, error: t.Any) -> None:
        began, ends = time.monotonic(), time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            if self._over.wait(min(left, max(0.05, min(0.5, seconds / 10)))):
                return
            if not self._progress(task, min(99, int((time.monotonic() - began) / seconds * 100))):
                return
        try:
            result, failure = act() if act is not None else (None, None)
            failure = error or failure
            if failure is not None:
                self._set(task, "error", fault=failure)
            elif hasattr(result, "_moId"):
                session.end_task_with(task, result)
            else:
                self._set(task, "success", result=result)
        except (OSError, LookupError, vmodl.MethodFault) as broken:
            if not self._over.is_set():  # else the lab was reset under this task
                self._set(
                    task, "error", fault=vmodl.fault.SystemError(reason=repr(broken), msg="the lab itself stumbled")
                )
                raise

    def _progress(self, task: t.Any, percent: int) -> bool:
        """Show progress; False when somebody cancelled the task."""
        try:
            task.UpdateProgress(percent)
            return True
        except (vmodl.MethodFault, OSError):
            return False

    def _set(self, task: t.Any, state: str, *, result: t.Any = None, fault: t.Any = None) -> None:
        deadline = time.monotonic() + 5.0
        while True:
            try:
                task.SetTaskState(vim.TaskInfo.State(state), result, fault)
                return
            except vmodl.fault.ManagedObjectNotFound:
                # vcsim puts a created task into its registry a moment after it has answered
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.002)
            except vim.fault.InvalidState:
                return  # cancelled meanwhile

    def _register(self) -> None:
        """vcsim makes only tasks of a kind that some extension has declared."""
        with self._lock:
            if self._is_registered:
                return
            kinds = [vim.Extension.TaskTypeInfo(taskID=task_id) for task_id in (*_IDS.values(), _OTHER_ID)]
            words = vim.Description(label="lab", summary="slow tasks of the lab")
            extension = vim.Extension(
                key=_EXTENSION, version="1", description=words, lastHeartbeatTime=_now(), taskList=kinds
            )
            self._sessions.of().content.extensionManager.RegisterExtension(extension)
            self._is_registered = True


def fault_named(name: str, text: str, details: t.Mapping[str, str] | None = None) -> t.Any:
    """A fault object by its vim or vmodl name; pyvmomi carries the text as ``localizedMessage``."""
    for place in (vim.fault, vmodl.fault, vmodl, vmodl.RuntimeFault):
        kind = getattr(place, name, None)
        if kind is not None:
            return kind(msg=text, **(details or {}))
    raise ValueError(f"no vim fault is called {name!r}; see pyVmomi's vim.fault and vmodl.fault")


def _now() -> t.Any:
    import datetime as dt

    return dt.datetime.now(dt.UTC)
