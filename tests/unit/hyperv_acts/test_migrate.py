# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Home by a planned failover, and back: nothing that was written is lost, and no two copies ever run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    Refused,
    SiteUnreachable,
    StepFailed,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import migrate, notes

from .conftest import LAN, RUN, A, B, Bench, Fault, Killed
from .road import Road, told_again

HOME = [
    "stamp as migrating",
    "power off",
    "prepare the failover",
    "fail over to the last log",
    "stamp as the one to serve",
    "reverse the replication",
    "stamp the copy it left as fenced",
    "disconnect the NICs it left",
    "connect the NICs",
    "power on",
    "see the guest alive",
]
TURNED_AT = HOME.index("reverse the replication") + 1  # the number of the act
AT_REST = (("Primary", "Replicating"), ("Replica", "Replicating"))
ONCE = {
    "prepare the failover",
    "fail over to the newest log",
    "reverse the replication",
    "power on",
}


@pytest.fixture(scope="module")
def reversed_road() -> Road:
    road = Road(Bench())
    road.reverse()
    road.log.intents.clear()
    road.bench.wait(60)
    road.bench.forget_calls()
    return road


@pytest.fixture
def road(reversed_road: Road) -> Iterator[Road]:
    """B serves, and replicates to A."""
    yield from told_again(reversed_road)


def _is_home(road: Road) -> None:
    assert road.states() == AT_REST
    assert (road.home.state, road.away.state) == ("Running", "Off")
    assert road.switches(road.home) == [LAN]
    assert road.switches(road.away) == [""]
    assert road.stamps(road.home) | {"phase": "?"} == {"run": RUN, "phase": "?", "mode": "failover"}
    assert road.stamps(road.away) == {"fenced": RUN}
    assert (road.home.auto_start, road.away.auto_start) == ("Nothing", "Nothing")
    last = road.bench.relation.log[-1].data
    assert road.bench.fleet.copy(road.away).data.generation == last.generation
    assert road.data(road.home).generation >= last.generation
    assert not road.data(road.home).is_corrupted
    assert road.bench.world.serving_copy(road.bench.name) is road.bench.fleet.copy(road.home)


@pytest.mark.parametrize("authentication", ["Certificate", "Kerberos"])
@pytest.mark.parametrize("culture", ["en-US", "de-DE"])
def test_it_comes_home_with_all_that_was_written(
    make_bench: Callable[..., Bench], authentication: str, culture: str
) -> None:
    road = Road(make_bench(culture=culture), authentication=authentication)
    road.reverse()
    road.bench.wait(60)
    written = road.data(road.away).generation
    assert road.migrate() == HOME
    _is_home(road)
    assert road.data(road.home).generation > written
    assert road.end_migration("failback") == ["stamp as failback"]
    pair = road.pair()
    assert pair.replica is not None
    assert (pair.replica.id, pair.replica.host) == (f"replica:{road.bench.guid}", A)
    assert pair.production is not None
    assert (pair.production.id, pair.production.host) == (road.bench.guid, B)


def test_only_the_hosts_own_state_tells_that_it_is_prepared(road: Road) -> None:
    with pytest.raises(Killed):
        road.migrate(kill_after=3)
    assert road.states() == (("Replica", "Replicating"), ("Primary", "PreparedForFailover"))
    assert road.migrate() == HOME[3:]
    _is_home(road)


@pytest.mark.parametrize(
    ("kill_after", "kill_before"),
    [*((number, None) for number in range(1, len(HOME) + 1)), (None, 1), (None, len(HOME))],
)
def test_killed_at_any_act_the_same_call_continues(road: Road, kill_after: int | None, kill_before: int | None) -> None:
    with pytest.raises(Killed):
        road.migrate(kill_after=kill_after, kill_before=kill_before)
    done = kill_after if kill_after is not None else (kill_before or 1) - 1
    assert road.migrate() == HOME[done:]
    _is_home(road)
    twice = [name for name in ONCE if (road.bench.ran(A) + road.bench.ran(B)).count(name) > 1]
    assert twice == []


@pytest.mark.parametrize("number", range(1, len(HOME) + 1))
def test_a_recovery_that_goes_on_reverses_again_and_then_continues(road: Road, number: int) -> None:
    """The core runs the part before the move again after every death."""
    with pytest.raises(Killed):
        road.migrate(kill_after=number)
    assert road.reverse() == []
    road.migrate()
    _is_home(road)
    assert road.end_migration("failback") == ["stamp as failback"]
    assert road.reverse() == []


