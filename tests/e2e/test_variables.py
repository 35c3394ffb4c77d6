# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A wrong variable names itself, its value and the fix, before anything is touched."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.plugins.filter.protected_vms import protected_vms
from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench

SOUND: dict[str, t.Any] = {
    "dr_accept": {"data_loss": "Luca agreed on the phone"},
    "dr_address": "127.0.0.1",
    "dr_alert_at": "",
    "dr_approved_by": "Anna",
    "dr_checks": [],
    "dr_client": {"name": "Clinica", "locale": "it", "timezone": "Europe/Rome"},
    "dr_contract": {"rto": "30m", "rpo": "24h"},
    "dr_depends_on": [],
    "dr_policy": {"restarts": 1},
    "dr_priority": 3,
    "dr_progress": True,
    "dr_replica": {"name": "solo_replica"},
    "dr_runner": "localhost",
    "dr_vm": "solo",
}
WRONG: list[tuple[str, dict[str, t.Any], tuple[str, ...]]] = [
    ("misspelt variable", {"dr_acept": {"data_loss": "x y"}}, ("dr_acept", "did you mean dr_accept")),
    (
        "consent without words",
        {"dr_accept": {"data_loss": True}},
        ("dr_accept.data_loss", "True", "write why in words"),
    ),
    (
        "consent that says yes",
        {"dr_accept": {"unfenced": "yes"}},
        ("dr_accept.unfenced", "'yes'", "write why in words"),
    ),
    (
        "misspelt consent",
        {"dr_accept": {"dataloss": "x y"}},
        ("dr_accept.dataloss", "did you mean dr_accept.data_loss"),
    ),
    (
        "consents as a word",
        {"dr_accept": "all of it"},
        ("dr_accept", "'all of it'", "write it as keys and values out of: data_loss"),
    ),
    ("alert in no time", {"dr_alert_at": "at noon"}, ("dr_alert_at", "'at noon'", "2026-08-15T04:12:00+02:00")),
    ("alert in the future", {"dr_alert_at": "2199-01-01T00:00:00"}, ("dr_alert_at", "2199", "in the future")),
    ("check of no kind", {"dr_checks": [{"icmp": "x"}]}, ("dr_checks[0]", "icmp", "tcp, http")),
    ("port out of bounds", {"dr_checks": [{"tcp": 99999}]}, ("dr_checks[0].tcp", "99999", "65535")),
    ("URL without a host", {"dr_checks": [{"http": "/health"}]}, ("dr_checks[0].http", "'/health'", "whole URL")),
    ("locale", {"dr_client": {"locale": "klingon"}}, ("dr_client.locale", "'klingon'", "it, en")),
    ("time zone", {"dr_client": {"timezone": "Rome"}}, ("dr_client.timezone", "'Rome'", "Europe/Rome")),
    ("no contract", {"dr_contract": None}, ("dr_contract.rto", "not set", "rto: 30m")),
    ("checks as a word", {"dr_checks": "tcp 80"}, ("dr_checks", "'tcp 80'", "list")),
    ("no RPO", {"dr_contract": {"rto": "30m"}}, ("dr_contract.rpo", "not set", "rpo: 24h")),
    ("duration", {"dr_contract": {"rto": "soon", "rpo": "24h"}}, ("dr_contract.rto", "'soon'", "30m")),
    ("on call", {"dr_contract": {"rto": "30m", "rpo": "1d", "on_call": "often"}}, ("dr_contract.on_call", "'often'")),
    (
        "dependencies as a word",
        {"dr_depends_on": "db.clinic"},
        ("dr_depends_on", "'db.clinic'", "list of inventory names"),
    ),
    ("restarts", {"dr_policy": {"restarts": -1}}, ("dr_policy.restarts", "-1", "from 0 to 10")),
    (
        "way home",
        {"dr_policy": {"migrate_home": "laterr"}},
        ("dr_policy.migrate_home", "'laterr'", "did you mean later"),
    ),
    ("deadline", {"dr_policy": {"deadlines": {"guest": "0s"}}}, ("dr_policy.deadlines.guest", "'0s'", "at least 1s")),
    ("unknown deadline", {"dr_policy": {"deadlines": {"gest": "9m"}}}, ("dr_policy.deadlines.gest", "guest")),
    ("priority", {"dr_priority": 9}, ("dr_priority", "9", "from 1 to 5")),
    ("replica by two rules", {"dr_replica": {"name": "a", "id": "b"}}, ("dr_replica", "exactly one", "match")),
    ("recovery point", {"recover_point": "2026-13-45"}, ("recover", "2026-13-45")),
]


