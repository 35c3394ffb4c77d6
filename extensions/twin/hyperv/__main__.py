# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python -m ansible_collections.ferragosto.dr.extensions.twin.hyperv -i clients/luca``: play a client's site on this platform."""

from __future__ import annotations

import sys

from ansible_collections.ferragosto.dr.extensions.twin.entry import main

if __name__ == "__main__":
    sys.exit(main("hyperv"))
