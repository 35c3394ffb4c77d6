# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says becomes a typed value, or an error that names the variable, the value and the fix."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import fields, words
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput

NOW_S = datetime(2026, 8, 15, 2, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30m", 1800.0),
        ("24h", 86400.0),
        ("90s", 90.0),
        ("1h30m", 5400.0),
        ("1h 30min", 5400.0),
        ("2d", 172800.0),
        ("1.5h", 5400.0),
        (" 10 M ", 600.0),
        (45, 45.0),
        (0.5, 0.5),
        ("45", 45.0),
    ],
)
def test_a_duration_is_read_in_seconds(value: object, seconds: float) -> None:
    assert fields.duration(value, "dr_contract.rto") == seconds


@pytest.mark.parametrize(
    "value", ["", "soon", "30 minuti", "m30", "30m1h", "-5m", -5, True, None, float("nan"), float("inf"), [30], "1e3s"]
)
def test_what_is_no_duration_names_itself_its_value_and_the_fix(value: object) -> None:
    with pytest.raises(BadInput) as error:
        fields.duration(value, "dr_contract.rto")
    assert "dr_contract.rto" in error.value.what
    assert repr(value) in error.value.why
    assert "30m" in error.value.next


def test_a_whole_contract_is_read() -> None:
    assert words.contract({"rto": "30m", "rpo": "24h", "on_call": "no", "rto_from": "fault"}) == words.Contract(
        rto_s=1800.0, rpo_s=86400.0, on_call=False, rto_from="fault"
    )
    assert words.contract({"rto": "30m", "rpo": 3600}).on_call is True


def test_a_whole_policy_is_read_and_the_rest_keeps_its_default() -> None:
    policy = words.policy(
        {
            "restarts": "0",
            "restart_timeout": "2m",
            "migrate_home": "later",
            "cold_migration": True,
            "approval": "required",
            "job_hook": "hooks/veeam.yml",
            "deadlines": {"guest": "20m", "shutdown": 0},
        }
    )
    assert (policy.restarts, policy.restart_timeout_s, policy.migrate_home) == (0, 120.0, "later")
    assert (policy.cold_migration, policy.approval, policy.job_hook) == (True, "required", "hooks/veeam.yml")
    assert policy.deadlines == words.Deadlines(guest_s=1200.0, shutdown_s=0.0)
    assert words.policy(None) == words.Policy()


def test_a_client_is_read_with_contacts_of_either_form() -> None:
    client = words.client(
        {
            "name": "Luca S.p.A.",
            "locale": "it",
            "timezone": "Europe/Rome",
            "contacts": ["luca@example.com", {"name": "Luca", "phone": 39055}, "Ufficio"],
        }
    )
    assert client.contacts == (
        words.Contact(email="luca@example.com"),
        words.Contact(name="Luca", phone="39055"),
        words.Contact(name="Ufficio"),
    )
    assert words.client(None) == words.Client(name="", locale="en", timezone="UTC")


def test_a_consent_keeps_its_reason() -> None:
    accept = words.accept({"data_loss": " Luca agreed at 04:20 ", "unfenced": None, "powered_off": False})
    assert accept.given() == {"data_loss": "Luca agreed at 04:20"}


@pytest.mark.parametrize("value", [True, "true", "Yes", "ok.", "sì", "1", 1, "...", ["because"]])
def test_a_consent_without_words_is_refused(value: object) -> None:
    with pytest.raises(BadInput, match=r"dr_accept\.unfenced.*is not a reason.*write why"):
        words.accept({"unfenced": value})


