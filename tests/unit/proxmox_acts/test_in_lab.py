# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same acts through the real site: HTTPS with a token of few privileges, SSH with checked host keys, the world as judge."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.auth import Key
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.lab import ProxmoxLab
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Phase, Timing
from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, SiteUnreachable, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.core.resolve import resolve
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step, run_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.site import ProxmoxSite
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ssh import NodeShell, config_path

from .conftest import RUN, Memory, acted

LUCA = Path(__file__).resolve().parents[3] / "clients" / "luca"
QUICK = Timing(boot_s=0.15, crash_after_s=0.1, shutdown_s=0.15, relocate_s=0.3, write_interval_s=0.05)
VM = "gestionale"


class SystemClock:
    def now_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Place:
    """A lab, the site as a client opens it, and the story of 15 August begun."""

    def __init__(self, lab: ProxmoxLab, key: Key | None = None) -> None:
        self.lab = lab
        account = {"api_token_id": key.token_id, "api_token_secret": key.secret} if key is not None else {}
        ends = [
            EndpointSpec(node=end.node, **{**lab._end(end.node), **account, "timeout_s": 10.0})
            for end in (lab.wish.production, lab.wish.replica)
        ]
        self.spec = SiteSpec(name="luca-sede", provider="proxmox", production=ends[0], replica=ends[1])
        self.site = ProxmoxSite(self.spec, clock=SystemClock(), progress=lambda words: None)
        self.known: tuple[str, str] | None = None
        self.fenced = Memory()
        self.promoted = Memory()

    @property
    def home(self) -> str:
        return self.lab.wish.production.node

    @property
    def away(self) -> str:
        return self.lab.wish.replica.node

    def pair(self) -> Pair:
        """As within a run: its journal knows the ids that it began with, and what it made since."""
        reading = self.site.read(deep=(VM,))
        ids = {vm.id for end in reading.endpoints() for vm in end.vms}
        known = self.known if self.known is not None and set(self.known) <= ids else None
        pair = resolve(reading, vm=VM, known_ids=known, known_runs=(RUN,))
        if self.known is None and pair.production is not None and pair.replica is not None:
            self.known = (pair.production.id, pair.replica.id)
        return pair

    def run(self, steps: t.Iterable[Step], log: Memory | None = None) -> list[str]:
        done = run_steps(steps, log=log or Memory(), now_s=time.time, progress=lambda words: None, guard=lambda: None)
        return acted(done)

    def fence(self, pair: Pair) -> None:
        assert pair.production is not None
        self.run(self.site.fence(pair.production, run_id=RUN, guest_within_s=2.0), self.fenced)

    def promote(self, pair: Pair, point: RecoveryPoint, way: str) -> list[str]:
        steps = self.site.promote(pair, point, way=way, run_id=RUN, guest_within_s=20.0)
        return self.run(steps, self.promoted)

    def undo(self) -> None:
        pair = self.pair()
        assert pair.production is not None
        self.run(self.site.undo_promotion(pair, self.promoted.former(), run_id=RUN))
        self.run(self.site.unfence(pair.production, self.fenced.former()))
        fresh = self.pair().production
        assert fresh is not None
        self.run(self.site.power_on(fresh))

    def configs(self) -> dict[int, tuple[str, dict[str, str]]]:
        return {
            guest.vmid: (guest.node, dict(guest.config))
            for datacenter in self.lab.datacenters
            for guest in datacenter.guests.values()
        }

    def serving_host(self) -> str:
        copy = self.lab.world.serving_copy(VM)
        return copy.host if copy is not None and not copy.data.is_corrupted else ""

    def no_harm(self) -> None:
        assert self.lab.control.violations() == []
        assert self.lab.control.accidents() == []


def _open(layout: str, folder: Path) -> Iterator[ProxmoxLab]:
    with ProxmoxLab.start(LUCA, timing=QUICK, state_dir=folder, layout=layout, has_ssh=True) as lab:
        yield lab


@pytest.fixture(scope="module")
def cluster_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxmoxLab]:
    yield from _open("cluster", tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def lone_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxmoxLab]:
    yield from _open("standalone", tmp_path_factory.mktemp("standalone"))


@pytest.fixture
def place(cluster_lab: ProxmoxLab) -> Iterator[Place]:
    yield from _begin(cluster_lab)


@pytest.fixture
def lone_place(lone_lab: ProxmoxLab) -> Iterator[Place]:
    yield from _begin(lone_lab)


