# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that knows a handful of commands, behind a real WinRM door, and the real clients that knock."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pypsrp.client import Client
from winrm.protocol import Protocol

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.certificates import ClientAuthority
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.executor import Outcome, Request, Said
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.negotiate import Ways
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.server import Server
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.users import User
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.certificates import Certificates

LUCA = User("luca", "pä:ss wörd")
ANNA = User("anna", "Vacanze-2026", domain="CORP", dns_domain="corp.example")
GUEST = User("guest", "guest", may_log_on=False)
EVERYBODY = (LUCA, ANNA, GUEST)
CERTIFICATES = Certificates()  # a second of RSA, once
CLIENTS = ClientAuthority()
ALL_WAYS = Ways(offers=("Negotiate", "Basic", "Certificate"), certificate_users={"Luca@localhost": "luca"})


@dataclass
class Processes:
    """Runs what the tests ask for, and remembers it."""

    begun: list[Request] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)  # "act web", "sleep stopped"
    effort_s: float = 0.0  # what an act takes

    def __call__(self, request: Request) -> Outcome:
        self.begun.append(request)
        word, *rest = request.argv
        match word:
            case "echo":
                return Said(" ".join(rest).encode() + b"\r\n")
            case "cat":
                return Said(request.stdin)
            case "act":  # does something once its input is there
                said = request.stdin
                request.stop.wait(self.effort_s)
                self.ended.append(f"act {said.decode()}")
                return Said(b"done " + said)
            case "sleep":
                was_stopped = request.stop.wait(float(rest[0]))
                self.ended.append(f"sleep {'stopped' if was_stopped else 'over'}")
                return Said(b"slept")
            case "big":
                return Said(b"x" * int(rest[0]), b"y" * 10)
            case "exit":
                return Said(stderr=b"bad news", exit_code=int(rest[0]))
            case "whoami":
                return Said(request.user.encode())
        raise RuntimeError(f"no such command: {word}")


@dataclass
class Door:
    """One host, its processes, and clients for it."""

    server: Server
    processes: Processes
    folder: Path

    @property
    def ca_path(self) -> str:
        return str(self.folder / "ca.pem")

    def winrm(self, transport: str = "ntlm", user: User = LUCA, **more: Any) -> Protocol:
        """pywinrm; ``username`` and ``password`` may be said otherwise."""
        given: dict[str, Any] = {
            "username": user.account,
            "password": user.password,
            "ca_trust_path": self.ca_path,
            "proxy": None,
            "read_timeout_sec": 8,
            "operation_timeout_sec": 6,
        }
        return Protocol(self.server.url, transport=transport, **(given | more))  # type: ignore[arg-type]

    def pypsrp(self, user: User = LUCA, **more: Any) -> Client:
        is_tls = self.server.url.startswith("https")
        given: dict[str, Any] = {
            "username": user.account,
            "password": user.password,
            "ssl": is_tls,
            "port": self.server.port,
            "cert_validation": self.ca_path if is_tls else True,
            "no_proxy": True,
        }
        return Client("127.0.0.1", **(given | more))

    @contextlib.contextmanager
    def shell(self, client: Protocol | None = None) -> Iterator[tuple[Protocol, str]]:
        client = client or self.winrm()
        shell = client.open_shell(codepage=65001, noprofile=True)
        yield client, shell
        client.close_shell(shell)


def run(client: Protocol, shell: str, command: str, *words: str, stdin: bytes = b"") -> tuple[bytes, bytes, int]:
    """One process from its start to its clean end, as the provider runs them."""
    command_id = begin(client, shell, command, *words)
    client.send_command_input(shell, command_id, stdin, end=True)
    outcome = client.get_command_output(shell, command_id)
    client.cleanup_command(shell, command_id)
    return outcome


def begin(client: Protocol, shell: str, command: str, *words: str, skip_cmd_shell: bool = True) -> str:
    return client.run_command(shell, command, words, console_mode_stdin=False, skip_cmd_shell=skip_cmd_shell)


def once(client: Protocol, command: str, *words: str) -> bytes:
    """One process in a shell of its own; what it said."""
    shell = client.open_shell()
    command_id = client.run_command(shell, command, words)
    said = client.get_command_output(shell, command_id)[0]
    client.close_shell(shell)
    return said


@contextlib.contextmanager
def door(folder: Path, name: str = "hv-milano", is_tls: bool = False, **more: Any) -> Iterator[Door]:
    """Open a host; it must come to its end without leaving a thread."""
    processes = Processes()
    (folder / "ca.pem").write_bytes(CERTIFICATES.ca_pem)
    if is_tls:
        context = CERTIFICATES.context()
        CLIENTS.trust_in(context)
        more = {"tls": context, "certificate": CERTIFICATES.of("good").chain} | more
    server = Server(name, processes, more.pop("users", EVERYBODY), **more)
    server.open()
    try:
        yield Door(server, processes, folder)
    finally:
        server.end()
    assert not threads_of(name)


def threads_of(name: str) -> list[str]:
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name in (f"{name}-winrm-connection", f"{name}-command")
    ]
