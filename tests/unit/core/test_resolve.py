# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import ReplicaKind, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.resolve import resolve
from ansible_collections.ferragosto.dr.tests.unit.core import facts

AT_HOME = {stamps.RUN: "run-1", stamps.PHASE: "failback"}
SERVING = {stamps.RUN: "run-1", stamps.PHASE: "failover"}
COMMITTED = {stamps.RUN: "run-1", stamps.PHASE: "committed"}


def ids(vms: tuple[Vm | None, Vm | None]) -> tuple[str | None, str | None]:
    return vms[0].id if vms[0] else None, vms[1].id if vms[1] else None


@pytest.mark.parametrize(
    ("vm", "rule"),
    [
        ("gestionale", {"name": "gestionale_replica"}),
        ("gestionale", {"name": "{vm}_replica"}),
        ("gestionale", {"id": "r-1"}),
        ("gestionale", {"match": "{vm}_*"}),
        ("gestionale", {"match": "gestionale*"}),  # fits the production copy too, which is not its own replica
        ("gestionale", {"name": None, "id": "r-1", "match": None}),
        ("p-1", {"match": "{vm}_replica"}),  # {vm} is the name, also when dr_vm is the id
    ],
)
@pytest.mark.parametrize("shape", ["one vCenter", "two hosts"])
def test_a_pair_is_found_by_name_id_or_pattern(vm: str, rule: dict[str, object], shape: str) -> None:
    production, replica = facts.production(), facts.replica()
    neighbour = facts.neighbour(1, name="gestionale2")
    if shape == "one vCenter":
        reading = facts.one_vcenter(production, neighbour, replica)
    else:
        first, second = facts.standalone("esx1", production, neighbour), facts.standalone("esx2", replica)
        reading = facts.two_hosts(first, second)
    pair = resolve(reading, vm=vm, replica=rule, known_ids=None, isolated=["bubble"])
    assert (pair.production, pair.replica) == (production, replica)
    assert (pair.production_node, pair.replica_node, pair.isolated) == ("esx1", "esx2", frozenset({"bubble"}))


@pytest.mark.parametrize("name", ['l\'azienda "x"', "{{ server }}", "{vm}", "sérver Ω 東京", "a[1]*?", "  spaced"])
@pytest.mark.parametrize("rule", [{"name": "{vm}_replica"}, {"match": "{vm}_repl*"}])
def test_odd_names_are_taken_as_they_are(name: str, rule: dict[str, object]) -> None:
    production, replica = facts.production(name=name), facts.replica(name=f"{name}_replica")
    decoy = facts.replica(id="r-2", name="a1xy_replica")
    pair = resolve(facts.one_vcenter(production, replica, decoy), vm=name, replica=rule)
    assert (pair.production, pair.replica) == (production, replica)


def test_the_node_decides_between_two_copies_of_one_name() -> None:
    production, replica = facts.production(), facts.replica(name="gestionale")
    pair = resolve(facts.one_vcenter(replica, production), vm="gestionale")
    assert (pair.production, pair.replica) == (production, replica)


def test_a_name_is_matched_exactly_and_an_id_wins_over_a_name() -> None:
    called_like_the_id = facts.neighbour(1, name="p-1")
    production = facts.production()
    assert resolve(facts.one_vcenter(called_like_the_id, production), vm="p-1").production == production


def test_without_a_replica_the_pair_says_why() -> None:
    reading = facts.one_vcenter(facts.production(), facts.neighbour(1, host="esx2"))
    pair = resolve(reading, vm="gestionale", replica={"match": "{vm}_replica*"})
    assert pair.replica is None
    assert pair.replica_note == "none of the 1 VMs on esx2 fits dr_replica match 'gestionale_replica*'"


def test_a_replica_host_that_shows_nothing_hints_at_rights() -> None:
    reading = facts.two_hosts(facts.standalone("esx1", facts.production()), facts.standalone("esx2"))
    assert "0 VMs" in resolve(reading, vm="gestionale").replica_note