@pytest.mark.parametrize("kind", ["before", "after"])
@pytest.mark.parametrize(
    ("host", "script"),
    [
        (B, "prepare the failover"),
        (A, "fail over to the newest log"),
        (A, "reverse the replication"),
        (A, "power on"),
    ],
)
def test_a_lost_answer_is_settled_by_looking(road: Road, host: str, script: str, kind: str) -> None:
    road.bench.wires[host].faults.append(Fault(script, kind))
    if kind == "before":
        with pytest.raises(StepFailed):
            road.migrate()
    road.migrate()
    _is_home(road)


@pytest.mark.parametrize("host", [A, B])
@pytest.mark.parametrize("number", range(1, len(HOME) + 1))
def test_a_host_that_falls_silent_at_any_act_makes_no_second_copy(road: Road, host: str, number: int) -> None:
    def lose(at: int) -> None:
        if at == number:
            road.bench.fleet.host_lost(host, is_dead=False)

    vm = road.line()
    is_resting = HOME[number - 1] in ("stamp the copy it left as fenced", "disconnect the NICs it left")
    if host == A or number <= TURNED_AT:
        with pytest.raises((SiteUnreachable, StepFailed)):
            road.migrate(before=lose)
        with pytest.raises(Refused, match="does not answer"):
            road.migrate(vm=vm)
    elif is_resting:
        with pytest.raises((SiteUnreachable, StepFailed)):
            road.migrate(before=lose)
        road.migrate()  # it serves at home, though the other host is still silent
        assert road.home.state == "Running"
    else:
        road.migrate(before=lose)
        assert road.home.state == "Running"
    road.bench.fleet.host_back(host)
    road.migrate()
    road.bench.wait(10)
    assert road.home.state == "Running"
    assert road.away.state == "Off"


def test_what_a_silent_host_still_bears_is_tidied_up_when_it_is_reprotected(road: Road) -> None:
    with pytest.raises(Killed):
        road.migrate(kill_after=TURNED_AT)
    vm = road.line()
    road.bench.fleet.host_lost(B, is_dead=False)
    road.migrate(vm=vm)
    road.end_migration("failback")
    assert road.stamps(road.away)["mode"] == "failover"
    road.bench.fleet.host_back(B)
    assert road.reverse()[:2] == ["stamp the copy it left as fenced", "disconnect the NICs it left"]
    _is_home(road)


@pytest.mark.parametrize("number", range(1, TURNED_AT))
def test_before_it_is_turned_the_call_back_takes_it_back(road: Road, number: int) -> None:
    with pytest.raises(Killed):
        road.migrate(kill_after=number)
    road.migrate("replica")
    assert road.states() == (("Replica", "Replicating"), ("Primary", "Replicating"))
    assert (road.home.state, road.away.state) == ("Off", "Running")
    assert road.switches(road.away) == [LAN]
    assert road.stamps(road.home) == {"fenced": RUN}
    assert road.end_migration("failover") == ["stamp as failover"]
    assert road.stamps(road.away)["mode"] == "failover"
    road.bench.wait(10)
    road.go_home()
    _is_home(road)


def test_home_and_back_and_home_again(road: Road) -> None:
    road.migrate()
    road.end_migration("failback")
    road.bench.wait(400)
    road.replicate("reversed")
    road.migrate("replica")
    road.end_migration("failover")
    assert (road.home.state, road.away.state) == ("Off", "Running")
    assert road.switches(road.away) == [LAN]
    assert road.stamps(road.home) == {"fenced": RUN}
    assert road.states() == (("Replica", "Replicating"), ("Primary", "Replicating"))
    road.bench.wait(400)
    road.replicate("reversed")
    road.migrate()
    road.end_migration("failback")
    _is_home(road)


def test_run_again_at_home_it_changes_nothing(road: Road) -> None:
    road.migrate()
    road.end_migration("failback")
    road.bench.forget_calls()
    assert road.migrate() == []
    assert road.end_migration("failback") == []
    assert ONCE & {*road.bench.ran(A), *road.bench.ran(B)} == set()


def test_committed_at_home_both_are_plain_vms_again(road: Road) -> None:
    road.migrate()
    road.end_migration("failback")
    road.bench.wait(400)
    road.replicate("reversed")
    road.commit()
    assert road.stamps(road.home) == {}
    assert road.stamps(road.away) == {}
    now = road.bench.shape()
    for host in (A, B):
        for key in ("notes", "autostart", "switches"):
            assert now[host][key] == road.bench.was[host][key], key
    assert road.states() == AT_REST
    assert road.commit() == []


def test_a_guest_that_does_not_obey_is_turned_off_and_still_nothing_is_lost(road: Road) -> None:
    road.bench.fleet.copy(road.away).has_tools = False
    road.migrate()
    _is_home(road)


