# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two ends of a site, each with its client: one client where both are the same account of the same endpoint."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, DrError, NotReplicated
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import EndpointReading, Pair, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, EndpointSpec, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

Key: t.TypeAlias = "tuple[str, str, str]"


class AnyClient(t.Protocol):
    address: str

    def close(self) -> None: ...


ClientType = t.TypeVar("ClientType", bound=AnyClient)


class TwoEnds(t.Generic[ClientType]):
    """Holds the clients of a site, and knows which of them has shown a VM."""

    host_word = "hosts"  # what the platform calls them

    def __init__(self, spec: SiteSpec, opens: Callable[[EndpointSpec], ClientType], *, clock: Clock) -> None:
        self.name = spec.name
        self.clock = clock
        self._spec = spec
        self._production = opens(spec.production)
        self._replica = self._production if _account(spec.production) == _account(spec.replica) else opens(spec.replica)
        self._owners: dict[Key, ClientType] = {}

    def close(self) -> None:
        self._production.close()
        if self._replica is not self._production:
            self._replica.close()

    def _client(self, vm: Vm) -> ClientType:
        """Return the endpoint that shows this VM; two hosts that stand alone may well use the same handle."""
        if self._production is self._replica:
            return self._production
        owner = self._owners.get(key_of(vm))
        if owner is not None:
            return owner
        ends = {self._spec.production.node: self._production, self._spec.replica.node: self._replica}
        if vm.host in ends and len(ends) == 2:
            return ends[vm.host]
        raise BadInput(
            what=f"find the endpoint of {vm.name}",
            why=f"neither {self._production.address} nor {self._replica.address} has shown {vm.name} on {vm.host}",
            next=f"read the site first, and set `node` of both endpoints to the names of their {self.host_word}",
        )

    def _end(self, end: str) -> EndpointSpec:
        return self._spec.production if end == "production" else self._spec.replica


def _account(spec: EndpointSpec) -> tuple[str, int | None, str | None, str | None]:
    return spec.api_host.lower(), spec.api_port, spec.api_user, spec.api_token_id


def key_of(vm: Vm) -> Key:
    return vm.id, vm.handle, vm.host


def require_replica(pair: Pair, what: str) -> Vm:
    if pair.replica is None:
        raise NotReplicated(
            what=f"{what} of {pair.name}",
            why=pair.replica_note
            or ("no replica was found" if pair.is_replica_reachable else "the replica's endpoint does not answer"),
            next=f"check dr_replica and dr_site.replica, {AGAIN}",
        )
    return pair.replica


def no_reading(
    address: str, *, node: str, clock: Clock, started_s: float, calls: int, error: DrError
) -> EndpointReading:
    """Return the reading of an endpoint that does not answer."""
    now_s = clock.now_s()
    return EndpointReading(
        address=address,
        node=node,
        read_at_s=now_s,
        took_s=now_s - started_s,
        calls=calls,
        error=str(error),
    )
