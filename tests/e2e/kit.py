# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an end-to-end test holds in its hands: a lab, the technician's commands, and what each of them left behind."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import subprocess
import time
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from ansible_collections.ferragosto.dr.plugins.module_utils.core import ids
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Record
from ansible_collections.ferragosto.dr.plugins.module_utils.core.summary import summary
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.opening import open_journal
from ansible_collections.ferragosto.dr.plugins.module_utils.session import SystemClock
from ansible_collections.ferragosto.dr.tests.e2e import deaths
from ansible_collections.ferragosto.dr.tests.e2e.platforms import NOT_OF_A_VM, platform

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CLINIC = HERE / "clinic.yml"
CONTRACT = deaths.CONTRACT
OVERWRITE = {"original_overwritten": "Luca has his evidence, Anna, 09:30"}
PLAY_S = 240.0  # no playbook of this suite may take longer: a hang is a failure, not a wait


@dataclass(frozen=True, slots=True)
class Row:
    """One task of one host, as it ended."""

    host: str
    task: str
    action: str
    status: str
    began_at_s: float
    ended_at_s: float
    result: dict[str, t.Any]


@dataclass(slots=True)
class Result:
    """One command of the technician, ended."""

    rc: int
    out: str
    err: str
    took_s: float
    rows: list[Row] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def said(self) -> str:
        """The text without line breaks and frames: cards wrap their lines."""
        return " ".join(self.text.split())

    def of(self, action: str, host: str | None = None) -> list[Row]:
        name = action if "." in action else f"ferragosto.dr.{action}"
        return [row for row in self.rows if row.action == name and host in (None, row.host) and row.status != "skipped"]

    def card(self, host: str) -> dict[str, t.Any]:
        """The decision card of a host, the newest that this command drew."""
        cards = [row.result["cards"] for row in self.of("recovery_plan_info") if host in row.result.get("cards", {})]
        return cards[-1][host]

    def decision(self, host: str) -> dict[str, t.Any]:
        return self.card(host)["decision"]

    def outcome(self, host: str) -> str:
        """How a recovery ended, as the last play says it: "outcome (why)"."""
        said = [
            row.result["msg"] for row in self.of("ansible.builtin.debug", host) if row.task.endswith("how it ended")
        ]
        return said[-1].partition(": ")[2]


