# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab of the clinic on Proxmox VE, as the tests of that platform alone share it."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench


class PveBench(Bench):
    """A bench on the Proxmox lab, with its own words for what a test asks often."""

    def promote(self, vm: str, **more: t.Any) -> dict[str, t.Any]:
        return super().promote(vm, **{"policy": self.policy(promotion="clone"), **more})

    def vmid(self, vm: str) -> int:
        """The id of the production copy."""
        return next(vmid for dc in self.lab.datacenters for vmid, guest in dc.guests.items() if guest.vm == vm)

    def guest(self, vmid: int) -> t.Any:
        return next(dc.guests[vmid] for dc in self.lab.datacenters if vmid in dc.guests)

    def clone_of(self, vm: str) -> t.Any:
        """The promoted clone's configuration as the node holds it."""
        own = self.vmid(vm)
        (clone,) = (g for dc in self.lab.datacenters for n, g in dc.guests.items() if g.vm == vm and n != own)
        return clone

    def job(self, vm: str) -> t.Any:
        """The replication job of the production copy."""
        own = self.vmid(vm)
        return next(job for dc in self.lab.datacenters for job in dc.replication.jobs.values() if job.guest == own)

    def login(self, key: t.Any) -> dict[str, t.Any]:
        """dr_site with another token of the lab."""
        return self.site(api_user=key.user, api_token_id=key.token_id, api_token_secret=key.secret)