def _begin(lab: ProxmoxLab) -> Iterator[Place]:
    lab.reset()
    deadline = time.monotonic() + 10
    while any(c.power == "on" and c.phase is not Phase.RUNNING for c in lab.world.copies.values()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    place = Place(lab)
    lab.control.begin_story()
    yield place
    place.site.close()


def _replicated(pair: Pair) -> RecoveryPoint:
    assert pair.replica is not None
    return next(p for p in reversed(pair.replica.points) if p.id.startswith("pvesr:"))


def _saved(pair: Pair) -> RecoveryPoint:
    assert pair.replica is not None
    return next(
        p for p in reversed(pair.replica.points) if p.id.startswith("backup:") and p.created_at_s < time.time() - 7500
    )


@pytest.mark.parametrize("way", ["clone", "in_place", "restore"])
def test_the_whole_story_and_its_undo(place: Place, way: str) -> None:
    before = place.configs()
    pair = place.pair()
    point = _saved(pair) if way == "restore" else _replicated(pair)
    possible = {w.name: w for w in place.site.ways(pair, point)}
    assert possible[way].is_possible, possible[way].reason
    place.fence(pair)
    place.promote(place.pair(), point, way)
    deadline = time.monotonic() + 5
    while place.serving_host() != place.away:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    promoted = place.pair().replica
    assert promoted is not None
    assert promoted.stamps[stamps.PHASE] == "failover"
    assert place.promote(place.pair(), point, way) == []
    place.no_harm()
    place.undo()
    assert place.configs() == before
    place.no_harm()


def test_a_clone_goes_home_and_is_replicated_again(place: Place) -> None:
    pair = place.pair()
    point = _replicated(pair)
    place.fence(pair)
    place.promote(place.pair(), point, "clone")
    promoted = place.pair().replica
    assert promoted is not None
    place.run(place.site.migrate(promoted, to="production", mode="live", run_id=RUN))
    place.run(place.site.end_migration(promoted, run_id=RUN, phase="failback"))
    home = place.pair()
    assert home.replica is not None
    assert home.replica.host == place.home
    assert place.serving_host() == place.home
    done = place.run(place.site.set_replication(home, state="reversed", run_id=RUN, is_loss_accepted=False))
    assert done == ["replicate it to the other node", "see the replica in sync"]
    place.no_harm()


def test_in_place_and_home_by_reverse_replication_is_a_plain_vm_again(place: Place) -> None:
    before = place.configs()
    pair = place.pair()
    point = _replicated(pair)
    place.fence(pair)
    place.promote(place.pair(), point, "in_place")
    place.run(place.site.set_replication(place.pair(), state="reversed", run_id=RUN, is_loss_accepted=True))
    promoted = place.pair().replica
    assert promoted is not None
    place.run(place.site.migrate(promoted, to="production", mode="live", run_id=RUN))
    place.run(place.site.end_migration(promoted, run_id=RUN, phase="failback"))
    place.run(place.site.commit(place.pair(), run_id=RUN))
    assert place.configs() == before
    assert place.serving_host() == place.home
    assert place.lab.control.violations() == []
    assert {a["kind"] for a in place.lab.control.accidents()} == {"original_overwritten"}


def test_a_dead_node_without_quorum_is_overcome_over_ssh(place: Place) -> None:
    pair = place.pair()
    point = _replicated(pair)
    place.lab.control.host_lost(place.home)
    place.site.read()  # through the other node from now on
    assert place.promote(pair, point, "in_place")[0] == "get a quorum"
    assert place.serving_host() == place.away
    place.lab.control.host_back(place.home)
    time.sleep(0.5)
    assert place.serving_host() == place.away
    place.no_harm()


def test_of_two_lone_nodes_a_backup_is_restored_on_the_other(lone_place: Place) -> None:
    place = lone_place
    before = place.configs()
    pair = place.pair()
    point = _saved(pair)
    (way,) = place.site.ways(pair, point)
    assert (way.name, way.is_possible) == ("restore", True), way.reason
    place.fence(pair)
    place.promote(place.pair(), point, "restore")
    assert place.serving_host() == place.away
    promoted = place.pair().replica
    assert promoted is not None
    assert pair.production is not None
    assert promoted.handle != pair.production.handle
    with pytest.raises(Exception, match="cluster"):
        place.run(place.site.migrate(promoted, to="production", mode="live", run_id=RUN))
    place.undo()
    assert place.configs() == before
    place.no_harm()


def test_a_lone_node_that_is_dead_is_replaced_by_a_backup_on_the_other(lone_place: Place) -> None:
    place = lone_place
    pair = place.pair()
    point = _saved(pair)
    place.lab.control.host_lost(place.home)
    place.site.read()
    (way,) = place.site.ways(pair, point)
    assert way.is_possible, way.reason
    place.promote(pair, point, "restore")
    assert place.serving_host() == place.away
    place.no_harm()


@pytest.mark.parametrize("action", ["drop_after", "error_after"])
@pytest.mark.parametrize("path", ["/nodes/*/qemu", "/nodes/*/qemu/*/clone", "/nodes/*/qemu/*/config"])
def test_a_broken_wire_makes_no_second_copy(place: Place, action: str, path: str) -> None:
    pair = place.pair()
    point = _replicated(pair)
    place.fence(pair)
    extra: dict[str, t.Any] = {"status": 500, "text": "got some fault"} if action == "error_after" else {}
    place.lab.control.rule(action=action, method="@changing", path=path, count=1, **extra)
    place.promote(place.pair(), point, "clone")
    assert place.serving_host() == place.away
    namesakes = [c for n, c in place.configs().values() if c.get("name") == VM]
    assert len(namesakes) == 2
    assert not [c for n, c in place.configs().values() if c.get("name", "").startswith("dr-shell")]
    place.no_harm()


def test_an_account_that_may_only_read_learns_what_it_lacks(place: Place) -> None:
    reader = Place(place.lab, place.lab.keys.assess)
    pair = reader.pair()
    found = {w.name: w for w in reader.site.ways(pair, _replicated(pair))}
    assert not found["clone"].is_possible
    assert "VM.Allocate" in found["clone"].reason
    assert "Datastore.AllocateSpace" in found["clone"].reason
    (way,) = reader.site.ways(pair, _saved(place.pair()))
    assert not way.is_possible
    reader.site.close()


def test_ha_takes_over_a_dead_nodes_vm_when_there_is_a_third_vote(tmp_path: Path) -> None:
    with ProxmoxLab.start(LUCA, timing=QUICK, state_dir=tmp_path, layout="cluster", has_qdevice=True) as lab:
        place = Place(lab, lab.keys.high_availability)
        pair = place.pair()
        point = _replicated(pair)
        lab.control.host_lost(place.home)
        place.site.read()
        way = next(w for w in place.site.ways(pair, point) if w.name == "ha")
        assert (way.is_possible, way.is_opt_in) == (True, True), way.reason
        place.promote(pair, point, "ha")
        assert place.serving_host() == place.away
        lab.control.host_back(place.home)
        time.sleep(1.0)
        assert place.serving_host() == place.away
        place.no_harm()
        place.site.close()


# --- the node's command line -----------------------------------------------------------------------------------------


def test_a_foreign_host_key_is_refused(place: Place, tmp_path: Path) -> None:
    spec = place.spec.replica
    stranger = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    known = tmp_path / "known_hosts"
    known.write_text(f"[{spec.api_host}]:{spec.ssh_port} {stranger}", encoding="utf-8")
    with pytest.raises(BadInput, match="host key"):
        NodeShell(replace(spec, ssh_known_hosts_path=str(known))).expect_one_vote()


def test_a_foreign_key_is_not_let_in(place: Place, tmp_path: Path) -> None:
    key = tmp_path / "key"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(key))
    with pytest.raises(BadInput, match="refuses the key"):
        NodeShell(replace(place.spec.replica, ssh_key_path=str(key))).expect_one_vote()


