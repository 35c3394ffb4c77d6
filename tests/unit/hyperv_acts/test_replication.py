# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replication reversed after a failover, held, resumed and brought up to now: never over what nobody has given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import AuthorizationEntry
from ansible_collections.ferragosto.dr.plugins.module_utils.core import marks
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    NotReplicated,
    Refused,
    SiteUnreachable,
    StepFailed,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import predict_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import (
    notes,
    preflight_acts,
    replication,
    survey,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import replication as scripts

from .conftest import RUN, A, B, Bench, Fault, Killed
from .road import Road, told_again

TURN = [
    "make the original a replica",
    "complete the failover",
    "reverse the replication",
    "start the first replication",
    "see the replica in sync",
]
TURNED = (("Replica", "Replicating"), ("Primary", "Replicating"))
AT_REST = (("Primary", "Replicating"), ("Replica", "Replicating"))
CHANGING = {
    "stamp as fenced, autostart off",
    "keep the VM still",
    "make the VM a replica",
    "complete the failover",
    "reverse the replication",
    "start the first replication",
}


@pytest.fixture(scope="module")
def promoted_road() -> Road:
    return Road(Bench())


@pytest.fixture
def road(promoted_road: Road) -> Iterator[Road]:
    yield from told_again(promoted_road)


@pytest.mark.parametrize("authentication", ["Certificate", "Kerberos"])
@pytest.mark.parametrize("culture", ["en-US", "de-DE"])
def test_what_the_promoted_copy_writes_goes_to_the_other_host(
    make_bench: Callable[..., Bench], authentication: str, culture: str
) -> None:
    road = Road(make_bench(culture=culture), authentication=authentication)
    assert road.reverse() == TURN
    assert road.states() == TURNED
    road.bench.wait(400)
    road.bench.fleet.replicate(road.away)
    assert road.data(road.home) == road.data(road.away)
    assert road.home.state == "Off"
    assert road.stamps(road.away)["phase"] == "failover"
    assert road.stamps(road.home) == {"fenced": road.stamps(road.away)["run"]}


def test_each_command_runs_on_the_host_that_it_is_about(road: Road) -> None:
    road.reverse()
    assert [name for name in road.bench.ran(A) if name in CHANGING] == ["make the VM a replica"]
    assert [name for name in road.bench.ran(B) if name in CHANGING] == [
        "complete the failover",
        "reverse the replication",
        "start the first replication",
    ]


def test_reversed_again_changes_nothing(road: Road) -> None:
    road.reverse()
    road.bench.forget_calls()
    assert road.reverse() == []
    assert road.replicate("reversed") == []  # the loss was accepted before: nothing is left to lose
    assert CHANGING & {*road.bench.ran(A), *road.bench.ran(B)} == set()


@pytest.mark.parametrize(
    ("kill_after", "kill_before"),
    [*((number, None) for number in range(1, len(TURN) + 1)), (None, 1), (None, len(TURN))],
)
def test_killed_at_any_act_the_same_call_continues(road: Road, kill_after: int | None, kill_before: int | None) -> None:
    with pytest.raises(Killed):
        road.reverse(kill_after=kill_after, kill_before=kill_before)
    done = kill_after if kill_after is not None else (kill_before or 1) - 1
    assert road.reverse() == TURN[done:]
    assert road.states() == TURNED
    twice = [name for name in CHANGING if (road.bench.ran(A) + road.bench.ran(B)).count(name) > 1]
    assert twice == []


@pytest.mark.parametrize("kind", ["before", "after"])
@pytest.mark.parametrize(
    ("host", "script"),
    [
        (A, "make the VM a replica"),
        (B, "complete the failover"),
        (B, "reverse the replication"),
        (B, "start the first replication"),
    ],
)
def test_a_lost_answer_is_settled_by_looking(road: Road, host: str, script: str, kind: str) -> None:
    road.bench.wires[host].faults.append(Fault(script, kind))
    if kind == "before":
        with pytest.raises(StepFailed):
            road.reverse()
    road.reverse()
    assert road.states() == TURNED
    assert road.bench.ran(host).count(script) == 1


@pytest.mark.parametrize(("number", "is_dead"), [(1, True), (2, False), (3, True), (4, True), (4, False)])
def test_the_other_host_dying_at_any_act_is_told_and_continued_when_it_is_back(
    road: Road, number: int, is_dead: bool
) -> None:
    def kill(at: int) -> None:
        if at == number:
            road.bench.fleet.host_lost(A, is_dead=is_dead)

    with pytest.raises((SiteUnreachable, StepFailed)):
        road.reverse(before=kill)
    with pytest.raises(Refused, match="does not answer"):
        road.reverse()
    assert road.bench.world.serving_copy(road.bench.name) is road.bench.fleet.copy(road.away)
    road.bench.fleet.host_back(A)
    road.reverse()
    assert road.states() == TURNED


# --- what must not be lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["reversed", "enabled", "synced"])
def test_the_originals_disks_are_kept_until_a_person_gives_them_up(road: Road, state: str) -> None:
    evidence = road.data(road.home)
    with pytest.raises(Refused, match="original's disks") as refused:
        road.replicate(state)
    assert "original_overwritten" in refused.value.next
    assert road.data(road.home) == evidence
    assert CHANGING & {*road.bench.ran(A), *road.bench.ran(B)} == set()


@pytest.mark.parametrize("state", ["enabled", "synced"])
def test_nothing_replicates_over_the_replica_of_a_fenced_vm(bench: Bench, state: str) -> None:
    road = Road(bench, is_promoted=False)
    bench.fence()
    with pytest.raises(Refused, match="is fenced"):
        road.replicate(state)


def test_without_a_promoted_copy_there_is_nothing_to_reverse(bench: Bench) -> None:
    with pytest.raises(Refused, match="no copy of it is promoted"):
        Road(bench, is_promoted=False).reverse()


def test_an_unknown_state_is_named(bench: Bench) -> None:
    with pytest.raises(NotReplicated, match="no such state"):
        Road(bench, is_promoted=False).replicate("paused")


# --- what the other host needs ---------------------------------------------------------------------------------------


def _no_server(bench: Bench) -> None:
    bench.fleet.hosts[A].server.is_enabled = False


def _no_entry(bench: Bench) -> None:
    bench.fleet.hosts[A].server.entries = [AuthorizationEntry("hv9.luca.lan"), AuthorizationEntry("hv2")]


def _closed(bench: Bench) -> None:
    bench.fleet.hosts[A].server.open_listeners.clear()


def _other_authentication(bench: Bench) -> None:
    bench.fleet.hosts[A].server.authentication = "Kerberos"


def _no_certificate(bench: Bench) -> None:
    bench.fleet.hosts[B].server.thumbprint = ""


def _foreign_certificate(bench: Bench) -> None:
    bench.fleet.hosts[B].thumbprints.clear()


def _running(bench: Bench) -> None:
    for card in bench.original.adapters:
        card.switch = ""
    bench.fleet.powers.start(bench.original)


def _unfenced(bench: Bench) -> None:
    bench.original.notes = notes.plain(bench.original.notes)


def _lost(bench: Bench) -> None:
    bench.fleet.host_lost(A)


def _unrelated(bench: Bench) -> None:
    bench.original.endpoint = None


@pytest.mark.parametrize(
    ("spoil", "why", "cure"),
    [
        (_no_server, "is not a replica server", "Set-VMReplicationServer"),
        (_no_entry, "takes replication from hv9.luca.lan, hv2 only", "New-VMReplicationAuthorizationEntry"),
        (_closed, "firewall", "Enable-NetFirewallRule -Name VIRT-HVRHTTPSL-In-TCP-NoScope"),
        (_other_authentication, "takes Kerberos", "AllowedAuthenticationType"),
        (_no_certificate, "is not known", "replica_thumbprint"),
        (_foreign_certificate, "cannot replicate to", "Test-VMReplicationConnection"),
        (_running, "is Running", "vm_fence"),
        (_unfenced, "is not fenced", "vm_fence"),
        (_lost, "does not answer", "bring hv1.luca.lan"),
        (_unrelated, "takes part in no replication", "Enable-VMReplication"),
    ],
)
def test_what_would_fail_half_way_is_refused_before_the_first_step(
    road: Road, spoil: Callable[[Bench], None], why: str, cure: str
) -> None:
    spoil(road.bench)
    before = road.states() if road.home.endpoint is not None else None
    with pytest.raises((Refused, NotReplicated)) as refused:
        road.reverse()
    assert why in refused.value.why
    assert cure in refused.value.next
    assert before is None or road.states() == before


def test_a_copy_with_a_replica_of_its_own_elsewhere_is_not_reversed(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A VM has one replica: with an extended one at a third host, Hyper-V has no place for the way home."""
    read = survey._relation
    monkeypatch.setattr(survey, "_relation", lambda row: replace(read(row), has_extended=True))
    before = road.states()
    with pytest.raises(Refused, match="extended"):
        road.reverse()
    assert road.states() == before


def test_a_rule_that_is_off_refuses_nothing_where_the_host_can_be_reached(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule of the customer's own, or a group policy, lets replication in."""
    read = preflight_acts.receiver
    monkeypatch.setattr(preflight_acts, "receiver", lambda client: replace(read(client), open_rules=()))
    assert road.reverse() == TURN


@pytest.mark.parametrize("entry", ["*", "*.luca.lan", "hv2.luca.lan", "HV2.luca.lan"])
def test_any_authorization_entry_that_fits_will_do(road: Road, entry: str) -> None:
    road.bench.fleet.hosts[A].server.entries = [AuthorizationEntry("x.y.z"), AuthorizationEntry(entry)]
    assert road.reverse() == TURN


@pytest.mark.parametrize("name", ["10.0.0.7", "fe80::1"])
def test_a_host_without_a_dns_name_can_receive_nothing(road: Road, name: str) -> None:
    spec = road.bench.ends.spec
    production = replace(spec.production, replica_server=name)
    road.bench.ends = replace(road.bench.ends, spec=replace(spec, production=production))
    with pytest.raises(Refused, match="DNS name"):
        road.reverse()


@pytest.mark.parametrize("entry", ["*.luca.lan", "hv2.luca.lan"])
def test_a_host_that_the_inventory_calls_shortly_is_known_by_its_full_name(road: Road, entry: str) -> None:
    spec = road.bench.ends.spec
    short = {end: replace(getattr(spec, end), node=node) for end, node in (("production", "hv1"), ("replica", "HV2"))}
    road.bench.ends = replace(road.bench.ends, spec=replace(spec, **short))
    road.bench.fleet.hosts[A].server.entries = [AuthorizationEntry(entry)]
    assert road.reverse() == TURN
    assert road.away.endpoint is not None
    assert road.away.endpoint.replica_server == A


def test_the_inventorys_certificate_goes_before_the_hosts_own(road: Road) -> None:
    spec = road.bench.ends.spec
    road.bench.fleet.hosts[B].thumbprints.add("AB" * 20)
    other = replace(spec.replica, replica_thumbprint="AB" * 20)
    road.bench.ends = replace(road.bench.ends, spec=replace(spec, replica=other))
    road.reverse()
    assert road.away.endpoint is not None
    assert road.away.endpoint.thumbprint == "AB" * 20


def test_a_certificate_is_known_as_windows_shows_it(road: Road) -> None:
    """Copied from its dialog, a thumbprint has blanks in it and a mark before it that nobody sees."""
    spec, away = road.bench.ends.spec, road.bench.fleet.hosts[B].server.thumbprint
    shown = "\u200e" + " ".join(away.lower()[at : at + 2] for at in range(0, len(away), 2))
    road.bench.ends = replace(
        road.bench.ends, spec=replace(spec, replica=replace(spec.replica, replica_thumbprint=shown))
    )
    assert road.reverse() == TURN


def test_a_saved_original_loses_its_saved_state_first(road: Road) -> None:
    road.home.state = "Saved"
    assert road.reverse() == ["keep the original still", *TURN]


@pytest.mark.parametrize("state", ["WaitingForStartResynchronize", "Error", "Suspended"])
def test_an_original_that_came_back_from_a_crash_becomes_the_replica(road: Road, state: str) -> None:
    assert road.home.endpoint is not None
    road.home.endpoint.state = state
    assert road.reverse() == TURN
    assert road.states() == TURNED


def test_what_a_person_failed_over_as_planned_is_turned_without_a_first_replication(bench: Bench) -> None:
    road = Road(bench, is_promoted=False)
    bench.fence()
    bench.ends.production.act(scripts.PREPARE, id=bench.guid)
    bench.ends.replica.act(scripts.FAIL_OVER, id=bench.guid)
    stamped = {"ferragosto.dr.run": RUN, "ferragosto.dr.phase": "failover", "ferragosto.dr.mode": "failover"}
    road.away.notes = notes.written(road.away.notes, stamped)
    assert road.reverse() == ["reverse the replication"]
    assert road.states() == TURNED


def test_committed_where_it_serves_it_can_still_be_reversed(road: Road) -> None:
    road.commit()
    assert road.states()[1] == ("Replica", "FailedOver")
    assert road.reverse() == [step for step in TURN if step != "complete the failover"]
    assert road.states() == TURNED


# --- held, resumed, brought up to now --------------------------------------------------------------------------------


def test_disabled_and_enabled_again_it_is_as_before(bench: Bench) -> None:
    road = Road(bench, is_promoted=False)
    assert road.replicate("disabled") == ["suspend the replication"]
    assert road.states()[0] == ("Primary", "Suspended")
    assert road.replicate("disabled") == []
    assert road.replicate("enabled") == ["resume the replication"]
    assert road.replicate("enabled") == []
    assert road.states() == AT_REST


def test_with_a_dead_production_host_its_replica_refuses_what_comes_later(bench: Bench) -> None:
    road = Road(bench, is_promoted=False)
    bench.fleet.host_lost(A)
    assert road.replicate("disabled") == ["suspend the replication"]
    assert road.states()[1] == ("Replica", "Suspended")
    bench.fleet.host_back(A)
    road.replicate("enabled")
    bench.wait(30)
    assert road.states() == AT_REST


@pytest.mark.parametrize("state", ["WaitingForStartResynchronize", "ResynchronizeSuspended", "Error"])
def test_a_replication_that_must_compare_its_disks_is_resynchronised(bench: Bench, state: str) -> None:
    road = Road(bench, is_promoted=False)
    assert road.home.endpoint is not None
    road.home.endpoint.state = state
    assert road.replicate("enabled") == ["resume the replication"]
    assert road.states()[0] == ("Primary", "Resynchronizing")
    bench.wait(30)
    assert road.states() == AT_REST


def test_a_preparation_that_nobody_continued_is_taken_back(bench: Bench) -> None:
    road = Road(bench, is_promoted=False)
    assert road.home.endpoint is not None
    bench.fleet.powers.turn_off(road.home)
    road.home.endpoint.state = "PreparedForFailover"
    assert road.replicate("enabled") == ["take the preparation back"]
    assert road.states() == AT_REST


def test_synced_means_that_all_written_until_now_has_arrived(bench: Bench) -> None:
    road = Road(bench, is_promoted=False)
    bench.relation.runs_by_itself = True
    written = road.data(road.home)
    assert road.replicate("synced") == ["see the replica in sync"]
    assert road.data(road.away).generation >= written.generation


def test_a_sync_that_does_not_come_in_time_fails_with_what_is_seen(bench: Bench) -> None:
    road = Road(bench, is_promoted=False)
    with pytest.raises(StepFailed, match="Replicating"):
        road.replicate("synced", within_s=20)


def test_a_first_replication_that_halts_is_resumed_once(road: Road) -> None:
    def halt(number: int) -> None:
        if number == len(TURN) and road.away.endpoint is not None:
            road.away.endpoint.state, road.away.endpoint.task_ends_at_s = "Error", None

    road.reverse(before=halt)
    assert road.states() == TURNED
    assert road.bench.ran(B).count("resume the replication") == 1


def test_home_again_reversed_means_that_the_other_host_holds_a_replica(road: Road) -> None:
    road.go_home()
    assert road.states() == AT_REST
    road.bench.forget_calls()
    assert road.replicate("reversed") == []
    assert road.states() == AT_REST


def test_the_step_that_ends_it_bears_the_name_that_the_clock_goes_by(road: Road) -> None:
    assert road.reverse()[-1] == marks.REPROTECTED


def test_an_undo_after_the_original_was_overwritten_is_refused(road: Road) -> None:
    road.reverse()
    with pytest.raises(Refused, match="overwritten"):
        road.undo()


def test_check_mode_shows_the_calls_and_makes_none(road: Road) -> None:
    before = road.states()
    steps = replication.set_replication(
        road.bench.ends, road.pair(), state="reversed", run_id="r", is_loss_accepted=True
    )
    shown = [call for step in predict_steps(steps) for call in step.calls]
    assert any("Set-VMReplication" in call and "-AsReplica" in call and A in call for call in shown)
    assert any("-Reverse -ReplicaServerName 'hv1.luca.lan'" in call and call.startswith(B) for call in shown)
    assert road.states() == before
