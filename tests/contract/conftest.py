# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One suite of claims for every provider. A lab per worker and platform, reset before each test.

"proxmox" promotes by a full clone through the API, "proxmox-in-place" by moving the configuration over SSH, "hyperv" by a
failover of Hyper-V Replica.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab, LabImpossible
from ansible_collections.ferragosto.dr.extensions.twin.labs import lab_of
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing
from ansible_collections.ferragosto.dr.tests.contract.claim import Claim
from ansible_collections.ferragosto.dr.tests.e2e.kit import CLINIC, judged

PLATFORMS = ("vsphere", "proxmox", "proxmox-in-place", "hyperv")


@pytest.fixture(scope="session")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[t.Callable[[str], Lab]]:
    started: dict[str, Lab] = {}

    def lab(name: str) -> Lab:
        if name not in started:
            started[name] = _start(name, tmp_path_factory.mktemp(name))
        return started[name]

    yield lab
    for one in started.values():
        one.end()


@pytest.fixture(params=PLATFORMS)
def claim(request: pytest.FixtureRequest, labs: t.Callable[[str], Lab], tmp_path: Path) -> Iterator[Claim]:
    try:
        lab = labs(request.param)
    except LabImpossible as problem:
        pytest.skip(str(problem))
    yield from judged(partial(Claim, name=request.param), lab, tmp_path, request)


def _start(name: str, folder: Path) -> Lab:
    provider = name.partition("-")[0]
    more: dict[str, t.Any] = {"has_ssh": name == "proxmox-in-place"} if provider == "proxmox" else {}
    return lab_of(provider).start(CLINIC, timing=Timing.fast(), state_dir=folder, **more)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "split_brain: two live copies are the subject of this test")
