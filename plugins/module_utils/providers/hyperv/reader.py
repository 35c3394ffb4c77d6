# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reading half of a Hyper-V site: two hosts that stand alone, each read in one process on it, both at once."""

from __future__ import annotations

import typing as t
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    BadInput,
    DrError,
    ProviderFault,
    SiteUnreachable,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import EndpointReading, SiteReading
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import read, survey
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client, TwoHosts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import Survey
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import key_of, no_reading

_Seen: t.TypeAlias = "tuple[t.Union[Survey, DrError], float, int]"  # when it began, HTTP requests it took


class HypervReader(TwoHosts):
    """Implements ``core.ports.Reader``."""

    provider = "hyperv"

    def read(self, deep: Container[str] = ()) -> SiteReading:
        """``deep`` changes nothing here: the one read brings every VM's NICs and guest."""
        if self._production is self._replica:
            raise BadInput(
                what=f"open site {self.name}",
                why=f"both ends of dr_site are {self._production.address}",
                next="name two hosts: replication and failover need one Hyper-V host each",
            )
        with ThreadPoolExecutor(max_workers=2) as both:
            later = both.submit(self._survey, self._replica)
            mine = self._survey(self._production)
            theirs = later.result()
        production = self._reading(self._production, mine, theirs)
        replica = self._reading(self._replica, theirs, mine)
        self._owners = {key_of(vm): self._replica for vm in replica.vms}
        self._owners.update((key_of(vm), self._production) for vm in production.vms)
        return SiteReading(name=self.name, provider=self.provider, production=production, replica=replica)

    def _survey(self, client: Client) -> _Seen:
        """Raises BadInput for what a person must correct first: a wrong password is no sign of a dead host."""
        started_s, calls = self.clock.now_s(), client.calls
        try:
            seen = survey.take_survey(client)
        except (SiteUnreachable, ProviderFault) as cause:
            return cause, started_s, client.calls - calls
        read.require_node(client, seen, client.spec.node)
        return seen, started_s, client.calls - calls

    def _reading(self, client: Client, mine: _Seen, theirs: _Seen) -> EndpointReading:
        seen, started_s, calls = mine
        own, other = self._spec.production, self._spec.replica
        if client is self._replica:
            own, other = other, own
        if isinstance(seen, DrError):
            return no_reading(
                client.address, node=own.node, clock=self.clock, started_s=started_s, calls=calls, error=seen
            )
        return read.reading(
            client,
            seen,
            theirs[0] if isinstance(theirs[0], Survey) else None,
            node=own.node,
            mine=own,
            theirs=other,
            started_s=started_s,
            calls=calls,
        )
