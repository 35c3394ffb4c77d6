# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting and ending vcsim, the vSphere simulator of the govmomi project; nobody here wrote it."""

from __future__ import annotations

import importlib.util
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.lab import LabImpossible

VERSION = "v0.46.3"  # the newest that `go install` builds, and below v0.53, whose answers pyvmomi cannot parse
_ROOT = Path(__file__).resolve().parents[3]


class SimulatorMissing(LabImpossible):
    """No vcsim on this machine; the message says how to get one."""


def find_vcsim() -> Path:
    """Find the simulator: the one named by VCSIM, else the one that tools/get_simulators.py builds, else on the PATH."""
    script = _ROOT / "tools" / "get_simulators.py"
    if script.exists():
        spec = importlib.util.spec_from_file_location("get_simulators", script)
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            try:
                return Path(module.get_simulator("vcsim"))
            except module.NoSimulator as missing:
                raise SimulatorMissing(str(missing)) from missing
    on_path = shutil.which(os.environ.get("VCSIM", "vcsim"))
    if on_path:
        return Path(on_path)
    raise SimulatorMissing(
        "no vcsim here: run `make setup`, or `go install github.com/vmware/govmomi/vcsim@" + VERSION + "` and name the "
        "binary in the environment variable VCSIM"
    )


class Vcsim:
    """One vcsim process on a free loopback port, plain HTTP.

    It holds a pipe from us as its standard input and ends when that closes, so it cannot outlive this process, not even when
    this process is killed.
    """

    def __init__(self, user: str, password: str, *, is_esxi: bool = False, scratch: Path | None = None) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="vcsim-", dir=scratch))
        empty = "-dc=1 -cluster=0 -standalone-host=0 -host=0 -ds=0 -vm=0 -pg=0 -pool=0 -app=0 -pod=0 -folder=0".split()
        # vcsim appends the domain vsphere.local to the name by itself
        self._process = subprocess.Popen(
            [
                str(find_vcsim()),
                "-l",
                "127.0.0.1:0",
                "-tls=false",
                "-stdinexit",
                "-username",
                user.partition("@")[0],
                "-password",
                password,
            ]
            + (["-esx", "-vm=0", "-ds=1"] if is_esxi else empty),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self._scratch / "stderr").open("wb"),
            env={**os.environ, "TMPDIR": str(self._scratch)},
        )
        try:
            self.port = self._await_port(within_s=20.0)
        except BaseException:
            self.end()
            raise

    @property
    def scratch(self) -> Path:
        return self._scratch

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def complaints(self) -> str:
        """What it wrote to its standard error."""
        return (self._scratch / "stderr").read_text(errors="replace")

    def end(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        try:
            self._process.kill()
            self._process.wait(timeout=5)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _await_port(self, within_s: float) -> int:
        out = self._process.stdout
        if out is None:
            raise RuntimeError("vcsim was started without a pipe")
        deadline, said = time.monotonic() + within_s, b""
        while time.monotonic() < deadline:
            if select.select([out], [], [], 0.1)[0]:
                said += os.read(out.fileno(), 4096)
                match = re.search(rb"127\.0\.0\.1:(\d+)", said)
                if match:
                    return int(match.group(1))
            if self._process.poll() is not None:
                raise RuntimeError(f"vcsim ended at once with {self._process.returncode}: {self.complaints()[-800:]}")
        raise RuntimeError(f"vcsim did not tell its port within {within_s:.0f} s")
