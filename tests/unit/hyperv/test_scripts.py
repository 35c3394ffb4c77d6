# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every text that the provider may send to a host goes through the static gate, and every script is on its list."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import metadata
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.gate import check
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import bootstrap
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.every import ALL
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script

PROVIDER = Path(__file__).parents[3] / "plugins/module_utils/providers/hyperv"
SCRIPTS = "ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts"
NAME = re.compile(r"\b[A-Z][a-z]+-(?:VM|Cim)[A-Za-z]*\b")
FIRST_WORD = re.compile(r"^\s*([A-Z][a-z]+-[A-Za-z]+)\b")
# What reads; every other verb changes something.
READING = ("Get-", "Measure-", "Test-", "Where-", "ForEach-", "Select-", "Sort-", "ConvertTo-", "ConvertFrom-", "Out-")
HARMLESS = ("Start-Sleep", "Write-Error", "Invoke-CimMethod")

each_script = pytest.mark.parametrize("script", ALL, ids=lambda script: script.name)


@each_script
def test_a_script_passes_the_gate(script):
    shown = "\n".join(f"{number:4} {line}" for number, line in enumerate(script.text.split("\n"), start=1))

    assert check(script.text) == [], shown


def test_the_bootstrap_passes_the_gate_with_its_own_allowances():
    assert check(bootstrap.BOOTSTRAP, is_bootstrap=True) == []


def test_every_script_of_the_provider_is_on_the_list():
    there = set()
    for path in sorted((PROVIDER / "scripts").glob("*.py")):
        module = importlib.import_module(f"{SCRIPTS}.{path.stem}" if path.stem != "__init__" else SCRIPTS)
        there |= {value for value in vars(module).values() if isinstance(value, Script)}

    assert there == set(ALL)
    assert len({script.name for script in ALL}) == len(ALL)


def test_no_script_is_made_outside_its_folder():
    for path in sorted(PROVIDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_made = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Script"
            assert not is_made, f"{path.name}:{getattr(node, 'lineno', 0)}"


@each_script
def test_a_script_that_changes_something_shows_what(script):
    # A bare -WhatIf never acts, so a script may ask with it and still be a read.
    lines = [line for line in script.text.split("\n") if not re.search(r" -WhatIf(?!:)\b", line)]
    called = {name for line in lines for name in NAME.findall(line)}
    acts = {name for name in called if not name.startswith(READING) and name not in HARMLESS}

    assert bool(acts) == bool(script.shown), (acts, script.shown)


@each_script
def test_what_check_mode_shows_are_cmdlets_that_the_script_runs(script):
    for line in script.shown:
        found = FIRST_WORD.match(line)
        assert found is not None, line
        assert metadata.find(found[1]) is not None, line
        assert found[1] in script.text, line
