# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SSH doors of a Proxmox twin, as asyncssh and OpenSSH find them."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.ssh import SshClient
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState
from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.door_kit import GB, Site, site

CONF = "/etc/pve/nodes/{}/qemu-server/{}.conf"
MOVE = f"mv {CONF.format('pve2', 200)} {CONF.format('pve1', 200)}"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


@pytest.fixture
def client(own: Site) -> SshClient:
    return own.doors.write_ssh_client(own.folder)


def run(
    made: Site, client: SshClient, line: str | None, node: str = "pve1", **more: object
) -> asyncssh.SSHCompletedProcess:
    async def there() -> asyncssh.SSHCompletedProcess:
        host, port = made.doors.ssh_endpoint(node)
        words = {
            "username": client.user,
            "client_keys": [str(client.key_path)],
            "known_hosts": str(client.known_hosts_path),
            "config": None,
            "agent_path": None,
            "connect_timeout": 10,
            **more,
        }
        async with asyncssh.connect(host, port, **words) as connection:
            return await connection.run(line, timeout=10)

    return asyncio.run(there())


def said(done: asyncssh.SSHCompletedProcess) -> tuple[int | None, str, str]:
    return done.exit_status, str(done.stdout), str(done.stderr)


# --- what it knows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", [CONF.format("pve1", 200), "/etc/pve/nodes/pve1/qemu-server/", "/etc/pve/qemu-server/200.conf"],
    ids=["file", "folder", "this node's own name for it"],
)  # fmt: skip
def test_a_configuration_moves_and_the_guest_is_elsewhere_at_once(own, client, target):
    assert said(run(own, client, f"mv {CONF.format('pve2', 200)} {target}")) == (0, "", "")
    assert [row["vmid"] for row in own.by_token().nodes("pve1").qemu.get()] == [100, 200]
    assert run(own, client, f"test -e {CONF.format('pve1', 200)}").exit_status == 0
    assert run(own, client, f"test -e {CONF.format('pve2', 200)}").exit_status == 1


def test_without_quorum_the_move_is_denied_until_one_vote_is_expected(own, client):
    own.datacenter.fail_node("pve2")
    own.doors.settle()
    words = f"mv: cannot move '{CONF.format('pve2', 200)}' to '{CONF.format('pve1', 200)}': Permission denied\n"
    assert said(run(own, client, MOVE)) == (1, "", words)
    assert "Quorate:          No" in said(run(own, client, "pvecm status"))[1]
    assert said(run(own, client, "pvecm expected 1")) == (0, "", "")
    status = said(run(own, client, "pvecm status"))[1]
    assert "Quorate:          Yes" in status
    assert "Expected votes:   1" in status
    assert said(run(own, client, MOVE)) == (0, "", "")
    assert own.by_token().nodes("pve1").qemu(200).config.get()["name"] == "dc01"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"mv {CONF.format('pve2', 999)} {CONF.format('pve1', 999)}", f"mv: cannot stat '{CONF.format('pve2', 999)}': No such file"),
        (f"mv {CONF.format('pve1', 200)} {CONF.format('pve2', 200)}", f"mv: cannot stat '{CONF.format('pve1', 200)}': No such file"),
        (f"mv {CONF.format('pve2', 200)} {CONF.format('pve9', 200)}", "No such file or directory"),
        (f"mv {CONF.format('pve2', 200)} {CONF.format('pve2', 200)}", "are the same file"),
    ],
    ids=["no such guest", "not there", "no such node", "nowhere"],
)  # fmt: skip
def test_a_move_that_cannot_be_ends_with_1(own, client, line, words):
    status, dummy, complaint = said(run(own, client, line))
    assert status == 1
    assert words in complaint


def test_the_snapshots_of_a_replica_tell_its_age(own, client):
    world_s = own.datacenter.now_s()
    own.datacenter.shelf.add("pve2", "tank", "vm-100-disk-0", 32 * GB, world_s)
    disks = own.datacenter.disk_set(100, "pve2", vm="gestionale", name="gestionale")
    disks.replication_snapshots["__replicate_100-0_1795330000__"] = (1795330000.0, DataState(1, 1795330000.0))
    own.datacenter.fail_node("pve1")
    line = "zfs list -Hp -t snapshot -o name,creation"
    row = "tank/vm-100-disk-0@__replicate_100-0_1795330000__\t1795330000\n"
    for form in (line, f"{line} tank/vm-100-disk-0", f"{line} -r tank"):
        assert said(run(own, client, form, "pve2")) == (0, row, "")
    assert said(run(own, client, f"{line} tank/vm-200-disk-0", "pve2")) == (0, "", "")
    missing = (1, "", "cannot open 'tank/vm-300-disk-0': dataset does not exist\n")
    assert said(run(own, client, f"{line} tank/vm-300-disk-0", "pve2")) == missing


