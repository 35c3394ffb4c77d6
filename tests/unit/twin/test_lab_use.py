# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a lab is made from, and how others use it: inventories, odd sites, overlay, doors, command line, a third-party client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import typing as t
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pyVmomi import vim

from ansible_collections.ferragosto.dr.extensions.twin.inventory import BadInventory, read_site, seconds
from ansible_collections.ferragosto.dr.extensions.twin.vsphere import VsphereLab
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.lab import LabRunning, wait_for
from ansible_collections.ferragosto.dr.tests.unit.twin.conftest import LUCA, QUICK, ROOT, Client

NASTY = """l'"ufficio" {{ 7 * 6 }} Größe Ελλάδα 東京"""
END = "{api_host: vc, node: %s, datastore: %s, network: VM Network}"


def write_site(folder: Path, hosts: str, lab: dict[str, t.Any] | None = None) -> Path:
    inventory = folder / "site.yml"
    inventory.write_text(
        "site:\n  vars:\n    dr_site:\n      name: odd\n      provider: vsphere\n"
        f"      production: {END % ('a.example', 'a-ds')}\n      replica: {END % ('b.example', 'b-ds')}\n"
        '    dr_replica: {name: "{{ dr_vm }}_replica"}\n'
        f"  hosts:\n{hosts}",
        encoding="utf-8",
    )
    if lab is not None:
        (folder / "site.lab.yml").write_text(yaml.safe_dump(lab, allow_unicode=True), encoding="utf-8")
    return inventory


# --- inventories -----------------------------------------------------------------------------------------------------


def test_luca_s_inventory_holds_four_vms_and_needs_no_secret() -> None:
    wish = read_site(LUCA)
    assert [vm.vm for vm in wish.vms] == ["dc01", "gestionale", "files01", "magazzino"]
    assert {vm.replica_name for vm in wish.vms} == {f"{vm.vm}_replica" for vm in wish.vms}
    assert (wish.production.node, wish.replica.node) == ("esx1.luca.example", "esx2.luca.example")


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("30m", 1800), ("7h", 25200), ("1.5d", 129600), (12, 12)])
def test_durations_are_read_with_their_unit(text: object, value: float) -> None:
    assert seconds(text, "x") == value


@pytest.mark.parametrize(
    ("lab", "why"),
    [
        ({"vms": {"one": {"memroy_mb": 4}}}, "unknown memroy_mb; the lab knows .*memory_mb"),
        ({"defaults": {"points": ["yesterday"]}}, "points is 'yesterday': write a duration"),
    ],
)
def test_a_wrong_lab_file_names_the_place_and_the_fix(tmp_path: Path, lab: dict[str, t.Any], why: str) -> None:
    with pytest.raises(BadInventory, match=why):
        read_site(write_site(tmp_path, "    one: {dr_vm: one}\n", lab))


def test_an_inventory_without_protected_vms_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {plain: }}\n")
    with pytest.raises(BadInventory, match="no host with dr_vm"):
        read_site(tmp_path / "hosts.yml")
    with pytest.raises(BadInventory, match="does not exist"):
        read_site(tmp_path / "nosuch")


# --- odd sites -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd_lab(vcsim: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VsphereLab]:
    """Standalone hosts, a VM with a nasty name, namesakes, replicas missing, running and several."""
    folder = tmp_path_factory.mktemp("odd")
    names = {"nasty": NASTY, "lonely": "lonely", "held": "held", "many": "many"}
    hosts = "".join(
        f"    {host}: {{dr_vm: !unsafe {json.dumps(name, ensure_ascii=False)}}}\n" for host, name in names.items()
    )
    lab_file = {
        "vms": {"lonely": {"replica": "missing"}, "held": {"replica": "running"}, "many": {"replica": "several"}},
        "defaults": {"points": ["1h"]},
        "namesakes": [{"name": "many", "folder": "Archive", "node": "a.example", "power": "on"}],
    }
    with VsphereLab.start(write_site(folder, hosts, lab_file), timing=QUICK, state_dir=folder / "state") as lab:
        yield lab