def test_a_namesake_switch_that_is_gone_is_told_before_the_downtime(road: Road) -> None:
    road.bench.fleet.hosts[A].switches.clear()
    with pytest.raises(Refused, match="no virtual switch LAN"):
        road.migrate()
    assert road.away.state == "Running"


def test_where_nothing_was_kept_the_inventory_names_the_network(road: Road) -> None:
    road.home.notes = notes.written(road.home.notes, {}, kept={})
    spec = road.bench.ends.spec
    production = replace(spec.production, network="bUBBLE")  # Hyper-V knows a switch by its name in any case
    road.bench.ends = replace(road.bench.ends, spec=replace(spec, production=production))
    road.migrate()
    assert road.switches(road.home) == ["Bubble"]


def test_the_phase_is_not_taken_for_stamped_while_the_host_it_is_on_is_silent(road: Road) -> None:
    vm = road.line()
    road.bench.fleet.host_lost(B, is_dead=False)
    with pytest.raises(Refused, match="does not answer"):
        next(iter(migrate.end_migration(road.bench.ends, vm, run_id=RUN, phase="failback")))


# --- refused before the first step -----------------------------------------------------------------------------------


def test_a_replication_that_was_not_reversed_brings_nothing_home(bench: Bench) -> None:
    road = Road(bench)
    evidence = road.data(road.home)
    with pytest.raises(Refused, match="has not been reversed"):
        road.migrate()
    assert road.data(road.home) == evidence
    assert road.away.state == "Running"


def test_a_running_vm_is_not_moved_without_its_consent_to_a_downtime(road: Road) -> None:
    with pytest.raises(Refused, match="delegation"):
        road.migrate(mode="live")
    assert road.away.state == "Running"


@pytest.mark.parametrize("state", ["Error", "Suspended", "Resynchronizing", "InitialReplicationInProgress"])
def test_what_has_not_arrived_is_not_moved(road: Road, state: str) -> None:
    assert road.away.endpoint is not None
    road.away.endpoint.state = state
    with pytest.raises(Refused, match=f"has not brought {A} in sync"):
        road.migrate()
    assert road.away.state == "Running"


def test_a_home_that_bears_no_fence_is_not_moved_to(road: Road) -> None:
    road.home.notes = notes.plain(road.home.notes)
    with pytest.raises(Refused, match="no fence stamp"):
        road.migrate()
    assert road.away.state == "Running"


def test_a_host_that_could_not_be_replicated_to_afterwards_is_told_before_the_downtime(road: Road) -> None:
    road.bench.fleet.hosts[B].server.is_enabled = False
    with pytest.raises(Refused, match="is not a replica server"):
        road.migrate()
    assert road.away.state == "Running"


def test_a_home_without_the_memory_for_it_is_told_before_the_downtime(road: Road) -> None:
    road.bench.fleet.add_vm(A, "posta", memory_bytes=61 * 2**30, uptime_s=60.0)
    with pytest.raises(Refused, match="of memory free"):
        road.migrate()
    assert road.away.state == "Running"


@pytest.mark.parametrize("host", [A, B])
def test_with_a_silent_host_nothing_is_begun(road: Road, host: str) -> None:
    vm = road.line()
    road.bench.fleet.host_lost(host, is_dead=False)
    with pytest.raises(Refused, match="does not answer"):
        next(iter(migrate.migrate(road.bench.ends, vm, to="production", mode="cold", run_id=RUN)))


# --- right before an act ---------------------------------------------------------------------------------------------


def test_nothing_is_failed_over_while_the_other_copy_runs(road: Road) -> None:
    def start(number: int) -> None:
        if HOME[number - 1] == "fail over to the last log" and road.away.endpoint is not None:
            road.away.endpoint.state = "Replicating"  # somebody took the preparation back, and started it
            road.bench.fleet.powers.start(road.away)

    with pytest.raises(StepFailed, match="must be seen off first"):
        road.migrate(before=start)
    assert road.states()[0] == ("Replica", "Replicating")
    assert road.home.state == "Off"


def test_what_somebody_took_back_is_not_failed_over(road: Road) -> None:
    def take_back(number: int) -> None:
        if HOME[number - 1] == "fail over to the last log" and road.away.endpoint is not None:
            road.away.endpoint.state = "Replicating"

    with pytest.raises(StepFailed, match="is not prepared"):
        road.migrate(before=take_back)
    road.migrate()
    _is_home(road)


def test_a_vm_that_was_deleted_where_it_left_keeps_nobody_waiting(road: Road) -> None:
    with pytest.raises(Killed):
        road.migrate(kill_after=TURNED_AT)
    vm = road.line()
    road.bench.fleet.forget(road.away)
    assert "power on" in road.migrate(vm=vm)
    assert road.home.state == "Running"
