# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Proxmox lab of a client: what its overlay says, what its API shows, what befalls it, and what the world makes of that."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Iterator

import pytest
import requests

from ansible_collections.ferragosto.dr.extensions.twin import overlay
from ansible_collections.ferragosto.dr.extensions.twin.inventory import BadInventory
from ansible_collections.ferragosto.dr.extensions.twin.lab import LabRunning, wait_for
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.lab import ProxmoxLab
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Screen
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Role
from ansible_collections.ferragosto.dr.tests.unit.twin.lab_kit import LUCA, QUICK, await_page, inventory_of, page
from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.lab_kit import ResourceException, api, finish

VMID = {"dc01": 100, "gestionale": 101, "files01": 102, "magazzino": 103}


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxmoxLab]:
    with ProxmoxLab.start(LUCA, timing=QUICK, state_dir=tmp_path_factory.mktemp("lab"), has_ssh=True) as lab:
        yield lab
        assert lab.schema is None or lab.schema.violations == [], "replies that PVE's own schema does not allow"


@pytest.fixture
def lab(shared_lab: ProxmoxLab) -> ProxmoxLab:
    shared_lab.reset()
    return shared_lab


# --- overlay ---------------------------------------------------------------------------------------------------------


def test_the_overlay_replaces_what_belongs_to_the_other_platform_and_keeps_the_rest(shared_lab: ProxmoxLab) -> None:
    plain = inventory_of("gestionale.luca", LUCA)
    shown = inventory_of("gestionale.luca", LUCA, shared_lab.overlay_path)
    assert {key for key in shown if shown[key] != plain.get(key)} == {"dr_site", "dr_checks", "dr_replica", "dr_policy"}
    assert shown["dr_replica"] is None
    assert shown["dr_policy"] == {key: word for key, word in plain["dr_policy"].items() if key != "job_hook"}
    assert shown["dr_site"]["name"] == plain["dr_site"]["name"]
    assert shown["dr_checks"][1]["http"] == f"http://127.0.0.1:{shared_lab.pages.port('gestionale')}/health"


def test_the_overlay_says_how_to_reach_both_nodes_and_only_its_owner_may_read_it(shared_lab: ProxmoxLab) -> None:
    site = inventory_of("dc01.luca", LUCA, shared_lab.overlay_path)["dr_site"]
    production, replica = site["production"], site["replica"]
    assert site["provider"] == "proxmox"
    assert (production["node"], replica["node"]) == ("esx1", "esx2")
    assert production["api_port"] != replica["api_port"]
    assert {e["datastore"] for e in (production, replica)} == {"local-zfs"}
    assert production["ssh_port"] != replica["ssh_port"]
    for secret in (shared_lab.overlay_path, shared_lab.state_dir / "control-token", shared_lab.state_dir / "ssh_key"):
        assert oct(secret.stat().st_mode & 0o777) == "0o600"


def test_a_client_without_ssh_gets_no_word_of_it(tmp_path) -> None:
    with ProxmoxLab.start(LUCA, timing=QUICK, state_dir=tmp_path, limit={"dc01.luca"}) as lab:
        (group,) = overlay.read(lab.overlay_path).values()
        assert [word for word in group["vars"]["dr_site"]["production"] if word.startswith("ssh")] == []
        assert list(group["hosts"]) == ["dc01.luca"]


# --- what its API shows ----------------------------------------------------------------------------------------------


def test_the_site_stands_as_the_client_describes_it(lab: ProxmoxLab) -> None:
    rows = {r["name"]: r for r in api(lab).cluster.resources.get(type="vm")}
    assert {name: row["vmid"] for name, row in rows.items()} == VMID
    assert {(row["node"], row["status"]) for row in rows.values()} == {("esx1", "running")}
    assert rows["gestionale"]["maxmem"] == 16384 * 2**20
    nodes = {n["name"]: n["online"] for n in api(lab).cluster.status.get() if n["type"] == "node"}
    assert nodes == {"esx1": 1, "esx2": 1}
    for vm in VMID:
        assert page(lab, vm)["status"] == "ok"


def test_the_replica_is_of_last_night_and_the_nights_before_are_backups(lab: ProxmoxLab) -> None:
    jobs = {int(j["guest"]): j for j in api(lab).nodes("esx1").replication.get()}
    now_s = time.time()
    assert set(jobs) == set(VMID.values())
    for job in jobs.values():
        assert now_s - job["last_sync"] == pytest.approx(7 * 3600, abs=120)
        assert job["next_sync"] > now_s + 3600
        assert (job["source"], job["target"], job["fail_count"]) == ("esx1", "esx2", 0)
    kept = api(lab).nodes("esx2").storage("pbs").content.get(content="backup", vmid=101)
    ages_h = sorted(round((now_s - row["ctime"]) / 3600) for row in kept)
    assert ages_h == [7, 31, 55]