def test_a_nasty_name_lives_like_any_other(odd_lab: VsphereLab) -> None:
    client = Client(odd_lab)
    vm, replica = client.vm(NASTY), client.vm(f"{NASTY}_replica")
    assert json.loads(client.page(NASTY))["copy_name"] == NASTY
    client.finish(vm.PowerOffVM_Task())
    client.finish(replica.PowerOnVM_Task())
    client.await_page(NASTY, replica.config.instanceUuid)
    odd_lab.control.crash(NASTY, "replica")
    wait_for(lambda: bool(client.events(replica, "VmGuestOSCrashedEvent")), 5, "the crash event")


def test_a_nasty_name_passes_through_the_overlay_untemplated(odd_lab: VsphereLab) -> None:
    shown = inventory_of(odd_lab.overlay_path.parent.parent / "site.yml", odd_lab.overlay_path, "nasty")
    assert shown["dr_vm"] == NASTY
    assert shown["dr_site"]["production"]["api_port"] == odd_lab.endpoint[1]


def test_hosts_stand_alone_where_the_lab_file_names_no_cluster(odd_lab: VsphereLab) -> None:
    assert {type(h.parent) for h in Client(odd_lab).all(vim.HostSystem).values()} == {vim.ComputeResource}


def test_two_vms_of_one_name_stand_in_two_folders(odd_lab: VsphereLab) -> None:
    client = Client(odd_lab)
    view = client.content.viewManager.CreateContainerView(client.content.rootFolder, [vim.VirtualMachine], True)
    namesakes = [vm for vm in view.view if vm.name == "many"]
    assert {vm.parent.name for vm in namesakes} == {"vm", "Archive"}
    assert len({vm.config.instanceUuid for vm in namesakes}) == 2
    assert odd_lab.control.violations() == []


def test_replicas_are_missing_running_or_several_as_wished(odd_lab: VsphereLab) -> None:
    machines = Client(odd_lab).all(vim.VirtualMachine)
    assert "lonely_replica" not in machines
    assert {n: str(machines[n].runtime.powerState) for n in ("held", "held_replica")} == {
        "held": "poweredOff",
        "held_replica": "poweredOn",
    }
    assert {n for n in machines if n.startswith("many_replica")} == {"many_replica", "many_replica-old"}


# --- overlay ---------------------------------------------------------------------------------------------------------


