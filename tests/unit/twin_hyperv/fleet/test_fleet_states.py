# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every row of the state table: it has a source, it can be met, and the cmdlets do on both sides what it says."""

from __future__ import annotations

import itertools
import typing as t
from collections.abc import Mapping

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import effects, messages, states
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import PEER_WORDS
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.objects import snapshot, virtual_machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import binder, metadata
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import run_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import BEFORE_FAILOVER
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.situation import Call, facts
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.fleet.fleet_kit import A, B, Pair

HAPPENING = "(happening)"
STATES = tuple(metadata.enums()["Microsoft.HyperV.PowerShell.VMReplicationState"])
# What each fact can be; the first word is how the pair stands when nothing is done to it.
WORDS: Mapping[str, tuple[str, ...]] = {
    "mode": ("Primary", "Replica", "TestReplica", "ExtendedReplica", "None"),
    "state": ("Replicating", *(s for s in STATES if s != "Replicating")),
    "power": ("Off", "Running", "Saved", "Paused", "Starting", "Stopping"),
    "test": ("no", "yes"),
    "received": ("yes", "no"),
    "initialised": ("yes", "no"),
    "planned": ("no", "yes"),
    "point": ("none", "own", "foreign", "wrong_type"),
    "settings": ("none", "some", "disks"),
    "thumbprint": ("given", "missing"),
    "entry": ("there", "missing"),
    "peer": (*PEER_WORDS, "address"),
    "peer_end": ("replicating", "prepared", "waiting", "other", "none"),
    "memory": ("enough", "short"),
    "guest": ("listens", "deaf"),
    "storage": ("there", "gone"),
    "worker": ("works", "hung"),
}
ROWS = [row for row in states.rows() if row.cmdlet != HAPPENING]


def calls() -> list[tuple[str, str]]:
    return list(dict.fromkeys((row.cmdlet, row.switch) for row in ROWS))


def meetings(cmdlet: str, switch: str) -> dict[str, dict[str, str]]:
    """For each row of a call, the plainest facts that lead to it."""
    rows = [row for row in ROWS if (row.cmdlet, row.switch) == (cmdlet, switch)]
    asked = [fact for fact in WORDS if any(fact in row.when for row in rows)]
    found: dict[str, dict[str, str]] = {}
    ranked = [list(enumerate(WORDS[fact])) for fact in asked]
    cost: dict[str, int] = {}
    for choice in itertools.product(*ranked):
        given = dict(zip(asked, (word for dummy, word in choice), strict=True))
        price = sum(number > 0 for number, dummy in choice)
        row = next((r for r in rows if r.fits(given)), None)
        if row is not None and price < cost.get(row.name, 99):
            found[row.name], cost[row.name] = given, price
    return found


MEETINGS = {name: given for call in calls() for name, given in meetings(*call).items()}


def test_every_row_can_be_met() -> None:
    assert [row.name for row in ROWS if row.name not in MEETINGS] == []


def test_every_row_names_a_source_and_a_word_that_is_played() -> None:
    for row in states.rows():
        assert len(row.source) > 20, row.name
        assert not row.effect or hasattr(effects.Effects, f"_{row.effect}"), row.name
        assert row.refusal is None or not (row.effect or row.here or row.there), row.name
        for side in (row.here, row.there):
            assert set(side) <= {"mode", "state"}
            assert side.get("state", "Error") in STATES or side["state"].startswith("<")
        for culture in messages.CULTURES:
            if row.refusal is not None:
                words = dict.fromkeys(("vm", "id", "mode", "server", "thumbprint", "mb", "host"), "?")
                assert messages.text(row.refusal.message, culture, **words)


def test_rows_that_rest_on_inference_are_marked() -> None:
    rows = states.unverified()
    assert rows
    assert all(not row.is_verified for row in rows)
    for row in states.rows():
        if "inferred" in row.source or "without a document" in row.source:
            assert not row.is_verified, row.name


def test_every_call_ends_with_a_row_for_the_rest() -> None:
    for cmdlet, switch in calls():
        row = [r for r in ROWS if (r.cmdlet, r.switch) == (cmdlet, switch)][-1]
        assert set(row.when) <= {"peer_end"}, row.name


# --- executing -------------------------------------------------------------------------------------------------------


