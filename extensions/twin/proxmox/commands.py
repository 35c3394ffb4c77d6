# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The few commands that a node's SSH door knows. There is no shell: a line is words, or it is refused."""

from __future__ import annotations

import re
import shlex
import time
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

NOT_FOUND = 127
_CONFIG = re.compile(r"/etc/pve/(?:nodes/([A-Za-z0-9-]+)/)?qemu-server/(\d+)\.conf")
_FOLDER = re.compile(r"/etc/pve/(?:nodes/([A-Za-z0-9-]+)/)?qemu-server/?")
_ZFS_LIST = ["zfs", "list", "-Hp", "-t", "snapshot", "-o", "name,creation"]


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    stdout: str = ""
    stderr: str = ""
    status: int = 0


def name_of(line: str) -> str:
    """What a fault plan and the world's count call a command line: its first word, or its first two."""
    try:
        words = shlex.split(line)
    except ValueError:
        return "?"
    return " ".join(words[:2] if words[:1] in (["pvecm"], ["zfs"]) else words[:1]) or "?"


def carry_out(datacenter: Datacenter, node: str, line: str) -> Done:
    """Do what one command line asks for on a node."""
    try:
        words = shlex.split(line)
    except ValueError as bad:
        return Done(stderr=f"bash: -c: line 1: {bad}\n", status=2)
    try:
        with datacenter.lock:
            datacenter.tick()
            return _dispatch(datacenter, node, words)
    except PveError as refused:
        return Done(stderr=f"{refused.text}\n", status=1 if words[0] == "mv" else 255)


def _dispatch(datacenter: Datacenter, node: str, words: Sequence[str]) -> Done:
    match list(words):
        case ["pvecm", "expected", votes] if votes.isdecimal():
            datacenter.expected_votes(node, int(votes))
            return Done()
        case ["pvecm", "status"]:
            return _status(datacenter, node)
        case ["mv", source, target]:
            return _move(datacenter, node, source, target)
        case ["test", "-e", path]:
            found = _CONFIG.fullmatch(path)
            if found is not None:
                return Done(status=0 if _is_there(datacenter, found[1] or node, int(found[2])) else 1)
        case [*head, "-r", dataset] | [*head, dataset] if head == _ZFS_LIST:
            return _snapshots(datacenter, node, dataset)
        case other if other == _ZFS_LIST:
            return _snapshots(datacenter, node, "")
    name = words[0] if words else ""
    known = "pvecm expected <n>; pvecm status; mv <conf> <conf or folder>; test -e <conf>; " + shlex.join(_ZFS_LIST)
    return Done(
        stderr=f"bash: line 1: {name}: command not found (this node of a twin knows {known})\n", status=NOT_FOUND
    )


def _is_there(datacenter: Datacenter, node: str, vmid: int) -> bool:
    guest = datacenter.guests.get(vmid)
    return guest is not None and guest.node == node


def _move(datacenter: Datacenter, node: str, source: str, target: str) -> Done:
    """Move a guest's configuration under the cluster file system, which knows a vmid once and wants a quorum."""
    old = _CONFIG.fullmatch(source)
    new, folder = _CONFIG.fullmatch(target), _FOLDER.fullmatch(target)
    if old is None or (new is None and folder is None) or (new is not None and new[2] != old[2]):
        return Done(stderr=f"mv: a node of a twin moves guest configurations alone, not '{source}'\n", status=NOT_FOUND)
    vmid, from_node = int(old[2]), old[1] or node
    to_node = ((new or folder or old)[1]) or node
    if not _is_there(datacenter, from_node, vmid):
        return Done(stderr=f"mv: cannot stat '{source}': No such file or directory\n", status=1)
    if to_node not in datacenter.nodes:
        return Done(stderr=f"mv: cannot move '{source}' to '{target}': No such file or directory\n", status=1)
    if to_node == from_node:
        return Done(stderr=f"mv: '{source}' and '{target}' are the same file\n", status=1)
    if not datacenter.is_quorate(node):
        return Done(stderr=f"mv: cannot move '{source}' to '{target}': Permission denied\n", status=1)
    datacenter.move_config(vmid, to_node, by_node=node)
    return Done()


def _snapshots(datacenter: Datacenter, node: str, dataset: str) -> Done:
    rows = datacenter.replication_snapshots(node)
    shown = [
        (name, created_s)
        for name, created_s in rows
        if not dataset or name.partition("@")[0] == dataset or name.startswith(f"{dataset}/")
    ]
    if dataset and not shown and not _is_dataset(datacenter, node, dataset):
        return Done(stderr=f"cannot open '{dataset}': dataset does not exist\n", status=1)
    return Done(stdout="".join(f"{name}\t{created_s}\n" for name, created_s in shown))


def _is_dataset(datacenter: Datacenter, node: str, dataset: str) -> bool:
    """Whether a pool or a volume of this name is on the node."""
    for name, storage in datacenter.shelf.storages.items():
        pool = storage.options.get("pool", name)
        if dataset == pool or dataset == pool.partition("/")[0]:
            return True
        prefix = f"{pool}/"
        if dataset.startswith(prefix) and (node, f"{name}:{dataset.removeprefix(prefix)}") in datacenter.shelf.volumes:
            return True
    return False


def _status(datacenter: Datacenter, node: str) -> Done:
    votes = datacenter.votes
    if not datacenter.is_cluster:
        words = "Error: Corosync config '/etc/pve/corosync.conf' does not exist - is this node part of a cluster?\n"
        return Done(stderr=words, status=2)
    is_quorate, expected, present = datacenter.is_quorate(node), votes.expected(node), votes.present(node)
    own = datacenter.nodes[node]
    seen = [own] if own.is_isolated else [n for n in datacenter.nodes.values() if n.is_online]
    members = "".join(f"0x{n.number:08x}          1 {n.address}{' (local)' if n is own else ''}\n" for n in seen)
    now = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(datacenter.now_s()))
    return Done(
        stdout=(
            f"Cluster information\n-------------------\nName:             {datacenter.name}\n"
            f"Config Version:   {len(datacenter.nodes)}\nTransport:        knet\nSecure auth:      on\n\n"
            f"Quorum information\n------------------\nDate:             {now}\n"
            f"Quorum provider:  corosync_votequorum\nNodes:            {len(seen)}\nNode ID:          0x{own.number:08x}\n"
            f"Ring ID:          1.{4 * len(seen)}\nQuorate:          {'Yes' if is_quorate else 'No'}\n\n"
            f"Votequorum information\n----------------------\nExpected votes:   {expected}\n"
            f"Highest expected: {expected}\nTotal votes:      {present}\n"
            f"Quorum:           {expected // 2 + 1}{'  ' if is_quorate else ' Activity blocked'}\n"
            f"Flags:            {'Quorate' if is_quorate else ''}\n\n"
            f"Membership information\n----------------------\n    Nodeid      Votes Name\n{members}"
        )
    )
