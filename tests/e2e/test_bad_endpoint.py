# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An endpoint that is not what it should be: nothing is touched, and the technician learns what to correct."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench


@pytest.mark.parametrize(
    ("certificate", "login", "why", "then"),
    [
        pytest.param(
            "good",
            {"api_password": "of-another-site"},
            "the user name or the password is wrong",
            "correct api_user and api_password",
            id="wrong password",
        ),
        pytest.param(
            "expired", {}, "is not trusted: certificate has expired", "renew the certificate", id="expired certificate"
        ),
        pytest.param(
            "foreign", {}, "is not trusted: unable to get local issuer", "set ca_path", id="foreign certificate"
        ),
        pytest.param(
            "good",
            {"api_user": "no-rights@vsphere.local"},
            "the account sees 0 VMs",
            "grant the account read on the VM folder",
            id="account that sees no VM",
        ),
    ],
)
def test_wrong_endpoint_is_named_and_nothing_is_touched(
    bench: Bench, certificate: str, login: dict[str, t.Any], why: str, then: str
) -> None:
    bench.control.crash("solo")
    bench.control.certificate(certificate)
    ended = bench.play("recover", limit="solo.clinic", extra={"dr_site": bench.site(**login)})
    assert ended.rc != 0
    assert why in ended.said, ended.text
    assert then in ended.said, ended.text
    assert "solo: healthy" not in ended.said
    assert bench.changing_calls() == {}
    assert [r.kind for r in bench.records("solo") if r.kind == "intent"] == []


def test_dead_endpoint_makes_its_vms_unknown_and_refuses_to_promote_them(bench: Bench) -> None:
    bench.control.crash("solo")
    bench.control.endpoint_down()
    ended = bench.play("recover", limit="solo.clinic,spare.clinic")
    assert ended.rc != 0
    card = ended.card("solo.clinic")
    assert card["verdict"] == "unreachable"
    assert card["blast"] == "site"
    assert not card["decision"]["is_go"]
    assert "refuses the connection: nothing listens on this port" in ended.said, ended.text
    assert ended.outcome("solo.clinic").startswith("refused")
    assert bench.records("solo")[-1].kind == "run_closed", "it must not stand in the way of the next command"
    # this one still serves its customers: nothing to recover, and said with the doubt that is left
    assert ended.outcome("spare.clinic").startswith("healthy")
    assert "although it looks unreachable" in ended.decision("spare.clinic")["reason"]
    assert bench.changing_calls() == {}
