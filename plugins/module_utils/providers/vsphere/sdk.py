# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one guarded import of pyvmomi; every other file of this provider takes the vendor's names from here.

Nothing here is used at import time, so that a controller without pyvmomi can still load (and document) every module.
"""

from __future__ import annotations

import traceback
import typing as t

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput

__all__ = ["SoapStubAdapter", "require_pyvmomi", "vim", "vmodl"]

IMPORT_ERROR: str | None = None

if t.TYPE_CHECKING:
    from pyVmomi import SoapStubAdapter, vim, vmodl
else:
    try:
        from pyVmomi import SoapStubAdapter, vim, vmodl
    except ImportError:
        IMPORT_ERROR = traceback.format_exc()
        vim = vmodl = None
        SoapStubAdapter = object


def require_pyvmomi() -> None:
    """Refuse to go on without the vendor's library, in Ansible's usual words."""
    if IMPORT_ERROR is None:
        return
    from ansible.module_utils.basic import missing_required_lib

    raise BadInput(
        what="open a vSphere endpoint",
        why=missing_required_lib("pyvmomi"),
        next="pip install pyvmomi for the Python that runs the modules (dr_runner), then run the same command",
    )