def test_the_page_names_the_copy_by_its_generation_id(lab: ProxmoxLab) -> None:
    config = api(lab).nodes("esx1").qemu(101).config.get()
    assert page(lab, "gestionale")["copy"] == config["vmgenid"].partition(",")[0]


# --- what befalls it -------------------------------------------------------------------------------------------------


def test_the_story_ends_every_boot_in_a_blue_screen(lab: ProxmoxLab) -> None:
    assert lab.control.begin_story() == "gestionale"
    await_page(lab, "gestionale", "")
    assert lab.datacenter_of("esx1").screen_of("esx1", 101) is Screen.BLUE_SCREEN
    client = api(lab)
    with pytest.raises(ResourceException, match="QEMU guest agent is not running"):
        client.nodes("esx1").qemu(101).agent.ping.post()
    assert client.nodes("esx1").qemu(101).status.current.get()["status"] == "running"
    assert finish(client, client.nodes("esx1").qemu(101).status.stop.post()) == "OK"
    assert finish(client, client.nodes("esx1").qemu(101).status.start.post()) == "OK"
    wait_for(lambda: lab.datacenter_of("esx1").screen_of("esx1", 101) is Screen.BLUE_SCREEN, 3, "the next blue screen")
    assert page(lab, "files01")["status"] == "ok"
    replica = lab.world.copy_of("gestionale", Role.REPLICA)
    assert replica.data.is_corrupted is False


def test_what_a_person_did_stands_in_the_task_history_under_its_name(lab: ProxmoxLab) -> None:
    lab.control.power_off("files01", user="anna@pve")
    await_page(lab, "files01", "")
    lab.control.power_on("files01", user="anna@pve")
    await_page(lab, "files01", "esx1")
    rows = api(lab).nodes("esx1").tasks.get(vmid=102, source="all")
    mine = {(r["type"], r["user"], r["status"]) for r in rows if r["user"] == "anna@pve"}
    assert mine == {("qmstop", "anna@pve", "OK"), ("qmstart", "anna@pve", "OK")}


def test_a_cable_is_drawn_and_plugged_in_again(lab: ProxmoxLab) -> None:
    lab.control.disconnect_nics("files01")
    await_page(lab, "files01", "")
    assert "link_down=1" in api(lab).nodes("esx1").qemu(102).config.get()["net0"]
    lab.control.connect_nics("files01")
    await_page(lab, "files01", "esx1")


def test_a_service_can_fail_while_its_guest_lives(lab: ProxmoxLab) -> None:
    lab.control.service("files01", "error")
    assert requests.get(f"http://127.0.0.1:{lab.pages.port('files01')}/health", timeout=5).status_code == 503
    lab.control.service("files01", "ok")
    assert page(lab, "files01")["status"] == "ok"


def test_a_dead_agent_and_a_lock_are_seen_by_a_client(lab: ProxmoxLab) -> None:
    guest = api(lab).nodes("esx1").qemu(102)
    guest.agent.ping.post()
    lab.control.dead_agent("files01")
    with pytest.raises(ResourceException, match="QEMU guest agent is not running"):
        guest.agent.ping.post()
    lab.control.dead_agent("files01", is_dead=False)
    guest.agent.ping.post()
    lab.control.lock("files01", "backup")
    assert guest.status.current.get()["lock"] == "backup"
    with pytest.raises(ResourceException, match=r"VM is locked \(backup\)"):
        guest.config.put(onboot=0)
    lab.control.unlock("files01")
    guest.config.put(onboot=0)


def test_replication_runs_fails_and_is_disabled_on_command(lab: ProxmoxLab) -> None:
    def job() -> dict[str, t.Any]:
        return next(j for j in api(lab).nodes("esx1").replication.get() if int(j["guest"]) == 102)

    assert lab.control.run_job("files01") is True
    assert time.time() - job()["last_sync"] < 60
    lab.control.replication_error("files01", "No common base snapshot on volume(s) local-zfs:vm-102-disk-0")
    assert lab.control.run_job("files01") is False
    assert (job()["fail_count"], job()["error"].startswith("No common base snapshot")) == (1, True)
    lab.control.job("files01", is_enabled=False)
    lab.control.replication_error("files01", "")
    assert lab.control.run_job("files01") is False
    assert job()["disable"] == 1


