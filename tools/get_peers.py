# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpack the few collections of others that tests and benchmarks use, out of the pinned wheel, into the folder given.

python tools/get_peers.py FOLDER    # FOLDER/ansible_collections/community/proxmox, ...
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WANTED = ("community/proxmox/", "community/vmware/", "vmware/")
REQUIREMENT = Path(__file__).resolve().parent.parent / "requirements" / "peers.txt"
DOWNLOAD_TIMEOUT_S = 900


def main(folder: Path) -> None:
    """Download the wheel and unpack what is wanted; the folder appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"unpacking the collections of others in {folder}", flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", scratch, "-r", str(REQUIREMENT)]
        subprocess.run(command, check=True, timeout=DOWNLOAD_TIMEOUT_S)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as content:
            names = [n for n in content.namelist() if n.removeprefix("ansible_collections/").startswith(WANTED)]
            content.extractall(Path(scratch) / "new", names)
        try:
            os.replace(Path(scratch) / "new" / "ansible_collections", folder / "ansible_collections")
        except OSError:  # another set-up was faster
            if not (folder / "ansible_collections").is_dir():
                raise
            shutil.rmtree(Path(scratch) / "new", ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