@pytest.mark.parametrize("phase", ["migrating", "failback"])
@pytest.mark.parametrize("same_name", [True, False])
@pytest.mark.parametrize("shape", ["one vCenter", "two hosts"])
@pytest.mark.parametrize("known", [None, ("p-1", "r-1")])
def test_a_promoted_replica_that_came_home_is_still_the_replica(
    phase: str, same_name: bool, shape: str, known: tuple[str, str] | None
) -> None:
    name = "gestionale" if same_name else "gestionale_replica"
    original = facts.production(stamps={stamps.FENCED: "run-1"})
    home = facts.replica(host="esx1", name=name, stamps={stamps.RUN: "run-1", stamps.PHASE: phase})
    other = facts.neighbour(1, host="esx2")
    reading = facts.one_vcenter(home, original, other)
    if shape == "two hosts":
        reading = facts.two_hosts(facts.standalone("esx1", home, original), facts.standalone("esx2", other))
    rule = None if same_name else {"match": "{vm}_*"}
    pair = resolve(reading, vm="gestionale", replica=rule, known_ids=known)
    assert (pair.production, pair.replica) == (original, home)


def test_the_promoted_copy_wins_over_a_fresh_one_that_fits_the_same_pattern() -> None:
    fresh = facts.replica(id="r-2", name="gestionale_replica_2")
    promoted = facts.replica(stamps=SERVING)
    pair = resolve(facts.one_vcenter(facts.production(), fresh, promoted), vm="gestionale", replica={"match": "{vm}_*"})
    assert pair.replica == promoted


def test_after_commit_at_home_the_committed_copy_is_found_as_production() -> None:
    committed = facts.replica(host="esx1", name="gestionale", stamps=COMMITTED)
    fresh = facts.replica(id="r-2", name="gestionale_replica")
    pair = resolve(facts.one_vcenter(committed, fresh), vm="gestionale", replica={"name": "{vm}_replica"})
    assert (pair.production, pair.replica) == (committed, fresh)


def test_a_production_copy_restarted_on_the_replica_host_is_found_where_dr_replica_tells_them_apart() -> None:
    production, replica = facts.production(host="esx2"), facts.replica()
    pair = resolve(facts.one_vcenter(production, replica), vm="gestionale", replica={"name": "gestionale_replica"})
    assert (pair.production, pair.replica) == (production, replica)


def test_a_dead_production_host_is_unknown_not_an_error() -> None:
    reading = facts.two_hosts(
        facts.dead("esx1", address="esx1.luca.example"), facts.standalone("esx2", facts.replica())
    )
    pair = resolve(reading, vm="gestionale", replica={"match": "{vm}_*"})
    assert pair.production is None
    assert pair.replica == facts.replica()
    assert (pair.is_production_reachable, pair.is_replica_reachable) == (False, True)
    assert (pair.production_node, pair.replica_node) == ("esx1", "esx2")


def test_a_dead_vcenter_hides_both_copies() -> None:
    reading = facts.two_hosts(facts.dead("esx1"), facts.dead("esx2"))
    pair = resolve(reading, vm="gestionale", known_ids=("p-1", "r-1"))
    assert pair.copies() == ()
    assert (pair.is_production_reachable, pair.is_replica_reachable) == (False, False)


def test_a_standalone_host_is_its_endpoint_whatever_its_own_name() -> None:
    production = facts.production(host="localhost.localdomain")
    first = facts.endpoint(
        production, node="esx1", address="esx1.luca.example", hosts=(facts.host("localhost.localdomain"),)
    )
    reading = facts.two_hosts(first, facts.standalone("esx2", facts.replica()))
    pair = resolve(reading, vm="gestionale", replica={"name": "gestionale_replica"})
    assert pair.production == production
    assert pair.production_node == "localhost.localdomain"


def test_known_ids_win_over_an_ambiguous_pattern() -> None:
    second = facts.replica(id="r-2", name="gestionale_replica_old")
    reading = facts.one_vcenter(facts.production(), facts.replica(), second)
    pair = resolve(reading, vm="gestionale", replica={"match": "{vm}_*"}, known_ids=("p-1", "r-2"))
    assert pair.replica == second


def test_a_known_production_copy_that_was_deleted_is_unseen_not_replaced() -> None:
    pair = resolve(
        facts.one_vcenter(facts.replica()),
        vm="gestionale",
        replica={"name": "gestionale_replica"},
        known_ids=("p-1", "r-1"),
    )
    assert ids((pair.production, pair.replica)) == (None, "r-1")
    assert pair.is_production_reachable


P, R = facts.production(), facts.replica()
TWIN = facts.neighbour(1, name="gestionale")
BOTH_HOSTS_EMPTY = facts.two_hosts(facts.standalone("esx1"), facts.standalone("esx2"))
PRODUCTION_EMPTY = facts.two_hosts(facts.standalone("esx1"), facts.standalone("esx2", R))


