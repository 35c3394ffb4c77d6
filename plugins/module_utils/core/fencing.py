# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proof that the production copy cannot reach the network any more. Silence is not proof."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import SplitBrainRisk
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import (
    FenceProof,
    ProofKind,
    Witness,
    WitnessSays,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    EndpointReading,
    Host,
    Pair,
    Power,
    Vm,
)


def prove_fenced(
    pair: Pair,
    production_endpoint: EndpointReading,
    host: Host | None,
    witnesses: Sequence[Witness] = (),
    accepted: str | None = None,
) -> FenceProof:
    """Return the proof, or a person's recorded consent; raise SplitBrainRisk when there is neither.

    ``pair`` and ``production_endpoint`` must be read just now. ``host`` is the host of the production node; ``witnesses``
    are independent of the hypervisor and speak of that host.
    """
    production = pair.production
    host = _host_of(production, production_endpoint, host)
    if production is not None and _is_seen(production, production_endpoint, host):
        return _judge_seen(pair, production, accepted)
    blind = _why_unseen(pair, production_endpoint, host)
    dead = _host_dead(production, production_endpoint, host, witnesses)
    if dead is not None:
        return FenceProof(kind=ProofKind.HOST_DEAD, detail=f"{blind}, and {dead}")
    said = _said(witnesses)
    if accepted and accepted.strip():
        return FenceProof(kind=ProofKind.ACCEPTED, detail=f"accepted: {accepted.strip()} ({blind}; {said})")
    raise SplitBrainRisk(
        what=f"prove that the production copy of {pair.name} is fenced",
        why=f"{blind}; {said}",
        next=f"cut the power of {pair.production_node or 'its host'} and let a witness see it off (Redfish in "
        "dr_site.witnesses), or take the risk in words: dr_accept.unfenced",
    )


def _host_of(production: Vm | None, endpoint: EndpointReading, host: Host | None) -> Host | None:
    """Return the host that carries the copy now: the platform's own HA may have restarted it elsewhere."""
    if production is None:
        return host
    shown = endpoint.host(production.host)
    if shown is not None:
        return shown
    return host if host is not None and host.name == production.host else None


def _is_seen(production: Vm, endpoint: EndpointReading, host: Host | None) -> bool:
    return (
        endpoint.is_reachable
        and production.connection is Connection.CONNECTED
        and (host is None or host.connection is Connection.CONNECTED)
        and production.power is not Power.UNKNOWN
    )


def _judge_seen(pair: Pair, production: Vm, accepted: str | None) -> FenceProof:
    place = f"{production.name} on {production.host}"
    if production.power is Power.OFF:
        return FenceProof(kind=ProofKind.SEEN_OFF, detail=f"{place} is seen powered off")
    connected = [n.label for n in production.nics if n.is_connected]
    if not connected:
        nics = f"all its {len(production.nics)} NICs disconnected" if production.nics else "no NIC at all"
        return FenceProof(kind=ProofKind.NICS_DISCONNECTED, detail=f"{place} is {production.power}, seen with {nics}")
    shown = f"{place} is seen {production.power} with {', '.join(connected)} connected"
    if production.power is not Power.ON and accepted and accepted.strip():
        return FenceProof(kind=ProofKind.ACCEPTED, detail=f"accepted: {accepted.strip()} ({shown})")
    # A consent does not help against a copy that is seen running: two copies would serve at once.
    raise SplitBrainRisk(
        what=f"prove that the production copy of {pair.name} is fenced",
        why=shown,
        next="fence it: its hypervisor answers, so it can be powered off and its NICs disconnected",
    )


def _why_unseen(pair: Pair, endpoint: EndpointReading, host: Host | None) -> str:
    production = pair.production
    if not endpoint.is_reachable:
        return f"{endpoint.address} does not answer"
    if host is not None and host.connection is not Connection.CONNECTED:
        return f"{endpoint.address} has lost the host {host.name}"
    if production is None:
        return f"{endpoint.address} does not show the production copy"
    if production.connection is not Connection.CONNECTED:
        return f"{production.name} is {production.connection} (last known power {production.power})"
    return f"the power of {production.name} is not known"


def _host_dead(
    production: Vm | None, endpoint: EndpointReading, host: Host | None, witnesses: Sequence[Witness]
) -> str | None:
    """Return the witness's statement when the hypervisor has lost the host and nothing of it is alive."""
    if host is not None and endpoint.is_reachable:
        is_lost = host.connection is Connection.DISCONNECTED
    else:
        shows_lost = production is not None and production.connection is Connection.DISCONNECTED
        is_lost = not endpoint.is_reachable or shows_lost
    off = [w for w in witnesses if w.says is WitnessSays.OFF]
    if not is_lost or not off or any(w.says is WitnessSays.ALIVE for w in witnesses):
        return None
    return "; ".join(_quote(w) for w in off)


def _said(witnesses: Sequence[Witness]) -> str:
    if not witnesses:
        return "no independent witness was asked, and silence proves nothing"
    said = "; ".join(_quote(w) for w in witnesses)
    if any(w.says is WitnessSays.ALIVE for w in witnesses):
        return f"{said}: something of the host is alive"
    if all(w.says is WitnessSays.SILENT for w in witnesses):
        return f"{said}: silence proves nothing"
    return f"{said}: that alone does not tell where this copy is"


def _quote(witness: Witness) -> str:
    detail = f" ({witness.detail})" if witness.detail else ""
    return f"{witness.name} says {witness.says}{detail}"
