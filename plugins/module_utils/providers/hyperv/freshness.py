# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The replication of one VM as it is now, as the hosts that answer show it."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, DrError
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Replication
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import survey, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.replicas import skew_s
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import Relation, Sheet

# States in which a replication does not count as enabled.
STOPPED = frozenset({"Suspended", "ResynchronizeSuspended", "Error", "UpdateError", "Disabled", "FailedOver"})
BUSY = frozenset({"InitialReplicationInProgress", "Resynchronizing", "RecoveryInProgress"})


def replication(clients: Iterable[Client], pair: Pair) -> Replication | None:
    """Return how a VM's replication fares; None when neither host has one. The primary's view of it counts where it is seen."""
    guid = next((vm.handle for vm in (pair.replica, pair.production) if vm is not None and vm.handle), "")
    if not guid:
        return None
    seen: list[tuple[Client, Sheet, Relation]] = []
    silent: DrError | None = None
    for client in clients:
        try:
            sheet = survey.look(client, guid)
        except BadInput:
            raise
        except DrError as error:
            silent = error
            continue
        if sheet.relation is not None and sheet.mode != "TestReplica":
            seen.append((client, sheet, sheet.relation))
    if not seen:
        return None
    client, _sheet, relation = next((one for one in seen if one[2].is_primary), seen[0])
    offset_s = skew_s(client.clock_offset_s)
    times = [at_s - skew_s(on.clock_offset_s) for on, dummy, one in seen if (at_s := one.last_at_s) is not None]
    states = [f"{one.mode} {one.state}" for dummy, same, one in seen]
    health = next((one for dummy, same, one in seen if one.health in ("Critical", "Warning")), None)
    told = "; ".join(health.details) or f"health {health.health}" if health is not None else ""
    last_s = max(times, default=None)
    is_enabled = relation.state not in STOPPED
    return Replication(
        job=f"{guid} ({', '.join(states)})",
        source=_host(pair, relation.primary),
        target=_host(pair, relation.current or relation.replica),
        is_enabled=is_enabled,
        is_running=relation.state in BUSY,
        schedule=f"every {relation.frequency_s} s",
        last_sync_at_s=last_s,
        last_try_at_s=relation.last_at_s - offset_s if relation.last_at_s is not None else None,
        next_sync_at_s=last_s + relation.frequency_s if last_s is not None and is_enabled and not silent else None,
        failures=max((one.errors for dummy, same, one in seen), default=0),
        error=told if is_enabled or told else f"replication state {relation.state}",
    )


def _host(pair: Pair, server: str) -> str:
    """Return our name of a host, for one that replication calls by its own."""
    return next((one for one in (pair.production_node, pair.replica_node) if wire.same_name(one, server)), server)
