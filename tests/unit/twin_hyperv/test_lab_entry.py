# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command that plays a Hyper-V client's site, and what it says of itself in its documentation."""

from __future__ import annotations

import json
import re
import typing as t
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin import entry, overlay
from ansible_collections.ferragosto.dr.extensions.twin.hyperv import states
from ansible_collections.ferragosto.dr.tests.unit.twin.lab_kit import ROOT, TWIN, VERDI, run

README = (ROOT / "extensions/twin/hyperv/README.md").read_text(encoding="utf-8")
UNVERIFIED = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A state folder; a lab that a failed test left in it is ended."""
    yield tmp_path / "lab"
    if (tmp_path / "lab").exists():
        entry.main(words=["--end", "--state-dir", str(tmp_path / "lab")])


def test_a_hyperv_client_is_played_in_the_background_and_ended(folder: Path) -> None:
    done = run(*TWIN, "-i", VERDI, "--background", "--print", "--fast", "--story", "--state-dir", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == str(folder / "overlay.yml")
    assert "api_password: '***'" in done.stdout
    (group,) = overlay.read(folder / "overlay.yml").values()
    site = group["vars"]["dr_site"]
    assert (site["provider"], site["replica"]["node"]) == ("hyperv", "hv2.verdi.example")
    assert site["production"]["api_password"] not in done.stdout
    facts = json.loads((folder / "lab.json").read_text(encoding="utf-8"))
    assert facts["endpoints"] == {e["node"]: e["api_port"] for e in (site["production"], site["replica"])}
    ended = run(*TWIN, "--end", "--state-dir", folder)
    assert (ended.returncode, ended.stdout) == (0, f"ended the lab in {folder}\n")
    assert entry.holder(folder) is None


def test_the_control_door_takes_the_platform_s_own_verbs(folder: Path) -> None:
    assert run(*TWIN, "-i", VERDI, "--background", "--fast", "--state-dir", folder).returncode == 0
    url = json.loads((folder / "lab.json").read_text(encoding="utf-8"))["control"]
    token = (folder / "control-token").read_text(encoding="utf-8")

    def post(verb: str, **body: t.Any) -> t.Any:
        request = urllib.request.Request(
            f"{url}/{verb}", json.dumps(body).encode(), {"Authorization": f"Bearer {token}"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    assert post("culture", culture="de-DE") is None
    assert post("replicate", vm="dominio") is True
    assert {row["state"] for row in post("relations")} == {"Replicating"}
    assert post("simulator_errors") == []


def test_the_documentation_lists_every_row_that_no_document_stands_behind() -> None:
    listed = UNVERIFIED.findall(README.partition("## Unverified on Windows")[2])
    assert listed == [row.name for row in states.unverified()], "run python -m ...twin.hyperv.unverified and paste it"


def test_the_documentation_names_every_control_verb() -> None:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.control import Control

    assert sorted(verb for verb in Control.VERBS if f"`{verb}`" not in README) == []
