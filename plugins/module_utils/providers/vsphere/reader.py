# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reading half of a vSphere site: both ends, each through its own session or through one they share."""

from __future__ import annotations

import typing as t
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import SiteReading, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, EndpointSpec, Progress, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.read import read_endpoint

Key: t.TypeAlias = "tuple[str, str, str]"


class VsphereReader:
    """Implements ``core.ports.Reader``."""

    provider = "vsphere"

    def __init__(self, spec: SiteSpec, *, clock: Clock, progress: Progress) -> None:
        self.name = spec.name
        self.clock = clock
        self._spec = spec
        self._production = Client(spec.production, clock=clock, progress=progress)
        self._replica = (
            self._production
            if _account(spec.production) == _account(spec.replica)
            else Client(spec.replica, clock=clock, progress=progress)
        )
        self._owners: dict[Key, Client] = {}

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

    def close(self) -> None:
        self._production.close()
        if self._replica is not self._production:
            self._replica.close()


def _account(spec: EndpointSpec) -> tuple[str, int | None, str | None]:
    return spec.api_host.lower(), spec.api_port, spec.api_user


def key_of(vm: Vm) -> Key:
    return vm.id, vm.handle, vm.host
