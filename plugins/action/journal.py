# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one action plugin of the collection: it prints a module's progress while the module still runs.

Ansible holds a module's output back until it ends. This plugin names a file to the module, a thread tails it, and each line
becomes a line on the screen (and in AWX's job events). It also tells the module who controls the run, because the lease on a VM
belongs to the controlling process, which a module cannot know by itself. Nothing else happens here: hypervisor work is in modules.

Every module is routed here by meta/runtime.yml. It bears the name of one of them because the tools want each action plugin to have
a module of its name.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.ferragosto.dr.plugins.module_utils.journal.owner import owner_of

display = Display()

POLL_S = 0.2


class ActionModule(ActionBase):
    """Run the module of the same name with live progress."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        task_vars = task_vars or {}
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        is_local = getattr(self._connection, "transport", "") == "local"
        controller = owner_of(os.getppid())
        context: dict[str, t.Any] = {
            "host": controller.host,
            "boot_id": controller.boot_id,
            "pid": controller.pid,
            "started": controller.started,
        }
        if not is_local:
            # The file would be on another machine: what the module said is shown when it has ended.
            result.update(self._execute(args, context, task_vars))
            for line in result.get("progress", ()) if _is_wanted(task_vars) else ():
                display.display(sentence(line))
            return result
        descriptor, path = tempfile.mkstemp(prefix="dr-progress-", suffix=".jsonl")
        os.close(descriptor)
        context["progress_path"] = path
        tail = Tail(path, is_quiet=not _is_wanted(task_vars))
        tail.start()
        try:
            result.update(self._execute(args, context, task_vars))
        finally:
            tail.end()
            os.unlink(path)
        return result

    def _execute(
        self, args: dict[str, t.Any], context: dict[str, t.Any], task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        outcome: dict[str, t.Any] = self._execute_module(
            module_name=self._task.action,
            module_args={**args, "run_context": context},
            task_vars=task_vars,
        )
        return outcome


def _is_wanted(task_vars: t.Mapping[str, t.Any]) -> bool:
    wanted = task_vars.get("dr_progress", True)
    if isinstance(wanted, str):
        return wanted.strip().lower() not in ("false", "no", "0", "off")
    return bool(wanted)


class Tail(threading.Thread):
    """Print each complete line that the module appends to its progress file."""

    def __init__(self, path: str, *, is_quiet: bool) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._is_quiet = is_quiet
        self._over = threading.Event()
        self._offset = 0
        self._rest = b""

    def run(self) -> None:
        while not self._over.wait(POLL_S):
            self._drain()

    def end(self) -> None:
        self._over.set()
        self.join()
        self._drain()

    def _drain(self) -> None:
        with open(self._path, "rb") as stream:
            stream.seek(self._offset)
            fresh = stream.read()
        self._offset += len(fresh)
        *lines, self._rest = (self._rest + fresh).split(b"\n")
        if self._is_quiet:
            return
        for line in lines:
            display.display(sentence(json.loads(line)))


def sentence(line: t.Mapping[str, t.Any]) -> str:
    """Say one progress line: VM, RTO clock, what happens. A block stands as it is."""
    if "block" in line:
        return str(line["block"])
    clock = ""
    if "alert_at_s" in line:
        clock = f"  RTO {_clock(line['at_s'] - line['alert_at_s'])}"
        if "rto_s" in line:
            clock += f" of {_clock(line['rto_s'])}"
    return f"  {line['vm']}{clock}  {line['text']}"


def _clock(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
