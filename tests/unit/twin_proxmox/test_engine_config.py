# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configurations: digests, tags, descriptions, network cards, rights by option."""

from __future__ import annotations

import re

import pytest

from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.engine_kit import A, B, Site

CONFIG = f"/nodes/{A}/qemu/100/config"


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_digest_changes_with_every_change_and_guards_it(site: Site) -> None:
    digest = site.config()["digest"]
    assert re.fullmatch(r"[0-9a-f]{40}", digest)
    site.put(CONFIG, digest=digest, tags="a")
    refused = site.refused("PUT", CONFIG, digest=digest, tags="b")
    assert refused.text.startswith("detected modified configuration - file changed by other user?")
    assert site.config()["tags"] == "a"


def test_tags_are_sorted_lower_case_and_once(site: Site) -> None:
    site.put(CONFIG, tags="dr.run.X,b;a b")
    assert site.config()["tags"] == "a;b;dr.run.x"
    assert site.resource()["tags"] == "a;b;dr.run.x"


def test_tag_and_description_go_in_one_call(site: Site) -> None:
    text = 'first\nferragosto.dr: {"onboot": 1, "net0": "à"}'
    site.put(CONFIG, tags="dr.fenced.x", description=f"{text}\n", digest=site.config()["digest"])
    assert site.config()["description"] == text
    site.put(CONFIG, delete="tags,description")
    assert not {"tags", "description"} & site.config().keys()


def test_a_network_card_is_unplugged_while_it_runs(site: Site) -> None:
    net = site.config()["net0"]
    site.put(CONFIG, net0=f"{net},link_down=1")
    [nic] = site.world.copy("cluster/100").nics
    assert not nic.is_connected
    assert "pending" not in next(r for r in site.get(f"/nodes/{A}/qemu/100/pending") if r["key"] == "net0")
    site.put(CONFIG, net0=net)
    assert site.world.copy("cluster/100").nics[0].is_connected
    assert site.config()["net0"] == net


def test_a_network_card_without_address_gets_one(site: Site) -> None:
    site.put(CONFIG, net1="virtio,bridge=dr-isolated")
    assert re.fullmatch(r"virtio=BC:24:11:[0-9A-F:]{8},bridge=dr-isolated", site.config()["net1"])


def test_a_change_of_a_stopped_guest_needs_no_restart(site: Site) -> None:
    site.done(site.power("stop"))
    site.put(CONFIG, memory=2048, onboot=0)
    assert (site.config()["memory"], site.config()["onboot"]) == ("2048", 0)
    assert all("pending" not in row for row in site.get(f"/nodes/{A}/qemu/100/pending"))


@pytest.mark.parametrize(
    ("params", "acl"),
    [
        ({"onboot": 0}, ("/vms/100", "VM.Config.Options")),
        ({"tags": "x"}, ("/vms/100", "VM.Config.Options")),
        ({"memory": 1024}, ("/vms/100", "VM.Config.Memory")),
        ({"cores": 1}, ("/vms/100", "VM.Config.CPU")),
        ({"net0": "virtio,bridge=vmbr0"}, ("/vms/100", "VM.Config.Network")),
        ({"net0": "virtio,bridge=vmbr0"}, ("/sdn/zones/localnetwork/vmbr0", "SDN.Use")),
        ({"scsi1": "tank:8"}, ("/vms/100", "VM.Config.Disk")),
        ({"scsi1": "tank:8"}, ("/storage/tank", "Datastore.AllocateSpace")),
        ({"ide2": "none,media=cdrom"}, ("/vms/100", "VM.Config.CDROM")),
        ({"vga": "std"}, ("/vms/100", "VM.Config.HWType")),
        ({"delete": "net0"}, ("/vms/100", "VM.Config.Network")),
    ],
)
def test_each_option_wants_its_privilege(site: Site, params: dict[str, object], acl: tuple[str, str]) -> None:
    site.put(CONFIG, **params)
    site.rights = lambda path, privilege: (path, privilege) != acl
    refused = site.refused("PUT", CONFIG, **params)
    assert (refused.status, refused.text) == (403, f"Permission check failed ({', '.join(acl)})")


