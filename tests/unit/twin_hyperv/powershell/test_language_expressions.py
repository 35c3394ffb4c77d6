# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expressions give what Windows PowerShell 5.1 gives: conversions, comparisons, arithmetic, arrays."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import Int64, PSObject
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.powershell.language_kit import machine, off, output, value

GUID = "9f8b7c6d-0000-4000-8000-00000000000a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # texts
        ("'it''s'", "it's"),
        ("'a$(x)`n'", "a$(x)`n"),
        ("'a' + 1", "a1"),
        ("'a' + $null", "a"),
        ("'ab' * 2", "abab"),
        ("'5' - 2", 3),
        ("1 + '2'", 3),
        ("[string][double]'1.5'", "1.5"),
        ("[string]([double]'0.1' + [double]'0.2')", "0.3"),
        # numbers
        ("7 / 2", 3.5),
        ("8 / 2", 4),
        ("-7 % 3", -1),
        ("1 + 2 * 3", 7),
        ("2147483647 + 1", 2147483648.0),
        ("[long]2147483647 + 1", 2147483648),
        ("[int]'12'", 12),
        ("[int]' 0x10 '", 16),
        ("[int][double]'2.5'", 2),
        ("[int][double]'3.5'", 4),
        ("[int]''", 0),
        ("[int]$null", 0),
        ("[int]$true", 1),
        ("[long]'8589934592'", 8589934592),
        ("[double]'1.5'", 1.5),
        ("6 -band 3", 2),
        ("10 * 1024", 10240),
        # truth
        ("[bool]'False'", True),
        ("[bool]''", False),
        ("[bool]0", False),
        ("[bool]@()", False),
        ("[bool]@(0)", False),
        ("[bool]@(0, 0)", True),
        ("[bool]@{}", True),
        ("-not ''", True),
        ("$true -and 'x'", True),
        ("$false -or 0", False),
        # comparisons: the left side decides
        ("'ABC' -eq 'abc'", True),
        ("'10' -eq 10", True),
        ("10 -eq '10'", True),
        ("10 -eq '10.0'", True),
        ("1 -eq 'x'", False),
        ("'True' -eq $true", True),
        ("$true -eq 'False'", True),
        ("'b' -gt 'A'", True),
        ("'10' -lt '9'", True),
        ("10 -gt '9'", True),
        ("$null -eq 0", False),
        ("$null -eq ''", False),
        ("$null -eq $null", True),
        ("$null -lt 0", True),
        ("$null -gt -1", True),
        ("'web[1]' -like 'web[1]'", False),
        ("'web1' -like 'WEB[1-3]'", True),
        ("'web[1]' -like [WildcardPattern]::Escape('web[1]')", True),
        ("'a*b' -like [Management.Automation.WildcardPattern]::Escape('a*b')", True),
        ("'axb' -like [WildcardPattern]::Escape('a*b')", False),
        (r"'Hyper-V 2022' -match 'v (\d+)'", True),
        ("'web' -notlike 'WEB'", False),
        ("'ABC' -ceq 'abc'", False),
        ("'abc' -ceq 'abc'", True),
        ("'ABC' -cne 'abc'", True),
        # membership
        ("2 -in 1, 2", True),
        ("'A' -in @('a')", True),
        ("'x' -notin @('a')", True),
        ("@('a', 'B') -contains 'b'", True),
        ("@() -contains 'b'", False),
        ("'a' -contains 'A'", True),
        ("@('a') -notcontains 'b'", True),
        # types
        ("1 -is [int]", True),
        ("[long]1 -is [int]", False),
        ("'a' -is [string]", True),
        ("@() -is [array]", True),
        ("$null -is [string]", False),
        # methods
        ("'a,b;c'.Split(',;').Count", 3),
        ("'a::b'.Split('::').Count", 3),
        ("' a '.Trim()", "a"),
        ("'Ab'.ToLower()", "ab"),
        ("'Ab'.ToUpper()", "AB"),
        ("'Ab'.Contains('a')", False),
        ("'Ab'.StartsWith('A')", True),
        ("'abc'[0]", "a"),
        ("'abc'[-1]", "c"),
        ("'abc'.Length", 3),
        ("(209).ToString('X8')", "000000D1"),
        ("[Math]::Max(1, 2)", 2),
        ("[Math]::Floor([double]'1.5')", 1.0),
        ("[Environment]::MachineName", "HV-A"),
        ("[Guid]::Empty.ToString()", "00000000-0000-0000-0000-000000000000"),
        ("[Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('0JzQuNGA'))", "Мир"),
        ("[Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes('Мир'))", "0JzQuNGA"),
    ],
)
def test_an_expression_has_the_value_of_powershell_51(text: str, expected: object) -> None:
    found = value(text)
    assert (found, isinstance(found, bool)) == (expected, isinstance(expected, bool))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@(1, 2, 3, 2) -eq 2", [2, 2]),
        ("@(1, 2) -ne 1", [2]),
        ("@('a', 'b') -like 'a*'", ["a"]),
        ("@(1, 2) + 3", [1, 2, 3]),
        ("@(1) + @(2, 3)", [1, 2, 3]),
        ("@(1, 2)[1, 0]", [2, 1]),
        ("@(1, @(2, 3))", [1, [2, 3]]),
        ("@()", []),
        ("@($null)", [None]),
        ("@(@(1))", [1]),
        (", 1", [1]),
        ("$a = @(1)\n$a += 2\n$a", [1, 2]),
        ("@(1, 2)[5]", [None]),
    ],
)
def test_arrays_filter_join_and_unroll(text: str, expected: list[object]) -> None:
    assert output(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@($none).Count", 0),
        ("@($null).Count", 1),
        ("$null.Count", 0),
        ("'a'.Count", 1),
        ("(1, 2).Length", 2),
        ("@($one | ForEach-Object { $_ }).Count", 1),
        ("$none | ForEach-Object { 1 }\n'end'", "end"),
        ("($null | ForEach-Object { 'once' })", "once"),
    ],
)
def test_nothing_is_not_null(text: str, expected: object) -> None:
    assert value(f"function Get-None {{\n}}\n$none = Get-None\n$one = 1\n{text}") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$state -eq 'off'", True),
        ("'OFF' -eq $state", True),
        ("$state -eq 3", True),
        ("$state -in @('Off', 'Saved')", True),
        ("[string]$state", "Off"),
        ("[int]$state", 3),
        ("$state -ne 'Running'", True),
        ("$state.ToString()", "Off"),
        ("$null -eq $state", False),
        ("$state -is [string]", False),
    ],
)
def test_an_enum_is_its_name_and_its_number(text: str, expected: object) -> None:
    assert value(text, state=off()) == expected


