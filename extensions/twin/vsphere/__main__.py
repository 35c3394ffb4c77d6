# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a lab until it is told to end: ``python -m ansible_collections.ferragosto.dr.extensions.twin.vsphere -i clients/luca``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.inventory import BadInventory
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.lab import LabRunning, VsphereLab
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.simulator import SimulatorMissing
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing


def main() -> int:
    parser = argparse.ArgumentParser(prog="vsphere lab", description="Play a client's vSphere site on loopback.")
    parser.add_argument("-i", "--inventory", required=True, type=Path, help="the client's inventory, e.g. clients/luca")
    parser.add_argument("--lab-file", type=Path, help="default: <inventory>.lab.yml beside the inventory")
    parser.add_argument("--state-dir", type=Path, default=Path("build/lab"), help="default: %(default)s")
    parser.add_argument("--fast", action="store_true", help="guests boot and move in tenths of seconds")
    parser.add_argument("--story", action="store_true", help="begin with the lab file's story: that VM has crashed")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="lab: %(levelname)s %(message)s")

    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        with VsphereLab.start(
            given.inventory, given.lab_file, Timing.fast() if given.fast else Timing(), given.state_dir
        ) as lab:
            if given.story:
                lab.control.begin_story()
            print(lab.overlay_path, flush=True)
            over.wait()
    except (BadInventory, LabRunning, SimulatorMissing) as problem:
        print(f"lab: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
