# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bulk read returns: no argument by the hundred, and no secret in any case."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SECRET = 'ein "Geheimnis" für 15'
MODULE = """
from ansible_collections.ferragosto.dr.plugins.module_utils.invocation import Invocation
from ansible_collections.ferragosto.dr.plugins.module_utils.module import run, sites_option, spec

run(spec(has_vm=False, is_site_required=False, sites=sites_option()), lambda call: {result}, Invocation)
"""


@pytest.fixture
def run_module(tmp_path):
    def run(result, *, is_bulk=True):
        end = {"api_host": "pve.example", "api_token_secret": SECRET}
        site = {"name": "luca", "provider": "proxmox", "production": end, "replica": end}
        arguments = {"sites": [site]} if is_bulk else {"site": site}
        path = tmp_path / "arguments.json"
        path.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), encoding="utf-8")
        command = [sys.executable, "-c", MODULE.replace("{result}", repr(result)), str(path)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return ended.stdout

    return run


def test_a_bulk_result_does_not_repeat_its_arguments(run_module):
    said = json.loads(run_module({"sites": [{"name": "luca"}]}))
    assert said["sites"] == [{"name": "luca"}]
    assert said["invocation"]["module_args"]["sites"] == "1 items"


@pytest.mark.parametrize("is_bulk", [True, False])
@pytest.mark.parametrize(
    "result", [{}, {"sites": [{"errors": [f"401 for {SECRET}"]}]}, {"sites": [{SECRET: 1}]}, {"note": SECRET}]
)
def test_no_secret_is_ever_in_a_result(run_module, result, is_bulk):
    said = run_module(result, is_bulk=is_bulk)
    values = list(_values(json.loads(said)))
    assert not [value for value in values if SECRET in str(value)]


def _values(content):
    """Yield all that is no key: Ansible itself masks values alone."""
    for value in content.values() if isinstance(content, dict) else content:
        if isinstance(value, dict | list):
            yield from _values(value)
        else:
            yield value
