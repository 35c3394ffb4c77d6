# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON has the oddities of Windows PowerShell 5.1, not those of PowerShell 7."""

from __future__ import annotations

import datetime as dt

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import Int64
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.powershell.language_kit import machine, off, output, value

WRITTEN = [
    # enums leave as numbers, dates as /Date(ms)/, spans as an object of their parts
    ("$state", "3"),
    ("@{ state = $state }", '{"state":3}'),
    ("[DateTime]::UtcNow", r'"\/Date(1800000000250)\/"'),
    ("@{ at = [DateTime]::UtcNow }", r'{"at":"\/Date(1800000000250)\/"}'),
    ("@{ id = [guid]'9f8b7c6d-0000-4000-8000-00000000000A' }", '{"id":"9f8b7c6d-0000-4000-8000-00000000000a"}'),
    # an array stays one when it is given whole
    ("@(1)", "[1]"),
    ("@()", "[]"),
    ("@{ a = @('x') }", '{"a":["x"]}'),
    ("@{ a = @() }", '{"a":[]}'),
    ("@{ a = 'x' }", '{"a":"x"}'),
    ("[pscustomobject]@{ b = 1; a = $null; c = $true }", '{"b":1,"a":null,"c":true}'),
    ("[ordered]@{ n = [double]'1.5'; l = [long]8589934592; f = [double]2 }", '{"n":1.5,"l":8589934592,"f":2}'),
    # what HTML minds is escaped, other letters are not
    ("'<a href=\"x\">&''</a>'", r'"\u003ca href=\"x\"\u003e\u0026\u0027\u003c/a\u003e"'),
    (r"'c:\temp'", r'"c:\\temp"'),
    ("'Мир ü 雪'", '"Мир ü 雪"'),
    ("[Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('CQoBfw=='))", r'"\t\n\u0001' + '\x7f"'),
]


@pytest.mark.parametrize(("text", "expected"), WRITTEN)
def test_compressed_json_is_that_of_51(text: str, expected: str) -> None:
    assert value(f"$value = {text}\nConvertTo-Json -InputObject $value -Compress", state=off()) == expected


DEEP = "@{ a = @{ b = @{ c = @{ d = 1 } } } }"


@pytest.mark.parametrize(
    ("text", "depth", "expected"),
    [
        (DEEP, "", '{"a":{"b":{"c":"System.Collections.Hashtable"}}}'),
        (DEEP, "-Depth 3", '{"a":{"b":{"c":{"d":1}}}}'),
        (DEEP, "-Depth 1", '{"a":{"b":"System.Collections.Hashtable"}}'),
        (
            "@{ a = @{ b = @{ c = [pscustomobject]@{ d = 1; e = @(1) } } } }",
            "",
            '{"a":{"b":{"c":"@{d=1; e=System.Object[]}"}}}',
        ),
        ("@{ a = @{ b = @{ c = @(1, 2) } } }", "", '{"a":{"b":{"c":"1 2"}}}'),
        ("@{ a = @{ b = @{ c = $state } } }", "", '{"a":{"b":{"c":3}}}'),
    ],
)
def test_what_lies_deeper_is_a_text_without_a_word(text: str, depth: str, expected: str) -> None:
    assert value(f"$value = {text}\nConvertTo-Json -InputObject $value {depth} -Compress", state=off()) == expected


def test_the_pipeline_unwraps_an_array_of_one() -> None:
    assert value("@('x') | ConvertTo-Json -Compress") == '"x"'
    assert value("@('x', 'y') | ConvertTo-Json -Compress") == '["x","y"]'


def test_null_alone_is_not_written() -> None:
    assert output("ConvertTo-Json -InputObject $null") == []
    assert value("1, $null, 2 | ConvertTo-Json -Compress") == "[1,2]"


def test_the_layout_indents_from_the_column_of_the_value() -> None:
    text = "$value = [ordered]@{ a = 1; list = @(1, @{ b = 'x' }); none = @() }\nConvertTo-Json -InputObject $value"
    assert str(value(text)).split("\r\n") == [
        "{",
        '    "a":  1,',
        '    "list":  [',
        "                 1,",
        "                 {",
        '                     "b":  "x"',
        "                 }",
        "             ],",
        '    "none":  [',
        "",
        "             ]",
        "}",
    ]


def test_an_object_of_the_module_shows_its_properties() -> None:
    text = "ConvertTo-Json -InputObject $vm -Compress"
    assert value(text, vm=machine()) == '{"Name":"web","State":3}'


def test_a_command_without_output_is_refused_where_51_writes_an_empty_object() -> None:
    with pytest.raises(SimulatorError, match="output nothing"):
        output("function Get-None {\n}\n$value = @{ a = Get-None }\nConvertTo-Json -InputObject $value")


def test_a_local_date_is_refused_which_51_may_write_as_an_object() -> None:
    with pytest.raises(SimulatorError, match="local date"):
        output("$value = @{ at = (Get-Date) }\nConvertTo-Json -InputObject $value")


def test_an_array_as_one_object_of_the_pipeline_is_refused() -> None:
    with pytest.raises(SimulatorError, match="InputObject"):
        output(", @(1, 2) | ConvertTo-Json")


@pytest.mark.parametrize(
    ("json", "text", "expected"),
    [
        ('{"a": {"B": [1, 2.5, "x", null, true]}}', "$j.A.b.Count", 5),
        ('{"n": 2147483648}', "$j.n", Int64(2147483648)),
        ('{"n": 1}', "$j.n -is [int]", True),
        ('{"at": "2027-01-15T08:00:00Z"}', "$j.at -is [string]", True),
        (r'{"at": "\/Date(1800000000250)\/"}', "$j.at.ToString('o')", "2027-01-15T08:00:00.2500000Z"),
        ('{"at": "/Date(1800000000250)/"}', "$j.at", "/Date(1800000000250)/"),
        ('{"a": []}', "$j.a.Count", 0),
        ('{"a": [1]}', "$j.a -is [array]", True),
        ('"x"', "$j", "x"),
        ('{"a": "a\'; Stop-VM * # $(x) web[1] Мир"}', "$j.a", "a'; Stop-VM * # $(x) web[1] Мир"),
    ],
)
def test_json_is_read_as_51_reads_it(json: str, text: str, expected: object) -> None:
    assert value(f"$j = ConvertFrom-Json -InputObject $text\n{text}", text=json) == expected


def test_an_array_leaves_as_one_object() -> None:
    assert value("$text | ConvertFrom-Json | ForEach-Object { $_.Count }", text="[1, 2, 3]") == 3


@pytest.mark.parametrize(
    ("json", "error_id"),
    [
        ("{", "System.ArgumentException,Microsoft.PowerShell.Commands.ConvertFromJsonCommand"),
        ("NaN", "System.ArgumentException,Microsoft.PowerShell.Commands.ConvertFromJsonCommand"),
        ('{"a": 1, "A": 2}', "DuplicateKeysInJsonString,Microsoft.PowerShell.Commands.ConvertFromJsonCommand"),
    ],
)
def test_broken_json_is_an_error_of_the_script(json: str, error_id: str) -> None:
    with pytest.raises(PowerShellError) as caught:
        output("$ErrorActionPreference = 'Stop'\nConvertFrom-Json -InputObject $text", text=json)
    assert caught.value.error_id == error_id


def test_a_span_is_an_object_of_its_parts() -> None:
    assert '"TotalSeconds":90' in str(value("ConvertTo-Json -InputObject $up -Compress", up=dt.timedelta(seconds=90)))
