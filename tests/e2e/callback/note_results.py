# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes every task's result as one JSON line to $NOTE_RESULTS, beside whatever the technician sees on the screen."""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: note_results
type: notification
short_description: Note results for the end-to-end tests
description: One JSON line per result.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "note_results"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._began_at_s = {}

    def v2_runner_on_start(self, host, task):
        self._began_at_s[host.name, task._uuid] = time.time()

    def v2_runner_on_ok(self, result):
        self._note(result, "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._note(result, "failed")

    def v2_runner_on_skipped(self, result):
        self._note(result, "skipped")

    def v2_runner_on_unreachable(self, result):
        self._note(result, "unreachable")

    def _note(self, result, status):
        task, host = result.task, result.host.name
        row = {
            "host": host,
            "task": task.get_name(),
            "action": task.action,
            "status": status,
            "began_at_s": self._began_at_s.get((host, task._uuid), time.time()),
            "ended_at_s": time.time(),
            "result": json.loads(self._dump_results(result.result, indent=None, serialize=True)),
        }
        with open(os.environ["NOTE_RESULTS"], "a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