class Bench:
    """One lab, one journal, and the hands that work with them. A new one for every test; the lab is only reset."""

    def __init__(self, lab: t.Any, folder: Path, inventory: Path = CLINIC) -> None:
        self.lab, self.control, self.folder, self.inventory = lab, lab.control, folder, inventory
        self.journal_url = f"sqlite:///{folder / 'journal.sqlite'}"
        self.platform = platform(lab, job_hook=str(ROOT / "clients/hooks/disable_replication_job.yml"))
        overlay = yaml.load(lab.overlay_path.read_text(encoding="utf-8"), Loader=_Plain)
        (self._group,) = overlay.values()
        self._plays = 0

    # --- the inventory's words -----------------------------------------------------------------------------------------

    def site(self, **changes: t.Any) -> dict[str, t.Any]:
        """dr_site as the lab gives it; ``changes`` go into both endpoints."""
        site = copy.deepcopy(self._group["vars"]["dr_site"])
        for end in ("production", "replica"):
            site[end].update(changes)
        return site

    def checks(self, host: str) -> list[dict[str, t.Any]]:
        return self._group["hosts"][host]["dr_checks"]

    def policy(self, **changes: t.Any) -> dict[str, t.Any]:
        """dr_policy of the clinic with changes: an extra variable replaces the inventory's whole."""
        usual = yaml.load(CLINIC.read_text(encoding="utf-8"), Loader=_Plain)["clinic"]["vars"]["dr_policy"]
        usual["deadlines"].update(changes.pop("deadlines", {}))
        return {**self.platform.policy(usual), **changes}

    def about(self, vm: str) -> dict[str, t.Any]:
        """The VM as a module of this platform is told of it."""
        return self.platform.about(vm)

    # --- commands ------------------------------------------------------------------------------------------------------

    def command(
        self, playbook: str, *args: str, limit: str = "", extra: t.Mapping[str, t.Any] | None = None
    ) -> list[str]:
        name = playbook if playbook.endswith(".yml") else f"ferragosto.dr.{playbook}"
        command = ["ansible-playbook", name, "-i", str(self.inventory), "-i", str(self.lab.overlay_path), *args]
        if limit:
            command += ["--limit", limit]
        return [*command, "-e", json.dumps({"dr_journal": self.journal_url, **(extra or {})})]

    def environment(self, notes: Path, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "note_results",
            "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_NOCOWS": "1",
            "ANSIBLE_FORKS": "8",
            "NOTE_RESULTS": str(notes),
            "XDG_STATE_HOME": str(self.folder / "state"),
            **more,
        }

    def start(
        self,
        playbook: str,
        *args: str,
        limit: str = "",
        extra: t.Mapping[str, t.Any] | None = None,
        env: t.Mapping[str, str] | None = None,
    ) -> Running:
        """Start a command and return while it runs."""
        self._plays += 1
        return Running(self, self.command(playbook, *args, limit=limit, extra=extra), self._plays, env or {})

    def play(self, playbook: str, *args: str, timeout_s: float = PLAY_S, **more: t.Any) -> Result:
        """Run a command to its end. ``limit``, ``extra`` (variables) and ``env`` as in ``start``."""
        return self.start(playbook, *args, **more).wait(timeout_s)

    def module(self, name: str, *, is_check: bool = False, **args: t.Any) -> dict[str, t.Any]:
        """Run one module in this process, argument spec, provider and wire included; returns what it returned."""
        given = {"site": self.site(), "journal": self.journal_url, "_ansible_check_mode": is_check, **args}
        return deaths.run_module(name, given)

    def done(self, name: str, **args: t.Any) -> dict[str, t.Any]:
        """Run one module that must succeed."""
        result = self.module(name, **args)
        assert not result.get("failed"), result["msg"]
        return result

    def begun(self, vm: str) -> None:
        """Open a recovery and fence, as its role does."""
        about = self.about(vm)
        self.done("journal", state="open", op="recover", contract=CONTRACT, **about)
        self.done("vm_fence", **about)

    def promote(self, vm: str, **more: t.Any) -> dict[str, t.Any]:
        given = {"contract": CONTRACT, "policy": self.policy(), **self.about(vm), **more}
        return self.module("replica", state="failover", **given)

    def orders(self, vm: str, *, accept: dict[str, str] | None = None, **policy: t.Any) -> deaths.Orders:
        """What a technician knows who lets a VM of the clinic be recovered and brought home."""
        return deaths.Orders(
            about=self.about(vm),
            host=f"{vm}.clinic",
            site=self.site(),
            checks=self.checks(f"{vm}.clinic"),
            policy=self.policy(restarts=0, migrate_home="auto", **policy),
            accept=accept or {},
            journal_url=self.journal_url,
            alert_at_s=time.time(),
        )

    def fail_over(self, vm: str, *, goes_home: bool = False) -> None:
        """Bring a VM into failover (or failback) by the modules of a recovery, in a run of its own, closed at its end."""
        about = self.about(vm)
        self.begun(vm)
        self.done(
            "replica",
            state="failover",
            contract=CONTRACT,
            accept={"job_disabled": "by the test, at its console"},
            **about,
        )
        if goes_home:
            self.done("vm_migration", to="production", **about)
        outcome = "recovered_home" if goes_home else "recovered_on_replica"
        self.done("journal", state="closed", outcome=outcome, **about)
        self.await_serving(vm, "replica")

    def card(self, vm: str, **variables: t.Any) -> dict[str, t.Any]:
        """The decision card of one VM, as recover would draw it now. ``variables`` without their ``dr_``."""
        item = {
            "host": f"{vm}.clinic",
            "vm": vm,
            "site": self.site(),
            "replica": self.about(vm).get("replica"),
            "checks": self.checks(f"{vm}.clinic"),
            "contract": CONTRACT,
            "policy": self.policy(),
            **variables,
        }
        return self.done("recovery_plan_info", site=None, vms=[item])["cards"][f"{vm}.clinic"]

    # --- what is left behind -------------------------------------------------------------------------------------------

    def key(self, vm: str) -> str:
        return ids.vm_key(self.site()["name"], vm)

    def records(self, vm: str | None = None, *kinds: str) -> list[Record]:
        """Records of the test's journal, oldest first; none when no journal was made."""
        if not (self.folder / "journal.sqlite").exists():
            return []
        journal = open_journal(self.journal_url, clock=SystemClock(), read_only=True)
        try:
            return list(journal.records(vm_key=None if vm is None else self.key(vm), kinds=kinds))
        finally:
            journal.close()

    def outcomes(self) -> list[str]:
        """How the runs of the journal ended, in order; "open" for one that did not."""
        records = self.records()
        closed = {r.run_id: str(r.body["outcome"]) for r in records if r.kind == "run_closed"}
        return [closed.get(r.run_id, "open") for r in records if r.kind == "run_opened"]

    def told(self) -> list[str]:
        """Every record of the journal in a few words."""
        return [deaths.tell(record) for record in self.records()]

    def run(self, vm: str) -> dict[str, t.Any]:
        """The last run of a VM in numbers."""
        records = self.records(vm)
        run_id = [r.run_id for r in records if r.kind == "run_opened"][-1]
        return summary([r for r in records if r.run_id == run_id], run_id, now_s=time.time())

    def changing_calls(self) -> dict[str, int]:
        """What was called of all that may change a VM, a host or a cluster."""
        return {m: n for m, n in self.control.calls().items() if self.platform.changes(m)}

    def foreign_calls(self, known: t.Container[str]) -> set[str]:
        return {m for m in self.control.calls() if m not in known and m not in NOT_OF_A_VM}

    def shown(self, vm: str) -> dict[str, t.Any]:
        """Both copies of a VM as the platform itself shows them, past its API: all that an undo must bring back."""
        return self.platform.shown(vm)

    def copy(self, vm: str, role: str) -> dict[str, t.Any]:
        """One copy as the world knows it."""
        return self.control.world()["copies"][self.platform.copy(vm, role).id]

    def serving(self, vm: str) -> str:
        """Which copy serves now: "production", "replica", or "" for none."""
        found = self.lab.world.serving_copy(vm)
        if found is None:
            return ""
        return "production" if found.id == self.platform.copy(vm, "production").id else "replica"

    def await_serving(self, vm: str, role: str, within_s: float = 10.0) -> None:
        deadline = time.monotonic() + within_s
        while self.serving(vm) != role:
            assert time.monotonic() < deadline, f"{vm}: {self.serving(vm) or 'no copy'} serves, not the {role}"
            time.sleep(0.05)


