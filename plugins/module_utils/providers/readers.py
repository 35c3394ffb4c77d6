# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The registry's half for those who only read sites: Ansible packs what a module could import, and a fleet scan acts on nothing."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, Progress, Reader, SiteSpec

PROVIDERS = ("vsphere", "proxmox", "hyperv")


def open_reader(spec: SiteSpec, *, clock: Clock, progress: Progress) -> Reader:
    """Return the reading half of the site of the provider that ``spec`` names; it connects on first use."""
    match spec.provider:
        case "vsphere":
            from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.reader import VsphereReader

            return VsphereReader(spec, clock=clock, progress=progress)
        case "proxmox":
            from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.reader import ProxmoxReader

            return ProxmoxReader(spec, clock=clock, progress=progress)
        case "hyperv":
            from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.reader import HypervReader

            return HypervReader(spec, clock=clock, progress=progress)
        case _:
            raise unknown_provider(spec)


def unknown_provider(spec: SiteSpec) -> BadInput:
    return BadInput(
        what=f"open site {spec.name}",
        why=f"dr_site.provider is '{spec.provider}'",
        next=f"set it to one of: {', '.join(PROVIDERS)}",
    )
