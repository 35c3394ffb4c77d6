# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest's screen as its host draws it: 16 bits per pixel from WMI, a PNG and a hint for us."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import reading
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.sdk import require_pillow
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared import hints
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.hints import Hint

WIDTH, HEIGHT = 640, 480
INVALID_STATE = 32775  # what a VM that is off has to say


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """``digest`` is equal for two pictures that are."""

    png: bytes
    hint: Hint
    digest: int


def look(client: Client, vm: Vm, *, width: int = WIDTH, height: int = HEIGHT) -> Screen | None:
    """Take a picture of a VM's display; None where it has none now, as when it is off."""
    image = require_pillow()
    row = client.run(reading.THUMBNAIL, id=vm.handle, width=width, height=height)
    if row.get("code") != 0:
        if row.get("code") == INVALID_STATE:
            return None
        raise _unseen(client, vm, f"GetVirtualSystemThumbnailImage answered {row.get('code')}")
    try:
        pixels = base64.b64decode(str(row.get("pixels") or ""), validate=True)
    except binascii.Error:
        pixels = b""
    if len(pixels) != width * height * 2:
        raise _unseen(client, vm, f"{len(pixels)} bytes came for {width} x {height} pixels of 16 bits")
    # RGB565, little endian; Pillow counts from the lowest bits
    picture = image.frombytes("RGB", (width, height), pixels, "raw", "BGR;16")
    png = io.BytesIO()
    picture.save(png, "PNG")
    return Screen(png=png.getvalue(), hint=hints.hint(image, picture), digest=hash(pixels))


def _unseen(client: Client, vm: Vm, why: str) -> ProviderFault:
    return ProviderFault(
        what=f"look at the screen of {vm.name}",
        why=f"{client.address}: {why}",
        next="open the VM's console in Hyper-V Manager (vmconnect)",
    )
