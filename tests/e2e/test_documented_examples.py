# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the papers tell to run is run, as it is written, on the example clients' sites in a lab."""

from __future__ import annotations

import itertools
import re
import time
import typing as t
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.lab import HypervLab
from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.lab import ProxmoxLab
from ansible_collections.ferragosto.dr.extensions.twin.vsphere import Timing, VsphereLab
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.simulator import SimulatorMissing
from ansible_collections.ferragosto.dr.plugins.module_utils.core import ids
from ansible_collections.ferragosto.dr.tests import documents
from ansible_collections.ferragosto.dr.tests.documents import ROOT
from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT, Bench, Result, Running, judged

CLIENT, HOST, VM = ROOT / "clients/luca", "gestionale.luca", "gestionale"
VERDI, VERDI_HOST = ROOT / "clients/verdi", "gestionale.verdi"
MODULES = sorted((ROOT / "plugins/modules").glob("*.py"))
RECORDING = ["transcript_info"]  # of one platform alone: see test_verify
INFO = [path for path in MODULES if path.stem.endswith("_info") and path.stem not in RECORDING]
# The order of a recovery; a new module that acts must take its place in it.
ACTING = ["journal", "vm_power", "vm_fence", "replica", "vm_migration"]
# What only a platform that replicates itself can do has a test of its own.
REPLICATING = ["replication"]
_MOMENT = re.compile(r"(?<==)\d{4}-\d\d-\d\dT\S+")


class ClientBench(Bench):
    """The bench with an example client on it, and the papers' own commands as its tools."""

    def __init__(self, lab: Lab, folder: Path, client: Path = CLIENT) -> None:
        super().__init__(lab, folder, client)
        self._written = f"clients/{client.name}"
        self._number = 1000

    def begin(self, written: t.Sequence[str], *more: str) -> Running:
        """Start a documented command; the lab's overlay and a journal of the test are all that is added."""
        command = [str(self.inventory) if word == self._written else word for word in written]
        if "build/lab/overlay.yml" in command:
            command[command.index("build/lab/overlay.yml")] = str(self.lab.overlay_path)
        else:
            command += ["-i", str(self.lab.overlay_path)]
        self._number += 1
        return Running(self, [*command, "-e", f"dr_journal={self.journal_url}", *more], self._number, {})

    def run_written(self, written: t.Sequence[str], *more: str) -> Result:
        ended = self.begin(written, *more).wait()
        assert ended.rc == 0, f"{' '.join(written)}\n{ended.text}"
        return ended

    def run_plays(self, plays: t.Sequence[dict[str, t.Any]], *more: str) -> Result:
        path = self.folder / "written.yml"
        path.write_text(yaml.safe_dump(list(plays), sort_keys=False), encoding="utf-8")
        return self.run_written(["ansible-playbook", str(path), "-i", self._written], *more)

    def run_tasks(self, tasks: t.Sequence[dict[str, t.Any]]) -> Result:
        """Run examples, one after the other, for the VM that they speak of."""
        names = [task["name"] for task in tasks]
        defaults = {"group/ferragosto.dr.dr": {"journal": "{{ dr_journal }}"}}
        play = {"hosts": HOST, "gather_facts": False, "module_defaults": defaults, "tasks": list(tasks)}
        ended = self.run_plays([play])
        assert [row.task for row in ended.rows] == names, ended.text
        return ended

    def state(self) -> str:
        return self.module("replica_info", **self.about(VM))["replica"]["state"]


@pytest.fixture(scope="module")
def luca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VsphereLab]:
    try:
        lab = VsphereLab.start(CLIENT, timing=Timing.fast(), state_dir=tmp_path_factory.mktemp("luca"))
    except SimulatorMissing as problem:
        pytest.skip(str(problem))
    with lab:
        yield lab


@pytest.fixture
def desk(luca: VsphereLab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ClientBench]:
    yield from judged(ClientBench, luca, tmp_path, request)


def written(playbook: str, client: str = "clients/luca") -> list[list[str]]:
    """Return a client's documented commands of a playbook, each once: with or without the lab's overlay is the same here."""
    found: dict[tuple[str, ...], list[str]] = {}
    for words in documents.commands("ansible-playbook").values():
        if words[1] == f"ferragosto.dr.{playbook}" and client in words:
            overlay = words.index("build/lab/overlay.yml") if "build/lab/overlay.yml" in words else None
            plain = words if overlay is None else words[: overlay - 1] + words[overlay + 1 :]
            found.setdefault(tuple(plain), plain)
    return list(found.values())


