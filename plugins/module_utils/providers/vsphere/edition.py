# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an edition of vSphere cannot do, told before anybody tries."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client

FREE_EDITION = "esxbasic"  # editionKey of the free hypervisor, in lower case


def refusals(production: Client, replica: Client) -> dict[str, str]:
    """Return what cannot be done between these ends, by operation, each with the reason."""
    found: dict[str, str] = {}
    for client in dict.fromkeys((production, replica)):
        if is_read_only(client):
            words = f"the licence of {client.address} is the free one, whose API only reads (RestrictedVersion)"
            found.update(dict.fromkeys(("power", "promote", "migrate", "clone"), words))
    standing_alone = [client for client in (production, replica) if not client.is_vcenter]
    if standing_alone:
        words = f"{standing_alone[0].address} is a standalone ESXi: it cannot {{}} without a vCenter"
        found.setdefault("migrate", words.format("move a VM to another host"))
        found.setdefault("clone", words.format("clone a VM"))
    elif production is not replica:
        found.setdefault(
            "migrate", f"{production.address} and {replica.address} are two vCenters: no move between them"
        )
    return found


def is_read_only(client: Client) -> bool:
    """Tell whether an ESXi has the free licence; False where the account may not read licences."""
    manager = client.content.licenseManager
    if manager is None or client.is_vcenter:
        return False
    try:
        licences: t.Any = client.retrieve([manager], ["licenses"]).get(manager._moId, {}).get("licenses") or ()
    except ProviderFault:
        return False
    return any(str(licence.editionKey).lower().startswith(FREE_EDITION) for licence in licences)
