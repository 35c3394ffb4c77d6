# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command and the playbook that play a client's site: where they say it is, how they end, what they refuse."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin import entry, overlay
from ansible_collections.ferragosto.dr.tests.unit.twin.lab_kit import (
    BIANCHI,
    ENVIRONMENT,
    LUCA,
    TWIN,
    inventory_of,
    run,
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A state folder; a lab that a failed test left in it is ended."""
    yield tmp_path / "lab"
    if (tmp_path / "lab").exists():
        entry.main(words=["--end", "--state-dir", str(tmp_path / "lab")])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_its_overlay_first_and_runs_until_a_signal(folder: Path, number: signal.Signals) -> None:
    command = [*TWIN, "--inventory", str(LUCA), "--provider", "proxmox", "--fast", "--state-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        printed = Path(process.stdout.readline().strip())
        assert printed == folder / "overlay.yml"
        assert "ansible-playbook ferragosto.dr.assess" in process.stdout.readline()
        assert entry.holder(folder) == process.pid
        shown = inventory_of("dc01.luca", LUCA, printed)
        assert shown["dr_site"]["provider"] == "proxmox"
        process.send_signal(number)
        assert process.wait(timeout=15) == 0
    assert entry.holder(folder) is None


def test_the_platform_is_the_client_s_own_unless_one_is_named(folder: Path) -> None:
    done = run(*TWIN, "-i", BIANCHI, "--background", "--print", "--fast", "--story", "--state-dir", folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == str(folder / "overlay.yml")
    assert "api_token_secret: '***'" in done.stdout
    (group,) = overlay.read(folder / "overlay.yml").values()
    site = group["vars"]["dr_site"]
    assert (site["provider"], site["production"]["node"]) == ("proxmox", "pve1")
    assert site["production"]["api_token_secret"] not in done.stdout
    assert "dr_replica" not in group["hosts"]["gestionale.bianchi"]


def test_a_lab_in_the_background_is_started_once_and_ended_once(folder: Path) -> None:
    start = [*TWIN, "-i", BIANCHI, "--background", "--fast", "--state-dir", folder]
    assert run(*start).returncode == 0
    pid = entry.holder(folder)
    again = run(*start)
    assert (again.returncode, "already" in again.stderr, entry.holder(folder)) == (0, True, pid)
    other = run(*TWIN, "-i", LUCA, "--provider", "proxmox", "--background", "--state-dir", folder)
    assert (other.returncode, "another lab runs in" in other.stderr) == (2, True)
    ended = run(*TWIN, "--end", "--state-dir", folder)
    assert (ended.returncode, ended.stdout) == (0, f"ended the lab in {folder}\n")
    assert entry.holder(folder) is None
    assert run(*TWIN, "--end", "--state-dir", folder).stdout == f"no lab runs in {folder}\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--inventory", "no/such/client"], "no/such/client does not exist"),
        ([], "name the client's inventory: --inventory clients/luca"),
    ],
)
@pytest.mark.parametrize("background", [[], ["--background"]])
def test_what_is_wrong_is_said_in_one_line(folder: Path, words: list[str], why: str, background: list[str]) -> None:
    done = run(*TWIN, *words, *background, "--state-dir", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("lab: ")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_lab_file_is_said_by_a_lab_that_starts_in_the_background_too(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("proxmox: {layuot: cluster}\n", encoding="utf-8")
    done = run(*TWIN, "-i", BIANCHI, "--lab-file", tmp_path / "bad.yml", "--background", "--state-dir", folder)
    assert (done.returncode, "unknown layuot; the lab knows" in done.stderr) == (2, True)


def test_a_platform_without_a_lab_is_refused_with_those_that_have_one(folder: Path, tmp_path: Path) -> None:
    text = (BIANCHI / "hosts.yml").read_text(encoding="utf-8").replace("provider: proxmox", "provider: nutanix")
    (tmp_path / "hosts.yml").write_text(text, encoding="utf-8")
    done = run(*TWIN, "-i", tmp_path / "hosts.yml", "--state-dir", folder)
    assert done.returncode == 2
    assert "no lab plays 'nutanix'; name one with --provider: hyperv, proxmox, vsphere" in done.stderr


def test_the_playbook_starts_shows_and_ends_a_twin(folder: Path, tmp_path: Path) -> None:
    play = ["ansible-playbook", "ferragosto.dr.twin", "-i", BIANCHI, "-e", f"twin_dir={folder}", "-e", "twin_fast=true"]
    # as a stranger runs it: nothing but the collection's path is set
    alone = {"PYTHONPATH": "", "ANSIBLE_HOME": str(tmp_path / "ansible")}
    started = run(*play, env=alone)
    assert started.returncode == 0, started.stdout + started.stderr
    assert "changed=1" in started.stdout
    assert str(folder / "overlay.yml") in started.stdout
    secret = next(iter(overlay.read(folder / "overlay.yml").values()))["vars"]["dr_site"]["replica"]["api_token_secret"]
    assert secret not in started.stdout
    assert "changed=0" in run(*play, env=alone).stdout
    ended = run(*play, "-e", "twin_state=absent", env=alone)
    assert (ended.returncode, "changed=1" in ended.stdout) == (0, True)
    assert entry.holder(folder) is None
    assert "changed=0" in run(*play, "-e", "twin_state=absent", env=alone).stdout


def test_the_playbook_refuses_a_state_it_does_not_know(tmp_path: Path) -> None:
    done = run(
        "ansible-playbook", "ferragosto.dr.twin", "-i", BIANCHI, "-e", "twin_state=stopped", env={"PYTHONPATH": ""}
    )
    assert done.returncode != 0
    assert "twin_state is 'stopped': write present or absent" in done.stdout


def test_the_proxmox_lab_needs_nothing_of_vsphere_s() -> None:
    """The demo must play where pyvmomi is not installed."""
    block = "import sys; sys.modules['pyVmomi'] = None; sys.modules['pyVim'] = None; "
    load = "from ansible_collections.ferragosto.dr.extensions.twin import demo, labs; print(labs.lab_of('proxmox').__name__)"
    done = run(sys.executable, "-c", block + load)
    assert (done.returncode, done.stdout) == (0, "ProxmoxLab\n"), done.stderr
