# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client's site, built as a fleet: what stands on which host, how old it is, and what goes on by itself."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.build import build, hyperv_timing
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import BEFORE_FAILOVER
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wish import hyperv_wish
from ansible_collections.ferragosto.dr.extensions.twin.inventory import read_site
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Role, Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World
from ansible_collections.ferragosto.dr.tests.unit.twin.lab_kit import VERDI

A, B = "hv1.verdi.example", "hv2.verdi.example"
HOUR_S = 3600.0


def built(folder: Path, lab: dict[str, t.Any] | None = None, timing: Timing | None = None) -> tuple[Fleet, TurnedClock]:
    (folder / "lab.yml").write_text(yaml.safe_dump(lab or {}), encoding="utf-8")
    wish = hyperv_wish(read_site(VERDI, folder / "lab.yml"))
    clock = TurnedClock()
    return build(wish, World(clock, timing or Timing(), wish.isolated_networks)), clock


def test_originals_run_and_replicas_of_the_same_id_are_off_and_unconnected(tmp_path: Path) -> None:
    fleet, dummy = built(tmp_path)
    for original in fleet.machines_on(A):
        replica = fleet.peer(original)
        assert replica is not None
        assert (replica.host, replica.id, replica.name) == (B, original.id, original.name)
        assert (original.state, replica.state) == ("Running", "Off")
        assert ([a.switch for a in original.adapters], [a.switch for a in replica.adapters]) == (["Ufficio"], [""])
        assert (original.auto_start, replica.auto_start) == ("StartIfRunning", "Nothing")
    assert fleet.world.violations == ()
    assert (fleet.events.on(A)[0].id, fleet.events.on(B)) == (18601, [])


def test_hosts_have_their_own_sizes_switches_certificates_and_a_private_switch_for_rehearsals(tmp_path: Path) -> None:
    fleet, dummy = built(tmp_path, {"isolated_networks": ["Prova"], "hosts": {B: {"memory_gb": 32, "disk_gb": 100}}})
    here, there = fleet.host(A), fleet.host(B)
    assert (here.memory_bytes, there.memory_bytes, there.disk_bytes) == (64 * 2**30, 32 * 2**30, 100 * 2**30)
    assert {name: switch.kind for name, switch in there.switches.items()} == {"Ufficio": "External", "Prova": "Private"}
    assert here.server.thumbprint != there.server.thumbprint
    assert (here.is_domain_joined, here.server.authentication) == (False, "Certificate")


def test_kerberos_joins_both_hosts_to_a_domain_and_needs_no_certificate(tmp_path: Path) -> None:
    fleet, dummy = built(tmp_path, {"hyperv": {"auth": "kerberos"}})
    assert {(h.is_domain_joined, h.server.authentication, h.server.thumbprint) for h in fleet.hosts.values()} == {
        (True, "Kerberos", "")
    }
    relation = next(iter(fleet.relations.values()))
    assert fleet.replicate(relation.first) is True


@pytest.mark.parametrize(("words", "kinds"), [({}, {"Replica"}), ({"app_consistent": True}, {"AppConsistentReplica"})])
def test_points_are_of_the_ages_and_the_kind_that_the_lab_file_says(
    tmp_path: Path, words: dict[str, t.Any], kinds: set[str]
) -> None:
    fleet, clock = built(tmp_path, {"defaults": {"points": ["7h", "31h"]}, "hyperv": words})
    replica = fleet.machine(B, "gestionale")
    points = replica.recovery_points()
    assert [(clock.now_s() - p.made_at_s) / HOUR_S for p in points] == [31.0, 7.0]
    assert {p.kind for p in points} == kinds
    ages = [clock.now_s() - data.as_of_s for data in fleet.copy(replica).points.values()]
    assert [age / HOUR_S for age in ages] == [31.0, 7.0]
    assert replica.endpoint is not None
    assert (replica.endpoint.last_replication_s or 0.0) == clock.now_s() - 7 * HOUR_S