@pytest.mark.parametrize(
    ("reading", "vm", "rule", "known", "why", "step"),
    [
        pytest.param(facts.one_vcenter(P), " ", None, None, "dr_vm is empty", "set dr_vm", id="no name"),
        pytest.param(
            facts.one_vcenter(P, R, facts.neighbour(1)),
            "Gestionalle",
            None,
            None,
            "2 VMs are visible on esx1, 3 in all on vc.luca.example (esx1)",
            "correct dr_vm; nearest: gestionale",
            id="unknown VM",
        ),
        pytest.param(
            facts.one_vcenter(P),
            "zzz",
            None,
            None,
            "no VM of this name or id; 1 VMs are visible",
            "correct dr_vm",
            id="unknown VM unlike all others",
        ),
        pytest.param(
            facts.one_vcenter(P, TWIN),
            "gestionale",
            None,
            None,
            "2 VMs carry this name: p-1 on esx1, n-1 on esx1",
            "give the id",
            id="two VMs of one name",
        ),
        pytest.param(
            facts.one_vcenter(facts.replica(name="gestionale"), facts.neighbour(1)),
            "gestionale",
            None,
            None,
            "the name is found on another host only: r-1 on esx2",
            "set dr_replica so that the two can be told apart",
            id="only on the replica host, and nothing tells which copy it is",
        ),
        pytest.param(
            facts.one_vcenter(P, R, facts.replica(id="r-2", name="gestionale_old")),
            "gestionale",
            {"match": "{vm}_*"},
            None,
            "dr_replica match 'gestionale_*' fits 2 VMs: r-1 on esx2, r-2 on esx2",
            "dr_replica: {id: ...}",
            id="ambiguous replica",
        ),
        pytest.param(
            facts.one_vcenter(),
            "gestionale",
            None,
            None,
            "the account sees 0 VMs on vc.luca.example (esx1); an empty answer is never healthy",
            "grant the account read on the VM folder",
            id="no VM visible",
        ),
        pytest.param(BOTH_HOSTS_EMPTY, "gestionale", None, None, "sees 0 VMs", "grant", id="no VM on two hosts"),
        pytest.param(PRODUCTION_EMPTY, "gestionale", None, None, "sees 0 VMs", "grant", id="no VM on production"),
        pytest.param(
            facts.two_hosts(facts.dead("esx1", address="esx1.luca.example"), facts.standalone("esx2")),
            "gestionale",
            None,
            None,
            "0 VMs on esx2.luca.example (esx2)",
            "grant",
            id="the only end that answers shows nothing",
        ),
        pytest.param(
            facts.one_vcenter(P, R),
            "altro",
            None,
            ("p-1", "r-1"),
            "knows it by the id p-1, but that VM is now called 'gestionale'",
            "make name and id agree",
            id="known production id under another name",
        ),
        pytest.param(
            facts.one_vcenter(TWIN, R),
            "gestionale",
            {"name": "gestionale_replica"},
            ("p-1", "r-1"),
            "knows it by the id p-1, but the VM called 'gestionale' on esx1 has the id n-1",
            "make name and id agree",
            id="another VM took the name of the known one",
        ),
        pytest.param(
            facts.one_vcenter(P, R),
            "gestionale",
            {"name": "altro_replica"},
            ("p-1", "r-1"),
            "does not fit dr_replica name 'altro_replica'",
            "make name and id agree",
            id="known replica id under another name",
        ),
        pytest.param(
            facts.one_vcenter(P),
            "gestionale",
            None,
            ("p-1", "r-1"),
            "by the id r-1, but no such VM is among the 1 visible",
            "make name and id agree",
            id="known replica vanished",
        ),
        pytest.param(
            facts.two_hosts(facts.endpoint(P, R, node="exs1"), facts.endpoint(P, R, node="esx2")),
            "gestionale",
            None,
            None,
            "shows the hosts esx1, esx2",
            "correct 'node' in dr_site; nearest: esx",
            id="unknown node",
        ),
        pytest.param(
            facts.one_vcenter(P, R),
            "gestionale",
            {"name": "x", "id": "y"},
            None,
            "it takes exactly one of name, id, match",
            "dr_replica: {match:",
            id="two rules",
        ),
        pytest.param(
            facts.one_vcenter(P, R), "gestionale", {"nam": "x"}, None, "exactly one of", "dr_replica:", id="typo"
        ),
        pytest.param(
            facts.one_vcenter(P, R), "gestionale", {"id": 7}, None, "must be a text", "dr_replica:", id="number"
        ),
    ],
)
def test_what_cannot_be_told_apart_is_refused_in_words(reading, vm, rule, known, why, step) -> None:
    with pytest.raises(BadInput) as refusal:
        resolve(reading, vm=vm, replica=rule, known_ids=known)
    assert why in refusal.value.why
    assert step in refusal.value.next