def test_backups_and_snapshots_are_made_on_command(lab: ProxmoxLab) -> None:
    before = api(lab).nodes("esx1").storage("pbs").content.get(content="backup", vmid=102)
    lab.control.backup_now("files01")
    assert len(api(lab).nodes("esx1").storage("pbs").content.get(content="backup", vmid=102)) == len(before) + 1
    lab.control.snapshot("files01", "before_update")
    assert lab.control.snapshots("files01") == ["before_update"]


def test_a_vm_that_cannot_be_stopped_says_so_in_its_task(lab: ProxmoxLab) -> None:
    client = api(lab)
    lab.control.refuse_power_off("files01")
    assert "timeout" in finish(client, client.nodes("esx1").qemu(102).status.stop.post())
    assert finish(client, client.nodes("esx1").qemu(103).status.stop.post()) == "OK"
    lab.control.refuse_power_off("files01", refuses=False)
    assert finish(client, client.nodes("esx1").qemu(102).status.stop.post()) == "OK"


# --- nodes and doors -------------------------------------------------------------------------------------------------


def test_a_dead_node_takes_its_guests_and_its_door_along(lab: ProxmoxLab) -> None:
    lab.control.host_lost("esx1")
    assert page(lab, "dc01") == {}
    with pytest.raises(requests.exceptions.ConnectionError):
        api(lab).version.get()
    other = api(lab, "replica")
    assert {n["name"]: n["online"] for n in other.cluster.status.get() if n["type"] == "node"} == {"esx1": 0, "esx2": 1}
    with pytest.raises(ResourceException, match="595"):
        other.nodes("esx1").qemu(101).config.get()
    assert sorted(lab.control.host_back("esx1")) == sorted(VMID)
    await_page(lab, "dc01", "esx1")
    assert api(lab).version.get()
    assert lab.control.violations() == []


def test_an_isolated_node_s_guests_live_on_and_a_second_start_is_a_split_brain(lab: ProxmoxLab) -> None:
    lab.control.host_lost("esx1", is_dead=False)
    assert page(lab, "gestionale")["host"] == "esx1"
    site = lab.datacenter_of("esx2")
    site.expected_votes("esx2", 1)
    site.move_config(101, "esx2", by_node="esx2")
    other = api(lab, "replica")
    assert finish(other, other.nodes("esx2").qemu(101).status.start.post()) == "OK"
    wait_for(lambda: bool(lab.control.violations()), 3, "the watch to see two copies")
    assert {v["vm"] for v in lab.control.violations()} == {"gestionale"}


def test_an_original_that_starts_with_its_returning_node_is_a_split_brain(lab: ProxmoxLab) -> None:
    lab.control.host_lost("esx1")
    lab.datacenter_of("esx2").expected_votes("esx2", 1)
    other = api(lab, "replica")
    newest = max(other.nodes("esx2").storage("pbs").content.get(content="backup", vmid=101), key=lambda r: r["ctime"])
    upid = other.nodes("esx2").qemu.post(vmid=9101, archive=newest["volid"], storage="local-zfs", unique=0)
    assert finish(other, upid) == "OK"
    assert finish(other, other.nodes("esx2").qemu(9101).status.start.post()) == "OK"
    await_page(lab, "gestionale", "esx2")
    assert lab.control.violations() == []
    lab.control.host_back("esx1")
    wait_for(lambda: bool(lab.control.violations()), 3, "the watch to see two copies")
    first = lab.control.violations()[0]
    assert (first["vm"], len(first["copies"])) == ("gestionale", 2)


def test_the_quorum_goes_and_comes_back(lab: ProxmoxLab) -> None:
    lab.control.quorum()
    quorate = [row["quorate"] for row in api(lab).cluster.status.get() if row["type"] == "cluster"]
    assert quorate == [0]
    with pytest.raises(ResourceException, match="no quorum"):
        api(lab).nodes("esx1").qemu(102).status.start.post()
    lab.control.quorum(is_lost=False)
    assert [r["quorate"] for r in api(lab).cluster.status.get() if r["type"] == "cluster"] == [1]