def ask(bench: Bench, variables: dict[str, t.Any]) -> dict[str, t.Any]:
    given = {**SOUND, "dr_site": bench.site(), "dr_journal": bench.journal_url, **variables}
    return bench.module("recovery_plan_info", site=None, vms=protected_vms(["solo.clinic"], {"solo.clinic": given}))


@pytest.mark.parametrize(("variables", "words"), [pytest.param(v, w, id=name) for name, v, w in WRONG])
def test_wrong_variable_names_itself_its_value_and_the_fix(
    bench_unchanged: Bench, variables: dict[str, t.Any], words: tuple[str, ...]
) -> None:
    told = ask(bench_unchanged, variables)
    assert told.get("failed"), told
    assert told["error"]["code"] == "bad_input", told["msg"]
    for word in words:
        assert word in told["msg"]
    assert bench_unchanged.changing_calls() == {}


def test_every_variable_of_the_inventory_is_known(bench: Bench) -> None:
    told = ask(bench, {})
    assert not told.get("failed"), told["msg"]
    assert told["cards"]["solo.clinic"]["error"] is None


def test_wrong_site_names_the_option_and_provider(bench: Bench) -> None:
    for change, words in (
        ({"provider": "vshere"}, ("vshere", "vsphere")),
        ({"production": {"node": "esx1.clinic.example"}}, ("api_host",)),
        ({"production": {**bench.site()["production"], "node": "esx9"}}, ("esx9", "esx1.clinic.example")),
        ({"witnesses": [{"tcp": "esx1"}]}, ("dr_site.witnesses", "esx1")),
    ):
        told = ask(bench, {"dr_site": {**bench.site(), **change}})
        said = told["msg"] if told.get("failed") else told["cards"]["solo.clinic"]["decision"]["reason"]
        for word in words:
            assert word in said, said
    assert bench.changing_calls() == {}


def test_misspelt_consent_stops_the_command_before_it_touches_anything(bench: Bench) -> None:
    bench.control.crash("old")
    ended = bench.play("recover", limit="old.clinic", extra={"dr_acept": {"data_loss": "Luca agreed"}})
    assert ended.rc != 0
    assert "old.clinic: read dr_acept: no such variable exists. Next: did you mean dr_accept?" in ended.said, ended.text
    bare = bench.play("recover", limit="old.clinic", extra={"dr_accept": True})
    assert bare.rc != 0
    assert "old.clinic: read dr_accept: True is not a mapping. Next: write it as keys and values" in bare.said, (
        bare.text
    )
    assert bench.changing_calls() == {}
    assert bench.records("old") == []


def test_dependency_that_is_no_host_and_a_circle_are_named(bench: Bench) -> None:
    ended = bench.play("assess", limit="solo.clinic", extra={"dr_depends_on": ["dc99.clinic"]})
    assert ended.rc != 0
    assert "'dc99.clinic', named by solo.clinic, is not a host of the inventory" in ended.said, ended.text
    circle = bench.play("recover", limit="web1.clinic,web2.clinic", extra={"dr_depends_on": ["web1.clinic"]})
    assert circle.rc != 0
    assert "web1.clinic depends on itself" in circle.said, circle.text
    assert bench.changing_calls() == {}
