# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements, functions, pipelines, and what an error does to them."""

from __future__ import annotations

import time

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import Bound, cmdlet
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.powershell.language_kit import Context, output, run, value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if ($false) { 1 } elseif ('x') { 2 } else { 3 }", [2]),
        ("foreach ($n in 1, 2, 3) { if ($n -eq 2) { continue }\n$n }", [1, 3]),
        ("foreach ($n in $null) { 1 }", []),
        ("$n = 0\nwhile ($true) { $n += 1\nif ($n -ge 3) { break }\n}\n$n", [3]),
        ("$x = foreach ($n in 1, 2) { $n * 2 }\n$x.Count", [2]),
        ("$x = if ($true) { @(5) }\n$x -is [int]", [True]),
        ("$x = 1, 2 | ForEach-Object { $y = $_ }\n$y", [2]),
        ("$b = { param($a, $c = 5)\n$a + $c }\n& $b 1", [6]),
        ("$b = { $x = 2\n}\n$x = 1\n& $b\n$x", [1]),
        ("$null = 5\n$null -eq $null", [True]),
        ("[void](1)", []),
        ("'b', 'a', 'C' | Sort-Object", ["a", "b", "C"]),
        ("1, 3, 2 | Sort-Object -Descending | Select-Object -First 2", [3, 2]),
        ("1, 2, 3 | Select-Object -Last 1", [3]),
        ("(1, 2, 3 | Measure-Object -Sum).Sum", [6.0]),
        ("(1, 2, 3 | Measure-Object).Count", [3]),
        ("@(1, 2 | Out-Null).Count", [0]),
        (
            "@([pscustomobject]@{ a = 2 }, [pscustomobject]@{ a = 1 }) | Sort-Object -Property a | Select-Object -ExpandProperty a",
            [1, 2],
        ),
        ("1, 2 | Where-Object { $_ -gt 1 }", [2]),
        ("1, 2, 3 | ForEach-Object { if ($_ -eq 2) { return }\n$_ }", [1, 3]),
    ],
)
def test_a_statement_does_what_it_does_on_windows(text: str, expected: list[object]) -> None:
    assert output(text) == expected


def test_a_function_takes_values_by_name_and_returns_what_it_outputs() -> None:
    text = """
function Get-Sum {
    param($left, [int]$right = 4, [switch]$Twice)
    'noise' | Out-Null
    $sum = $left + $right
    if ($Twice) {
        return $sum * 2
    }
    return $sum
}
Get-Sum -left 1
Get-Sum -left 1 -right '2' -Twice
Get-Sum -Twice:$false -left 1
Get-Sum -Twice: $false -left 1
Get-Sum -Twice 1
"""
    assert output(text) == [5, 6, 5, 5, 10]


def test_select_first_stops_what_comes_before_it() -> None:
    text = """
$seen = @{ count = 0 }
$got = 1, 2, 3 | ForEach-Object { $seen.count += 1
$_ } | Select-Object -First 1
$seen.count
"""
    assert value(text) == 1


def test_a_catch_sees_the_record_of_the_error() -> None:
    text = """
try {
    $x = [guid]'web'
}
catch {
    [string]$_.Exception.Message
    [string]$_.FullyQualifiedErrorId
    [string]$_.CategoryInfo.Category
    [int]$_.CategoryInfo.Category
    $_.InvocationInfo.ScriptLineNumber
}
finally {
    'last'
}
"""
    message, error_id, category, number, line, last = output(text)
    assert str(message).startswith('Cannot convert value "web" to type "System.Guid". Error: "Guid should contain')
    assert (error_id, category, number, line, last) == (
        "InvalidCastParseTargetInvocation",
        "InvalidArgument",
        5,
        3,
        "last",
    )


def test_what_is_thrown_keeps_its_place_and_its_id_when_it_is_thrown_again() -> None:
    text = """
function Get-It {
    throw 'broken'
}
try {
    try {
        Get-It
    }
    catch {
        throw $_
    }
}
catch {
    $_.Exception.Message
    $_.FullyQualifiedErrorId
    $_.InvocationInfo.ScriptLineNumber
}
"""
    assert output(text) == ["broken", "broken", 3]


