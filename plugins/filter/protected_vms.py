# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way from the inventory to the plan: the ``dr_*`` variables of the hosts in play and of what they depend on."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: protected_vms
version_added: 0.1.0
short_description: Turn the hosts of a play into the items that recovery_plan_info takes
description:
  - Picks the C(dr_*) variables of each host, and adds the dependencies outside the play, marked C(in_play=false).
  - Exists so that no results travel through Jinja in roles.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  _input:
    description: Names of the hosts in the play.
    type: list
    elements: str
    required: true
  hostvars:
    description: The C(hostvars) of the play.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Assess every VM of the play
  ferragosto.dr.recovery_plan_info:
    vms: "{{ ansible_play_hosts_all | ferragosto.dr.protected_vms(hostvars) }}"
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: One item per host, and one per dependency outside the play.
  type: list
  elements: dict
"""

# What travels: option name of an item -> inventory variable.
VARIABLES = {
    "site": "dr_site",
    "vm": "dr_vm",
    "replica": "dr_replica",
    "recovery_point": "recover_point",
    "checks": "dr_checks",
    "address": "dr_address",
    "contract": "dr_contract",
    "policy": "dr_policy",
    "accept": "dr_accept",
    "client": "dr_client",
    "priority": "dr_priority",
    "depends_on": "dr_depends_on",
    "alert_at": "dr_alert_at",
    "approved_by": "dr_approved_by",
}


def protected_vms(hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return one item per host of the play, then one per dependency that is not in it."""
    in_play = list(hosts)
    items = [_item(host, hostvars, is_in_play=True) for host in in_play]
    waiting = [name for item in items for name in _needs(item)]
    seen = set(in_play)
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        if name not in hostvars:
            asked_by = [item["host"] for item in items if name in _needs(item)]
            raise AnsibleFilterError(
                f"read dr_depends_on: {name!r}, named by {', '.join(asked_by)}, is not a host of the inventory."
                " Next: correct the name, or add that VM to the inventory"
            )
        item = _item(name, hostvars, is_in_play=False)
        items.append(item)
        waiting += _needs(item)
    return items


def _needs(item: Mapping[str, t.Any]) -> list[t.Any]:
    """Return what a VM depends on; what is no list (a lone name is the usual slip) is refused in words by the module."""
    needs = item.get("depends_on")
    return list(needs) if isinstance(needs, Sequence) and not isinstance(needs, (str, bytes)) else []


def _item(host: str, hostvars: Mapping[str, Mapping[str, t.Any]], *, is_in_play: bool) -> dict[str, t.Any]:
    variables = hostvars[host]
    item: dict[str, t.Any] = {"host": host, "in_play": is_in_play}
    for option, variable in VARIABLES.items():
        if variable in variables:
            item[option] = variables[variable]
    # The names alone, so that a misspelt variable is refused where the words are known.
    item["given"] = sorted(name for name in variables if name.startswith("dr_"))
    return item


class FilterModule:
    """The filters of the collection."""

    def filters(self) -> dict[str, t.Any]:
        return {"protected_vms": protected_vms}
