# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One lab of the clinic per worker, reset before each test; every test ends with the question whether two copies ever lived."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.lab import HypervLab
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.lab import ProxmoxLab
from ansible_collections.ferragosto.dr.extensions.twin.vsphere import Timing, VsphereLab
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.simulator import SimulatorMissing
from ansible_collections.ferragosto.dr.tests.e2e.kit import CLINIC, Bench, judged
from ansible_collections.ferragosto.dr.tests.e2e.pve_kit import PveBench
from ansible_collections.ferragosto.dr.tests.e2e.resume_kit import LUCA, Story, Telling


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "split_brain: two live copies are the subject of this test")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VsphereLab]:
    try:
        lab = VsphereLab.start(CLINIC, timing=Timing.fast(), state_dir=tmp_path_factory.mktemp("lab"))
    except SimulatorMissing as problem:
        pytest.skip(str(problem))
    # Fixtures of a whole module are torn down late: whatever they left is past when the lab ends.
    with lab:
        yield lab


@pytest.fixture
def bench(lab: VsphereLab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield from judged(Bench, lab, tmp_path, request)


@pytest.fixture
def bench_unchanged(lab: VsphereLab, tmp_path: Path) -> Bench:
    """The lab as it is: for tests that are refused before they look at it."""
    lab.world.calls.clear()
    return Bench(lab, tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _no_words_of_the_desk() -> None:
    """Let no variable of the person at the desk decide a test."""
    for name in [n for n in os.environ if n.startswith(("DR_", "ANSIBLE_")) and n != "ANSIBLE_COLLECTIONS_PATH"]:
        del os.environ[name]


@pytest.fixture(scope="session")
def luca_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VsphereLab]:
    """The lab of the demo's client, for the tests that play the 15 August story; they reset it themselves."""
    try:
        lab = VsphereLab.start(LUCA, timing=Timing.fast(), state_dir=tmp_path_factory.mktemp("luca"))
    except SimulatorMissing as problem:
        pytest.skip(str(problem))
    with lab:
        yield lab


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def story(luca_lab: VsphereLab, tmp_path: Path, shared: Path) -> Telling:
    """Tell the 15 August story anew, under the given name."""
    return lambda name="story": Story(luca_lab, tmp_path / name, shared / "warm").begin()


@pytest.fixture(scope="session")
def pve_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxmoxLab]:
    """The clinic on Proxmox VE, by the API alone."""
    with ProxmoxLab.start(CLINIC, timing=Timing.fast(), state_dir=tmp_path_factory.mktemp("pve")) as lab:
        yield lab


@pytest.fixture(scope="session")
def pve_ssh_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxmoxLab]:
    """The clinic on Proxmox VE, its nodes reachable over SSH."""
    folder = tmp_path_factory.mktemp("pve-ssh")
    with ProxmoxLab.start(CLINIC, timing=Timing.fast(), state_dir=folder, has_ssh=True) as lab:
        yield lab


@pytest.fixture(scope="session")
def hv_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HypervLab]:
    """The clinic on two Hyper-V hosts."""
    with HypervLab.start(CLINIC, timing=Timing.fast(), state_dir=tmp_path_factory.mktemp("hv")) as lab:
        yield lab


@pytest.fixture
def pve(pve_lab: ProxmoxLab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PveBench]:
    yield from judged(PveBench, pve_lab, tmp_path, request)


@pytest.fixture
def pve_ssh(pve_ssh_lab: ProxmoxLab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PveBench]:
    yield from judged(PveBench, pve_ssh_lab, tmp_path, request)


@pytest.fixture
def hv(hv_lab: HypervLab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield from judged(Bench, hv_lab, tmp_path, request)
