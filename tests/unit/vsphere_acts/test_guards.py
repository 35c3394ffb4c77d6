# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may start a VM by itself is told rightly, and kept in words that come back the same."""

from __future__ import annotations

import pytest
from pyVmomi import vim

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import keepsake, read


@pytest.mark.parametrize(
    ("default", "own", "has_ha"),
    [
        ("medium", None, True),
        ("disabled", None, False),
        ("medium", "disabled", False),
        ("disabled", "high", True),
        ("medium", "clusterRestartPriority", True),
        ("disabled", "clusterRestartPriority", False),
    ],
)
def test_ha_restarts_a_vm_by_its_own_word_or_its_clusters(default: str, own: str | None, has_ha: bool) -> None:
    cluster = vim.cluster
    das = cluster.DasConfigInfo(enabled=True, defaultVmSettings=cluster.DasVmSettings(restartPriority=default))
    override = cluster.DasVmConfigInfo(
        key=vim.VirtualMachine("vm-1"), dasSettings=cluster.DasVmSettings(restartPriority=own)
    )
    config = cluster.ConfigInfoEx(dasConfig=das, dasVmConfig=[override] if own else [])
    assert read._has_ha("vm-1", {read.CLUSTER_PATH: config}) is has_ha


@pytest.mark.parametrize(
    "kept",
    [
        keepsake.Keepsake(),
        keepsake.Keepsake(plugs={"4000": keepsake.PLUGGED, "4001": keepsake.UNPLUGGED}),
        keepsake.Keepsake(
            plugs={"4000": keepsake.Plug(is_connected=False, starts_connected=True)},
            autostart={"startOrder": "3", "stopAction": "PowerOff & 'wait' {{ x }} è"},
            ha={"restartPriority": "high"},
        ),
    ],
)
def test_what_is_kept_on_a_vm_comes_back_the_same(kept: keepsake.Keepsake) -> None:
    text = keepsake.encode(kept)
    assert keepsake.decode(text) == kept
    assert not set(text) & set("\"'{} \n")


def test_nothing_kept_is_told_from_kept_nothing() -> None:
    assert keepsake.decode("") is None
    assert keepsake.decode(keepsake.encode(keepsake.Keepsake())) == keepsake.Keepsake()