def test_cycles_run_by_the_clock_where_the_lab_file_says_how_old_the_newest_log_is(tmp_path: Path) -> None:
    fleet, clock = built(tmp_path, {"hyperv": {"newest": "4m"}})
    replica = fleet.machine(B, "gestionale")
    before = fleet.copy(replica).data
    assert clock.now_s() - before.as_of_s == 240.0
    clock.turn(59.0)
    fleet.tick()
    assert fleet.copy(replica).data == before
    clock.turn(2.0)
    fleet.tick()
    assert clock.now_s() - fleet.copy(replica).data.as_of_s < 2.0


def test_what_is_wrong_with_a_replica_is_built_as_the_lab_file_says(tmp_path: Path) -> None:
    vms = {
        "dominio.verdi": {"replica": "missing"},
        "gestionale.verdi": {"replica": "running", "autostart": False},
        "centralino.verdi": {"replica": "several", "tools": False},
    }
    fleet, dummy = built(tmp_path, {"vms": vms, "hyperv": {"os": {"centralino.verdi": "linux"}}})
    assert fleet.machine(A, "dominio").endpoint is None
    found, original = fleet.machine(B, "gestionale"), fleet.machine(A, "gestionale")
    assert (found.state, found.adapters[0].switch, original.state, original.auto_start) == (
        "Running",
        "Ufficio",
        "Off",
        "Nothing",
    )
    assert found.endpoint is not None
    assert (found.endpoint.state, BEFORE_FAILOVER in fleet.copy(found).points) == ("FailedOverWaitingCompletion", True)
    assert [m.name for m in fleet.machines_on(B)] == ["gestionale", "centralino", "centralino-old"]
    old = fleet.machine(B, "centralino-old")
    assert (old.state, old.endpoint, old.id != fleet.machine(A, "centralino").id) == ("Off", None, True)
    assert fleet.copy(old).role is Role.CLONE
    assert (fleet.machine(A, "centralino").is_windows, fleet.copy(old).has_tools) == (False, False)
    assert fleet.world.violations == ()


def test_the_past_is_in_the_worker_s_log_or_in_the_time_of_the_last_change(tmp_path: Path) -> None:
    events = [
        {"vm": "dominio.verdi", "type": "VmPoweredOffEvent", "user": "anna", "age": "50d"},
        {"vm": "dominio.verdi", "type": "VmReconfiguredEvent", "user": "anna", "age": "26h"},
    ]
    fleet, clock = built(tmp_path, {"events": events})
    off = next(event for event in fleet.events.on(A) if event.id == 18502)
    assert (off.vm_name, (clock.now_s() - off.at_s) / 86400) == ("dominio", 50.0)
    assert (clock.now_s() - fleet.machine(A, "dominio").configured_at_s) / HOUR_S == 26.0
    assert (clock.now_s() - fleet.machine(A, "gestionale").configured_at_s) / 86400 > 80


def test_a_namesake_protects_nothing(tmp_path: Path) -> None:
    fleet, dummy = built(tmp_path, {"namesakes": [{"name": "dominio", "folder": "archive", "node": A, "power": "on"}]})
    (other,) = [m for m in fleet.machines_on(A) if m.name == "dominio" and m.vm != "dominio"]
    assert (other.state, other.endpoint) == ("Running", None)
    assert [copy.id for copy in fleet.world.copies_of("dominio")] == [
        m.copy_id for host in (A, B) for m in fleet.machines_on(host) if m.vm == "dominio"
    ]


def test_a_hurried_lab_s_hyper_v_hurries_too() -> None:
    quick, calm = hyperv_timing(Timing.fast()), hyperv_timing(Timing())
    for field in dataclasses.fields(quick):
        assert getattr(quick, field.name) <= getattr(calm, field.name)
    assert (quick.initial_s, calm.initial_s) == (Timing.fast().relocate_s, Timing().relocate_s)