def test_a_guid_is_cast_shown_and_compared() -> None:
    guid = uuid.UUID(GUID)
    assert value(f"[guid]'{GUID.upper()}'") == guid
    assert value(f"$id -eq '{GUID.upper()}'", id=guid) is True
    assert value("[string]$id", id=guid) == GUID
    assert value("$id -eq 'web'", id=guid) is False


DATES = [
    ("[DateTime]::UtcNow.ToString('o')", "2027-01-15T08:00:00.2500000Z"),
    ("(Get-Date).ToString('o')", "2027-01-15T09:00:00.2500000+01:00"),
    ("(Get-Date).ToUniversalTime().ToString('o')", "2027-01-15T08:00:00.2500000Z"),
    ("([datetime]'2027-01-15T08:00:00Z').ToString('o')", "2027-01-15T09:00:00.0000000+01:00"),
    ("([datetime]'2027-01-15').ToString('o')", "2027-01-15T00:00:00.0000000"),
    ("([datetime]'2027-01-15').ToUniversalTime().ToString('o')", "2027-01-14T23:00:00.0000000Z"),
    ("[string][datetime]'2027-01-15T08:01:02'", "01/15/2027 08:01:02"),
    ("([datetime]'2027-01-15T08:00:00' - [datetime]'2027-01-14T07:00:00').TotalSeconds", 90000.0),
    ("([datetime]'2027-01-15T08:00:00' - [datetime]'2027-01-14T07:00:00').Hours", 1),
    ("[DateTime]::UtcNow.AddMinutes(-5).Minute", 55),
    # .NET compares the figures on the dial: local time against UTC is wrong by the offset, here as on Windows
    ("([DateTime]::UtcNow - (Get-Date)).TotalHours", -1.0),
    ("(Get-Date) -gt [DateTime]::UtcNow", True),
    ("'2027-01-15' -eq [datetime]'2027-01-15'", False),
    ("[datetime]'2027-01-15' -eq '2027-01-15'", True),
]


