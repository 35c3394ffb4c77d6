# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SSH listener of one node: a host key of its own, public keys alone, a handful of commands."""

from __future__ import annotations

import contextlib
import os
import typing as t
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from ansible_collections.ferragosto.dr.extensions.twin.loopback import LoopbackPort
from ansible_collections.ferragosto.dr.extensions.twin.proxmox import commands
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.faults import CutConnection, Seen
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.gate import Gate, Place

USER = "root"


@dataclass(frozen=True, slots=True)
class SshClient:
    """What a client needs to log in: written by ``SshDoors.write_client``."""

    user: str
    key_path: Path
    known_hosts_path: Path


class Guards:
    """Who may log in on the nodes of one twin."""

    def __init__(self) -> None:
        self._authorized: set[str] = set()

    def authorize(self, public_key: str) -> None:
        """Let the holder of this key in; ``public_key`` as in authorized_keys."""
        self._authorized.add(asyncssh.import_public_key(public_key).get_fingerprint())

    def write_client(self, folder: Path, known_hosts: str) -> SshClient:
        """Make a key pair for a client, let it in, and write its key and its known hosts."""
        key = asyncssh.generate_private_key("ssh-ed25519", comment="ferragosto.dr twin")
        self.authorize(key.export_public_key().decode())
        client = SshClient(USER, folder / "ssh_key", folder / "ssh_known_hosts")
        descriptor = os.open(client.key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(key.export_private_key())
        client.known_hosts_path.write_text(known_hosts, encoding="utf-8")
        return client

    def lets_in(self, user: str, key: asyncssh.SSHKey) -> bool:
        return user == USER and key.get_fingerprint() in self._authorized


class SshListener:
    """``open``, ``shut`` and ``release`` belong to the doors' loop; the port is taken at once."""

    def __init__(self, node: str, gate: Gate, guards: Guards, port: int = 0) -> None:
        self.node, self._gate, self._guards = node, gate, guards
        self._place_taken = LoopbackPort(port)
        self._host_key = asyncssh.generate_private_key("ssh-ed25519", comment=node)
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self.connections: set[asyncssh.SSHServerConnection] = set()

    @property
    def port(self) -> int:
        return self._place_taken.port

    @property
    def is_open(self) -> bool:
        return self._acceptor is not None

    @property
    def known_host(self) -> str:
        """The line of a known_hosts file."""
        return f"[127.0.0.1]:{self.port} {self._host_key.export_public_key().decode().strip()}\n"

    async def open(self) -> None:
        if self._acceptor is None:
            listening = self._place_taken.listen()
            listening.setblocking(False)
            self._acceptor = await asyncssh.listen(
                sock=listening,
                server_factory=lambda: _Server(self, self._guards),
                server_host_keys=[self._host_key],
                process_factory=self._process,
                config=None,
                allow_pty=False,
                agent_forwarding=False,
                x11_forwarding=False,
                gss_host=None,
                login_timeout=20,
            )

    async def shut(self) -> None:
        """Refuse new connections and cut the open ones."""
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            acceptor.close()
        self.cut()

    def cut(self) -> None:
        for connection in list(self.connections):
            connection.abort()
        self.connections.clear()

    async def release(self) -> None:
        await self.shut()
        self._place_taken.release()

    # --- one command -------------------------------------------------------------------------------------------------

    async def _process(self, process: asyncssh.SSHServerProcess[str]) -> None:
        try:
            done = await self._done(self._gate.places[self.node], process.command)
        except CutConnection:
            connection = process.get_extra_info("connection")
            connection.abort()
            return
        with contextlib.suppress(OSError, asyncssh.Error):  # the client went away
            process.stdout.write(done.stdout)
            process.stderr.write(done.stderr)
            process.exit(done.status)

    async def _done(self, place: Place, line: str | None) -> commands.Done:
        if line is None:
            return commands.Done(stderr="there is no shell on this node of a twin\n", status=commands.NOT_FOUND)
        name = commands.name_of(line)
        place.datacenter.world.count(f"SSH {name}")
        place.log(f"SSH {line}")
        struck = self._gate.faults.strike(Seen("SSH", name, name, self.node))
        try:
            await self._gate.before(struck, place)
            done = commands.carry_out(place.datacenter, self.node, line)
        except PveError as refused:
            done = commands.Done(stderr=f"{refused.text}\n", status=1)
        instead = await self._gate.after(struck, place)
        return done if instead is None else commands.Done(stderr=f"{instead.text}\n", status=1)


class _Server(asyncssh.SSHServer):
    def __init__(self, listener: SshListener, guards: Guards) -> None:
        self._listener, self._guards = listener, guards
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._listener.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._listener.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._guards.lets_in(username, key)
