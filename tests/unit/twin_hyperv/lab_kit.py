# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a test of the Hyper-V lab holds in its hands: pywinrm, a client that nobody here wrote."""

from __future__ import annotations

import typing as t

import winrm

from ansible_collections.ferragosto.dr.extensions.twin import overlay
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.lab import HypervLab


def words(lab: HypervLab, end: str = "production") -> dict[str, t.Any]:
    """What the overlay says of one host."""
    (group,) = overlay.read(lab.overlay_path).values()
    found: dict[str, t.Any] = group["vars"]["dr_site"][end]
    return found


def session(lab: HypervLab, end: str = "production", **changes: t.Any) -> winrm.Session:
    """Sign on with nothing but the words of the overlay, and ``changes`` to them."""
    said = {**words(lab, end), **changes}
    return winrm.Session(
        f"{said['winrm_scheme']}://{said['api_host']}:{said['api_port']}/wsman",
        auth=(said["api_user"], said["api_password"]),
        transport=said["winrm_transport"],
        server_cert_validation="validate",
        ca_trust_path=said["ca_path"],
        cert_pem=said.get("winrm_cert_path"),
        cert_key_pem=said.get("winrm_key_path"),
        operation_timeout_sec=10,
        read_timeout_sec=15,
        proxy=None,
    )


def run(lab: HypervLab, script: str, end: str = "production", **changes: t.Any) -> tuple[int, str, str]:
    """Run a script by pywinrm's own ``run_ps``; returns exit code, output and errors."""
    quiet = f"$ProgressPreference = 'SilentlyContinue'\n{script}"  # else the loading of a module is told on stderr
    done = session(lab, end, **changes).run_ps(quiet)
    return done.status_code, done.std_out.decode("utf-8", "replace"), done.std_err.decode("utf-8", "replace")


def lines(lab: HypervLab, script: str, end: str = "production", **changes: t.Any) -> list[str]:
    """The lines that a script prints, which must end well."""
    code, out, err = run(lab, script, end, **changes)
    assert (code, err) == (0, ""), err
    return out.splitlines()
