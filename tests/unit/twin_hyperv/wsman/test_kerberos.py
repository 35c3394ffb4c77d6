# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kerberos against a real KDC: collected only where tools/get_kerberos.py could bring Debian's (see tests/conftest.py)."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.wsman.kdc_kit import Realm, realm
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.wsman.wire_kit import ANNA

DESK = "ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.wsman.kerberos_desk"
STRANGER = ("bruno", "Settembre-2026")
WORDS: dict[str, t.Any] = {"api_user": "anna@CORP.EXAMPLE", "winrm_kerberos_host": "hv-milano"}


@pytest.fixture(scope="module")
def corp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    with realm(tmp_path_factory.mktemp("realm")) as found:
        found.add(ANNA.name, ANNA.password)
        found.add(*STRANGER)
        yield found


def signed_on(corp: Realm, folder: Path, ticket: Path, **more: t.Any) -> dict[str, t.Any]:
    """What the provider's client got, with nothing but a ticket."""
    done = corp.python(DESK, str(corp.keytab), str(folder), json.dumps({**WORDS, **more}), ticket=ticket)
    assert done.returncode == 0, done.stderr
    found: dict[str, t.Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def annas(corp: Realm) -> Path:
    return corp.kinit(ANNA.name, ANNA.password)


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("offers", [["Negotiate", "Kerberos"], ["Negotiate"]])
def test_a_ticket_is_enough_and_messages_are_encrypted(corp, annas, tmp_path, scheme, offers):
    said = signed_on(corp, tmp_path, annas, winrm_scheme=scheme, offers=offers)

    assert said["answer"] == {"word": "però", "length": 4}
    assert said["calls"]["Create"] == said["calls"]["Delete"] == 1


def test_without_a_ticket_nobody_is_let_in_and_kinit_is_named(corp, tmp_path):
    said = signed_on(corp, tmp_path, tmp_path / "no-ticket")

    assert "kinit" in said["error"]["next"]
    assert "Create" not in said["calls"]


def test_a_ticket_for_a_name_that_the_host_does_not_have_is_told(corp, annas, tmp_path):
    said = signed_on(corp, tmp_path, annas, winrm_kerberos_host="hv-roma")

    assert "winrm_kerberos_host" in said["error"]["next"]
    assert "Create" not in said["calls"]


def test_who_has_a_ticket_and_no_account_is_not_let_in(corp, tmp_path):
    said = signed_on(corp, tmp_path, corp.kinit(*STRANGER), api_user="bruno@CORP.EXAMPLE")

    assert "answer" not in said
    assert "bruno" in json.dumps(said["error"])
    assert "Create" not in said["calls"]
