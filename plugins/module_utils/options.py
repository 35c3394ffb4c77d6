# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that many modules share, as argument specs, and their way into the core's values.

The documentation of the same options lives in plugins/doc_fragments; ``ansible-test sanity`` compares the two.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, SiteSpec

Spec: t.TypeAlias = "dict[str, t.Any]"


def _endpoint(side: str, env: Callable[..., t.Any]) -> Spec:
    def secret(name: str) -> Spec:
        names = [f"DR_{side}_{name.upper()}", f"DR_{name.upper()}"]
        return {"type": "str", "no_log": True, "fallback": (env, names)}

    return {
        "type": "dict",
        "required": True,
        "options": {
            "api_host": {"type": "str", "required": True},
            "api_port": {"type": "int"},
            "api_user": {"type": "str"},
            "api_password": secret("api_password"),
            "api_token_id": {"type": "str"},
            "api_token_secret": secret("api_token_secret"),
            "validate_certs": {"type": "bool", "default": True},
            "ca_path": {"type": "path"},
            "tls_fingerprint": {"type": "str"},
            "node": {"type": "str", "default": ""},
            "datastore": {"type": "str"},
            "pool": {"type": "str"},
            "network": {"type": "str"},
            "ssh_user": {"type": "str"},
            "ssh_port": {"type": "int", "default": 22},
            "ssh_key_path": {"type": "path"},
            "ssh_known_hosts_path": {"type": "path"},
            "winrm_transport": {
                "type": "str",
                "default": "ntlm",
                "choices": ["ntlm", "kerberos", "certificate", "credssp", "basic"],
            },
            "winrm_scheme": {"type": "str", "default": "https", "choices": ["https", "http"]},
            "winrm_cert_path": {"type": "path"},
            "winrm_key_path": {"type": "path"},
            "winrm_kerberos_host": {"type": "str"},
            "replica_server": {"type": "str"},
            "replica_thumbprint": {"type": "str"},
            "timeout": {"type": "float", "default": 30.0},
        },
    }


def _witnesses(env: Callable[..., t.Any]) -> Spec:
    return {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "redfish": {"type": "str"},
            "user": {"type": "str"},
            "password": {"type": "str", "no_log": True, "fallback": (env, ["DR_WITNESS_PASSWORD"])},
            "ca_path": {"type": "path"},
            "tls_fingerprint": {"type": "str"},
            "system": {"type": "str"},
            "timeout": {"type": "str"},
            "tcp": {"type": "str"},
            "ping": {"type": "str"},
        },
        "mutually_exclusive": [["redfish", "tcp", "ping"]],
        "required_one_of": [["redfish", "tcp", "ping"]],
    }


def site_spec(env: Callable[..., t.Any], *, required: bool) -> Spec:
    """Return the ``site`` option. ``env`` is Ansible's env_fallback, handed in so that only module.py imports Ansible."""
    return {
        "type": "dict",
        "required": required,
        "options": site_options(env),
    }


def site_options(env: Callable[..., t.Any]) -> Spec:
    return {
        "name": {"type": "str", "required": True},
        "provider": {"type": "str", "required": True},
        "production": _endpoint("PRODUCTION", env),
        "replica": _endpoint("REPLICA", env),
        "isolated_networks": {"type": "list", "elements": "str", "default": []},
        "witnesses": _witnesses(env),
    }


def common_spec(env: Callable[..., t.Any]) -> Spec:
    """Return the options that every module of the action group accepts."""
    return {
        "journal": {"type": "str", "no_log": True, "fallback": (env, ["DR_JOURNAL"])},
        "run_context": {"type": "dict"},
    }


def plan_items(env: Callable[..., t.Any]) -> Spec:
    """Return the ``vms`` option: one item per protected VM, its ``dr_*`` variables without the prefix."""
    return {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "host": {"type": "str", "required": True},
            "in_play": {"type": "bool", "default": True},
            "given": {"type": "list", "elements": "str", "default": []},
            "site": site_spec(env, required=True),
            "vm": {"type": "str", "required": True},
            # raw: a wrong one is refused by its variable's name (core/words.py), not as an option of an item
            "replica": {"type": "raw"},
            "recovery_point": {"type": "str", "default": "latest"},
            "checks": {"type": "raw"},
            "address": {"type": "str"},
            "contract": {"type": "raw"},
            "policy": {"type": "raw"},
            "accept": {"type": "raw"},
            "client": {"type": "raw"},
            "priority": {"type": "raw"},
            "depends_on": {"type": "raw"},
            "alert_at": {"type": "str"},
            "approved_by": {"type": "str"},
        },
    }


VM_SPEC: Spec = {
    "vm": {"type": "str", "required": True},
    "replica": {"type": "dict"},
}


def as_site(site: Mapping[str, t.Any]) -> SiteSpec:
    """Turn a validated ``site`` option into the core's value."""
    return SiteSpec(
        name=site["name"],
        provider=site["provider"],
        production=_as_endpoint(site["production"]),
        replica=_as_endpoint(site["replica"]),
        isolated_networks=tuple(site.get("isolated_networks") or ()),
    )


def _as_endpoint(end: Mapping[str, t.Any]) -> EndpointSpec:
    words = {key: value for key, value in end.items() if key not in ("timeout", "node")}
    return EndpointSpec(**words, node=end.get("node") or "", timeout_s=float(end["timeout"]))