@pytest.mark.parametrize(
    ("preference", "text", "outputs", "exit_code"),
    [
        ("Continue", "1 / 0\n'after'", b"after\r\n", 0),
        ("Stop", "1 / 0\n'after'", b"", 1),
        ("SilentlyContinue", "1 / 0\n'after'", b"after\r\n", 0),
        ("Continue", "throw 'x'\n'after'", b"", 1),
        ("Continue", "Write-Error -Message 'x'\n'after'", b"after\r\n", 0),
        ("Continue", "'before'\nWrite-Error -Message 'x'", b"before\r\n", 1),
        ("Continue", "Write-Error -Message 'x' -ErrorAction Stop\n'after'", b"", 1),
        ("Stop", "Write-Error -Message 'x'\n'after'", b"", 1),
        ("Stop", "Write-Error -Message 'x' -ErrorAction SilentlyContinue\n'after'", b"after\r\n", 0),
        ("Continue", "'before'\nWrite-Error -Message 'x' -ErrorAction SilentlyContinue", b"before\r\n", 1),
        ("Stop", "Write-Error -Message 'x' -ErrorAction Ignore\n'after'", b"after\r\n", 0),
        ("Continue", "try {\nWrite-Error -Message 'x'\n'after'\n} catch {\n'caught'\n}", b"after\r\n", 0),
        ("Continue", "try {\n1 / 0\n'after'\n} catch {\n'caught'\n}", b"caught\r\n", 0),
        ("Continue", "try {\n1 / 0\n} finally {\n'last'\n}\n'after'", b"last\r\nafter\r\n", 0),
        ("Stop", "exit 3", b"", 3),
    ],
)
def test_a_preference_decides_how_much_an_error_stops(
    preference: str, text: str, outputs: bytes, exit_code: int
) -> None:
    outcome = run(f"$ErrorActionPreference = '{preference}'\n{text}")
    assert (outcome.stdout, outcome.exit_code) == (outputs, exit_code)


def test_an_error_within_a_function_is_caught_by_its_caller() -> None:
    text = """
function Get-It {
    1 / 0
    'after'
}
try {
    Get-It
}
catch {
    'caught'
}
"""
    assert output(text) == ["caught"]


def test_messages_are_in_the_culture_of_the_context_and_ids_are_not() -> None:
    text = "try {\n1 / 0\n}\ncatch {\n$_.Exception.Message\n$_.FullyQualifiedErrorId\n}"
    assert output(text, Context(culture="de-DE")) == [
        "Es wurde versucht, durch 0 (null) zu teilen.",
        "RuntimeException",
    ]


def test_a_cmdlet_goes_on_after_an_error_it_only_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import registry

    def play(bound: Bound) -> object:
        yield 1
        yield PowerShellError("gone", "ObjectNotFound,X", "ObjectNotFound")
        yield 2

    monkeypatch.setattr(registry, "_RUNS", {**registry._RUNS, "get-vmhost": play})
    assert output("Get-VMHost -ErrorAction SilentlyContinue") == [1, 2]
    assert output("$ErrorActionPreference = 'Stop'\ntry {\nGet-VMHost\n}\ncatch {\n$_.FullyQualifiedErrorId\n}") == [
        1,
        "ObjectNotFound,X",
    ]
    text = "$ErrorActionPreference = 'Stop'\n$x = $null\ntry {\n$x = Get-VMHost\n}\ncatch {\n$_.CategoryInfo.Activity\n}\n$null -eq $x"
    assert output(text) == ["Get-VMHost", True]


def test_a_cmdlet_that_the_table_does_not_have_cannot_be_registered() -> None:
    with pytest.raises(Exception, match=r"cmdlets\.json has no row"):
        cmdlet("Get-Nonsense")


def test_sleep_is_real() -> None:
    began = time.monotonic()
    assert output("Start-Sleep -Milliseconds 50\n1") == [1]
    assert time.monotonic() - began >= 0.05