@pytest.mark.parametrize(("text", "expected"), DATES)
def test_dates_know_their_kind_and_compare_by_their_dial(text: str, expected: object) -> None:
    assert value(text) == expected


def test_a_span_shows_as_dotnet_shows_it() -> None:
    assert value("[string]$up", up=dt.timedelta(days=1, hours=2, seconds=3)) == "1.02:00:03"
    assert value("[long]$up.TotalSeconds", up=dt.timedelta(minutes=2)) == Int64(120)


def test_properties_are_read_over_an_array_and_whatever_their_case() -> None:
    machines: list[object] = [machine("web"), machine("db", "Running")]
    assert output("$all.name", all=machines) == ["web", "db"]
    assert output("$all | Where-Object { $_.State -eq 'Running' } | ForEach-Object { $_.NAME }", all=machines) == ["db"]
    assert value("($all | Select-Object -First 1).Name", all=machines) == "web"


def test_an_object_without_the_property_gives_null_and_a_table_nothing() -> None:
    assert output("@([pscustomobject]@{ a = 1 }, [pscustomobject]@{ b = 2 }).a") == [1, None]
    assert output("@(@{ a = 1 }, @{ b = 2 }).a") == [1]


def test_an_object_keeps_the_order_and_case_of_its_properties() -> None:
    made = value("[pscustomobject]@{ Zeta = 1; 'a b' = 2; List = @(1) }")
    assert isinstance(made, PSObject)
    assert list(made.items()) == [("Zeta", 1), ("a b", 2), ("List", [1])]
    assert (
        value("[string][pscustomobject]@{ a = 1; b = @(1); c = [pscustomobject]@{ d = 1 } }")
        == "@{a=1; b=System.Object[]; c=}"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$t = @{ a = 1 }\n$t.B = 2\n$t['b'] + $t.A", 3),
        ("$t = [ordered]@{ a = 1 }\n$t.a = 2\n$t.a", 2),
        ("$t = @{}\n$t.Add('k', 5)\n$t.Count", 1),
        ("$t = @{ a = if ($true) { 'yes' } else { 'no' } }\n$t.a", "yes"),
        ("$t = @{ a = 1 }\n$t.none -eq $null", True),
        ("$t = @{ a = 1 }\n$t.ContainsKey('A')", True),
        ("$o = [pscustomobject]@{ a = 1 }\n$o.a = 5\n$o.A", 5),
        ("$o = [pscustomobject]@{ a = 1 }\n$null -eq $o.b", True),
    ],
)
def test_tables_and_objects_are_written_and_read(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "error_id", "category"),
    [
        ("1 / 0", "RuntimeException", "NotSpecified"),
        ("$null.Trim()", "InvokeMethodOnNull", "InvalidOperation"),
        ("$x = $null\n$x[0]", "NullArray", "InvalidOperation"),
        ("[int]'web'", "InvalidCastFromStringToInteger", "InvalidArgument"),
        ("[int]'99999999999'", "InvalidCastIConvertible", "InvalidArgument"),
        ("[guid]'web'", "InvalidCastParseTargetInvocation", "InvalidArgument"),
        ("[datetime]'web'", "InvalidCastParseTargetInvocationWithFormatProvider", "InvalidArgument"),
        ("[datetime]$null", "NullToDateTime", "InvalidArgument"),
        ("1 -gt 'x'", "ComparisonFailure", "NotSpecified"),
        ("[int]@(1, 2)", "ConvertToFinalInvalidCastException", "InvalidArgument"),
        ("@(1).Add(2)", "NotSupportedException", "NotSpecified"),
        ("'a' -like '[a'", "RuntimeException", "NotSpecified"),
    ],
)
def test_an_expression_that_fails_fails_as_an_error_record(text: str, error_id: str, category: str) -> None:
    with pytest.raises(PowerShellError) as caught:
        output(f"$ErrorActionPreference = 'Stop'\n{text}")
    assert (caught.value.error_id, caught.value.category) == (error_id, category)
    assert caught.value.line == text.count("\n") + 2