def test_a_key_that_is_no_key_is_named(place: Place, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("nonsense", encoding="utf-8")
    with pytest.raises(BadInput, match="cannot be read"):
        NodeShell(replace(place.spec.replica, ssh_key_path=str(key))).expect_one_vote()


def test_a_missing_option_or_file_is_named(place: Place) -> None:
    with pytest.raises(BadInput, match="ssh_user"):
        NodeShell(replace(place.spec.replica, ssh_user=None)).expect_one_vote()
    with pytest.raises(BadInput, match="ssh_key_path"):
        NodeShell(replace(place.spec.replica, ssh_key_path="/nowhere/key")).expect_one_vote()


def test_a_shut_port_is_an_unreachable_site(place: Place) -> None:
    with pytest.raises(SiteUnreachable, match="no SSH connection"):
        NodeShell(replace(place.spec.replica, ssh_port=1)).expect_one_vote()


def test_snapshots_tell_the_replicas_age(place: Place) -> None:
    point = _replicated(place.pair())
    vmid = point.id.removeprefix("pvesr:").partition("-")[0]
    found = NodeShell(place.spec.replica).snapshots()
    mine = [at_s for name, at_s in found if f"vm-{vmid}-disk" in name and "@__replicate_" in name]
    assert mine
    assert max(mine) == pytest.approx(point.created_at_s, abs=2)


@pytest.mark.parametrize(
    ("node", "vmid"), [("pve1; reboot", 100), ("../x", 100), ("-pve", 100), ("pve1", 7), ("", 100)]
)
def test_nothing_but_nodes_and_ids_comes_into_a_command(node: str, vmid: int) -> None:
    with pytest.raises(BadInput):
        config_path(node, vmid)


def test_a_move_without_quorum_says_what_to_look_at(place: Place) -> None:
    pair = place.pair()
    point = _replicated(pair)
    place.fence(pair)
    assert pair.production is not None
    place.lab.control.quorum(is_lost=True)
    with pytest.raises((StepFailed, Exception), match="quorum"):
        place.promote(pair, point, "in_place")
    place.lab.control.quorum(is_lost=False)