# --- what it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "id",
        "rm -rf /etc/pve",
        "pvecm expected 1; id",
        "pvecm expected $(id)",
        "pvecm expected -1",
        "pvecm delnode pve2",
        "mv /etc/passwd /tmp/passwd",
        f"mv {CONF.format('pve2', 200)} /etc/pve/nodes/pve1/qemu-server/201.conf",
        f"mv -f {CONF.format('pve2', 200)} {CONF.format('pve1', 200)}",
        "mv /etc/pve/nodes/../../etc/pve/nodes/pve2/qemu-server/200.conf /etc/pve/nodes/pve1/qemu-server/",
        f"test -e {CONF.format('pve2', 200)} && id",
        "zfs destroy -r tank",
        "zfs list -Hp -t snapshot -o name,creation tank extra",
        "",
    ],
)
def test_everything_else_is_127_and_does_nothing(own, client, line):
    status, output, words = said(run(own, client, line))
    assert (status, output) == (127, "")
    assert words
    assert own.datacenter.guests[200].node == "pve2"


def test_a_line_that_no_shell_could_read_is_refused(own, client):
    assert run(own, client, "mv 'a").exit_status == 2


def test_there_is_no_shell(own, client):
    assert run(own, client, None).exit_status == 127


def test_no_key_no_entry(own, client):
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    for words in ({"client_keys": [stranger]}, {"username": "mario"}, {"client_keys": (), "password": "x"}):
        with pytest.raises(asyncssh.PermissionDenied):
            run(own, client, "pvecm status", **words)


def test_a_known_host_stays_the_one_it_was(own, client):
    client.known_hosts_path.write_text(own.doors.known_hosts.replace("[127.0.0.1]", "[127.0.0.9]"))
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        run(own, client, "pvecm status")


def test_a_dead_node_does_not_answer_and_is_the_same_when_it_is_back(own, client):
    own.datacenter.fail_node("pve2")
    own.doors.settle()
    with pytest.raises(ConnectionRefusedError):
        run(own, client, "pvecm status", "pve2")
    own.datacenter.return_node("pve2")
    own.doors.settle()
    assert "Nodes:            2" in said(run(own, client, "pvecm status", "pve2"))[1]


def test_a_twin_without_ssh_says_so(tmp_path):
    with site(tmp_path, has_ssh=False) as made, pytest.raises(ValueError, match="pve1 has no SSH door"):
        made.doors.ssh_endpoint("pve1")


# --- faults, counts --------------------------------------------------------------------------------------------------


def test_a_lost_answer_is_not_a_lost_effect(own, client):
    own.doors.faults.add(action="drop_after", method="SSH", path="mv")
    assert run(own, client, MOVE).exit_status is None, "the line was cut: nobody said how it ended"
    assert own.datacenter.guests[200].node == "pve1"


def test_a_lost_command_has_no_effect(own, client):
    own.doors.faults.add(action="drop_before", method="SSH", path="mv")
    assert run(own, client, MOVE).exit_status is None, "the line was cut: nobody said how it ended"
    assert own.datacenter.guests[200].node == "pve2"
    assert run(own, client, MOVE).exit_status == 0


def test_commands_are_counted_by_name(own, client):
    run(own, client, "pvecm status")
    run(own, client, "pvecm expected 2")
    run(own, client, MOVE)
    counted = {name: n for name, n in own.world.calls.items() if name.startswith("SSH")}
    assert counted == {"SSH pvecm status": 1, "SSH pvecm expected": 1, "SSH mv": 1}


# --- OpenSSH ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs OpenSSH's client")
def test_openssh_agrees(own, client):
    host, port = own.doors.ssh_endpoint("pve1")
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "GlobalKnownHostsFile=/dev/null"]
    options += [f"UserKnownHostsFile={client.known_hosts_path}", f"IdentityFile={client.key_path}"]
    start = [
        "ssh",
        "-F",
        "/dev/null",
        "-p",
        str(port),
        *[w for o in options for w in ("-o", o)],
        f"{client.user}@{host}",
    ]

    def ssh(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*start, *words], capture_output=True, text=True, timeout=30, check=False)

    done = ssh("pvecm", "status")
    assert (done.returncode, "Quorate:          Yes" in done.stdout) == (0, True), done.stderr
    assert ssh(*MOVE.split()).returncode == 0
    assert own.datacenter.guests[200].node == "pve1"
    refused = ssh("id")
    assert refused.returncode == 127
    assert "command not found" in refused.stderr
