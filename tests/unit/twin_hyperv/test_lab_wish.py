# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client's words, shaped for Hyper-V: what is kept, what is added, what is refused and how."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wish import HypervWish, hyperv_wish
from ansible_collections.ferragosto.dr.extensions.twin.inventory import BadInventory, read_site

ROOT = Path(__file__).resolve().parents[3]
LUCA, VERDI, CLINIC = ROOT / "clients/luca", ROOT / "clients/verdi", ROOT / "tests/e2e/clinic.yml"


def shaped(
    folder: Path,
    lab: dict[str, t.Any] | None = None,
    *,
    hosts: str = "one: {dr_vm: one}",
    nodes: tuple[str, str] = ("a.small.example", "b.small.example"),
    more_words: str = "",
    **more: t.Any,
) -> HypervWish:
    """One small client with a lab file of its own."""
    end = f"{{api_host: x, node: %s, network: Office, {more_words}}}"
    inventory = folder / "site.yml"
    inventory.write_text(
        "site:\n  vars:\n    dr_site:\n      name: small\n      provider: hyperv\n"
        f"      production: {end % nodes[0]}\n      replica: {end % nodes[1]}\n  hosts:\n    {hosts}\n",
        encoding="utf-8",
    )
    (folder / "site.lab.yml").write_text(yaml.safe_dump(lab or {}), encoding="utf-8")
    return hyperv_wish(read_site(inventory), **more)


def test_a_client_of_hyperv_keeps_its_words() -> None:
    wish = hyperv_wish(read_site(VERDI))
    assert (wish.production.node, wish.replica.node) == ("hv1.verdi.example", "hv2.verdi.example")
    assert {wish.production.network, wish.replica.network} == {"Ufficio"}
    assert (wish.auth, wish.frequency_s, wish.culture, wish.scheme) == ("certificate", 300, "en-US", "https")
    assert (wish.system_of("centralino"), wish.system_of("dominio")) == ("linux", "windows")


def test_names_of_another_platform_s_client_are_taken_as_they_are_but_for_its_datastores() -> None:
    wish = hyperv_wish(read_site(LUCA))
    assert {wish.production.datastore, wish.replica.datastore} == {"D:"}
    assert (wish.production.node, wish.production.network) == ("esx1.luca.example", "VM Network")
    assert 'L\'"Über" {{ 7 * 7 }} {# no #} склад 倉庫' in [vm.vm for vm in hyperv_wish(read_site(CLINIC)).vms]


@pytest.mark.parametrize(
    ("lab", "age_s", "is_replicating"),
    [
        ({}, 7 * 3600.0, False),
        ({"defaults": {"points": ["49h"]}}, 49 * 3600.0, False),
        ({"defaults": {"points": []}}, 300.0, False),
        ({"hyperv": {"newest": "4m"}}, 240.0, True),
        ({"hyperv": {"newest": "10m", "frequency": 900}, "defaults": {"points": ["8m"]}}, 480.0, True),
    ],
)
def test_the_newest_log_is_as_old_as_the_youngest_point_unless_the_lab_file_says_younger(
    tmp_path: Path, lab: dict[str, t.Any], age_s: float, is_replicating: bool
) -> None:
    wish = shaped(tmp_path, lab)
    assert (wish.log_age_s(wish.vms[0]), wish.is_replicating) == (age_s, is_replicating)


def test_arguments_go_before_the_lab_file(tmp_path: Path) -> None:
    wish = shaped(tmp_path, {"hyperv": {"culture": "de-DE", "scheme": "https", "auth": "kerberos"}}, scheme="http")
    assert (wish.scheme, wish.culture, wish.auth) == ("http", "de-DE", "kerberos")


@pytest.mark.parametrize("every", [30, "30s", 300, "5m", "15m"])
def test_the_frequencies_are_those_of_hyperv_replica(tmp_path: Path, every: int | str) -> None:
    assert shaped(tmp_path, {"hyperv": {"frequency": every}}).frequency_s in (30, 300, 900)


@pytest.mark.parametrize(
    ("lab", "why"),
    [
        ({"hyperv": {"freqency": 300}}, r"hyperv: unknown freqency; the lab knows .*frequency"),
        ({"hyperv": ["frequency"]}, "write a mapping with"),
        ({"hyperv": {"frequency": 60}}, "frequency is 60; Hyper-V Replica knows 30, 300, 900"),
        ({"hyperv": {"newest": "soon"}}, "newest is 'soon': write a duration"),
        ({"hyperv": {"newest": "6m"}}, "newest is '6m', older than the 300 s between two logs"),
        ({"hyperv": {"auth": "ntlm"}}, "auth is 'ntlm'; the lab knows certificate, kerberos"),
        ({"hyperv": {"culture": "it-IT"}}, "culture is 'it-IT'; the lab knows en-US, de-DE"),
        ({"hyperv": {"transport": "kerberos"}}, "transport is 'kerberos'; the lab knows basic, certificate, ntlm"),
        ({"hyperv": {"transport": "basic", "scheme": "http"}}, "basic over http would show the password"),
        ({"hyperv": {"os": {"noone": "linux"}}}, "os: unknown noone; the lab knows one"),
        ({"hyperv": {"os": {"one": "beos"}}}, "os: one is 'beos'; the lab knows windows, linux"),
        ({"hyperv": {"recovery_history": 25}}, "recovery_history is 25; write a number from 0 to 24"),
        ({"hyperv": {"recovery_history": 1}, "defaults": {"points": ["1h", "2h"]}}, "one has 2 points"),
        ({"hyperv": {"nodes": {"productoin": "a"}}}, "nodes: unknown productoin; the lab knows production, replica"),
        ({"hyperv": {"nodes": {"production": "192.0.2.1"}}}, "takes a DNS name, no address"),
        ({"hyperv": {"nodes": {"production": "host_1"}}}, "the production host is 'host_1'"),
        ({"hyperv": {"nodes": {"production": "B.SMALL.example"}}}, "both ends are the host 'B.SMALL.example'"),
        ({"hyperv": {"faults": {"action": "hang"}}}, "faults is .*: write a list of mappings"),
    ],
)
def test_a_wrong_lab_file_names_the_place_and_the_fix(tmp_path: Path, lab: dict[str, t.Any], why: str) -> None:
    with pytest.raises(BadInventory, match=why):
        shaped(tmp_path, lab)


def test_another_volume_than_the_lab_s_hosts_have_is_refused(tmp_path: Path) -> None:
    assert shaped(tmp_path, more_words="datastore: 'D:'").replica.datastore == "D:"
    with pytest.raises(BadInventory, match="the production datastore is 'E:'; the lab's hosts keep their VMs on D:"):
        shaped(tmp_path, more_words="datastore: 'E:'")


def test_a_name_longer_than_hyperv_takes_is_refused_by_the_host_it_is_of(tmp_path: Path) -> None:
    with pytest.raises(BadInventory, match="dr_vm of one has 101 characters; Hyper-V takes at most 100"):
        shaped(tmp_path, hosts=f"one: {{dr_vm: {'x' * 101}}}")
