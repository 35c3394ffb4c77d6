# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A test failover of Hyper-V Replica: a test VM beside the replica, on an isolated switch, while production and replication go on.

The test VM is a VM of its own (``<name> - Test``); what it writes goes with it when the test is ended. It is ended on the replica, and
never on the test VM. The switch named for the test stays named on the replica's adapters: it serves no other end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import NotReplicated, ProviderFault, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import legs as both
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import (
    points,
    power,
    preflight_acts,
    wire,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import Change, Machine
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.legs import (
    PREPARED,
    REPLICA,
    Legs,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.migrate import see_guest
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import replication as scripts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN, RUN_AGAIN

GUEST_WITHIN_S = 300.0
# States of a replica in which Hyper-V makes a test VM of it.
TESTABLE = frozenset({"Replicating", "Suspended"})
# States that Stop-VMFailover takes back. In any other, what became of the replication meanwhile does not keep a test VM.
TAKEN_BACK = frozenset({*wire.FAILED_OVER, PREPARED, "RecoveryInProgress"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TestVm:
    """The test VM of a replica; ``id`` is "" where there is none. ``switches`` are those named for it, by adapter."""

    id: str
    name: str
    state: str
    switches: dict[str, str]


def start_test(
    ends: Ends,
    pair: Pair,
    point: RecoveryPoint | None,
    *,
    network: str,
    run_id: str,
    guest_within_s: float = GUEST_WITHIN_S,
) -> Iterator[Step]:
    """Yield the steps to a running test VM at ``point`` (None: the newest data) on ``network`` ("" connects it to none).

    Refuses before the first of them where the test could touch what serves.
    """
    legs = Legs.of_pair(ends, pair)
    machine, what = legs.away, f"test the replica of {legs.name}"
    _require_isolated(legs, network, what)
    sheet = both.required(machine, what)
    _require_testable(machine, sheet, run_id, what)
    found = test_vm(machine)
    if found.id and sheet.stamps.get(stamps.RUN) != run_id:
        raise Refused(
            what=what,
            why=f"there is a test VM already ({found.name}), and no run of ours has made it",
            next=f"end that test first (Stop-VMFailover for {legs.name} on {machine.host}), {AGAIN}",
        )
    yield machine.stamp_step(
        "stamp as being tested", lambda now: Change(marks={stamps.RUN: run_id, stamps.PHASE: Phase.TESTING})
    )
    if network:
        yield _name_switch(machine, network)
    yield _start(machine, points.snapshot_of(point.id) if point is not None else "")
    made = test_vm(machine)
    if not made.id:
        return  # only foreseen: the test VM has no id yet
    test = Machine(machine.client, made.id, name=made.name, host=machine.host)
    yield test.nics_step(
        "isolate before power on",
        lambda now: dict.fromkeys(now.switches(), network),
        next=f"set every NIC of {made.name} on {machine.host} to {network or 'Not connected'} (Settings), {AGAIN}",
    )
    yield power.power_on_step(test)
    yield see_guest(test, within_s=guest_within_s)


def end_test(ends: Ends, pair: Pair, *, run_id: str) -> Iterator[Step]:
    """Yield the steps that end the test of a run: its VM goes with all that it wrote, the replica is at rest again."""
    legs = Legs.of_pair(ends, pair)
    machine, what = legs.away, f"end the test of {legs.name}"
    sheet = both.required(machine, what)
    owner, phase = sheet.stamps.get(stamps.RUN, ""), sheet.stamps.get(stamps.PHASE, "")
    if (owner or test_vm(machine).id) and (owner != run_id or phase != Phase.TESTING):
        raise Refused(
            what=what,
            why=f"it is not tested by run {run_id} (run {owner or 'unknown'}, phase {phase or 'none'})",
            next="see the status playbook for the run that does",
        )
    yield _watching(
        machine,
        "end the test failover",
        calls=scripts.CANCEL.calls(machine.host, id=machine.guid),
        is_done=lambda test: not test.id,
        act=lambda: _stop(machine, what),
        next=f"by hand on {machine.host}: Stop-VMFailover for {legs.name}, never for the test VM; {AGAIN}",
    )
    yield machine.stamp_step("take the test's stamps off", lambda now: Change(marks={stamps.RUN: "", stamps.PHASE: ""}))


def test_vm(machine: Machine) -> TestVm:
    row = machine.client.run(scripts.TEST_STATE, id=machine.guid)
    return TestVm(
        id=wire.to_guid(row.get("id")),
        name=str(row.get("name") or ""),
        state=str(row.get("state") or ""),
        switches={str(nic.get("id")): str(nic.get("switch") or "") for nic in wire.rows(row.get("nics"))},
    )


# --- before anything -------------------------------------------------------------------------------------------------


def _require_isolated(legs: Legs, network: str, what: str) -> None:
    isolated = legs.ends.spec.isolated_networks
    if network and network not in isolated:
        raise Refused(
            what=what,
            why=f"{network} is not one of the isolated networks of the site ({', '.join(isolated) or 'none is named'}): the test"
            " VM would be a second copy beside production",
            next="name it in dr_site.isolated_networks if it reaches nothing of production, or test without a network",
        )
    if network:
        preflight_acts.require_switches(legs.away, preflight_acts.receiver(legs.away.client), [network], what)


def _require_testable(machine: Machine, sheet: Sheet, run_id: str, what: str) -> None:
    owner = sheet.stamps.get(stamps.RUN, "")
    if owner and (owner != run_id or sheet.stamps.get(stamps.PHASE) != Phase.TESTING):
        raise Refused(
            what=what,
            why=f"run {owner} holds it (phase {sheet.stamps.get(stamps.PHASE, 'unknown')})",
            next=f"continue, undo or commit run {owner} first",
        )
    if sheet.mode != REPLICA:
        raise NotReplicated(
            what=what,
            why=f"{machine.target} is no replica (mode {sheet.mode})",
            next="see the replication of this VM in Hyper-V Manager",
        )
    if sheet.replication_state not in TESTABLE:
        raise Refused(
            what=what,
            why=f"its replication is {sheet.replication_state}: Hyper-V makes no test VM of it now",
            next=f"wait for its end, or bring the replication back (state enabled), {AGAIN}",
        )


# --- the steps -------------------------------------------------------------------------------------------------------


def _name_switch(machine: Machine, network: str) -> Step:
    def act() -> None:
        shown = test_vm(machine).switches
        wanted = [{"id": key, "switch": network} for key, to in shown.items() if not wire.is_same(to, network)]
        machine.client.act(scripts.SET_TEST_SWITCH, id=machine.guid, switches=wanted)

    return _watching(
        machine,
        "name the isolated switch of the test",
        calls=scripts.SET_TEST_SWITCH.calls(machine.host, id=machine.guid, switch=network),
        is_done=lambda test: bool(test.id) or all(wire.is_same(to, network) for to in test.switches.values()),
        act=act,
        next=f"name {network} under Test Failover of every network adapter of {machine.target}, {AGAIN}",
    )


def _start(machine: Machine, snapshot: str) -> Step:
    def act() -> None:
        machine.client.act(scripts.START_TEST, within_s=both.ACT_WITHIN_S, id=machine.guid, point=snapshot)

    return _watching(
        machine,
        "start the test failover",
        calls=scripts.START_TEST.calls(machine.host, id=machine.guid),
        is_done=lambda test: bool(test.id),
        act=act,
        next=f"see the event log Hyper-V-VMMS on {machine.host}; choose another recovery point, or {RUN_AGAIN}",
    )


def _stop(machine: Machine, what: str) -> None:
    """Stop-VMFailover ends a real failover just as well, with all that was written since."""
    sheet = machine.now()
    if sheet.mode != REPLICA or sheet.replication_state in TAKEN_BACK:
        raise ProviderFault(
            what=what,
            why=f"{machine.target} is {sheet.mode}, {sheet.replication_state}: what would be taken back is no test",
            next="look at this VM yourself; it is left as it is",
        )
    machine.act(scripts.CANCEL, within_s=both.ACT_WITHIN_S)


def _watching(
    machine: Machine,
    name: str,
    *,
    calls: tuple[str, ...],
    is_done: Callable[[TestVm], bool],
    act: Callable[[], object],
    next: str,
) -> Step:
    """Return a step whose desired state is the test VM's."""

    def look() -> Sight:
        found = test_vm(machine)
        return Sight(is_done=is_done(found), seen={"test": found.name, "test_id": found.id, "state": found.state})

    def act_now() -> None:
        act()

    return Step(name=name, target=f"test of {machine.target}", calls=calls, look=look, act=act_now, next=next)
