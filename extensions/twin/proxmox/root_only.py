# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What only root@pam with a ticket may do: an API token never may, not even root's own or an Administrator's."""

from __future__ import annotations

import re

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Params, PveError

_OPTIONS = {"force", "migration_type", "migration_network"}  # of a migration
_OF_BACKUPS = {"dumpdir", "script", "tmpdir"}
_OF_CONFIGS = {"args", "hookscript"}
_WRITES_CONFIG = {
    ("POST", "/nodes/{node}/qemu"),
    ("POST", "/nodes/{node}/qemu/{vmid}/config"),
    ("PUT", "/nodes/{node}/qemu/{vmid}/config"),
}
_DRIVE = re.compile(r"^(?:scsi|virtio|sata|ide|efidisk|tpmstate)\d+$")
# allowtoken: 0 in the API's schema
_NO_TOKENS = {("POST", "/access/ticket"), ("PUT", "/access/password"), ("POST", "/access/vncticket")}


def refuse_tokens(method: str, template: str) -> None:
    if (method, template) in _NO_TOKENS:
        raise PveError(
            403, f"Permission check failed (URI '{template}' not available with API token, need proper ticket.\n)"
        )


def refuse(method: str, template: str, params: Params) -> None:
    """Raise in PVE's words what anybody but root@pam must not ask for."""
    if "skiplock" in params:
        _bad("skiplock")
    if template.endswith("/migrate"):
        _bad(*sorted(_OPTIONS & set(params)))
    if template.endswith("/vzdump"):
        _bad(*sorted(_OF_BACKUPS & set(params)))
    if (method, template) in _WRITES_CONFIG:
        for name in sorted(_OF_CONFIGS & set(params)):
            raise PveError(500, f"only root can set '{name}' config")
        for name, value in params.items():
            if _DRIVE.match(name) and str(value).removeprefix("file=").startswith("/"):
                raise PveError(500, "Only root can pass arbitrary filesystem paths.")


def _bad(*names: str) -> None:
    if names:
        errors = dict.fromkeys(names, "Only root may use this option.")
        raise PveError(400, "Parameter verification failed.", errors)
