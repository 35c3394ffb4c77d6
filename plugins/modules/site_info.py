#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site_info
version_added: 0.1.0
short_description: Read hosts, VMs, health summary and replicas of one or many sites
description:
  - Reads all sites at once, in one process; a site that does not answer never delays or breaks the others and is
    returned with its error.
  - Use it for the fleet scan; ask M(ferragosto.dr.vm_health_info) about a VM that looks suspect.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  deadline:
    description: Seconds that one site may take before it is returned as unreachable.
    type: float
    default: 60.0
  workers:
    description: How many sites are read at the same time.
    type: int
    default: 64
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.site_optional
  - ferragosto.dr.common.sites
  - ferragosto.dr.common.attributes_info
"""

EXAMPLES = r"""
- name: Scan every site of the play at once
  ferragosto.dr.site_info:
    sites: "{{ ansible_play_hosts | map('extract', hostvars, 'dr_site') | unique | list }}"
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
sites:
  description: One row per site, in the order asked.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the site.
      type: str
    is_reachable:
      description: Whether every end answered.
      type: bool
    errors:
      description: What did not answer, and why.
      type: list
      elements: str
    findings:
      description: What a person should look at.
      type: list
      elements: str
    hosts:
      description: Physical hosts with connection, memory and datastores.
      type: list
      elements: dict
    vms:
      description: VMs with power, heartbeat, host, and the age of their newest recovery point.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the VM.
          type: str
        id:
          description: The platform's unique id of the VM.
          type: str
        host:
          description: Physical host that the VM is on.
          type: str
        power:
          description: Power state, V(unknown) where its host does not answer.
          type: str
        connection:
          description: How the VM's host and its management are connected.
          returned: when what is shown is not current
          type: str
        heartbeat:
          description: What the guest's agent says of it.
          returned: when the platform's bulk read shows it
          type: str
        tools:
          description: Whether that agent runs.
          returned: when the platform's bulk read shows it
          type: str
        recovery_points:
          description: Number of recovery points that the replica software keeps for this VM.
          type: int
        newest_point_age_s:
          description: Age of the newest of them in seconds; null without one.
          type: int
        replica_host:
          description: Host that holds the replica of this VM. A replica of another product, or one that runs or bears our stamps, has a row
            of its own instead.
          returned: when the platform itself replicates (Proxmox VE, Hyper-V) and the replica only waits to be promoted
          type: str
        stamps:
          description: The marks that this collection left on the VM.
          returned: when there are any
          type: dict
    calls:
      description: Calls made to the endpoints.
      type: int
duration_s:
  description: How long the module worked, in seconds.
  returned: always
  type: float
progress:
  description: The progress lines, as evidence.
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.ferragosto.dr.plugins.module_utils.invocation import Invocation
from ansible_collections.ferragosto.dr.plugins.module_utils.module import run, sites_option, spec
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.fleet import read_sites


def main() -> None:
    run(
        spec(
            has_vm=False,
            is_site_required=False,
            sites=sites_option(),
            deadline={"type": "float", "default": 60.0},
            workers={"type": "int", "default": 64},
        ),
        act,
        Invocation,
        mutually_exclusive=[["site", "sites"]],
        required_one_of=[["site", "sites"]],
    )


def act(call: Invocation) -> dict[str, object]:
    wanted = call.params["sites"] or [call.params["site"]]
    rows = read_sites(wanted, clock=call.clock, deadline_s=call.params["deadline"], workers=call.params["workers"])
    return {"sites": rows}


if __name__ == "__main__":
    main()