def test_a_known_replica_behind_a_dead_endpoint_is_unknown_not_gone() -> None:
    reading = facts.two_hosts(
        facts.standalone("esx1", facts.production()), facts.dead("esx2", address="esx2.luca.example")
    )
    pair = resolve(reading, vm="gestionale", known_ids=("p-1", "r-1"))
    assert pair.replica is None
    assert pair.replica_note == "the endpoint that may hold it (id r-1) does not answer"


def test_a_plain_copy_that_shares_the_id_is_told_apart_by_its_host() -> None:
    production, copy = facts.production(), facts.replica(id="p-1", name="gestionale")
    reading = facts.two_hosts(facts.standalone("esx1", production), facts.standalone("esx2", copy))
    for known in (None, ("p-1", "p-1")):
        pair = resolve(reading, vm="gestionale", known_ids=known)
        assert (pair.production, pair.replica) == (production, copy)


# --- disks without a VM of their own ---------------------------------------------------------------------------------

DISKS = facts.replica(id="replica:p-1", handle="", name="gestionale", replica_kind=ReplicaKind.VOLUMES)


def test_the_disks_of_a_replica_are_found_under_the_name_of_their_vm() -> None:
    production = facts.production()
    pair = resolve(facts.one_vcenter(production, DISKS), vm="gestionale")
    assert (pair.production, pair.replica) == (production, DISKS)


def test_a_vm_that_a_person_moved_to_the_replica_host_is_still_the_production_copy() -> None:
    moved = facts.production(host="esx2")
    disks = facts.replica(id="replica:p-1", handle="", name="gestionale", host="esx1", replica_kind=ReplicaKind.VOLUMES)
    assert resolve(facts.one_vcenter(moved, disks), vm="gestionale").production == moved


def test_what_a_promotion_in_place_left_behind_is_the_production_copy_also_when_its_vm_is_home_again() -> None:
    home = facts.production(id="replica:p-1", stamps=AT_HOME)
    leftover = facts.replica(id="p-1", handle="", name="gestionale", stamps={stamps.FENCED: "run-1"})
    pair = resolve(facts.one_vcenter(home, leftover), vm="gestionale")
    assert (pair.production, pair.replica) == (leftover, home)


def test_between_two_steps_of_a_way_home_the_copy_with_a_replica_beside_it_is_the_one_that_is_left() -> None:
    """Both bear stamps there: cut off between the failover at home and the reversal, by name alone, with no journal."""
    migrating = {stamps.RUN: "run-1", stamps.PHASE: "migrating"}
    left = facts.production(host="esx2", handle="p-1", stamps=migrating)
    line = facts.replica(
        id="replica:p-1",
        handle="p-1",
        name="gestionale",
        host="esx1",
        replica_kind=ReplicaKind.PAIRED,
        stamps=migrating,
    )
    reading = facts.two_hosts(facts.standalone("esx1", line), facts.standalone("esx2", left))
    pair = resolve(reading, vm="gestionale")
    assert ids((pair.production, pair.replica)) == ("p-1", "replica:p-1")


@pytest.mark.parametrize("runs", [("run-1",), ("run-2", "run-1")])
def test_a_clone_of_this_run_takes_the_place_of_the_disks_it_began_with(runs: tuple[str, ...]) -> None:
    production = facts.production()
    clone = facts.replica(id="9200", name="gestionale", stamps=SERVING)
    pair = resolve(
        facts.one_vcenter(production, clone), vm="gestionale", known_ids=("p-1", "replica:p-1"), known_runs=runs
    )
    assert pair.replica == clone


def test_a_clone_of_another_run_does_not() -> None:
    clone = facts.replica(id="9200", name="gestionale", stamps=SERVING)
    with pytest.raises(BadInput, match="the open run knows it by the id replica:p-1"):
        resolve(
            facts.one_vcenter(facts.production(), clone),
            vm="gestionale",
            known_ids=("p-1", "replica:p-1"),
            known_runs=("run-2",),
        )
