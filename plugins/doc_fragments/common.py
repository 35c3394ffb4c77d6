# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import textwrap

_ENDPOINT = """
{side}:
  description: How to reach the {side} end. With one vCenter for both hosts, the same endpoint twice, each with its C(node); on Hyper-V each end
    is its own host.
  type: dict
  required: true
  suboptions:
    api_host:
      description: Host name or address of the API (vCenter, ESXi, a Proxmox VE node, WinRM of a Hyper-V host).
      type: str
      required: true
    api_port:
      description: Port of the API; the platform's own by default (WinRM over HTTPS 5986, over HTTP 5985).
      type: int
    api_user:
      description: User of the API.
      type: str
    api_password:
      description: Password; falls back to the environment variables E(DR_{env}_API_PASSWORD) and E(DR_API_PASSWORD).
      type: str
    api_token_id:
      description: Token id, on platforms with API tokens.
      type: str
    api_token_secret:
      description: Token secret; falls back to E(DR_{env}_API_TOKEN_SECRET) and E(DR_API_TOKEN_SECRET).
      type: str
    validate_certs:
      description: Verify the server's certificate. Turn it off only in a lab; pin C(tls_fingerprint) instead.
      type: bool
      default: true
    ca_path:
      description: File with the certificate authority that signed the server's certificate.
      type: path
    tls_fingerprint:
      description: SHA-256 fingerprint of the server's certificate; when given, exactly this certificate is accepted.
      type: str
    node:
      description: Name of the physical host, as the platform shows it. Empty means any host of the endpoint.
      type: str
      default: ""
    datastore:
      description: Datastore for VMs that move to this end; by default the one with most free space.
      type: str
    pool:
      description: Resource pool for VMs that move to this end; by default the host's own.
      type: str
    network:
      description: Production network of this end; on Hyper-V the virtual switch, by default the one of the same name as on the other host.
      type: str
    ssh_user:
      description:
        - User for commands on the node itself. When given, the platform's ways that need the node's shell are allowed
          (Proxmox VE, promotion in place).
      type: str
    ssh_port:
      description: Port of the node's SSH server.
      type: int
      default: 22
    ssh_key_path:
      description: File with the private key.
      type: path
    ssh_known_hosts_path:
      description: File with the host keys that are trusted; a host that is not in it is refused.
      type: path
    winrm_transport:
      description:
        - How to sign on to Windows Remote Management (Hyper-V). V(basic) is refused over C(http).
        - V(kerberos) takes the ticket of C(kinit), never the password; V(credssp) gives the host the password itself.
      type: str
      choices: [ntlm, kerberos, certificate, credssp, basic]
      default: ntlm
    winrm_scheme:
      description: V(https), or V(http), where NTLM, Kerberos and CredSSP encrypt the messages themselves (Hyper-V).
      type: str
      choices: [https, http]
      default: https
    winrm_cert_path:
      description: File with the client certificate, for C(winrm_transport=certificate).
      type: path
    winrm_key_path:
      description: File with its private key, which must not be encrypted.
      type: path
    winrm_kerberos_host:
      description: Host name in the service principal, where it is not C(api_host).
      type: str
    replica_server:
      description: This host's own DNS name as a Hyper-V replica server; by default C(node).
      type: str
    replica_thumbprint:
      description: Thumbprint of the certificate this host replicates with, where Hyper-V Replica uses certificates.
      type: str
    timeout:
      description: Seconds that one call may take.
      type: float
      default: 30.0
"""

_SITE = (
    """
name:
  description: Name of the site; part of the key of its VMs in the journal.
  type: str
  required: true
provider:
  description: Platform of the site. V(hyperv), V(proxmox) or V(vsphere).
  type: str
  required: true
isolated_networks:
  description: Networks on which a copy is harmless (the test bubble).
  type: list
  elements: str
  default: []
witnesses:
  description:
    - Independent witnesses of the production host, asked only when its hypervisor does not answer.
    - Only a positive statement that the machine has no power (Redfish) proves it dead. Silence proves nothing, an answer of
      any kind proves the contrary.
  type: list
  elements: dict
  default: []
  suboptions:
    redfish:
      description: Host of the production host's management board.
      type: str
    user:
      description: User of the management board.
      type: str
    password:
      description: Its password; falls back to the environment variable E(DR_WITNESS_PASSWORD).
      type: str
    system:
      description: Redfish id of the machine, where the board knows more than one.
      type: str
    ca_path:
      description: File with the certificate authority of the management board.
      type: path
    tls_fingerprint:
      description: SHA-256 fingerprint of its certificate.
      type: str
    tcp:
      description: A C(host:port) that answers while the production host lives.
      type: str
    ping:
      description: An address that answers a ping while the production host lives.
      type: str
    timeout:
      description: How long one question may take, for example V(5s).
      type: str
"""
    + _ENDPOINT.format(side="production", env="PRODUCTION")
    + _ENDPOINT.format(side="replica", env="REPLICA")
)

