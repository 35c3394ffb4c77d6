# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this site cannot do, each with its reason: by how its nodes are joined, by quorum, by the account's privileges."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import faults, ssh
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.survey import Survey

# What each operation needs at the least; the exact path is told by the refusal of the call itself.
PRIVILEGES: Mapping[str, tuple[str, ...]] = {
    "power": ("VM.PowerMgmt",),
    "promote": ("VM.PowerMgmt", "VM.Config.Options", "VM.Config.Network"),
    "migrate": ("VM.Migrate",),
}


def refusals(clients: Sequence[Client], surveys: Sequence[Survey], spec: SiteSpec) -> dict[str, str]:
    """Return what cannot be done, by operation. ``surveys`` are what the endpoints that answered have shown."""
    found: dict[str, str] = {}
    for seen in surveys:
        if not seen.is_quorate and not ssh.is_configured(spec.replica):
            words = (
                f"cluster {seen.cluster} has no quorum, so nothing can be started or changed, and without ssh_user for"
                f" {spec.replica.node} it cannot be told to go on alone (pvecm expected 1)"
            )
            found.update(dict.fromkeys(("power", "promote", "migrate"), words))
    for client in dict.fromkeys(clients):
        for operation, words in _missing(client).items():
            found.setdefault(operation, words)
    if len(surveys) > 1:
        found.setdefault(
            "migrate",
            f"{spec.production.node} and {spec.replica.node} are not of one cluster: only Proxmox VE's remote migration could"
            " move a VM between them, which is experimental, refuses replicated VMs and leaves snapshots behind",
        )
    return found


def _missing(client: Client) -> dict[str, str]:
    """Return the operations for which the account has a privilege nowhere at all."""
    try:
        shown: t.Any = client.get("/access/permissions")
    except (ProviderFault, SiteUnreachable):  # the reading says so already; what a dead end could do is unknown
        return {}
    if not isinstance(shown, dict) or not shown:
        return {}
    held = {name for rights in shown.values() if isinstance(rights, dict) for name in rights}
    who = faults.account_of(client.spec)
    return {
        operation: f"{who} lacks {', '.join(lacking)} at {client.address}: grant it on /vms (see the guide's roles)"
        for operation, needed in PRIVILEGES.items()
        if (lacking := [name for name in needed if name not in held])
    }
