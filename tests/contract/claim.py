# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a claim of the contract holds in its hands."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab
from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench


class Claim(Bench):
    """A bench whose way of promoting is settled by its platform's name."""

    def __init__(self, lab: Lab, folder: Path, name: str) -> None:
        super().__init__(lab, folder)
        self.name = name

    def policy(self, **changes: t.Any) -> dict[str, t.Any]:
        way = {"proxmox": "clone", "proxmox-in-place": "in_place"}.get(self.name, "auto")
        return {**super().policy(**changes), "promotion": way}

    def consents(self, **more: str) -> dict[str, str]:
        """What a person says: on vSphere the replication product's job lies outside the platform."""
        job = {"job_disabled": "Anna, in the console, 04:12"} if self.lab.provider == "vsphere" else {}
        return {**job, **more}

    @property
    def overwrites(self) -> bool:
        """Whether the way home goes over the original's disks: then a person must say so first."""
        return self.name in ("proxmox-in-place", "hyperv")

    def node(self, end: str) -> str:
        """The host of an end, as the platform spells it."""
        return str(self.site()[end]["node"])

    def promote(self, vm: str, **more: t.Any) -> dict[str, t.Any]:
        return super().promote(vm, **{"accept": self.consents(), **more})

    def failed_over(self, vm: str) -> None:
        """Bring a VM into failover by the modules of a recovery, in a run of its own, closed at its end."""
        self.begun(vm)
        promoted = self.promote(vm)
        assert not promoted.get("failed"), promoted["msg"]
        self.done("journal", state="closed", outcome="recovered_on_replica", **self.about(vm))
        self.await_serving(vm, "replica")
