# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vSphere lab: vcsim behind a fault-injecting TLS proxy, with guests that live.

with VsphereLab.start("clients/luca", timing=Timing.fast(), state_dir=tmp_path) as lab:
    ...
"""

from ansible_collections.ferragosto.dr.extensions.twin.vsphere.lab import VsphereLab
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing

__all__ = ["Timing", "VsphereLab"]
