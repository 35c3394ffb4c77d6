# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a promotion needs to know of its two hosts: their clients, their names, and which of them has a VM."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import Machine
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Both ends of a site; each command goes to the host that it is about, and the other may be dead."""

    production: Client
    replica: Client
    spec: SiteSpec

    @property
    def home(self) -> str:
        return self.spec.production.node

    @property
    def away(self) -> str:
        return self.spec.replica.node

    def is_home(self, host: str) -> bool:
        """Tell whether a host is the production host; a host that is neither is an error in the inventory."""
        if wire.same_name(host, self.home):
            return True
        if wire.same_name(host, self.away):
            return False
        raise BadInput(
            what=f"find the endpoint of the host {host!r}",
            why=f"dr_site names {self.home!r} and {self.away!r}",
            next="set `node` of both endpoints to the names of their hosts",
        )

    def client_at(self, host: str) -> Client:
        return self.production if self.is_home(host) else self.replica

    def end_at(self, host: str) -> EndpointSpec:
        return self.spec.production if self.is_home(host) else self.spec.replica

    def other(self, host: str) -> str:
        """Return the other of the two hosts."""
        return self.away if self.is_home(host) else self.home

    def machine(self, vm: Vm) -> Machine:
        """Take a VM that a read showed into our hands, on its own host."""
        return Machine.of(self.client_at(vm.host), vm)

    def counterpart(self, vm: Vm) -> Machine:
        """Return the VM of the same id on the other host: replication gives both one id and one name."""
        host = self.other(vm.host)
        plain = vm.id.removeprefix(wire.REPLICA_ID)
        vm_id = plain if vm.id != plain else f"{wire.REPLICA_ID}{plain}"
        return Machine(self.client_at(host), vm.handle, name=vm.name, host=host, vm_id=vm_id)