AnyBench = t.TypeVar("AnyBench", bound=Bench)


def judged(
    kind: t.Callable[[t.Any, Path], AnyBench], lab: t.Any, folder: Path, request: pytest.FixtureRequest
) -> Iterator[AnyBench]:
    """Reset the lab, and ask at the end whether two copies ever lived."""
    lab.reset()
    bench = kind(lab, folder)
    yield bench
    assert bench.platform.mishaps() == []
    if request.node.get_closest_marker("split_brain") is None:
        assert lab.control.violations() == [], "two copies of one VM were live at once"


class Running:
    """A command that runs. Its output goes to files, so that it can be read while it grows."""

    def __init__(self, bench: Bench, command: list[str], number: int, env: t.Mapping[str, str]) -> None:
        self._notes = bench.folder / f"play{number}.notes"
        self.out_path, self._err_path = bench.folder / f"play{number}.out", bench.folder / f"play{number}.err"
        self.began_at_s = time.time()
        with self.out_path.open("wb") as out, self._err_path.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=bench.environment(self._notes, **env),
                cwd=bench.folder,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.out_path.read_text(encoding="utf-8", errors="replace")

    def await_said(self, words: str, within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while words not in self.said():
            assert self.process.poll() is None, f"ended before it said {words!r}:\n{self.said()[-3000:]}"
            assert time.monotonic() < deadline, f"never said {words!r}:\n{self.said()[-3000:]}"
            time.sleep(0.05)

    def wait(self, timeout_s: float = PLAY_S) -> Result:
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended after {timeout_s:.0f} s:\n{self.said()[-4000:]}") from None
        finally:
            self.end()
        rows = self._notes.read_text(encoding="utf-8").splitlines() if self._notes.exists() else []
        return Result(
            rc=self.process.returncode,
            out=self.said(),
            err=self._err_path.read_text(encoding="utf-8", errors="replace"),
            took_s=time.time() - self.began_at_s,
            rows=[Row(**json.loads(row)) for row in rows],
        )

    def end(self) -> None:
        """Leave no process of the command behind: it has a session of its own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


class _Plain(yaml.SafeLoader):
    """Reads Ansible's ``!unsafe`` text as text."""


_Plain.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(t.cast("yaml.ScalarNode", node)))
