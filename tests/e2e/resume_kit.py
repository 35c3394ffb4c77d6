# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The 15 August story as a test plays it: begun again each time, killed where the test says, and judged from outside."""

from __future__ import annotations

import json
import os
import time
import typing as t
import urllib.request
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.vsphere import VsphereLab
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.opening import open_journal
from ansible_collections.ferragosto.dr.plugins.module_utils.session import SystemClock
from ansible_collections.ferragosto.dr.tests.e2e.kit import HERE, ROOT, Bench, Result

LUCA = ROOT / "clients/luca"
HOST, VM = "gestionale.luca", "gestionale"
PATCH = HERE / "patch"
COMMAND_S = 300.0  # these are the tests that fill every core


class Telling(t.Protocol):
    def __call__(self, name: str = "story") -> Story: ...


class Story(Bench):
    """One telling: a fresh lab in which the VM has crashed, a fresh journal, and the technician's commands."""

    def __init__(self, lab: VsphereLab, folder: Path, warm: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        lab.reset()
        super().__init__(lab, folder, LUCA)
        self.exits = folder / "exits"
        self.alert_at_s = time.time()
        (warm / "ansiballz_cache").mkdir(parents=True, exist_ok=True)
        # The controller asks a thousand times a second whether a task has ended: processor time that the lab needs.
        config = folder / "ansible.cfg"
        config.write_text("[defaults]\ninternal_poll_interval = 0.02\n", encoding="utf-8")
        self._always = {
            "ANSIBLE_CONFIG": str(config),
            "DR_TEST_WARM": str(warm),
            "DR_TEST_EXITS": str(self.exits),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PATCH), os.environ.get("PYTHONPATH", "")])),
        }

    def begin(self) -> Story:
        self.control.begin_story()
        return self

    def environment(self, notes: Path, **more: str) -> dict[str, str]:
        found = super().environment(notes, **{**self._always, **more})
        del found["ANSIBLE_CALLBACKS_ENABLED"]  # nobody reads the results of these many runs one by one
        return found

    def order(self, playbook: str = "recover", *, kill: t.Mapping[str, t.Any] | None = None, **extra: t.Any) -> Result:
        """Give the technician's command and see how it ended; ``kill`` as ``sitecustomize.Killer`` takes it."""
        return self.play(playbook, timeout_s=COMMAND_S, **self.words(kill=kill, **extra))

    def words(self, *, kill: t.Mapping[str, t.Any] | None = None, **extra: t.Any) -> dict[str, t.Any]:
        env = {}
        if kill is not None:
            env["DR_TEST_KILL"] = json.dumps(kill)
        return {"limit": HOST, "extra": {"dr_alert_at": self.alert_at_s, **extra}, "env": env}

    def left_running(self) -> list[int]:
        """Processes of this story's commands that still live: workers and modules have sessions of their own."""
        return [pid for pid in _processes() if f"DR_TEST_EXITS={self.exits}" in _words_of(pid)]

    def self_ended(self) -> list[int]:
        """With which status processes ended themselves past all clean-up; Ansible's workers do so as well, with 0."""
        found = self.exits.read_text(encoding="utf-8").split() if self.exits.exists() else []
        return [int(status) for status in found[1::2]]

    # --- what came of it -----------------------------------------------------------------------------------------------

    def page(self) -> dict[str, t.Any]:
        """Ask the service as a customer would; {} when nothing answers."""
        url = next(check["http"] for check in self.checks(HOST) if "http" in check)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return {}

    def faults(self) -> list[str]:
        """Say what must not be after any story, however often it was killed."""
        found = []
        journal = open_journal(self.journal_url, clock=SystemClock(), read_only=True)
        try:
            chain = journal.verify()
        finally:
            journal.close()
        if not chain.is_intact:
            found.append(f"the journal's chain is broken: {chain}")
        # The lab's watch sees at all times whether two copies are live, and whether a vendor's point goes.
        found += [f"two live copies: {violation}" for violation in self.control.violations()]
        found += [f"accident: {accident}" for accident in self.control.accidents()]
        return found

    def faults_at_home(self) -> list[str]:
        """Say in what the end differs from the demo's: served at home, by the replica's copy, with the replica's data."""
        found, page = self.faults(), self.page()
        if not page:
            return [*found, "the service does not answer"]
        production, replica = self.copy(VM, "production"), self.copy(VM, "replica")
        if page["host"] != self.lab.wish.production.node:
            found.append(f"served from {page['host']}")
        if page["copy"] != replica["id"]:
            found.append(f"served by {page['copy_name']}")
        newest = replica["points"][replica["vendor_points"][-1]]
        if page["data"]["generation"] < newest["generation"] or replica["data"]["is_corrupted"]:
            found.append(f"served with other data than the recovery point's: {page['data']}, point {newest}")
        if production["power"] != "off" or any(nic["is_connected"] for nic in production["nics"]):
            found.append(f"the production copy is not fenced: {production}")
        return found


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _words_of(pid: int) -> list[str]:
    """The environment of a process; [] when it has gone (a zombie has none either)."""
    try:
        return Path(f"/proc/{pid}/environ").read_text(encoding="utf-8", errors="replace").split("\0")
    except OSError:
        return []


def await_so(question: t.Callable[[], object], what: str, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not question():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.05)
