# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On every platform, by every way to promote: whenever the controller is killed, the same commands again recover.

An undisturbed recovery enumerates the records. Then each of them is the last that a killed controller wrote, and some results are
the first that it did not write although their effect was there.
"""

from __future__ import annotations

import json
import signal
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab
from ansible_collections.ferragosto.dr.tests.e2e import deaths
from ansible_collections.ferragosto.dr.tests.e2e.deaths import Death
from ansible_collections.ferragosto.dr.tests.e2e.kit import OVERWRITE, Bench

pytestmark = pytest.mark.timeout(900)

PARTS = 8
UNWRITTEN = 3  # every so many results are also the first that a killed controller did not write


@dataclass(frozen=True, slots=True)
class Way:
    """One way to promote. ``sampled``: it begins as another, whose every record is played, and every so many deaths do."""

    lab: str  # the fixture
    promotion: str
    outcome: str
    accept: dict[str, str] = field(default_factory=dict)
    sampled: int = 1


WAYS = {
    "revert": Way("lab", "auto", "recovered_home", {"job_disabled": "Anna, in the console, 04:12"}),
    "clone": Way("pve_ssh_lab", "clone", "recovered_home"),
    "in_place": Way("pve_ssh_lab", "in_place", "recovered_on_replica"),
    "in_place, then home": Way("pve_ssh_lab", "in_place", "recovered_home", OVERWRITE, sampled=3),
    "failover": Way("hv_lab", "auto", "recovered_on_replica", sampled=3),
    "failover, then home": Way("hv_lab", "auto", "recovered_home", OVERWRITE),
}
_UNDISTURBED: dict[str, dict[str, t.Any]] = {}  # by way: told once per worker
UNDONE = ("revert", "clone", "in_place", "failover")


class Tale(Bench):
    """One telling: a fresh lab in which the VM crashes at every boot, a fresh journal."""

    def __init__(self, lab: Lab, folder: Path, way: Way) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        lab.reset()
        super().__init__(lab, folder)
        self.outcome = way.outcome
        self.before = self.shown("solo")
        self.control.corrupt("solo", since_s=3600.0)
        self.given = self.orders("solo", accept=way.accept, promotion=way.promotion)

    def tell(self, what: str = "recover", death: Death | None = None) -> deaths.End:
        """Play it in a controller process of its own."""
        return deaths.play(self.given, self.folder, what=what, death=death)

    def faults(self) -> list[str]:
        """Say what must not be after any telling, however it was cut."""
        found = [f"two live copies: {violation}" for violation in self.control.violations()]
        found += [f"our own mistake: {mishap}" for mishap in self.platform.mishaps()]
        allowed = {kind for kind in self.given.accept if kind == "original_overwritten"}
        found += [f"accident: {one}" for one in self.control.accidents() if one["kind"] not in allowed]
        if not self.done("journal_info")["chain"]["is_intact"]:
            found.append("the journal's chain is broken")
        return found

    def faults_at_end(self) -> list[str]:
        found = self.faults()
        serving = self.lab.world.serving_copy("solo")
        if serving is None:
            return [*found, "no copy serves"]
        wanted = self.site()["production" if self.outcome == "recovered_home" else "replica"]["node"]
        if serving.host != wanted:
            found.append(f"served from {serving.host}, not {wanted}")
        if self.lab.world.data_of(serving).is_corrupted:
            found.append("served with rotten data")
        return found


@pytest.fixture
def lab_of(request: pytest.FixtureRequest) -> t.Callable[[str], Lab]:
    return lambda way: request.getfixturevalue(WAYS[way].lab)


@pytest.fixture
def undisturbed(
    lab_of: t.Callable[[str], Lab], tmp_path_factory: pytest.TempPathFactory
) -> t.Callable[[str], dict[str, t.Any]]:
    def of(way: str) -> dict[str, t.Any]:
        known = _UNDISTURBED
        if way not in known:
            tale = Tale(lab_of(way), tmp_path_factory.mktemp("undisturbed"), WAYS[way])
            ended = tale.tell()
            assert (ended.exitcode, ended.said) == (0, tale.outcome)
            assert tale.faults_at_end() == []
            known[way] = json.loads(json.dumps({"told": tale.told(), "calls": changes(tale)}))
        return known[way]

    return of


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("way", WAYS)
def test_recovery_killed_at_any_record_is_resumed(
    way: str,
    part: int,
    lab_of: t.Callable[[str], Lab],
    undisturbed: t.Callable[[str], dict[str, t.Any]],
    tmp_path: Path,
) -> None:
    usual = undisturbed(way)
    points = [Death(seq) for seq in range(1, len(usual["told"]) + 1)]
    results = [seq for seq, told in enumerate(usual["told"], 1) if told.startswith("result")]
    points += [Death(seq, is_before=True) for seq in results[::UNWRITTEN]]
    found: list[str] = []
    for death in points[:: WAYS[way].sampled][part::PARTS]:
        tale = Tale(lab_of(way), tmp_path / f"{death.seq}-{death.is_before}", WAYS[way])
        faults = _kill_and_resume(tale, death, usual)
        where = f"killed {'before' if death.is_before else 'after'} record {death.seq}, {usual['told'][death.seq - 1]}"
        found += [f"{where}: {fault}" for fault in faults]
    assert not found, "\n".join(found)


def _kill_and_resume(tale: Tale, death: Death, usual: dict[str, t.Any]) -> list[str]:
    killed = tale.tell(death=death)
    if killed.exitcode != -signal.SIGKILL:
        return [f"it was not killed: {killed.exitcode}, {killed.said}"]
    written = death.seq - 1 if death.is_before else death.seq
    if tale.told() != usual["told"][:written]:
        return ["it went another way than the undisturbed recovery", *tale.told()]
    found = [f"right after the death: {fault}" for fault in tale.faults()]
    ended = tale.tell()
    expected = "healthy" if written == len(usual["told"]) else tale.outcome
    if (ended.exitcode, ended.said) != (0, expected):
        found.append(f"ended with {ended.exitcode}: {ended.said}")
    found += tale.faults_at_end()
    if changes(tale) != usual["calls"]:
        found.append(f"changes: {changes(tale)}, undisturbed {usual['calls']}")
    return found


def changes(tale: Tale) -> dict[str, int]:
    """Count the changing calls; whether a first replication has to be hurried on depends on the scheduler's own look."""
    return {call: n for call, n in tale.changing_calls().items() if not call.endswith("/schedule_now")}


@pytest.mark.parametrize("way", UNDONE)
def test_undo_killed_at_any_record_returns_the_exact_former_state(
    way: str, lab_of: t.Callable[[str], Lab], tmp_path: Path
) -> None:
    tale = Tale(lab_of(way), tmp_path / "tale", WAYS[way])
    assert tale.tell().exitcode == 0
    rounds = 2 if tale.outcome == "recovered_home" else 1  # from home first back to the replica host
    for number in range(1, rounds + 1):
        met = tale.folder / f"met-{number}"
        met.touch()
        while tale.outcomes() != [tale.outcome, *["undone"] * number]:
            ended = tale.tell("undo", death=Death(met=str(met)))
            assert ended.exitcode == -signal.SIGKILL, ended.said
            assert tale.faults() == [], tale.told()[-1]
        deaths_met = met.read_text(encoding="utf-8").splitlines()
        assert {"run_opened | undo", "run_resumed", "run_closed | undone"} <= set(deaths_met)
        assert len([told for told in deaths_met if told.startswith(("intent", "result"))]) >= 6
    assert tale.faults() == []
    after = tale.shown("solo")
    assert after == tale.before