def inventory_of(client: Path, overlay: Path, host: str) -> dict[str, t.Any]:
    """What Ansible itself makes of the client's inventory with the overlay after it."""
    command = [sys.executable, "-m", "ansible.cli.inventory", "-i", str(client), "-i", str(overlay), "--host", host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return t.cast("dict[str, t.Any]", json.loads(done.stdout))


def test_the_overlay_replaces_the_site_and_the_checks_and_nothing_else(lab: VsphereLab) -> None:
    plain = inventory_of(LUCA, LUCA / "hosts.yml", "gestionale.luca")
    shown = inventory_of(LUCA, lab.overlay_path, "gestionale.luca")
    changed = {key for key in shown if shown[key] != plain.get(key)}
    assert changed == {"dr_site", "dr_checks", "backup_server_url"}
    assert shown["dr_site"]["replica"]["node"] == "esx2.luca.example"
    assert shown["dr_checks"][1]["http"] == f"http://127.0.0.1:{lab.pages.port('gestionale')}/health"
    assert oct(lab.overlay_path.stat().st_mode & 0o777) == "0o600"


# --- doors -----------------------------------------------------------------------------------------------------------


def ask(url: str, body: object = None, token: str = "", verb: str = "POST") -> tuple[int, t.Any]:
    content = json.dumps(body or {}).encode()
    request = urllib.request.Request(url, content, {"Authorization": f"Bearer {token}"}, method=verb)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_control_door_wants_its_token_and_knows_the_verbs(lab: VsphereLab) -> None:
    token = (lab.state_dir / "control-token").read_text()
    assert ask(f"{lab.control_url}/crash", {"vm": "files01"})[0] == 401
    assert ask(f"{lab.control_url}/explode", token=token)[0] == 404
    assert ask(f"{lab.control_url}/crash", {"vm": "nosuch"}, token)[0] == 404
    assert ask(f"{lab.control_url}/crash", {"host": "x"}, token)[0] == 400
    assert ask(f"{lab.control_url}/crash", {"vm": "files01"}, token) == (200, None)
    status, world = ask(f"{lab.control_url}/world", token=token)
    assert status == 200
    assert {c["phase"] for c in world["copies"].values() if c["name"] == "files01"} == {"crashed"}


def test_the_backup_server_disables_a_job(lab: VsphereLab) -> None:
    assert ask(f"{lab.backup_url}/jobs", verb="GET")[1]["files01"]["is_enabled"] is True
    assert ask(f"{lab.backup_url}/jobs/files01/disable")[1]["is_enabled"] is False
    assert lab.control.run_job("files01") is False
    assert ask(f"{lab.backup_url}/jobs/nosuch/disable")[0] == 404


# --- command line ----------------------------------------------------------------------------------------------------


def start_lab(state: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ansible_collections.ferragosto.dr.extensions.twin.vsphere", "-i", str(LUCA)]
    paths = os.pathsep.join(filter(None, (str(ROOT / ".tree"), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [*command, "--state-dir", str(state), "--fast", *more],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_the_command_prints_its_overlay_and_takes_vcsim_along(
    vcsim: None, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with start_lab(tmp_path / "lab") as process:
        assert process.stdout is not None
        assert Path(process.stdout.readline().strip()) == tmp_path / "lab" / "overlay.yml"
        pid = json.loads((tmp_path / "lab" / "lab.json").read_text())["vcsim_pid"]
        assert is_running(pid)
        process.send_signal(number)
        assert process.wait(timeout=10) == code
    wait_for(lambda: not is_running(pid), 5, "the end of vcsim")


def test_two_labs_do_not_share_a_folder(lab: VsphereLab) -> None:
    with pytest.raises(LabRunning, match="runs in"):
        VsphereLab.start(LUCA, timing=QUICK, state_dir=lab.state_dir)
    assert Client(lab).vm("files01").runtime.powerState == "poweredOn"


def test_the_command_says_what_is_wrong_with_an_inventory(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ansible_collections.ferragosto.dr.extensions.twin.vsphere",
        "-i",
        str(tmp_path / "no"),
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT / ".tree")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=env, check=False)
    assert (done.returncode, "does not exist" in done.stderr) == (2, True)


# --- a client that nobody here wrote ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def govc() -> str:
    import importlib.util

    spec = importlib.util.spec_from_file_location("get_simulators", ROOT / "tools" / "get_simulators.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.find_simulator("govc")
    if found is None:
        pytest.skip("no govc here: run `make setup`")
    return str(found)


def test_govc_works_against_the_lab(lab: VsphereLab, govc: str) -> None:
    where = {
        "GOVC_URL": f"https://127.0.0.1:{lab.endpoint[1]}/sdk",
        "GOVC_USERNAME": lab.user,
        "GOVC_PASSWORD": lab.password,
        "GOVC_TLS_CA_CERTS": str(lab.ca_path),
        "GOVC_PERSIST_SESSION": "false",
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            [govc, *words], capture_output=True, text=True, timeout=30, env={**os.environ, **where}, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "64.0GB" in run("host.info", "-host", "esx2.luca.example").replace("65536MB", "64.0GB")
    assert run("host.autostart.info", "-host", "esx1.luca.example").count("PowerOn") == 4
    assert run("snapshot.tree", "-vm", "files01_replica").count("Restore Point") == 3
    run("vm.power", "-off", "-force", "files01")
    run("vm.power", "-on", "files01_replica")
    run("vm.migrate", "-host", "esx1.luca.example", "-ds", "esx1-local", "files01_replica")
    assert "esx1.luca.example" in run("vm.info", "files01_replica")
    Client(lab).await_page("files01", "files01_replica")
    assert lab.control.violations() == []
