# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The OpenSSH client works on the twin's nodes, with every check of its own switched on; and there is nothing else to do there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.tests.e2e.third.kit import Stranger

SSH = shutil.which("ssh") or ""
pytestmark = pytest.mark.skipif(not SSH, reason="no OpenSSH client on this machine (Debian: openssh-client)")


def ssh(stranger: Stranger, *words: str, end: str = "production", **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the system's ssh as the overlay says, and as strictly as it can."""
    site = {**stranger.bench.site()[end], **changes}
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": site["ssh_known_hosts_path"],
        "GlobalKnownHostsFile": "none",
        "ConnectTimeout": "10",
        "LogLevel": "ERROR",  # newer clients remark on weak key exchanges
    }
    command = [SSH, "-F", "none", "-p", str(site["ssh_port"]), "-i", site["ssh_key_path"]]
    command += [f"-o{name}={value}" for name, value in options.items()]
    command += [f"{site['ssh_user']}@{site['api_host']}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)


def test_cluster_status_is_read(stranger: Stranger) -> None:
    done = ssh(stranger, "pvecm status")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Quorate:          Yes" in done.stdout
    assert "Total votes:      2" in done.stdout


def test_replicas_age_is_read_where_the_api_cannot_tell_it(stranger: Stranger) -> None:
    stranger.bench.control.host_lost(stranger.production)
    done = ssh(stranger, "zfs list -Hp -t snapshot -o name,creation", end="replica")
    assert done.returncode == 0, done.stderr
    found = dict(line.split("\t") for line in done.stdout.splitlines())
    vmid = stranger.vmid("solo")
    (name,) = (name for name in found if f"/vm-{vmid}-disk-0@" in name)
    job = stranger.bench.job("solo")
    assert f"@__replicate_{job.id}_{found[name]}__" in name
    assert int(found[name]) == int(stranger.lab.datacenters[0].replication.state(job.source, job.id).last_sync)


def test_configuration_is_moved_when_the_votes_allow_it(stranger: Stranger) -> None:
    control, vmid = stranger.bench.control, stranger.vmid("solo")
    here, there = stranger.production, stranger.replica
    control.host_lost(here)
    conf = f"/etc/pve/nodes/{here}/qemu-server/{vmid}.conf"
    move = f"mv {conf} /etc/pve/nodes/{there}/qemu-server/"
    refused = ssh(stranger, move, end="replica")
    assert refused.returncode != 0
    assert "Permission denied" in refused.stderr
    assert stranger.guest("solo").node == here
    assert ssh(stranger, f"test -e {conf}", end="replica").returncode == 0
    assert ssh(stranger, "pvecm expected 1", end="replica").returncode == 0
    moved = ssh(stranger, move, end="replica")
    assert (moved.returncode, moved.stderr) == (0, "")
    assert ssh(stranger, f"test -e {conf}", end="replica").returncode == 1
    client = stranger.by_token(node=there)
    assert client.nodes(there).qemu(vmid).config.get()["name"] == "solo"
    client.nodes(there).qemu(vmid).status.start.post()
    stranger.await_serving("solo", there)


@pytest.mark.parametrize(
    "line", ["", "bash", "cat /etc/shadow", "rm -rf /etc/pve", "pvecm status; id", "zfs destroy tank"]
)
def test_all_else_is_refused(stranger: Stranger, line: str) -> None:
    done = ssh(stranger, *([line] if line else []))
    assert done.returncode != 0
    assert "twin" in done.stderr
    assert done.stdout == ""


def test_files_are_not_copied(stranger: Stranger) -> None:
    done = ssh(stranger, "-s", "sftp")
    assert done.returncode != 0


def test_node_with_another_host_key_is_not_spoken_to(stranger: Stranger, tmp_path: Path) -> None:
    site = stranger.bench.site()
    ports = {end: str(site[end]["ssh_port"]) for end in ("production", "replica")}
    known = Path(site["production"]["ssh_known_hosts_path"]).read_text(encoding="utf-8").splitlines()
    swapped = tmp_path / "known_hosts"
    other = next(line for line in known if f"]:{ports['replica']} " in line)
    swapped.write_text(other.replace(ports["replica"], ports["production"]) + "\n", encoding="utf-8")
    done = ssh(stranger, "pvecm status", ssh_known_hosts_path=str(swapped))
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_stranger_with_another_key_is_not_let_in(stranger: Stranger, tmp_path: Path) -> None:
    keygen = shutil.which("ssh-keygen")
    if keygen is None:
        pytest.skip("no ssh-keygen on this machine (Debian: openssh-client)")
    own = tmp_path / "own"
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(own)], check=True, timeout=30)
    done = ssh(stranger, "pvecm status", ssh_key_path=str(own))
    assert done.returncode == 255
    assert "Permission denied" in done.stderr
