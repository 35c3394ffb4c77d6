# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks and witnesses are read as declared, or the error names the variable, the value and the fix."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.checks import (
    Check,
    WitnessSpec,
    read_checks,
    read_witnesses,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput

PRINT = ":".join(["AB"] * 32)


@pytest.mark.parametrize(
    ("value", "check"),
    [
        ({"tcp": 1433}, Check(kind="tcp", port=1433)),
        ({"tcp": "1433", "timeout": "2s"}, Check(kind="tcp", port=1433, timeout_s=2.0)),
        ({"tcp": "sql.luca:1433"}, Check(kind="tcp", host="sql.luca", port=1433)),
        ({"tcp": "[2001:db8::1]:22"}, Check(kind="tcp", host="2001:db8::1", port=22)),
        ({"http": "http://g.luca/health", "tcp": None}, Check(kind="http", url="http://g.luca/health")),
        (
            {"http": "https://g.luca:8443/h?x=1", "status": [200, 204], "contains": "ok", "identity": "copy.id"},
            Check(kind="http", url="https://g.luca:8443/h?x=1", statuses=(200, 204), contains="ok", identity="copy.id"),
        ),
        (
            {"http": "https://g.luca/", "status": "503", "tls_fingerprint": PRINT},
            Check(kind="http", url="https://g.luca/", statuses=(503,), tls_fingerprint="ab" * 32),
        ),
    ],
)
def test_a_check_is_read(value: object, check: Check) -> None:
    assert read_checks([value]) == (check,)


@pytest.mark.parametrize(
    ("value", "witness", "label"),
    [
        ({"tcp": "esx1.luca:22"}, WitnessSpec(kind="tcp", host="esx1.luca", port=22), "tcp esx1.luca:22"),
        ({"ping": "10.0.0.1"}, WitnessSpec(kind="ping", host="10.0.0.1"), "ping 10.0.0.1"),
        ({"ping": "2001:db8::1"}, WitnessSpec(kind="ping", host="2001:db8::1"), "ping [2001:db8::1]"),
        (
            {"redfish": "bmc1.luca", "user": "dr", "password": "s3cret", "ca_path": None},
            WitnessSpec(kind="redfish", host="bmc1.luca", port=443, user="dr", password="s3cret"),
            "redfish bmc1.luca",
        ),
        (
            {"redfish": "https://[2001:db8::1]:8443/redfish/v1", "system": "1"},
            WitnessSpec(kind="redfish", host="2001:db8::1", port=8443, system="1"),
            "redfish [2001:db8::1]:8443",
        ),
        (
            {"redfish": "127.0.0.1:8443"},
            WitnessSpec(kind="redfish", host="127.0.0.1", port=8443),
            "redfish 127.0.0.1:8443",
        ),
    ],
)
def test_a_witness_is_read(value: object, witness: WitnessSpec, label: str) -> None:
    (read,) = read_witnesses([value])
    assert (read, read.label()) == (witness, label)


@pytest.mark.parametrize(
    ("value", "variable", "why", "fix"),
    [
        ({"tcp": 1433}, "dr_checks", "is not a list", "write a list"),
        ([{}], "dr_checks[0]", "exactly one of tcp, http", "tcp: 1433"),
        ([{"tcp": 1, "http": "http://a"}], "dr_checks[0]", "exactly one of", "write e.g."),
        ([{"tcp": 70000}], "dr_checks[0].tcp", "70000 is out of bounds", "1 to 65535"),
        ([{"tcp": "sql"}], "dr_checks[0].tcp", "'sql' is not a whole number", "1 to 65535"),
        ([{"tcp": "2001:db8::1:22"}], "dr_checks[0].tcp", "without brackets", "[2001:db8::1]:1433"),
        ([{"tcp": "a b:22"}], "dr_checks[0].tcp", "not a host name", "host name or an address"),
        ([{"tcp": 1, "identity": "copy"}], "dr_checks[0].identity", "with http only", "take"),
        ([{"tcp": 1}, {"http": "g.luca"}], "dr_checks[1].http", "'g.luca' is not a URL", "whole URL"),
        ([{"http": "ftp://g.luca/"}], "dr_checks[0].http", "is not a URL", "whole URL"),
        ([{"http": "http://[::1/"}], "dr_checks[0].http", "is not a URL", "whole URL"),
        ([{"http": "http://g.luca:99999/"}], "dr_checks[0].http", "is not a URL", "whole URL"),
        ([{"http": "http://g.luca/a\r\nX: y"}], "dr_checks[0].http", "is not a URL", "whole URL"),
        ([{"http": "http://g.luca/", "status": "fine"}], "dr_checks[0].status", "'fine'", "100 to 599"),
        ([{"http": "http://g.luca/", "stauts": 200}], "dr_checks[0].stauts", "unknown key", "dr_checks[0].status?"),
        ([{"http": "http://g.luca/", "tls_fingerprint": "ab"}], "dr_checks[0].tls_fingerprint", "SHA-256", "64 hex"),
        ([{"tcp": 1, "timeout": "0s"}], "dr_checks[0].timeout", "too short", "0.1s"),
    ],
)
def test_a_wrong_check_names_the_variable_the_value_and_the_fix(
    value: object, variable: str, why: str, fix: str
) -> None:
    with pytest.raises(BadInput) as error:
        read_checks(value)
    assert error.value.what == f"read {variable}"
    assert why in error.value.why
    assert fix in error.value.next


@pytest.mark.parametrize(
    "value",
    [
        [{"redfish": "https://dr:s3cret@bmc1/"}],
        [{"redfish": "bmc1", "tcp": "a:1", "password": "s3cret"}],
        [{"tcp": "a:1", "password": "s3cret"}],
        [{"ping": "-f"}],
        [{"tcp": "22"}],
        [{"redfish": "https://bmc1/redfish/v1/Systems/1"}],
        [{"redfish": "bmc1 && reboot"}],
    ],
)
def test_a_wrong_witness_is_refused_and_no_password_is_shown(value: object) -> None:
    with pytest.raises(BadInput) as error:
        read_witnesses(value)
    assert "s3cret" not in str(error.value)


def test_a_password_is_not_in_the_representation() -> None:
    (witness,) = read_witnesses([{"redfish": "bmc1", "user": "dr", "password": "s3cret"}])
    assert "s3cret" not in repr(witness)
