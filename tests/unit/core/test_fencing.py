# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import SplitBrainRisk
from ansible_collections.ferragosto.dr.plugins.module_utils.core.fencing import prove_fenced
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import ProofKind, Witness, WitnessSays
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, Power
from ansible_collections.ferragosto.dr.tests.unit.core import facts

OFF = Witness(name="redfish bmc1", says=WitnessSays.OFF, detail="PowerState Off")
ALIVE = Witness(name="tcp esx1:443", says=WitnessSays.ALIVE)
SILENT = Witness(name="ping esx1", says=WitnessSays.SILENT)
UP, DOWN = (facts.nic(),), (facts.nic(connected=False),)
CONNECTED, DISCONNECTED, INACCESSIBLE = Connection.CONNECTED, Connection.DISCONNECTED, Connection.INACCESSIBLE
CONSENT = "Luca agreed at 04:20"
REFUSED = None


def prove(vm, *, endpoint=None, host=CONNECTED, witnesses=(), accepted=None):
    """Return the kind of proof, or None for a refusal. ``host`` None: the endpoint shows no such host."""
    hosts = () if host is None else (facts.host(connection=host),)
    reading = endpoint or facts.endpoint(*([vm] if vm else []), hosts=hosts)
    pair = facts.pair(vm, facts.replica(), is_production_reachable=reading.is_reachable)
    try:
        return prove_fenced(pair, reading, reading.host("esx1"), witnesses, accepted).kind
    except SplitBrainRisk:
        return REFUSED


def vm(power=Power.ON, nics=UP, connection=CONNECTED, **changes):
    return facts.production(power=power, nics=nics, connection=connection, **changes)


SEEN_OFF, NICS, DEAD, ACCEPTED = (
    ProofKind.SEEN_OFF,
    ProofKind.NICS_DISCONNECTED,
    ProofKind.HOST_DEAD,
    ProofKind.ACCEPTED,
)


@pytest.mark.parametrize("witnesses", [(), (OFF,), (ALIVE,), (SILENT,), (OFF, ALIVE)])
@pytest.mark.parametrize("accepted", [None, CONSENT])
@pytest.mark.parametrize(
    ("copy", "alone", "with_consent"),
    [
        (vm(Power.OFF), SEEN_OFF, SEEN_OFF),
        (vm(Power.OFF, DOWN), SEEN_OFF, SEEN_OFF),
        (vm(Power.ON, DOWN), NICS, NICS),
        (vm(Power.ON, ()), NICS, NICS),
        (vm(Power.SUSPENDED, DOWN), NICS, NICS),
        (vm(Power.ON, UP), REFUSED, REFUSED),  # a consent does not help against a copy that is seen running
        (vm(Power.ON, UP + DOWN), REFUSED, REFUSED),
        (vm(Power.ON, (facts.nic(network="bubble"),)), REFUSED, REFUSED),
        (vm(Power.SUSPENDED, UP), REFUSED, ACCEPTED),
    ],
)
def test_what_the_hypervisor_sees_now_decides_whatever_witnesses_say(
    copy, alone, with_consent, witnesses, accepted
) -> None:
    assert prove(copy, witnesses=witnesses, accepted=accepted) is (with_consent if accepted else alone)


DEAD_ENDPOINT = facts.dead()