def in_pairs(desk: ClientBench, commands: t.Sequence[list[str]], *more: str) -> list[Result]:
    """Run commands that change nothing, two at a time."""
    results = []
    for first in range(0, len(commands), 2):
        begun = [desk.begin(words, *more) for words in commands[first : first + 2]]
        results += [running.wait() for running in begun]
    for words, ended in zip(commands, results, strict=True):
        assert ended.rc == 0, f"{' '.join(words)}\n{ended.text}"
    return results


def test_commands_that_look_show_cards_and_lines(desk: ClientBench) -> None:
    looks = [*written("assess"), *written("status")]
    for words, ended in zip(looks, in_pairs(desk, looks), strict=True):
        if "status" in words[1]:
            assert f"{VM}: ready" in ended.text
        elif "assess_format=json" in words:
            assert '"verdict": "healthy"' in ended.text
        elif any("assess_query" in word for word in words):
            assert '"msg": []' in ended.text, "no VM is unwell"
        else:
            assert "WHAT      HEALTHY" in ended.text
    assert desk.changing_calls() == {}


def test_commands_that_recover_are_understood(desk: ClientBench) -> None:
    """The options of all of them in one command, with --check; what --check foresees is the matter of test_check_mode."""
    (check,) = [words for words in written("recover") if "--check" in words]
    options = [pair for words in written("recover") for pair in itertools.pairwise(words) if pair[0] == "-e"]
    yesterday = datetime.fromtimestamp(time.time() - 26 * 3600).astimezone().isoformat(timespec="seconds")
    minutes_ago = datetime.fromtimestamp(time.time() - 600).astimezone().isoformat(timespec="seconds")
    moments = {"recover_point": yesterday, "dr_alert_at": minutes_ago}
    given = [_MOMENT.sub(moments.get(word.partition("=")[0], ""), word) for pair in options for word in pair]
    card = desk.run_written(check, *given).card(HOST)
    assert card["decision"]["outcome"] == "healthy"
    assert set(card["consents"]) == {"data_loss", "job_disabled"}
    assert card["loss"]["seconds"] > 30 * 3600, "the newest point before yesterday's moment, not the newest of all"
    assert 1100 < card["time_left_s"] < 1300, "30 minutes are promised, 10 are gone"
    assert desk.changing_calls() == {}


def test_examples_of_the_plugins_that_look_change_nothing(desk: ClientBench) -> None:
    plugins = [*(ROOT / "plugins/filter").glob("*.py"), *INFO]
    looked = desk.run_tasks([task for path in plugins for task in documents.examples(path)])
    assert {row.status for row in looked.rows} == {"ok"}
    assert not any(row.result["changed"] for row in looked.rows)
    assert desk.changing_calls() == {}


@pytest.mark.timeout(600)  # five commands in a row, on a machine that may be busy with other tests
def test_examples_of_the_modules_recover_a_vm_and_the_commands_end_it(desk: ClientBench) -> None:
    assert {path.stem for path in MODULES} == {*ACTING, *REPLICATING, *RECORDING, *(path.stem for path in INFO)}
    acts = [task for name in ACTING for task in documents.examples(ROOT / f"plugins/modules/{name}.py")]
    desk.control.corrupt(VM, since_s=7200)
    desk.run_tasks(sorted(acts, key=lambda task: task.get("ferragosto.dr.journal", {}).get("state") == "closed"))
    desk.await_serving(VM, "replica")
    assert desk.copy(VM, "replica")["host"] == "esx1.luca.example"
    assert desk.state() == "failback"

    steps_back = [
        play
        for role in ("commit", "undo")
        for block in documents.blocks("yaml")
        if block.where.startswith(f"roles/{role}/")
        for play in yaml.safe_load(block.text)
    ]
    (undo,), (commit,) = written("undo"), written("commit")
    calls = desk.changing_calls()
    desk.run_plays(steps_back, "--check")
    assert desk.changing_calls() == calls, "check mode changed something"

    desk.run_written(undo)
    assert desk.state() == "failover", "from home, the first undo goes back to the replica host"
    desk.run_written(commit)
    assert desk.state() == "committed"
    assert [r.body["outcome"] for r in desk.records(VM, "run_closed")][-2:] == ["undone", "committed"]


