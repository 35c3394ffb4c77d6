# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The three commands on a node for which Proxmox VE has no API call, over SSH: votes, moving a configuration, snapshots.

Host keys are checked against a file that the customer keeps, logins are by key alone, and nothing but these commands is sent.
"""

from __future__ import annotations

import re
import shlex
import typing as t
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, ProviderFault, SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.sdk import require_asyncssh
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

CONNECT_WITHIN_S = 20.0
COMMAND_WITHIN_S = 60.0  # pmxcfs holds a write back for some seconds while its cluster settles
MOVE = "mv"
_NODE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_ZFS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]*")


def is_configured(spec: EndpointSpec) -> bool:
    return bool(spec.ssh_user and spec.ssh_key_path and spec.ssh_known_hosts_path)


def config_path(node: str, vmid: int) -> str:
    """Return where the cluster file system keeps the configuration of a VM; refuse what is no node and no id."""
    if not _NODE.fullmatch(node):
        raise BadInput(
            what="name the configuration file of a VM",
            why=f"{node!r} is not the name of a node",
            next="set node of both endpoints in dr_site to the names of the nodes",
        )
    if not 100 <= int(vmid) <= 999_999_999:
        raise BadInput(
            what="name the configuration file of a VM",
            why=f"{vmid!r} is not the id of a VM",
            next="read the site again with the assess playbook",
        )
    return f"/etc/pve/nodes/{node}/qemu-server/{int(vmid)}.conf"


def move_argv(vmid: int, *, source: str, target: str) -> list[str]:
    """Return the command that gives a VM's configuration to another node."""
    return [MOVE, config_path(source, vmid), config_path(target, vmid).rpartition("/")[0] + "/"]


class NodeShell:
    """A node's command line. One connection per command: they are few, and a kept one may be dead when it counts."""

    def __init__(self, spec: EndpointSpec) -> None:
        self.spec = spec
        self.address = f"{spec.api_host}:{spec.ssh_port}"

    def expect_one_vote(self) -> None:
        """Let this node alone be the quorum. Only when the other one is proven dead: two such halves would both write."""
        self._run("get a quorum of one", ["pvecm", "expected", "1"])

    def move_config(self, vmid: int, *, source: str, target: str) -> None:
        self._run(
            f"move the configuration of VM {vmid} from {source} to {target}",
            move_argv(vmid, source=source, target=target),
        )

    def snapshots(self, dataset: str = "") -> tuple[tuple[str, float], ...]:
        """Return names and creation times (seconds since the epoch) of the snapshots of a dataset, or of all."""
        if dataset and not _ZFS_NAME.fullmatch(dataset):
            raise BadInput(
                what="list snapshots",
                why=f"{dataset!r} is not the name of a dataset",
                next="check the storage's configuration",
            )
        argv = ["zfs", "list", "-Hp", "-t", "snapshot", "-o", "name,creation", *([dataset] if dataset else [])]
        rows = (line.split("\t") for line in self._run("list the replica's snapshots", argv).splitlines())
        return tuple((row[0], float(row[1])) for row in rows if len(row) == 2 and row[1].isdigit())

    def _run(self, what: str, argv: Sequence[str]) -> str:
        import asyncio  # costs more than all else that an act loads, and few acts go over SSH

        self._require_options(what)
        asyncssh = require_asyncssh()
        return asyncio.run(self._run_there(asyncssh, what, shlex.join(argv)))

    async def _run_there(self, asyncssh: t.Any, what: str, command: str) -> str:
        try:
            connection = await asyncssh.connect(
                self.spec.api_host,
                self.spec.ssh_port,
                username=self.spec.ssh_user,
                client_keys=[self.spec.ssh_key_path],
                known_hosts=self.spec.ssh_known_hosts_path,
                config=None,  # neither the controller's own settings nor its agent decide who we are there
                agent_path=None,
                preferred_auth="publickey",
                connect_timeout=CONNECT_WITHIN_S,
                login_timeout=CONNECT_WITHIN_S,
            )
        except (asyncssh.Error, OSError, ValueError, TimeoutError) as cause:
            raise self._not_connected(asyncssh, what, cause) from cause
        async with connection:
            try:
                done = await connection.run(command, check=False, timeout=COMMAND_WITHIN_S)
            except (asyncssh.Error, OSError, TimeoutError) as cause:
                raise self._lost(what, command, type(cause).__name__) from cause
        if done.exit_status is None and done.exit_signal is None:  # the line was cut before it could tell
            raise self._lost(what, command, "the line was cut")
        if done.exit_status != 0:
            raise _failed(what, self.address, command, done)
        return str(done.stdout or "")

    def _lost(self, what: str, command: str, how: str) -> ProviderFault:
        return ProviderFault(
            what=what,
            why=f"{self.address}: the answer of `{command}` was lost ({how})",
            next=f"see on the node what came of it, {AGAIN}",
            is_answer_lost=True,
        )

    def _require_options(self, what: str) -> None:
        for option in ("ssh_user", "ssh_key_path", "ssh_known_hosts_path"):
            value = getattr(self.spec, option)
            if not value:
                raise BadInput(
                    what=what,
                    why=f"{option} is not set for {self.spec.api_host}: no command may be run on the node",
                    next="set ssh_user, ssh_key_path and ssh_known_hosts_path of this endpoint in dr_site",
                )
            if option != "ssh_user" and not Path(value).is_file():
                raise BadInput(
                    what=what, why=f"{option}: there is no file {value}", next=f"correct {option} in dr_site"
                )

    def _not_connected(self, asyncssh: t.Any, what: str, cause: Exception) -> Exception:
        if isinstance(cause, asyncssh.HostKeyNotVerifiable):
            return BadInput(
                what=what,
                why=f"the host key of {self.address} is not the one in {self.spec.ssh_known_hosts_path}",
                next="if the node was installed anew, put its new key there; otherwise find out who answers at this address",
            )
        if isinstance(cause, asyncssh.PermissionDenied):
            return BadInput(
                what=what,
                why=f"{self.address} refuses the key of {self.spec.ssh_user}",
                next=f"put the public half of ssh_key_path into the authorized_keys of {self.spec.ssh_user} on the node",
            )
        if isinstance(cause, (asyncssh.KeyImportError, ValueError)):
            return BadInput(
                what=what,
                why=f"ssh_key_path or ssh_known_hosts_path cannot be read: {cause}",
                next="use a private key without a passphrase that only this controller can read",
            )
        return SiteUnreachable(
            what=what,
            why=f"no SSH connection to {self.address}: {str(cause) or type(cause).__name__}",
            next="check api_host, ssh_port and the firewall of the node; its API may still answer",
        )


def _failed(what: str, address: str, command: str, done: t.Any) -> ProviderFault:
    words = " ".join(str(done.stderr or done.stdout or "no words").split())
    cure = "look at the node's cluster state (pvecm status)"
    if "ermission denied" in words:
        cure = "the cluster has no quorum, or the user is not root: see `pvecm status` on the node"
    elif "No such file" in words:
        cure = "somebody moved it meanwhile: read the site again"
    return ProviderFault(
        what=what,
        why=f"{address}: `{command}` ended with {done.exit_status}: {words}",
        next=f"{cure}, {AGAIN}",
    )
