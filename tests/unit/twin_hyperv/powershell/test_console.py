# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""powershell.exe: command line, streams, code pages, exit codes, and the bootstrap that the provider really sends."""

from __future__ import annotations

import base64
import json
import threading
import time
import typing as t
import xml.etree.ElementTree as ET

import pytest
import winrm

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.console import (
    STOPPED_EXIT_CODE,
    run_powershell,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.parse import parse
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.bootstrap import (
    ARGUMENTS,
    BOOTSTRAP,
    CLOSING,
    EXECUTABLE,
    OPENING,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.every import ALL
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.powershell.language_kit import Context, encoded, run

NAMES = [
    "a'; Stop-VM * #",
    "$(x)",
    "web[1]",
    "Мир-сервер",
    "a`nb",
    '"; exit 1; "',
    "{0}",
    "%TEMP%",
    "\u2019; Stop-VM \u2018",
    "a\r\nb",
]


def job(script: str, context: Context | None = None, **parameters: object) -> dict[str, t.Any]:
    """Send one job through the real bootstrap, and read its one line."""
    document = json.dumps({"script": script, "parameters": parameters}, ensure_ascii=False).encode()
    used = context or Context()
    outcome = run_powershell(used, [EXECUTABLE, *ARGUMENTS], document, stop=threading.Event())
    assert (outcome.stderr, outcome.exit_code, used.mishaps) == (b"", 0, [])
    line = outcome.stdout.decode("ascii").strip()
    assert line.startswith(OPENING)
    assert line.endswith(CLOSING)
    found: dict[str, t.Any] = json.loads(base64.b64decode(line[len(OPENING) : -len(CLOSING)]))
    return found


def test_the_bootstrap_answers_with_the_object_of_the_script_and_the_hosts_clock() -> None:
    answer = job(
        "param($p)\n[pscustomobject]@{\n    name = [string]$p.name\n    both = @($p.list | ForEach-Object { $_ * 2 })\n}\n",
        name="web",
        list=[1, 2],
    )
    assert answer == {
        "ok": True,
        "data": {"name": "web", "both": [2, 4]},
        "error": None,
        "now": "2027-01-15T08:00:00.2500000Z",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_value_whatever_it_looks_like(name: str) -> None:
    answer = job(
        "param($p)\n$same = $p.name -eq $p.again\n[pscustomobject]@{ name = [string]$p.name; same = $same }\n",
        name=name,
        again=name,
    )
    assert answer["data"] == {"name": name, "same": True}


def test_the_bootstrap_tells_an_error_by_id_category_and_line() -> None:
    answer = job("param($p)\n$x = 1\n$y = [guid]$p.id\n", id="web")
    assert answer["ok"] is False
    assert (answer["error"]["id"], answer["error"]["category"], answer["error"]["line"]) == (
        "InvalidCastParseTargetInvocation",
        "InvalidArgument",
        3,
    )


def test_the_bootstrap_turns_a_written_error_into_the_end() -> None:
    answer = job(
        "param($p)\nWrite-Error -Message 'gone' -ErrorId 'Gone' -Category ObjectNotFound\n[pscustomobject]@{ a = 1 }\n"
    )
    assert answer["error"] == {
        "message": "gone",
        "id": "Gone",
        "category": "ObjectNotFound",
        "line": 2,
    }


@pytest.mark.parametrize("script", ALL, ids=lambda script: script.name)
def test_every_script_of_the_provider_is_understood_to_its_last_branch(script: Script) -> None:
    assert parse(script.text).block.body


def test_a_german_host_answers_the_same_ids() -> None:
    script = "param($p)\n$x = 1 / [int]$p.zero\n"
    english, german = job(script, zero=0), job(script, Context(culture="de-DE"), zero=0)
    assert english["error"]["message"] != german["error"]["message"]
    assert english["error"]["id"] == german["error"]["id"]


def test_a_script_outside_of_the_subset_fails_the_simulator_not_the_job() -> None:
    context = Context()
    document = json.dumps({"script": "param($p)\nls\n", "parameters": {}}).encode()
    outcome = run_powershell(context, [EXECUTABLE, *ARGUMENTS], document, stop=threading.Event())
    assert (outcome.exit_code, len(context.mishaps)) == (70, 1)


@pytest.mark.parametrize(
    ("text", "code_page", "expected"),
    [
        ("'Мир ü'", 437, "??? ü".encode("cp437")),
        ("'Мир ü'", 65001, "Мир ü".encode()),
        ("[Console]::OutputEncoding = [Text.Encoding]::UTF8\n'Мир ü'", 437, "Мир ü".encode()),
        ("[Console]::OutputEncoding = New-Object -TypeName System.Text.UTF8Encoding\n'Мир'", 437, "Мир".encode()),
    ],
)
def test_letters_that_the_code_page_lacks_are_lost(text: str, code_page: int, expected: bytes) -> None:
    assert run(text, code_page=code_page).stdout == expected + b"\r\n"


def test_input_is_read_as_the_script_says() -> None:
    text = """
$utf8 = New-Object -TypeName System.Text.UTF8Encoding -ArgumentList $false
$reader = New-Object -TypeName System.IO.StreamReader -ArgumentList ([Console]::OpenStandardInput()), $utf8
$got = $reader.ReadToEnd()
$got.Length
$again = $reader.ReadToEnd()
$again.Length
"""
    assert run(text, "\ufeffМир".encode()).stdout == b"3\r\n0\r\n"
    by_console = "$got = [Console]::In.ReadToEnd()\n$got.Length"
    assert run(by_console, "Мир".encode()).stdout == b"6\r\n"  # code page 437 sees six letters
    assert run(by_console, "Мир".encode(), code_page=65001).stdout == b"3\r\n"


def test_the_console_can_be_written_to_past_the_pipeline() -> None:
    assert run("$x = [Console]::Out.Write('a')\n[Console]::Out.WriteLine('b')\n5").stdout == b"ab\r\n5\r\n"


def test_an_object_that_reaches_the_console_is_refused() -> None:
    context = Context()
    assert run("[pscustomobject]@{ a = 1 }", context=context).exit_code == 70
    assert "an object reaches the console" in str(context.mishaps[0])


def test_an_uncaught_error_is_clixml_on_the_error_stream() -> None:
    outcome = run("$ErrorActionPreference = 'Stop'\n'before'\nthrow 'no <b> & _x0041_ Мир'", code_page=65001)
    assert (outcome.stdout, outcome.exit_code) == (b"before\r\n", 1)
    head, dummy, body = outcome.stderr.decode().partition("\r\n")
    assert head == "#< CLIXML"
    lines = [node.text for node in ET.fromstring(body)]
    assert lines[0] == "no <b> & _x005F_x0041_ Мир_x000D__x000A_"
    assert any("FullyQualifiedErrorId : no <b>" in str(line) for line in lines)
    assert {node.attrib["S"] for node in ET.fromstring(body)} == {"Error"}


def test_pywinrm_reads_the_error_out_of_the_clixml() -> None:
    outcome = run("$ErrorActionPreference = 'Stop'\nthrow 'the line is down'")
    told = winrm.Session("hv-a", auth=("x", "y"))._clean_error_msg(outcome.stderr)
    assert told.startswith(b"the line is down\nAt line:2 char:1")


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        ("$x = Get-Date", True),
        ("1 | Where-Object { $_ } | Out-Null", False),
        ("$ProgressPreference = 'SilentlyContinue'\n$x = Get-Date", False),
    ],
)
def test_the_progress_of_loading_a_module_is_on_the_error_stream(text: str, is_shown: bool) -> None:
    outcome = run(text)
    assert outcome.exit_code == 0
    assert (b"Preparing modules for first use." in outcome.stderr) is is_shown
    assert outcome.stderr.startswith(b"#< CLIXML") is is_shown


def test_a_command_as_text_gets_its_errors_as_text() -> None:
    argv = ["powershell", "-nop", "-NonI", "-ExecutionPolicy", "Bypass", "-Command", "throw 'no'"]
    outcome = run_powershell(Context(), argv, stop=threading.Event())
    assert (outcome.exit_code, outcome.stderr.splitlines()[0]) == (1, b"no")


@pytest.mark.parametrize("said", [[], ["-InputFormat", "Text"]])
@pytest.mark.parametrize("text", ["[Console]::OpenStandardInput() | Out-Null", "[Console]::In | Out-Null"])
def test_an_input_that_powershell_reads_itself_is_not_the_scripts_to_open(said: list[str], text: str) -> None:
    context = Context()
    argv = [word for word in encoded(text) if word not in ("-InputFormat", "None")]
    assert run_powershell(context, [argv[0], *said, *argv[1:]], b"{}", stop=threading.Event()).exit_code == 70
    assert "-InputFormat None" in str(context.mishaps[0])


@pytest.mark.parametrize(
    "argv",
    [
        ["cmd.exe", "/c", "dir"],
        ["powershell.exe"],
        ["powershell.exe", "-File", "x.ps1"],
        ["powershell.exe", "-Command", "-"],
        ["powershell.exe", "-EncodedCommand", "%%"],
        ["powershell.exe", "-EncodedCommand"],
        ["powershell.exe", *encoded("1")[1:], "x"],
    ],
)
def test_a_command_line_that_is_not_ours_is_refused(argv: list[str]) -> None:
    context = Context()
    assert run_powershell(context, argv, stop=threading.Event()).exit_code == 70
    assert len(context.mishaps) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Start-Sleep -Seconds 60",
        "while ($true) {\n$x = 1\n}",
        "try {\nStart-Sleep -Seconds 60\n} catch {\n'x'\n} finally {\n'x'\n}",
    ],
)
def test_a_running_script_ends_when_it_is_stopped(text: str) -> None:
    stop = threading.Event()
    context = Context()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    began = time.monotonic()
    outcome = run_powershell(context, encoded(f"'before'\n{text}\n'after'"), stop=stop)
    assert (outcome.stdout, outcome.exit_code, context.mishaps) == (b"before\r\n", STOPPED_EXIT_CODE, [])
    assert time.monotonic() - began < 5


def test_an_input_that_never_ends_is_waited_for_until_the_process_is_stopped() -> None:
    stop = threading.Event()

    def waiting() -> bytes:
        stop.wait(5)
        raise EOFError

    threading.Timer(0.1, stop.set).start()
    context = Context()
    assert run_powershell(context, encoded(BOOTSTRAP), waiting, stop=stop).exit_code == STOPPED_EXIT_CODE
    assert context.mishaps == []
