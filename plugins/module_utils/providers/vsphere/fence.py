# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fence the production copy, so that it neither runs nor can start by itself (invariant 6); and take the fence off again.

The order, chosen for a controller that dies between any two steps:

1. Stamp first. It proves nothing (proof is power and NICs, read again), but a second controller with another journal sees
   whose hands are on this VM, and the same write keeps what the VM was, before anything of it is changed.
2. Autostart and HA off while it still runs: from the moment it is off, nothing of the platform brings it back.
3. The guest is asked while it still has its network, so that databases and shares close cleanly.
4. NICs before the plug is pulled: a copy that refuses to power off (stuck storage, stuck VMM) is then seen disconnected at
   least, which is the second proof that invariant 2 knows.
5. Power off last. Nothing after it can be forgotten by a dead controller.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import (
    guards,
    keepsake,
    power,
    reconfigure,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.acting import Copy
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client

GUEST_WITHIN_S = 30.0  # the RTO clock runs, and what is fenced is mostly broken already


def fence(
    client: Client,
    vm: Vm,
    *,
    run_id: str,
    guest_within_s: float = GUEST_WITHIN_S,
    off_within_s: float = power.POWER_OFF_WITHIN_S,
) -> list[Step]:
    copy = Copy(client, vm)
    steps = [_claim(copy, run_id), guards.autostart_off(copy), guards.ha_off(copy)]
    if guest_within_s > 0 and power.can_be_asked(vm):
        steps.append(power.ask_guest_step(client, vm, guest_within_s=guest_within_s))
    steps.append(
        reconfigure.plug_nics(
            copy,
            "disconnect the NICs",
            lambda now: {n.key: keepsake.UNPLUGGED for n in now.nics},
            next=f"disconnect every NIC of {vm.name} in the vSphere client (Connected and Connect At Power On), "
            "then run the same command again",
        )
    )
    steps.append(power.pull_plug(client, vm, within_s=off_within_s))
    return steps


def unfence(client: Client, vm: Vm, former: Former) -> list[Step]:
    """Put NICs, autostart and HA back as they were, then take our stamps off. Power is left to ``power_on``.

    A NIC that was connected by hand without starting connected comes back by running these steps again once the VM is on.
    """
    copy = Copy(client, vm)
    kept = keepsake.decode(copy.now().stamps.get(keepsake.KEY, "")) or keepsake.Keepsake()
    plugs = keepsake.plugs_before(former, kept)
    return [
        reconfigure.plug_nics(
            copy,
            "put the NICs back",
            lambda now: plugs,
            next=f"connect the NICs of {vm.name} in the vSphere client as they were ({_say(plugs)}), "
            "then run the same command again",
        ),
        guards.autostart_back(copy, was_on=_was_on(former.has_autostart, kept.autostart), words=kept.autostart),
        guards.ha_back(copy, was_on=_was_on(former.has_ha, kept.ha), words=kept.ha),
        reconfigure.stamp(
            copy,
            "take the fence stamp off",
            {stamps.FENCED: "", keepsake.KEY: "", power.MARK: ""},
            next=f"remove {stamps.FENCED} from the advanced settings of {vm.name}, then run the same command again",
        ),
    ]


def _claim(copy: Copy, run_id: str) -> Step:
    name = "stamp as fenced"
    mark = {stamps.FENCED: run_id}

    def act() -> None:
        kept = reconfigure.keep_once(copy, lambda now: _keepsake(copy, now))
        reconfigure.write_marks(copy, name, {**mark, **kept})

    return copy.step(
        name,
        calls=[f"ReconfigVM_Task({copy.handle}, extraConfig {stamps.FENCED}={run_id!r}, {keepsake.KEY})"],
        is_done=lambda now: reconfigure.has_marks(now, mark) and bool(now.stamps.get(keepsake.KEY)),
        act=act,
        task="reconfig",
        next="read the task's error in the vSphere client, then run the same command again",
    )


def _keepsake(copy: Copy, now: Vm) -> keepsake.Keepsake:
    autostart, ha = guards.kept_guards(copy, now)
    return keepsake.Keepsake(plugs=keepsake.plugs_of(now.nics), autostart=autostart, ha=ha)


def _was_on(told: bool | None, kept: Mapping[str, str] | None) -> bool:
    return kept is not None or told is True


def _say(plugs: Mapping[str, keepsake.Plug]) -> str:
    return ", ".join(f"{key}: {'starts connected' if p.starts_connected else 'off'}" for key, p in plugs.items())