@pytest.mark.parametrize(
    ("read", "variable", "value", "fix"),
    [
        (lambda: words.contract(None), "dr_contract.rto", "not set", "rto: 30m"),
        (lambda: words.contract({"rto": "30m"}), "dr_contract.rpo", "not set", "rpo: 24h"),
        (lambda: words.contract({"rto": 0, "rpo": "24h"}), "dr_contract.rto", "0 is too short", "at least 1s"),
        (lambda: words.contract({"rto": "30m", "rpo": "1h", "oncall": 1}), "dr_contract.oncall", "1", "on_call?"),
        (lambda: words.contract("30m"), "dr_contract", "'30m'", "keys and values"),
        (lambda: words.policy({"restart": 3}), "dr_policy.restart", "3", "did you mean dr_policy.restart"),
        (lambda: words.policy({"restarts": 11}), "dr_policy.restarts", "11", "from 0 to 10"),
        (lambda: words.policy({"restarts": True}), "dr_policy.restarts", "True", "whole number"),
        (lambda: words.policy({"restarts": "two"}), "dr_policy.restarts", "'two'", "whole number"),
        (lambda: words.policy({"migrate_home": "auot"}), "dr_policy.migrate_home", "'auot'", "did you mean auto?"),
        (lambda: words.policy({"cold_migration": "si"}), "dr_policy.cold_migration", "'si'", "true or false"),
        (lambda: words.policy({"job_hook": ""}), "dr_policy.job_hook", "''", "task file"),
        (lambda: words.policy({"deadlines": {"gest": "1m"}}), "dr_policy.deadlines.gest", "'1m'", "deadlines.guest?"),
        (lambda: words.client({"locale": "de"}), "dr_client.locale", "'de'", "it, en"),
        (lambda: words.client({"timezone": "Europe/Roma"}), "dr_client.timezone", "'Europe/Roma'", "Europe/Rome"),
        (lambda: words.client({"timezone": "../etc/passwd"}), "dr_client.timezone", "passwd", "Europe/Rome"),
        (lambda: words.client({"timezone": "Europe"}), "dr_client.timezone", "'Europe'", "Europe/Rome"),
        (lambda: words.client({"contacts": "luca@example.com"}), "dr_client.contacts", "'luca", "write a list"),
        (
            lambda: words.client({"contacts": [{"mail": "x"}]}),
            "dr_client.contacts[0].mail",
            "'x'",
            "contacts[0].email?",
        ),
        (lambda: words.accept("yes"), "dr_accept", "'yes'", "data_loss"),
        (lambda: words.accept({"dataloss": "why"}), "dr_accept.dataloss", "'why'", "dr_accept.data_loss?"),
        (lambda: words.replica_rule({"name": "a", "id": "b"}), "dr_replica", "exactly one", "match"),
        (lambda: words.replica_rule(None), "dr_replica", "None", "match"),
        (lambda: words.replica_rule({"name": "  "}), "dr_replica.name", "'  '", "exactly one"),
        (lambda: words.priority(0), "dr_priority", "0", "from 1 to 5"),
        (lambda: words.names("dc01"), "dr_depends_on", "'dc01'", "write a list"),
        (lambda: words.names(["dc01", 3]), "dr_depends_on[1]", "3", "inventory names"),
        (lambda: words.refuse_unknown_variables(["dr_acept"]), "dr_acept", "no such variable", "mean dr_accept?"),
    ],
)
def test_a_wrong_word_names_the_variable_the_value_and_the_fix(
    read: Callable[[], object], variable: str, value: str, fix: str
) -> None:
    with pytest.raises(BadInput) as error:
        read()
    assert error.value.what == f"read {variable}"
    assert value in error.value.why
    assert fix in error.value.next


def test_variables_that_exist_and_foreign_ones_pass() -> None:
    words.refuse_unknown_variables([*words.VARIABLES, "ansible_host", "recover_progress"])


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2026-08-15T04:12:00+02:00", datetime(2026, 8, 15, 2, 12, tzinfo=UTC)),
        ("2026-08-15 04:12", datetime(2026, 8, 15, 2, 12, tzinfo=UTC)),  # the client's own clock on the wall
        ("2026-08-15T02:12:00Z", datetime(2026, 8, 15, 2, 12, tzinfo=UTC)),
        (datetime(2026, 8, 15, 4, 12), datetime(2026, 8, 15, 2, 12, tzinfo=UTC)),
        (NOW_S - 60, datetime(2026, 8, 15, 2, 29, tzinfo=UTC)),
        (str(NOW_S - 60), datetime(2026, 8, 15, 2, 29, tzinfo=UTC)),
        (None, datetime(2026, 8, 15, 2, 30, tzinfo=UTC)),
        ("", datetime(2026, 8, 15, 2, 30, tzinfo=UTC)),
    ],
)
def test_the_alert_time_is_read(value: object, at: datetime) -> None:
    assert words.alert_at(value, now_s=NOW_S, zone="Europe/Rome") == at.timestamp()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("half past four", "is not a time"),
        (True, "is not a time"),
        ("1200", "is not a time"),
        ("2026-08-15T04:12:00+00:00", "lies in the future"),
        (60, "more than a year back"),
    ],
)
def test_a_wrong_alert_time_is_refused(value: object, why: str) -> None:
    with pytest.raises(BadInput, match=why) as error:
        words.alert_at(value, now_s=NOW_S)
    assert "dr_alert_at" in error.value.what


def test_a_replica_rule_goes_to_resolve_as_it_was_written() -> None:
    assert words.replica_rule({"match": "{vm}_replica*"}).as_mapping() == {"match": "{vm}_replica*"}


def test_names_keep_their_order_and_come_once() -> None:
    assert words.names(["dc01.luca", "file.luca", "dc01.luca"]) == ("dc01.luca", "file.luca")
    assert words.names(None) == ()