class Case:
    """A pair brought to where a row is met, and the call that meets it."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = {fact: words[0] for fact, words in WORDS.items()} | dict(given)
        self.pair = Pair(runs_by_itself=False)
        self.is_primary = self.given["mode"] in ("Primary", "None")
        self.machine = self.pair.a if self.is_primary else self.pair.b
        self.peer = self.pair.b if self.is_primary else self.pair.a
        self.arguments: dict[str, object] = {}
        self.point: object = None
        for fact in WORDS:
            getattr(self, f"_{fact}", self._nothing)(self.given[fact])

    @property
    def host(self) -> str:
        return A if self.is_primary else B

    @property
    def peer_host(self) -> t.Any:
        return self.pair.fleet.host(B if self.is_primary else A)

    def _nothing(self, word: str) -> None:
        """Leave it as it is."""

    def _mode(self, word: str) -> None:
        if word == "None":
            self.machine.endpoint = None
        else:
            self.pair.end(self.machine).mode = word

    def _state(self, word: str) -> None:
        if self.machine.endpoint is not None:
            self.machine.endpoint.state = word
            if word in ("FailedOverWaitingCompletion", "RecoveryInProgress"):
                copy = self.pair.fleet.copy(self.machine)
                copy.points[BEFORE_FAILOVER] = copy.data

    def _power(self, word: str) -> None:
        if word == "Running":
            if not self.machine.is_on:
                self.pair.fleet.powers.start(self.machine)
            return
        self.pair.fleet.powers.turn_off(self.machine)
        self.machine.state = word

    def _test(self, word: str) -> None:
        if word == "yes" and self.machine.endpoint is not None:
            data = self.pair.data(self.machine)
            self.machine.endpoint.test = self.pair.fleet.add_test_vm(self.machine, data)

    def _received(self, word: str) -> None:
        if word == "no":
            self.pair.end(self.machine).last_replication_s = None

    def _initialised(self, word: str) -> None:
        if self.machine.endpoint is not None:
            self.machine.endpoint.is_initialised = word == "yes"

    def _planned(self, word: str) -> None:
        if self.machine.endpoint is not None:
            self.machine.endpoint.is_planned = word == "yes"

    def _point(self, word: str) -> None:
        if word == "none":
            return
        data = self.pair.data(self.machine)
        kind = "Standard" if word == "wrong_type" else "Replica"
        point = self.pair.fleet.add_point(self.machine, age_s=10.0, data=data, kind=kind)
        self.point = snapshot(self.pair.session(self.host), self.machine, point)
        if word == "foreign":
            self.machine.checkpoints.remove(point)

    def _settings(self, word: str) -> None:
        if word == "some":
            self.arguments["ReplicationFrequencySec"] = 30
        elif word == "disks":
            self.arguments["ReplicatedDiskPaths"] = ["D:\\x.vhdx"]

    def _thumbprint(self, word: str) -> None:
        own = self.pair.fleet.host(self.host)
        if word == "given":
            self.arguments["CertificateThumbprint"] = own.server.thumbprint

    def _entry(self, word: str) -> None:
        if word == "missing":
            self.pair.fleet.host(self.host).server.entries.clear()

    def _peer(self, word: str) -> None:
        own, peer = self.pair.fleet.host(self.host), self.peer_host
        if word == "unreachable":
            self.pair.world.host_lost(peer.name, is_dead=False)
        elif word == "unknown_certificate":
            own.thumbprints.clear()
        elif word == "no_domain":
            self.pair.end(self.machine).authentication = "Kerberos"
        elif word == "not_a_replica_server":
            peer.server.is_enabled = False
        elif word == "firewall":
            peer.server.open_listeners.clear()
        elif word == "authentication":
            peer.server.authentication = "Kerberos"
        elif word == "no_entry":
            peer.server.entries.clear()
        elif word == "address":
            self.arguments["ReplicaServerName"] = "10.0.0.7"

    def _peer_end(self, word: str) -> None:
        peer = self.pair.end(self.peer)
        modes = {
            "replicating": ("Replica", "Replicating"),
            "prepared": ("Primary", "PreparedForFailover"),
            "waiting": ("Replica", "WaitingForInitialReplication"),
            "other": ("Primary", "Replicating"),
        }
        if word == "none":
            self.peer.endpoint = None
        else:
            peer.mode, peer.state = modes[word]

    def _memory(self, word: str) -> None:
        if word == "short":
            self.machine.memory_bytes = 2**40

    def _guest(self, word: str) -> None:
        if word == "deaf":
            self.pair.fleet.copy(self.machine).has_tools = False

    def _storage(self, word: str) -> None:
        self.machine.is_critical = word == "gone"

    def _worker(self, word: str) -> None:
        self.machine.refuses_power_off = word == "hung"

    # --- the call ----------------------------------------------------------------------------------------------------

    def run(self, cmdlet: str, switch: str) -> PowerShellError | None:
        """Bind and run; returns the error that came, raised or written."""
        context = self.pair.session(self.host)
        named: list[tuple[str, object]] = []
        if self.point is not None:
            named.append(("VMRecoverySnapshot", self.point))
        else:
            named.append(("VM", virtual_machine(context, self.machine)))
        if switch:
            named.append((switch, binder.BARE))
        if cmdlet == "Set-VMReplication":
            named += list(self._set_arguments(switch).items())
        found = metadata.find(cmdlet)
        assert found is not None
        if found.confirm_impact == "High":
            named.append(("Confirm", False))
        bound = binder.bind(cmdlet, named, session=_Session(context))
        try:
            for item in run_of(cmdlet)(bound):
                if isinstance(item, PowerShellError):
                    return item
        except PowerShellError as error:
            return error
        return None

    def _set_arguments(self, switch: str) -> dict[str, object]:
        """What goes with the switch: a thumbprint only to -Reverse, unless settings are what the row is about."""
        arguments = dict(self.arguments)
        if switch != "Reverse":
            arguments.pop("CertificateThumbprint", None)
        return arguments

    def call(self, cmdlet: str, switch: str) -> Call:
        points = [c for c in self.machine.checkpoints if self.point is not None]
        settings = self._set_arguments(switch) if cmdlet == "Set-VMReplication" else {}
        return Call(
            cmdlet=cmdlet,
            switch=switch,
            machine=self.machine,
            settings=settings,
            point=points[-1] if points else None,
            point_vm=self.machine.id,
        )

    def seen(self, machine: Machine) -> tuple[str, str] | None:
        return None if machine.endpoint is None else (machine.endpoint.mode, machine.endpoint.state)


class _Session:
    def __init__(self, context: t.Any) -> None:
        self.context = context

    def variable(self, name: str) -> object:
        return None

    def write_host(self, text: str) -> None:
        raise AssertionError(text)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_cmdlet_does_what_its_row_says(row: states.Row) -> None:
    case = Case(MEETINGS[row.name])
    if case.given["point"] != "foreign":  # a point that is gone is in no list of points
        met = facts(case.pair.fleet, case.call(row.cmdlet, row.switch))
        assert states.find(row.cmdlet, row.switch, met).name == row.name
    before = (case.seen(case.machine), case.seen(case.peer))
    error = case.run(row.cmdlet, row.switch)
    after = (case.seen(case.machine), case.seen(case.peer))
    if row.refusal is not None:
        assert error is not None
        last = "".join(row.cmdlet.split("-"))
        assert error.error_id == f"{row.refusal.id},Microsoft.HyperV.PowerShell.Commands.{last}"
        assert error.category == row.refusal.category
        assert after == before
        return
    assert error is None
    for was, is_now, words in zip(before, after, (row.here, row.there), strict=True):
        if was is not None:
            assert is_now == (words.get("mode", was[0]), words.get("state", was[1]))


# --- what no cmdlet stands behind ------------------------------------------------------------------------------------


def happening(what: str, mode: str = "Primary", state: str = "Replicating") -> str:
    return states.find(HAPPENING, what, {"mode": mode, "state": state, "power": "Off"}).name


HAPPENINGS = {
    "a log that the replica does not take": happening("log rejected"),
    "a resynchronisation that ends": happening("task ended", state="Resynchronizing"),
    "a resynchronisation without its replica": happening("task lost its replica", state="Resynchronizing"),
    "an initial replication without its replica": happening(
        "task lost its replica", state="InitialReplicationInProgress"
    ),
    "a crash while replicating": happening("host returned"),
    "a crash while resynchronising": happening("host returned", state="Resynchronizing"),
    "a crash during the initial replication": happening("host returned", state="InitialReplicationInProgress"),
    "a crash of the replica's host": happening("host returned", mode="Replica"),
}


def test_every_happening_of_the_table_is_played_below() -> None:
    assert set(HAPPENINGS.values()) == {row.name for row in states.rows() if row.cmdlet == HAPPENING}


def test_a_rejected_log_leaves_the_primary_in_error() -> None:
    pair = Pair(runs_by_itself=False)
    pair.end(pair.b).state = "FailedOver"
    assert not pair.fleet.replicate(pair.a)
    assert pair.states() == ("Error", "FailedOver")


@pytest.mark.parametrize(
    ("state", "is_there", "after"),
    [
        ("Resynchronizing", True, "Replicating"),
        ("InitialReplicationInProgress", True, "Replicating"),
        ("Resynchronizing", False, "WaitingForStartResynchronize"),
        ("InitialReplicationInProgress", False, "Error"),
    ],
)
def test_a_task_ends_as_the_replica_is_there_or_not(state: str, is_there: bool, after: str) -> None:
    pair = Pair(runs_by_itself=False)
    pair.end(pair.a).state = state
    pair.fleet.replication.begin(pair.a, 5.0)
    if not is_there:
        pair.fleet.host_lost(B)
    pair.turn(6.0)
    assert pair.states()[0] == after
    assert (pair.data(pair.b) == pair.relation.log[-1].data) if is_there else not pair.relation.log


@pytest.mark.parametrize(
    ("host", "state", "after"),
    [
        (A, "Replicating", ("WaitingForStartResynchronize", "Replicating")),
        (A, "Resynchronizing", ("WaitingForStartResynchronize", "Replicating")),
        (A, "InitialReplicationInProgress", ("Error", "Replicating")),
        (A, "PreparedForFailover", ("PreparedForFailover", "Replicating")),
        (B, "Replicating", ("Replicating", "Replicating")),
    ],
)
def test_a_host_returns_from_a_loss_of_power(host: str, state: str, after: tuple[str, str]) -> None:
    pair = Pair(runs_by_itself=False)
    pair.end(pair.a).state = state
    pair.fleet.host_lost(host)
    pair.turn(10.0)
    assert pair.states() == (state, "Replicating")
    pair.fleet.host_back(host)
    assert pair.states() == after


def test_what_a_primary_shows_after_a_crash_can_be_chosen() -> None:
    pair = Pair(runs_by_itself=False, state_after_crash="Error")
    pair.fleet.host_lost(A)
    pair.fleet.host_back(A)
    assert pair.states()[0] == "Error"