@pytest.mark.parametrize(
    ("copy", "endpoint", "host", "by_witness"),
    [
        pytest.param(None, DEAD_ENDPOINT, CONNECTED, DEAD, id="endpoint dead"),
        pytest.param(vm(Power.OFF), DEAD_ENDPOINT, CONNECTED, DEAD, id="endpoint dead, the copy of an older reading"),
        pytest.param(vm(connection=DISCONNECTED), None, DISCONNECTED, DEAD, id="host lost, last known on"),
        pytest.param(vm(Power.OFF, connection=DISCONNECTED), None, DISCONNECTED, DEAD, id="host lost, last known off"),
        pytest.param(vm(), None, DISCONNECTED, DEAD, id="host lost, the VM still shown connected"),
        pytest.param(vm(nics=DOWN), None, DISCONNECTED, DEAD, id="host lost, last known NICs down"),
        pytest.param(vm(connection=DISCONNECTED), None, None, DEAD, id="VM lost, host not shown"),
        pytest.param(None, None, DISCONNECTED, DEAD, id="host lost, VM not shown"),
        pytest.param(vm(connection=DISCONNECTED), None, CONNECTED, REFUSED, id="VM lost on a host that answers"),
        pytest.param(None, None, CONNECTED, REFUSED, id="VM not shown"),
        pytest.param(None, None, None, REFUSED, id="neither VM nor host shown"),
        pytest.param(vm(Power.OFF, connection=INACCESSIBLE), None, CONNECTED, REFUSED, id="storage lost"),
        pytest.param(vm(Power.UNKNOWN), None, CONNECTED, REFUSED, id="power unknown"),
        pytest.param(vm(), None, INACCESSIBLE, REFUSED, id="host inaccessible"),
    ],
)
@pytest.mark.parametrize(
    ("witnesses", "says_off"),
    [
        ((), False),
        ((SILENT,), False),
        ((SILENT, SILENT), False),
        ((ALIVE,), False),
        ((OFF, ALIVE), False),
        ((ALIVE, SILENT, OFF), False),
        ((OFF,), True),
        ((OFF, SILENT), True),
    ],
)
@pytest.mark.parametrize("accepted", [None, "", "  ", CONSENT])
def test_unseen_is_proven_only_by_an_off_witness_of_a_lost_host_or_accepted_by_a_person(
    copy, endpoint, host, by_witness, witnesses, says_off, accepted
) -> None:
    expected = by_witness if says_off else REFUSED
    if expected is REFUSED and accepted == CONSENT:
        expected = ACCEPTED
    assert prove(copy, endpoint=endpoint, host=host, witnesses=witnesses, accepted=accepted) is expected


def test_over_all_combinations_nothing_but_a_positive_statement_ever_proves() -> None:
    counted = 0
    for power, nics, connection, host, is_reachable, said in itertools.product(
        Power,
        (UP, DOWN, ()),
        Connection,
        (None, *Connection),
        (True, False),
        ((), (SILENT,), (ALIVE,), (OFF,), (OFF, ALIVE), (OFF, SILENT)),
    ):
        copy = vm(power, nics, connection)
        kind = prove(copy, endpoint=None if is_reachable else DEAD_ENDPOINT, host=host, witnesses=said)
        is_seen = is_reachable and connection is CONNECTED and host in (None, CONNECTED)
        counted += 1
        if kind is SEEN_OFF:
            assert is_seen
            assert power is Power.OFF
        elif kind is NICS:
            assert is_seen
            assert not any(n.is_connected for n in nics)
        elif kind is DEAD:
            assert not is_seen
            assert OFF in said
            assert ALIVE not in said
        else:
            assert kind is REFUSED
    assert counted == 4 * 3 * 3 * 4 * 2 * 6


def test_the_host_that_carries_the_copy_now_counts_not_the_one_in_the_inventory() -> None:
    """esx1 died and the platform's HA restarted the copy on esx3: esx1 being off proves nothing."""
    moved = vm(host="esx3")
    dead_node = facts.host("esx1", connection=DISCONNECTED)
    reading = facts.endpoint(moved, hosts=(dead_node, facts.host("esx3")))
    for accepted in (None, CONSENT):
        with pytest.raises(SplitBrainRisk) as refusal:
            prove_fenced(facts.pair(moved, facts.replica()), reading, dead_node, (OFF,), accepted)
        assert "gestionale on esx3 is seen on" in refusal.value.why


def test_the_lost_host_that_carries_the_copy_makes_its_last_known_power_worthless() -> None:
    moved = vm(Power.OFF, host="esx3")
    node = facts.host("esx1")
    reading = facts.endpoint(moved, hosts=(node, facts.host("esx3", connection=DISCONNECTED)))
    with pytest.raises(SplitBrainRisk, match="has lost the host esx3"):
        prove_fenced(facts.pair(moved, facts.replica()), reading, node, (), None)


def test_proof_and_refusal_quote_what_was_said() -> None:
    lost = vm(connection=DISCONNECTED)
    reading = facts.endpoint(lost, hosts=(facts.host(connection=DISCONNECTED),))
    pair = facts.pair(lost, facts.replica())
    proof = prove_fenced(pair, reading, reading.hosts[0], (OFF,), None)
    assert "vc.luca.example has lost the host esx1" in proof.detail
    assert "redfish bmc1 says off (PowerState Off)" in proof.detail
    accepted = prove_fenced(pair, reading, reading.hosts[0], (SILENT,), CONSENT)
    assert CONSENT in accepted.detail
    assert "ping esx1 says silent: silence proves nothing" in accepted.detail
    with pytest.raises(SplitBrainRisk) as refusal:
        prove_fenced(pair, reading, reading.hosts[0], (OFF, ALIVE), None)
    assert "something of the host is alive" in refusal.value.why
    assert "dr_accept.unfenced" in refusal.value.next
