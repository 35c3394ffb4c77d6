# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which labs there are. A lab's own libraries are loaded only when it is wanted: the Proxmox twin needs nothing of vSphere's."""

from __future__ import annotations

import importlib

from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab, LabImpossible

_TWIN = "ansible_collections.ferragosto.dr.extensions.twin."
LABS = {"hyperv": "HypervLab", "proxmox": "ProxmoxLab", "vsphere": "VsphereLab"}


def lab_of(provider: str) -> type[Lab]:
    """Load the lab of a platform."""
    if provider not in LABS:
        raise LabImpossible(f"no lab plays {provider!r}; name one with --provider: {', '.join(sorted(LABS))}")
    try:
        module = importlib.import_module(f"{_TWIN}{provider}.lab")
    except ModuleNotFoundError as missing:
        raise LabImpossible(
            f"the {provider} lab needs the Python library {missing.name}: install requirements.txt and requirements/dev.txt"
        ) from missing
    found: type[Lab] = getattr(module, LABS[provider])
    return found
