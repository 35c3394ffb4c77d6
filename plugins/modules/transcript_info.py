#!/usr/bin/python
# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: transcript_info
version_added: 0.1.0
short_description: Write down what the hosts of a site answer
description:
  - Asks each host everything that this collection ever reads of it, and returns the answers word for word, to be compared with
    those of the digital twin.
  - Nothing is changed. Where the platform has a mode that only checks (C(-WhatIf)), the hosts are also asked what they would
    refuse now; O(what_if) leaves these questions out.
  - For owners of real hosts whose twin rests on inference. A provider without transcripts is refused.
  - The answers are long; the playbook C(ferragosto.dr.verify) writes one file per host.
author:
  - The ferragosto.dr contributors (@ferragosto)
options:
  vms:
    description: VMs to record, by name or platform id; all VMs of the hosts when empty.
    type: list
    elements: str
    default: []
  masked:
    description:
      - Replace every name, note, address, path, picture and id by a stand-in, the same one at both hosts, numbered by first sight.
      - Secrets of the endpoints are never in a transcript.
    type: bool
    default: true
  what_if:
    description: Ask the hosts what they would refuse, by commands that check and then do nothing.
    type: bool
    default: true
extends_documentation_fragment:
  - ferragosto.dr.common
  - ferragosto.dr.common.site_optional
  - ferragosto.dr.common.sites
  - ferragosto.dr.common.attributes_info
"""

EXAMPLES = r"""
- name: Record what both hosts answer about one VM
  ferragosto.dr.transcript_info:
    site: "{{ dr_site }}"
    vms: [gestionale]
  delegate_to: localhost
"""

RETURN = r"""
transcripts:
  description: One row per host.
  returned: success
  type: list
  elements: dict
  contains:
    file:
      description: A name for the file that keeps it.
      type: str
    end:
      description: Which end of the site the host is, V(production) or V(replica).
      type: str
    error:
      description: Why the recording of this host ended early; empty when it did not.
      type: str
    transcript:
      description:
        - Every script with its hash, its parameters, the answer or the error (id, category, message), the host's clock and the
          seconds that it took.
      type: dict
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
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.transcript import record_sites


def main() -> None:
    run(
        spec(
            has_vm=False,
            is_site_required=False,
            sites=sites_option(),
            vms={"type": "list", "elements": "str", "default": []},
            masked={"type": "bool", "default": True},
            what_if={"type": "bool", "default": True},
        ),
        act,
        Invocation,
        mutually_exclusive=[["site", "sites"]],
        required_one_of=[["site", "sites"]],
    )


def act(call: Invocation) -> dict[str, object]:
    wanted = call.params["sites"] or [call.params["site"]]
    rows = record_sites(
        wanted,
        call.params["vms"],
        is_masked=call.params["masked"],
        asks_what_if=call.params["what_if"],
        clock=call.clock,
        progress=call.progress,
    )
    return {"transcripts": rows}


if __name__ == "__main__":
    main()