def test_endpoints_go_down_and_certificates_change(lab: ProxmoxLab) -> None:
    client = api(lab)
    lab.control.endpoint_down()
    with pytest.raises(requests.exceptions.ConnectionError):
        client.version.get()
    assert page(lab, "dc01")["status"] == "ok"
    lab.control.endpoint_up()
    client.version.get()
    lab.control.certificate("foreign")
    with pytest.raises(requests.exceptions.SSLError):
        api(lab).version.get()
    lab.control.certificate("good")
    api(lab).version.get()


def test_a_rule_strikes_one_call_and_is_forgotten_by_a_reset(lab: ProxmoxLab) -> None:
    lab.control.rule("GET", "error_before", path="/version", status=596, text="Broken pipe")
    with pytest.raises(ResourceException, match="596"):
        api(lab).version.get()
    api(lab).version.get()
    assert [rule["struck"] for rule in lab.control.rules()] == [1]
    lab.reset()
    assert lab.control.rules() == []


# --- life ------------------------------------------------------------------------------------------------------------


def test_a_reset_brings_back_the_first_state_at_the_same_addresses(lab: ProxmoxLab) -> None:
    client, ports = api(lab), [lab.doors.endpoint(node) for node in lab.doors.nodes]
    lab.control.begin_story()
    client.nodes("esx1").qemu(102).config.put(onboot=0)
    lab.control.host_lost("esx2")
    lab.reset()
    assert [lab.doors.endpoint(node) for node in lab.doors.nodes] == ports
    assert client.nodes("esx1").qemu(102).config.get()["onboot"] == 1
    assert [n["online"] for n in client.cluster.status.get() if n["type"] == "node"] == [1, 1]
    await_page(lab, "gestionale", "esx1")
    assert lab.control.violations() == []


def test_two_labs_do_not_share_a_folder(lab: ProxmoxLab) -> None:
    with pytest.raises(LabRunning, match="runs in"):
        ProxmoxLab.start(LUCA, timing=QUICK, state_dir=lab.state_dir)
    assert page(lab, "dc01")["status"] == "ok"


def test_an_unknown_word_is_refused_before_anything_starts(tmp_path) -> None:
    (tmp_path / "bad.yml").write_text("proxmox: {layuot: standalone}\n", encoding="utf-8")
    with pytest.raises(BadInventory, match="unknown layuot"):
        ProxmoxLab.start(LUCA, lab_file=tmp_path / "bad.yml", state_dir=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_a_lab_file_s_faults_are_in_force_at_the_first_call_and_after_a_reset(tmp_path) -> None:
    plan = "{action: error_before, method: GET, path: /version, status: 596, text: Broken pipe}"
    dead = "{action: dead_agent, target: '100'}"
    (tmp_path / "lab.yml").write_text(f"proxmox: {{faults: [{plan}, {dead}]}}\n", encoding="utf-8")
    with ProxmoxLab.start(LUCA, lab_file=tmp_path / "lab.yml", timing=QUICK, state_dir=tmp_path / "state") as lab:
        for again in (False, True):
            if again:
                lab.reset()
            with pytest.raises(ResourceException, match="596"):
                api(lab).version.get()
            api(lab).version.get()
            with pytest.raises(ResourceException, match="QEMU guest agent is not running"):
                api(lab).nodes("esx1").qemu(100).agent.ping.post()
    (tmp_path / "lab.yml").write_text("proxmox: {faults: [{action: dead_node, target: pve9}]}\n", encoding="utf-8")
    with pytest.raises(BadInventory, match="faults: no node 'pve9'; there are esx1, esx2"):
        ProxmoxLab.start(LUCA, lab_file=tmp_path / "lab.yml", timing=QUICK, state_dir=tmp_path / "other")


def test_two_standalone_nodes_share_nothing_but_their_backups(tmp_path) -> None:
    with ProxmoxLab.start(LUCA, timing=QUICK, state_dir=tmp_path, layout="standalone") as lab:
        first, second = api(lab), api(lab, "replica")
        assert [n["name"] for n in first.cluster.status.get() if n["type"] == "node"] == ["esx1"]
        assert [n["name"] for n in second.cluster.status.get() if n["type"] == "node"] == ["esx2"]
        assert {r["name"] for r in first.cluster.resources.get(type="vm")} == set(VMID)
        assert second.cluster.resources.get(type="vm") == []
        kept = [c.nodes(n).storage("pbs").content.get(content="backup") for c, n in ((first, "esx1"), (second, "esx2"))]
        assert [len(rows) for rows in kept] == [12, 12]
        with pytest.raises(LookupError, match="no replication job"):
            lab.control.run_job("dc01")
        lab.control.host_lost("esx1")
        assert second.version.get()
