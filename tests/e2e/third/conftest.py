# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Third parties' software against the Proxmox lab; whatever they do there, no reply may break the API's schema."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.ferragosto.dr.tests.e2e.pve_kit import PveBench
from ansible_collections.ferragosto.dr.tests.e2e.third.judge import Judge
from ansible_collections.ferragosto.dr.tests.e2e.third.kit import Stranger, where_peers_are


@pytest.fixture
def judge(pve_ssh: PveBench) -> Iterator[Judge]:
    """Both validators, ours and jsonschema, over all that the doors answer in this test."""
    gate, schema = pve_ssh.lab.doors.gate, pve_ssh.lab.schema
    if schema is None:
        pytest.skip("the schema of Proxmox VE is not installed: run `make setup` (requirements/schemas.txt)")
    schema.violations.clear()
    judge = gate.schema = Judge(schema)
    yield judge
    gate.schema = schema
    assert judge.violations == []
    assert schema.violations == []


@pytest.fixture
def stranger(pve_ssh: PveBench, judge: Judge) -> Stranger:
    return Stranger(pve_ssh)


@pytest.fixture(scope="session")
def _peers() -> None:
    if reason := where_peers_are():
        pytest.skip(reason)
