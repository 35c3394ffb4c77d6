# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets stay secret, and what a machine reads is nothing but data."""

from __future__ import annotations

import json
import os
import threading
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench


class Neighbour(threading.Thread):
    """Another user of this machine, who looks at everybody's process arguments."""

    def __init__(self, secret: str) -> None:
        super().__init__(daemon=True)
        self._secret, self._over = secret.encode(), threading.Event()
        self.looks, self.seen = 0, list[bytes]()
        self._known = {path.name for path in Path("/proc").glob("[0-9]*")}  # the simulator is told its password so

    def run(self) -> None:
        while not self._over.wait(0.02):
            self.looks += 1
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                if path.parent.name in self._known:
                    continue
                try:
                    words = path.read_bytes()
                except OSError:
                    continue
                if self._secret in words:
                    self.seen.append(words)

    def end(self) -> None:
        self._over.set()
        self.join()


# Errors tell much: the replica cannot be powered on.
FAULTS: dict[str, dict[str, t.Any]] = {
    "bench": {"method": "PowerOnVM_Task", "action": "failing_task", "vm": "solo", "role": "replica"},
    "hv": {"action": "error_before", "call": "Send", "script": r"Start-VM -VM", "count": 0},
}


@pytest.mark.parametrize("platform", FAULTS)
def test_password_is_in_no_output_no_journal_and_no_process_argument(
    platform: str, request: pytest.FixtureRequest
) -> None:
    bench: Bench = request.getfixturevalue(platform)
    secret = bench.lab.password
    bench.control.corrupt("solo", since_s=3600)
    bench.control.rule(**FAULTS[platform])
    neighbour = Neighbour(secret)
    neighbour.start()
    ended = bench.play("recover", "-vvv", "--diff", limit="solo.clinic")
    neighbour.end()
    assert ended.rc != 0
    assert ended.of("replica")[0].status == "failed"
    assert secret not in ended.text
    assert neighbour.looks > 20
    assert neighbour.seen == []
    time.sleep(0.1)
    for folder, _folders, files in os.walk(bench.folder):
        for name in files:
            path = Path(folder) / name
            assert secret.encode() not in path.read_bytes(), path
    assert bench.records("solo"), "there is a journal to look into"


def test_output_for_a_machine_is_one_json_document(bench: Bench) -> None:
    extra = {"dr_progress": False, "assess_query": "*.{vm: vm, verdict: verdict}"}
    ended = bench.play("assess", limit="solo.clinic", extra=extra, env={"ANSIBLE_STDOUT_CALLBACK": "as_json"})
    assert ended.rc == 0, ended.text
    told = json.loads(ended.out)
    assert told["stats"]["solo.clinic"]["failures"] == 0
    (queried,) = [row["result"]["msg"] for row in told["tasks"] if row["task"].endswith("what the query selected")]
    assert queried == [{"vm": "solo", "verdict": "healthy"}]


def test_quiet_means_no_progress_lines_and_the_card_as_a_task(bench: Bench) -> None:
    assessed = bench.play("assess", limit="solo.clinic", extra={"dr_progress": False})
    assert assessed.rc == 0, assessed.text
    assert "reading site" not in assessed.out
    assert "DECISION" in assessed.out
