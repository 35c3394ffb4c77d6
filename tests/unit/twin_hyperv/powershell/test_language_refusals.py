# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever the twin does not know ends the process, and no script can catch it."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.parse import parse
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.powershell.language_kit import (
    Context,
    machine,
    off,
    output,
    run,
)

BROKEN = [
    # the four broken texts that the parser accepts
    "try { 1 }",
    "1 && 2",
    "if ($true) { 1 }\n1\nelse { 2 }",
    "1 = 2",
    # what the parser refuses itself
    "if ($true { 1 }",
    "$x = @{ a = }",
    "'open",
    # outside of the subset
    '"text"',
    '"$x"',
    "@'\ntext\n'@",
    "1.5",
    "1kb",
    "1..3",
    "$x = 1\n$x++",
    "$x = 1\n$x -= 1",
    "do { 1 } while ($false)",
    "for ($i = 0; $i -lt 1; $i += 1) { 1 }",
    "switch (1) {\n1 { 2 }\n}",
    "trap { 1 }",
    "class A {\n}",
    "try {\n1\n} catch [System.Exception] {\n2\n}",
    "throw",
    "function Get-It {\n[CmdletBinding()]\nparam($a)\n$a\n}",
    "'{0}' -f 1",
    "'a' -replace 'a', 'b'",
    "1, 2 -join ','",
    "'a' -clike 'A'",
    "1 -bor 2",
    "-join @('a')",
    "!$true",
    "$x = 1\n$x.$x",
    "$(1)",
    "$env:PATH",
    "$script:x = 1",
    "Get-VMHost @args",
    ". $x",
    "function Мир {\n1\n}",
    "& 'Get-VMHost'",
    "iex 'x'",
    "Get-VMHost > out.txt",
    "Get-VMHost 2>&1",
    "ls",
    "'a' | % { $_ }",
    "Get-VM -Id [guid]'x'",
    "[int]$x = 1",
    "$true = 1",
    # what the parser accepts and PowerShell does not, or reads as something else
    "$x = 'a'\n$x.Trim ()",
    "$x = 'a'\n$x [0]",
    "$x = (Get-Date\n-Date 1)",
    "Get-VM -Id $true-and",
    "Get-VM -Id 'x'.Length",
    "Get-VM -Id @(1)[0]",
    "'\u2019'",
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_text_outside_of_the_subset_is_refused_before_anything_runs(text: str) -> None:
    with pytest.raises(SimulatorError) as caught:
        parse(f"\n'before'\n{text}")
    assert caught.value.line >= 2
    assert caught.value.text


UNKNOWN = [
    "$x = [xml]'<a/>'",
    "[version]'1.2'",
    "[IO.File]::ReadAllText('x')",
    "[Environment]::UserName",
    "[DateTime]::Today",
    "[Math]::Pow(2, 2)",
    "[string]::Join(',', @('a'))",
    "'a'.PadLeft(3)",
    "'a'.Nonsense",
    "(1).Nonsense",
    "(Get-Date).ToString('yyyy')",
    "(Get-Date).AddYears(1)",
    "$host = 1",
    "foreach ($input in 1, 2) { 1 }",
    "$b = { param($args)\n1\n}\n& $b 1",
    "$vm.Nmae",
    "$vm.Name = 'x'",
    "$vm.Start()",
    "$vm -eq $vm",
    "$state -eq 'Offf'",
    "$state -eq $kind",
    "$never",
    "$_",
    "@().Name",
    "[pscustomobject]@{ a = 1 }\n$none",
    "([pscustomobject]@{ a = 1 }).Count",
    "$o = [pscustomobject]@{ a = 1 }\n$o.b = 2",
    "$o = [ordered]@{ a = 1 }\n$o[0]",
    "1 -eq @(1)",
    "@{ a = 1; A = 2 }",
    "@{ a = 1 } + @{ a = 2 }",
    "New-Object -TypeName System.Net.WebClient",
    "Get-Nonsense",
    "Get-VMHost -Nonsense 1",
    "Start-Sleep -Seconds -1",
    "Get-Date -Format 'o'",
    "1 | Select-Object -Unique",
    "& $vm",
    "1 | ForEach-Object { break }",
    "function Get-It {\nparam($a)\n$a\n}\nGet-It -b 1",
    "function Get-It {\nparam($a)\n$a\n}\nGet-It 1 2",
    "function Get-It {\n1\n}\n1 | Get-It",
    "$b = [ScriptBlock]::Create('ls')",
    "'ab' -match '(?<year>a)'",
    "$utf8 = [Text.Encoding]::UTF8\n$utf8.GetBytes('a')",
]


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_is_unknown_cannot_be_caught(text: str) -> None:
    whole = f"try {{\n{text}\n}}\ncatch {{\n'caught'\n}}\nfinally {{\n'last'\n}}"
    found: list[object] = []
    with pytest.raises(SimulatorError) as caught:
        found += output(whole, vm=machine(), state=off(), kind=_other())
    assert found == []
    assert (caught.value.line, bool(caught.value.text)) >= (1, True)


def _other() -> object:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import EnumValue

    return EnumValue("Microsoft.HyperV.PowerShell.StartAction", "Nothing", 2)


def test_a_refusal_ends_the_process_and_is_reported_with_its_line() -> None:
    context = Context()
    outcome = run("'before'\ntry {\n$x = 'a'.PadLeft(3)\n}\ncatch {\n'caught'\n}\n'after'", context=context)
    assert (outcome.stdout, outcome.exit_code) == (b"before\r\n", 70)
    assert [(mishap.line, mishap.text) for mishap in context.mishaps] == [(3, "$x = 'a'.PadLeft(3)")]
    assert b"SIMULATOR ERROR" in outcome.stderr


def test_a_twin_that_breaks_is_reported_too() -> None:
    class Broken(Context):
        def now_s(self) -> float:
            raise ZeroDivisionError("no clock")

    context = Broken()
    assert run("try {\nGet-Date\n}\ncatch {\n1\n}", context=context).exit_code == 70
    assert "no clock" in str(context.mishaps[0])
