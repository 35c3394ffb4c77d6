# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Witnesses of a physical host that are independent of its hypervisor's own API."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.checks import WitnessSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Witness, WitnessSays
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.prober import connects
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.redfish import redfish
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.together import ask_all
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.wire import ProbeError

# A board is asked up to six times: log in, systems, system, each once more, log out.
_QUESTIONS = {"redfish": 6, "tcp": 1, "ping": 1}
_SLACK_S = 1.0


def ask_witnesses(specs: Sequence[WitnessSpec]) -> tuple[Witness, ...]:
    """Ask all at once. Never raises: a witness that cannot be asked is silent, and silence proves nothing."""
    if not specs:
        return ()
    within_s = max(spec.timeout_s * _QUESTIONS[spec.kind] for spec in specs) + _SLACK_S

    def late(number: int) -> Witness:
        spec = specs[number]
        return Witness(name=spec.label(), says=WitnessSays.SILENT, detail=f"no answer in {within_s:g} s")

    return tuple(ask_all([functools.partial(ask, spec) for spec in specs], within_s=within_s, late=late))


def ask(spec: WitnessSpec) -> Witness:
    """Ask one witness."""
    if spec.kind == "redfish":
        return redfish(spec)
    return tcp(spec) if spec.kind == "tcp" else ping(spec)


def tcp(spec: WitnessSpec) -> Witness:
    """Try to connect. A refusal is an answer too: something of the host lives to send it."""
    try:
        detail = connects(spec.host, spec.port, spec.timeout_s)
        says = WitnessSays.ALIVE
    except ProbeError as error:
        detail = str(error)
        says = WitnessSays.ALIVE if isinstance(error.__cause__, ConnectionRefusedError) else WitnessSays.SILENT
    return Witness(name=spec.label(), says=says, detail=detail)


def ping(spec: WitnessSpec) -> Witness:
    """Send one echo request with the system's ping, where there is one."""
    says, detail = _ping(spec)
    return Witness(name=spec.label(), says=says, detail=detail)


def _ping(spec: WitnessSpec) -> tuple[WitnessSays, str]:
    program = shutil.which("ping")
    if program is None:
        return WitnessSays.SILENT, "not asked: there is no ping command on this machine"
    if spec.host.startswith("-"):
        return WitnessSays.SILENT, f"not asked: {spec.host!r} is not a host name"
    wait_s = max(1, round(spec.timeout_s))
    try:
        ended = subprocess.run(
            [program, "-n", "-c", "1", "-W", str(wait_s), spec.host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=wait_s + 2,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return WitnessSays.SILENT, f"no echo in {wait_s} s"
    except OSError as error:
        return WitnessSays.SILENT, f"not asked: {error.strerror}"
    if ended.returncode == 0:
        return WitnessSays.ALIVE, "it echoes"
    if ended.returncode == 1:
        return WitnessSays.SILENT, f"no echo in {wait_s} s"
    words = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    return WitnessSays.SILENT, f"ping failed: {words[-1] if words else f'exit code {ended.returncode}'}"
