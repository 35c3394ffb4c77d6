# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bare vcsim with many VMs behind its own verified TLS: nothing of ours stands between it and a client."""

from __future__ import annotations

import os
import re
import select
import ssl
import subprocess
import tempfile
import time
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

from ansible_collections.ferragosto.dr.tools.get_simulators import get_simulator

USER, PASSWORD = "bench@vsphere.local", "only-on-loopback"
NODES = ("DC0_C0_H0", "DC0_C0_H1")
START_WITHIN_S = 240.0  # vcsim 0.46 sleeps some 30 ms per VM; on a busy machine more
MOVE_WITHIN_S = 20.0


class BareVcsim:
    """Ends with its standard input, so it cannot outlive this process."""

    def __init__(self, vms: int) -> None:
        self.vms = vms
        self._folder = tempfile.TemporaryDirectory(prefix="bench-vcsim-")
        self.ca_path = Path(self._folder.name) / "ca.pem"
        authority = trustme.CA()
        server = authority.issue_cert("127.0.0.1", "localhost")
        authority.cert_pem.write_to_path(str(self.ca_path))
        chain, key = Path(self._folder.name) / "server.pem", Path(self._folder.name) / "server.key"
        server.cert_chain_pems[0].write_to_path(str(chain))
        server.private_key_pem.write_to_path(str(key))
        shape = f"-cluster 1 -host {len(NODES)} -standalone-host 0 -vm {vms}".split()
        # vcsim adds the domain to the user by itself
        account = ["-username", USER.partition("@")[0], "-password", PASSWORD]
        started_s = time.monotonic()
        self._process = subprocess.Popen(
            [
                str(get_simulator("vcsim")),
                "-l",
                "127.0.0.1:0",
                "-stdinexit",
                "-tlscert",
                str(chain),
                "-tlskey",
                str(key),
            ]
            + account
            + shape,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": self._folder.name},
        )
        self.port = self._await_port()
        self.start_s = time.monotonic() - started_s

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait(timeout=10)
        self._folder.cleanup()

    def cpu_s(self) -> float:
        """Return the CPU seconds that the simulator has used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def end(self) -> dict[str, t.Any]:
        """One end of a site, in the words of ``dr_site``."""
        return {
            "api_host": "127.0.0.1",
            "api_port": self.port,
            "api_user": USER,
            "api_password": PASSWORD,
            "ca_path": str(self.ca_path),
            "timeout": 120.0,
        }

    @property
    def site(self) -> dict[str, t.Any]:
        production, replica = ({**self.end, "node": node} for node in NODES)
        return {"name": "bench", "provider": "vsphere", "production": production, "replica": replica}

    @contextmanager
    def session(self) -> Iterator[t.Any]:
        """Open a session as any script does, and give the service's content."""
        context = ssl.create_default_context(cafile=str(self.ca_path))
        instance = SmartConnect(host="127.0.0.1", port=self.port, user=USER, pwd=PASSWORD, sslContext=context)
        try:
            yield instance.content
        finally:
            Disconnect(instance)

    def gather(self, name: str, count: int) -> str:
        """Move so many VMs into a folder of their own; return its inventory path."""
        with self.session() as content:
            datacenter = content.rootFolder.childEntity[0]
            top = datacenter.vmFolder
            machines = [one for one in top.childEntity if isinstance(one, vim.VirtualMachine)][:count]
            folder = top.CreateFolder(name)
            folder.MoveIntoFolder_Task(machines)
            deadline = time.monotonic() + MOVE_WITHIN_S
            while len(folder.childEntity) < count:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"vcsim did not move {count} VMs within {MOVE_WITHIN_S:.0f} s")
                time.sleep(0.05)
            return f"/{datacenter.name}/{top.name}/{name}"

    def _await_port(self) -> int:
        out: t.Any = self._process.stdout
        said, deadline = b"", time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if select.select([out], [], [], 0.2)[0]:
                said += os.read(out.fileno(), 4096)
                if found := re.search(rb"127\.0\.0\.1:(\d+)/", said):
                    return int(found[1])
        self._process.kill()
        raise RuntimeError(f"vcsim with {self.vms} VMs did not tell its port within {START_WITHIN_S:.0f} s")
