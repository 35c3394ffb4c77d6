# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place that knows the names of the providers, together with readers.py."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import (
    Clock,
    Progress,
    Recorder,
    Site,
    SiteSpec,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.readers import PROVIDERS, unknown_provider


def open_site(spec: SiteSpec, *, clock: Clock, progress: Progress) -> Site:
    """Return the site of the provider that ``spec`` names; it connects on first use."""
    match spec.provider:
        case "vsphere":
            from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.site import VsphereSite

            return VsphereSite(spec, clock=clock, progress=progress)
        case "proxmox":
            from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.site import ProxmoxSite

            return ProxmoxSite(spec, clock=clock, progress=progress)
        case "hyperv":
            from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.site import HypervSite

            return HypervSite(spec, clock=clock, progress=progress)
        case _:
            raise unknown_provider(spec)


def open_recorder(spec: SiteSpec, *, clock: Clock, progress: Progress) -> Recorder:
    """Return what records the hosts of a site; raises BadInput for a provider that has no transcripts."""
    if spec.provider == "hyperv":
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.transcript import HypervRecorder

        return HypervRecorder(spec, clock=clock, progress=progress)
    if spec.provider not in PROVIDERS:
        raise unknown_provider(spec)
    raise BadInput(
        what=f"record transcripts of site {spec.name}",
        why=f"the provider {spec.provider} has no transcripts: its twin is held against the vendor's own schema or simulator",
        next="leave this site out: limit the play to the clients whose provider is hyperv",
    )