_ITEM = """
host:
  description: Name of the inventory host.
  type: str
  required: true
in_play:
  description: Whether the host is in the play. Others are dependencies; they are read, never touched.
  type: bool
  default: true
given:
  description: Names of all its C(dr_*) variables, so that a misspelt one is refused.
  type: list
  elements: str
  default: []
vm:
  description: The inventory variable C(dr_vm).
  type: str
  required: true
replica:
  description: The inventory variable C(dr_replica).
  type: raw
recovery_point:
  description: The recovery point that would be promoted, as in O(ferragosto.dr.replica#module:recovery_point).
  type: str
  default: latest
checks:
  description: The inventory variable C(dr_checks).
  type: raw
address:
  description: The inventory variable C(dr_address); by default the inventory name.
  type: str
contract:
  description: The inventory variable C(dr_contract); without one the VM is refused.
  type: raw
policy:
  description: The inventory variable C(dr_policy).
  type: raw
accept:
  description: The inventory variable C(dr_accept).
  type: raw
client:
  description: The inventory variable C(dr_client).
  type: raw
priority:
  description: The inventory variable C(dr_priority).
  type: raw
depends_on:
  description: The inventory variable C(dr_depends_on).
  type: raw
alert_at:
  description: The inventory variable C(dr_alert_at).
  type: str
approved_by:
  description: The inventory variable C(dr_approved_by).
  type: str
site:
  description: The inventory variable C(dr_site).
  type: dict
  required: true
  suboptions:
""" + textwrap.indent(_SITE, "    ")


def _options(head: str, suboptions: str) -> str:
    """Put suboptions, written once, under the option that holds them."""
    return f"options:\n{textwrap.indent(head, '  ')}\n    suboptions:\n{textwrap.indent(suboptions, '      ')}\n"


# Texts that are put together have a type: the linter of YAML reads plain assignments alone, as literals.
class ModuleDocFragment:
    """The options that the modules of the action group share."""

    DOCUMENTATION = r"""
options:
  journal:
    description:
      - URL of the journal, C(sqlite:///PATH) or C(postgresql://USER:PASSWORD@HOST/NAME).
      - By default a SQLite file in the user's state directory. Falls back to the environment variable E(DR_JOURNAL).
    type: str
  run_context:
    description:
      - Filled in by the collection's action plugin (who controls this run, where progress goes); leave it alone.
    type: dict
"""

    SITE: str = _options(
        "site:\n  description: The site, in the form of the inventory variable C(dr_site).\n  type: dict\n  required: true",
        _SITE,
    )

    SITE_OPTIONAL: str = _options(
        "site:\n  description: One site, in the form of the inventory variable C(dr_site).\n  type: dict", _SITE
    )

    SITES: str = _options(
        "sites:\n  description: Many sites of the form of O(site).\n  type: list\n  elements: dict", _SITE
    )

    PLAN: str = (
        _options(
            "vms:\n  description: The VMs to assess, as the filter P(ferragosto.dr.protected_vms#filter) makes them.\n"
            "  type: list\n  elements: dict\n  required: true",
            _ITEM,
        )
        + """
  site:
    description: Accepted because group defaults reach every module, and not used; each item of O(vms) has its own site.
    type: dict
"""
    )

    VM = r"""
options:
  vm:
    description: The protected VM, by its exact name or its platform id on the production host.
    type: str
    required: true
  replica:
    description:
      - How its replica is found; one of C(name), C(id) or C(match), a shell pattern in which C({vm}) stands for the VM's name.
      - Without it, what the platform itself replicates (Proxmox VE, Hyper-V), or a VM of the same name on the replica host.
    type: dict
"""

    ATTRIBUTES_INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Reads only; nothing is changed on a hypervisor.
  diff_mode:
    support: N/A
    description: Changes nothing.
  idempotent:
    support: full
    description: Running it again only reads again.
"""

    ATTRIBUTES_ACT = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Looks at the hypervisor and returns in RV(ignore:calls) the exact calls that would be made; makes none, journals nothing.
  diff_mode:
    support: full
    description: Shows each step's state before and after.
  idempotent:
    support: full
    description: A second run finds every step done and changes nothing.
"""
