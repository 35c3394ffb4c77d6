# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every Molecule scenario holds its claim, and leaves no lab behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.vsphere.simulator import SimulatorMissing, find_vcsim
from ansible_collections.ferragosto.dr.tests.e2e.kit import ROOT

SCENARIOS = sorted(path.parent.name for path in (ROOT / "extensions/molecule").glob("*/molecule.yml"))
WITHIN_S = 600.0


@pytest.mark.timeout(WITHIN_S + 60)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario_holds(scenario: str, tmp_path: Path) -> None:
    try:
        find_vcsim()
    except SimulatorMissing as problem:
        pytest.skip(str(problem))
    scratch = tmp_path / "scratch"
    environment = {
        **os.environ,
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "MOLECULE_EPHEMERAL_DIRECTORY": str(scratch),
    }
    told = tmp_path / "told"
    with told.open("wb") as out:
        ended = subprocess.run(
            ["molecule", "test", "--scenario-name", scenario],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=WITHIN_S,
            check=False,
        )
    assert ended.returncode == 0, told.read_text(encoding="utf-8", errors="replace")[-8000:]
    assert not (scratch / "lab").exists()
