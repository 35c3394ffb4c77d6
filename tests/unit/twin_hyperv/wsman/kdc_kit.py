# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A private realm: a KDC of MIT Kerberos on a free port of this machine, whose words are all in one folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.ferragosto.dr.tests.kerberos import HOME, why_not

ROOT = Path(__file__).resolve().parents[4]
REALM = "CORP.EXAMPLE"
SERVICES = ("HTTP/hv-milano", "HTTP/localhost")
_CONFIG = """\
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  hv-milano = {realm}
  localhost = {realm}
"""
_KDC = """\
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principals
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
  }}
[dbmodules]
  db_module_dir = {plugins}
"""


@dataclass
class Realm:
    """The realm while it is open. ``env`` is what a process needs to take part in it."""

    folder: Path
    env: Mapping[str, str]

    @property
    def keytab(self) -> Path:
        return self.folder / "keytab"

    def kinit(self, user: str, password: str) -> Path:
        """Get a ticket; returns the file that holds it."""
        cache = self.folder / f"ticket-of-{user}"
        self._run("usr/bin/kinit", "-c", f"FILE:{cache}", f"{user}@{REALM}", stdin=f"{password}\n")
        return cache

    def python(self, module: str, *words: str, ticket: Path) -> subprocess.CompletedProcess[str]:
        """Run a module of ours with the realm's libraries, and with a ticket."""
        env = {**self.env, "KRB5CCNAME": f"FILE:{ticket}"}
        command = [sys.executable, "-m", module, *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    def add(self, user: str, password: str) -> None:
        self._admin(f"addprinc -pw {password} {user}")

    def add_service(self, name: str) -> None:
        self._admin(f"addprinc -randkey {name}")
        self._admin(f"ktadd -k {self.keytab} {name}")

    def create(self) -> None:
        self._run("usr/sbin/kdb5_util", "-r", REALM, "create", "-s", "-P", "the master key of a test")

    def _admin(self, query: str) -> None:
        self._run("usr/sbin/kadmin.local", "-r", REALM, "-q", query)

    def _run(self, program: str, *words: str, stdin: str = "") -> None:
        command = [str(HOME / "root" / program), *words]
        done = subprocess.run(
            command, env=self.env, input=stdin, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"


@contextlib.contextmanager
def realm(folder: Path) -> Iterator[Realm]:
    """Open a realm with the services of a host; its KDC ends with it."""
    assert not why_not(), why_not()  # named on the command line, the tests are collected anyhow
    root = HOME / "root"
    libraries = sorted({str(path.parent) for path in root.rglob("*.so.*") if "plugins" not in path.parts})
    (plugins,) = {path.parent for path in root.rglob("plugins/kdb/*.so")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = {"realm": REALM, "port": port, "folder": folder, "plugins": plugins}
    (folder / "krb5.conf").write_text(_CONFIG.format(**words), encoding="utf-8")
    (folder / "kdc.conf").write_text(_KDC.format(**words), encoding="utf-8")
    env = {
        **os.environ,
        "KRB5_CONFIG": str(folder / "krb5.conf"),
        "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
        "KRB5RCACHENAME": "none:",
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "PYTHONPATH": os.pathsep.join([str(HOME / "python"), str(ROOT / ".tree")]),
    }
    found = Realm(folder, env)
    found.create()
    for service in SERVICES:
        found.add_service(service)
    with (folder / "kdc.log").open("wb") as log:
        kdc = subprocess.Popen([str(root / "usr/sbin/krb5kdc"), "-n"], env=env, stdout=log, stderr=log)
    try:
        _await(kdc, port, folder / "kdc.log")
        yield found
    finally:
        kdc.send_signal(signal.SIGTERM)
        kdc.wait(10)


def _await(kdc: subprocess.Popen[bytes], port: int, log: Path, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert kdc.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, "the KDC does not listen"
        time.sleep(0.05)