def test_example_of_the_replication_runs_where_the_platform_replicates(tmp_path: Path) -> None:
    with ProxmoxLab.start(CLIENT, timing=Timing.fast(), state_dir=tmp_path / "lab", has_ssh=True) as lab:
        desk = ClientBench(lab, tmp_path)
        desk.control.corrupt(VM, since_s=7200)
        in_place = {"promotion": "in_place"}
        desk.done("journal", vm=VM, state="open", op="recover", contract=CONTRACT)
        desk.done("vm_fence", vm=VM)
        desk.done("replica", vm=VM, state="failover", contract=CONTRACT, policy=in_place)
        desk.done("journal", vm=VM, state="closed", outcome="recovered_on_replica")
        examples = [task for name in REPLICATING for task in documents.examples(ROOT / f"plugins/modules/{name}.py")]
        (ran,) = desk.run_tasks(examples).of("replication")
        shown = ran.result["replication"]
        assert (shown["source"], shown["target"], shown["is_enabled"]) == ("esx2", "esx1", True)
        assert desk.control.violations() == []


def test_plays_of_the_papers_run(desk: ClientBench) -> None:
    """Those of undo and commit need a promoted copy: they are run above; those of another client below."""
    plays = [
        play
        for block in documents.blocks("yaml")
        if isinstance(found := yaml.safe_load(block.text), list)
        and not block.where.startswith(("roles/undo", "roles/commit"))
        for play in found
        if play.get("hosts") in ("all", HOST) or "ansible.builtin.import_playbook" in play
    ]
    assert len(plays) >= 4
    ended = desk.run_plays(plays, "--limit", HOST, "--check")
    assert ended.of("recovery_plan_info")
    assert desk.changing_calls() == {}


@pytest.mark.timeout(600)  # four commands in a row, on a machine that may be busy with other tests
def test_papers_of_hyperv_bring_a_vm_to_its_replica_and_home(tmp_path: Path) -> None:
    with HypervLab.start(VERDI, timing=Timing.fast(), state_dir=tmp_path / "lab") as lab:
        desk = ClientBench(lab, tmp_path, VERDI)
        desk.control.begin_story()
        (look,), (recover,) = written("assess", "clients/verdi"), written("recover", "clients/verdi")
        assert desk.run_written(look).card(VERDI_HOST)["decision"]["is_go"]
        assert desk.changing_calls() == {}
        before_the_damage = datetime.fromtimestamp(time.time() - 2 * 3600).astimezone().isoformat(timespec="seconds")
        moments = [_MOMENT.sub(before_the_damage, word) for word in recover]
        assert desk.run_written(moments).outcome(VERDI_HOST).startswith("recovered_on_replica")

        (play,) = [
            play
            for block in documents.blocks("yaml")
            if block.where.startswith("docs/docsite/rst/guide_hyperv.rst")
            and isinstance(found := yaml.safe_load(block.text), list)
            for play in found
        ]
        assert play["hosts"] == VERDI_HOST
        ended = desk.run_plays([play])
        assert [row.result["copy"]["host"] for row in ended.of("vm_migration")] == ["hv1.verdi.example"]
        assert desk.state() == "failback"
        desk.await_serving(VM, "replica")

        back: dict[str, t.Any] = {"vm": VM, "to": "replica", "mode": "auto"}  # as the undo playbook asks for it
        assert "cold_migration" in desk.module("vm_migration", **back)["msg"], "it takes a downtime to go back"
        assert desk.done("vm_migration", policy={"cold_migration": True}, **back)["copy"]["host"] == "hv2.verdi.example"
        assert desk.state() == "failover"
        assert desk.control.violations() == []
        assert desk.platform.mishaps() == []


@pytest.mark.parametrize("name", ["DR_PRODUCTION_API_PASSWORD", "DR_API_PASSWORD"])
def test_password_of_the_environment_is_used(desk: ClientBench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DR_REPLICA_API_PASSWORD" if name.startswith("DR_PROD") else name, desk.lab.password)
    monkeypatch.setenv(name, desk.lab.password)
    site = desk.site()
    for end in ("production", "replica"):
        del site[end]["api_password"]
    found = desk.module("replica_info", vm=VM, replica={"name": f"{VM}_replica"}, site=site)
    assert found["replica"]["state"] == "ready"


def test_default_journal_lies_where_the_readme_says(desk: ClientBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(desk.folder / "state"))
    desk.module("journal", vm=VM, state="open", contract={"rto": "30m", "rpo": "24h"}, journal=None)
    assert (desk.folder / "state/ferragosto.dr/journal.sqlite").is_file()
    assert ids.vm_key("luca-sede", VM) == desk.key(VM)