def test_args_are_roots_alone(site: Site) -> None:
    assert site.refused("PUT", CONFIG, args="-device pvpanic").text == "only root can set 'args' config"
    site.user, site.token_id = "root@pam", ""
    site.put(CONFIG, args="-device pvpanic")


def test_a_new_disk_is_made_and_a_deleted_one_becomes_unused(site: Site) -> None:
    site.put(CONFIG, scsi1="tank:8")
    assert site.config()["scsi1"] == "tank:vm-100-disk-1,size=8G"
    site.put(CONFIG, delete="scsi1")
    assert site.config()["unused0"] == "tank:vm-100-disk-1"


def test_a_change_in_the_background_is_a_task(site: Site) -> None:
    site.done(site.post(CONFIG, onboot=0))
    assert site.config()["onboot"] == 0
    assert site.get(f"/nodes/{A}/tasks")[0]["type"] == "qmconfig"


@pytest.mark.parametrize(
    ("method", "path", "params", "acl"),
    [
        ("GET", CONFIG, {}, ("/vms/100", "VM.Audit")),
        ("POST", f"/nodes/{A}/qemu/100/status/start", {}, ("/vms/100", "VM.PowerMgmt")),
        ("POST", f"/nodes/{A}/qemu/100/migrate", {"target": B}, ("/vms/100", "VM.Migrate")),
        ("POST", f"/nodes/{A}/qemu/100/clone", {"newid": 9200, "full": 1}, ("/vms/100", "VM.Clone")),
        ("POST", f"/nodes/{A}/qemu/100/clone", {"newid": 9200, "full": 1}, ("/vms/9200", "VM.Allocate")),
        (
            "POST",
            f"/nodes/{A}/qemu/100/clone",
            {"newid": 9200, "full": 1},
            ("/storage/tank", "Datastore.AllocateSpace"),
        ),
        ("DELETE", f"/nodes/{A}/qemu/100", {}, ("/vms/100", "VM.Allocate")),
        ("POST", f"/nodes/{A}/qemu", {"vmid": 9100}, ("/vms/9100", "VM.Allocate")),
        ("POST", f"/nodes/{A}/qemu/100/snapshot", {"snapname": "x1"}, ("/vms/100", "VM.Snapshot")),
        ("POST", f"/nodes/{A}/qemu/100/vncproxy", {}, ("/vms/100", "VM.Console")),
        ("PUT", "/cluster/replication/100-0", {"disable": 1}, ("/vms/100", "VM.Replicate")),
        ("POST", f"/nodes/{A}/replication/100-0/schedule_now", {}, ("/vms/100", "VM.Replicate")),
        ("POST", "/cluster/ha/resources", {"sid": "vm:100"}, ("/", "Sys.Console")),
        ("GET", "/cluster/status", {}, ("/", "Sys.Audit")),
        ("GET", "/cluster/backup-info/not-backed-up", {}, ("/", "Sys.Audit")),
        (
            "POST",
            f"/nodes/{A}/vzdump",
            {"vmid": "100", "storage": "pbs"},
            ("/storage/pbs", "Datastore.AllocateSpace"),
        ),
        ("GET", f"/nodes/{A}/status", {}, (f"/nodes/{A}", "Sys.Audit")),
    ],
)
def test_each_call_wants_its_privilege(
    site: Site, method: str, path: str, params: dict[str, object], acl: tuple[str, str]
) -> None:
    site.rights = lambda path, privilege: (path, privilege) != acl
    refused = site.refused(method, path, **params)
    assert (refused.status, refused.text) == (403, f"Permission check failed ({', '.join(acl)})")


def test_without_rights_the_lists_are_empty_and_no_error(site: Site) -> None:
    site.rights = lambda path, privilege: False
    assert site.get("/cluster/resources", type="vm") == []
    assert site.get(f"/nodes/{A}/qemu") == []
    assert site.get("/cluster/replication") == []
    assert [r["type"] for r in site.get("/cluster/resources")] == ["node", "node"]
