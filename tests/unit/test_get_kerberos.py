# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys

import pytest

from ansible_collections.ferragosto.dr.tools import get_kerberos


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with a shell and nothing else."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def put_program(machine, name, text):
    path = machine / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def tell(machine, monkeypatch, capsys):
    """What `make` reads, and the exit code."""
    monkeypatch.setattr(sys, "argv", ["get_kerberos.py", str(machine / "cache")])
    code = get_kerberos.main()
    return code, capsys.readouterr().out


def test_without_debians_tools_the_reason_is_printed_instead_of_a_folder(machine, monkeypatch, capsys):
    put_program(machine, "apt-get", "exit 0")
    put_program(machine, "apt-cache", "exit 0")

    assert tell(machine, monkeypatch, capsys) == (
        1,
        "dpkg-deb and gcc not found: Debian's KDC cannot be brought here\n",
    )
    assert not (machine / "cache").exists()


@pytest.mark.parametrize(
    ("apt_cache", "apt_get", "why"),
    [
        ("echo krb5-user", "exit 0", "apt knows no package krb5-admin-server, krb5-kdc, libkrb5-dev"),
        (
            f"echo '{' '.join(get_kerberos.PACKAGES)}' | tr ' ' '\\n'",
            "echo no route >&2; exit 100",
            "apt-get failed: no route",
        ),
    ],
)
def test_what_apt_cannot_do_is_the_reason_and_nothing_is_left_behind(
    machine, monkeypatch, capsys, apt_cache, apt_get, why
):
    for tool in get_kerberos.TOOLS:
        put_program(machine, tool, "exit 0")
    put_program(machine, "apt-cache", f"PATH=/usr/bin:/bin\n{apt_cache}")
    put_program(machine, "apt-get", apt_get)

    code, said = tell(machine, monkeypatch, capsys)

    assert code == 1
    assert said.startswith(why)
    assert list((machine / "cache").iterdir()) == []


def test_what_is_there_is_used_as_it_is(machine, monkeypatch, capsys):
    made = []

    def unpack(work, root):
        root.mkdir(parents=True)
        made.append(root)

    monkeypatch.setattr(get_kerberos, "TOOLS", ())
    monkeypatch.setattr(get_kerberos, "unpack", unpack)
    monkeypatch.setattr(get_kerberos, "build", lambda work, home: (home / "python").mkdir())

    first, second = tell(machine, monkeypatch, capsys), tell(machine, monkeypatch, capsys)

    assert first == second
    assert first[0] == 0
    assert len(made) == 1
