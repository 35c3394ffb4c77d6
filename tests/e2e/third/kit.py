# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Proxmox lab as a stranger meets it: an address, a certificate to trust, a login; and the modules of community.proxmox."""

from __future__ import annotations

import json
import os
import time
import typing as t
import uuid
from pathlib import Path

from proxmoxer import ProxmoxAPI  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.auth import ROOT, Key
from ansible_collections.ferragosto.dr.tests.e2e.kit import Result
from ansible_collections.ferragosto.dr.tests.e2e.pve_kit import PveBench

# Read while tests are collected: later no variable of the desk is left.
PEERS = os.environ.get("DR_PEERS", "")
OF_TASK = ("check_mode", "environment", "ignore_errors", "register")
USER = "colleague@pve"
# What a colleague's playbooks need, in Proxmox VE's own roles, and no more.
GRANTS = (
    ("/", "PVEAuditor"),
    ("/vms", "PVEVMAdmin"),
    ("/storage/pbs", "PVEDatastoreUser"),
    ("/storage/local-zfs", "PVEDatastoreUser"),
)


class Stranger:
    """Somebody who knows Proxmox VE and nothing of a twin."""

    def __init__(self, bench: PveBench) -> None:
        self.bench, self.lab = bench, bench.lab
        self.key = Key(USER, "modules", str(uuid.uuid4()))
        for datacenter in self.lab.datacenters:
            access = self.lab.doors.access(next(iter(datacenter.nodes)))
            access.add_user(USER, "a colleague's password")
            access.add_token(self.key, is_separate=False)
            for path, role in GRANTS:
                access.acl.grant(USER, path, role)

    # --- where and who -----------------------------------------------------------------------------------------------

    @property
    def production(self) -> str:
        return str(self.lab.wish.production.node)

    @property
    def replica(self) -> str:
        return str(self.lab.wish.replica.node)

    @property
    def ca_path(self) -> str:
        return str(self.lab.ca_path.resolve())

    def url(self, node: str = "") -> str:
        host, port = self.lab.doors.endpoint(node or self.production)
        return f"https://{host}:{port}/api2/json"

    def by_token(self, key: Key | None = None, node: str = "", **more: t.Any) -> t.Any:
        """Proxmoxer with an API token."""
        key = key or self.key
        return self._api(node, user=key.user, token_name=key.token_id, token_value=key.secret, **more)

    def by_password(self, user: str = ROOT, password: str = "", node: str = "") -> t.Any:
        """Proxmoxer with a ticket."""
        return self._api(node, user=user, password=password or self.lab.keys.root_password)

    def _api(self, node: str, **login: t.Any) -> t.Any:
        host, port = self.lab.doors.endpoint(node or self.production)
        return ProxmoxAPI(host, port=port, **{"verify_ssl": self.ca_path, "timeout": 20, **login})

    # --- what there is -----------------------------------------------------------------------------------------------

    def vmid(self, vm: str) -> int:
        return self.bench.vmid(vm)

    def guest(self, vm: str) -> t.Any:
        return self.bench.guest(self.vmid(vm))

    def is_on(self, vm: str) -> bool:
        """As the world has it, not as the API says."""
        datacenter = self.lab.datacenters[0]
        with datacenter.lock:
            return datacenter.machines.of(self.guest(vm)) is not None

    def generation(self, vm: str) -> int:
        """How far the content of the disks has come on which the VM lies."""
        datacenter = self.lab.datacenters[0]
        with datacenter.lock:
            return int(self.lab.world.data_of(datacenter.copy_of(self.guest(vm))).generation)

    def calls(self, *words: str) -> int:
        """How often the world was asked for something whose name has these words."""
        return sum(n for name, n in self.lab.control.calls().items() if all(word in name for word in words))

    def await_serving(self, vm: str, node: str, within_s: float = 10.0) -> None:
        deadline = time.monotonic() + within_s
        while (found := self.lab.world.serving_copy(vm)) is None or found.host != node:
            assert time.monotonic() < deadline, f"{vm} is served by {found and found.host}, not by {node}"
            time.sleep(0.05)


class Playbook:
    """A colleague's playbook: tasks with modules of community.proxmox as they were released."""

    def __init__(self, stranger: Stranger, *, password: str = "", user: str = "") -> None:
        self._stranger = stranger
        host, port = stranger.lab.doors.endpoint(stranger.production)
        login: dict[str, t.Any] = {"api_host": host, "api_port": port, "validate_certs": True}
        if password:
            login |= {"api_user": user or ROOT, "api_password": password}
        else:
            key = stranger.key
            login |= {"api_user": key.user, "api_token_id": key.token_id, "api_token_secret": key.secret}
        self._login = login
        self._tasks: list[dict[str, t.Any]] = []
        self.result: Result | None = None

    def task(self, title: str, module: str, /, **options: t.Any) -> Playbook:
        """Add a task; the words of ``OF_TASK`` are the task's own, all others are the module's."""
        own = {word: options.pop(word) for word in OF_TASK if word in options}
        self._tasks.append({"name": title, f"community.proxmox.{module}": options, **own})
        return self

    def run(self) -> dict[str, dict[str, t.Any]]:
        """Play it; returns what each task returned, by its name."""
        bench = self._stranger.bench
        path = bench.folder / "colleague.yml"
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
            "module_defaults": {"group/community.proxmox.proxmox": self._login},
            "tasks": self._tasks,
        }
        path.write_text(json.dumps([play]), encoding="utf-8")
        self.result = bench.play(str(path), env=environment(self._stranger))
        rows = {row.task: {**row.result, "failed": row.status not in ("ok", "skipped")} for row in self.result.rows}
        assert self.result.rc == 0, self.result.text[-3000:]
        wanted = [str(task["name"]) for task in self._tasks]
        assert set(wanted) <= set(rows), f"never played: {set(wanted) - set(rows)}\n{self.result.text[-3000:]}"
        return rows


def environment(stranger: Stranger) -> dict[str, str]:
    """What Ansible needs to find the peers' collections and to trust the lab's authority."""
    found = os.pathsep.join([os.environ["ANSIBLE_COLLECTIONS_PATH"], PEERS])
    return {"ANSIBLE_COLLECTIONS_PATH": found, "REQUESTS_CA_BUNDLE": stranger.ca_path}


def where_peers_are() -> str:
    """Return why community.proxmox cannot be used, "" where it can."""
    if not PEERS:
        return "DR_PEERS names no folder of other people's collections: run `make pytest`"
    manifest = Path(PEERS) / "ansible_collections" / "community" / "proxmox" / "MANIFEST.json"
    if not manifest.is_file():
        return f"no community.proxmox in {PEERS}: run `make pytest`"
    return ""
