# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reading half of a vSphere site: both ends, each through its own session or through one they share."""

from __future__ import annotations

from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import SiteReading
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, Progress, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import TwoEnds, key_of
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.read import read_endpoint


class VsphereReader(TwoEnds[Client]):
    """Implements ``core.ports.Reader``."""

    provider = "vsphere"

    def __init__(self, spec: SiteSpec, *, clock: Clock, progress: Progress) -> None:
        super().__init__(spec, lambda end: Client(end, clock=clock, progress=progress), clock=clock)

    def read(self, deep: Container[str] = ()) -> SiteReading:
        production_node, replica_node = self._spec.production.node, self._spec.replica.node
        if self._production is self._replica:
            production = read_endpoint(self._production, node=production_node, clock=self.clock)
            replica = replace(production, node=replica_node)
        else:
            with ThreadPoolExecutor(max_workers=2) as both:
                later = both.submit(read_endpoint, self._replica, node=replica_node, clock=self.clock)
                production = read_endpoint(self._production, node=production_node, clock=self.clock)
                replica = later.result()
        self._owners = {key_of(vm): self._replica for vm in replica.vms}
        self._owners.update((key_of(vm), self._production) for vm in production.vms)
        return SiteReading(name=self.name, provider=self.provider, production=production, replica=replica)
