# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one guarded import of the libraries that speak to Proxmox VE; every other file of this provider takes their names from here.

Nothing here is used at import time, so that a controller without them can still load (and document) every module. What only one
way of promotion or only the screen needs is imported when it is asked for: a fleet scan pays for proxmoxer alone. Of proxmoxer
that is ``core``: its own HTTPS back end would bring in requests, and ends the whole process where that is missing.
"""

from __future__ import annotations

import traceback
import typing as t

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput

__all__ = [
    "ProxmoxResource",
    "ResourceException",
    "require_asyncssh",
    "require_pillow",
    "require_proxmoxer",
    "require_websocket",
]

IMPORT_ERROR: str | None = None

if t.TYPE_CHECKING:
    ProxmoxResource: t.Any

    class ResourceException(Exception):
        """proxmoxer, which has no types, raises it for every status from 400 on."""

        status_code: int
        content: str
        errors: t.Any

else:
    try:
        from proxmoxer.core import ProxmoxResource, ResourceException
    except ImportError:
        IMPORT_ERROR = traceback.format_exc()
        ProxmoxResource, ResourceException = None, ImportError  # what an except clause names must be an exception


def require_proxmoxer() -> None:
    """Refuse to go on without the vendor's library, in Ansible's usual words."""
    if IMPORT_ERROR is not None:
        raise _missing("proxmoxer", "open a Proxmox VE endpoint")


def require_asyncssh() -> t.Any:
    """Return asyncssh, which only promotion in place and the age of a dead node's replica need."""
    try:
        import asyncssh
    except ImportError as cause:
        raise _missing("asyncssh", "open an SSH connection to a Proxmox VE node") from cause
    return asyncssh


def require_websocket() -> t.Any:
    """Return websocket-client, which only the screen needs."""
    try:
        import websocket
    except ImportError as cause:
        raise _missing("websocket-client", "look at the screen of a VM") from cause
    return websocket


def require_pillow() -> t.Any:
    """Return Pillow's Image, which only the screen needs."""
    try:
        from PIL import Image
    except ImportError as cause:
        raise _missing("Pillow", "look at the screen of a VM") from cause
    return Image


def require_ciphers() -> tuple[t.Any, t.Any, t.Any]:
    """Return cryptography's TripleDES, Cipher and ECB: the handshake of VNC needs single DES, only the screen needs VNC."""
    try:
        from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
        from cryptography.hazmat.primitives.ciphers import Cipher, modes
    except ImportError as cause:
        raise _missing("cryptography", "look at the screen of a VM") from cause
    return TripleDES, Cipher, modes.ECB


def _missing(library: str, what: str) -> BadInput:
    from ansible.module_utils.basic import missing_required_lib

    return BadInput(
        what=what,
        why=missing_required_lib(library),
        next=f"pip install {library} for the Python that runs the modules (dr_runner), then run the same command",
    )
