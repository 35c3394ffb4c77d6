# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The overlay inventory: what the lab puts in place of a client's real endpoints and addresses."""

from __future__ import annotations

import json
import os
import typing as t
from collections.abc import Mapping
from pathlib import Path

import yaml

from ansible_collections.ferragosto.dr.extensions.twin.inventory import End, SiteWish

Words: t.TypeAlias = "Mapping[str, t.Any]"


def overlay(
    wish: SiteWish,
    provider: str,
    *,
    production: Words,
    replica: Words,
    ports: Mapping[str, int],
    extra: Words | None = None,
    per_host: Mapping[str, Words] | None = None,
) -> dict[str, t.Any]:
    """The inventory that goes after the client's own: ``-i clients/luca -i overlay.yml``.

    dr_site is replaced as a whole; ``per_host`` holds more words by inventory hostname.
    """
    site: dict[str, t.Any] = {
        "name": wish.name,
        "provider": provider,
        "isolated_networks": list(wish.isolated_networks),
        "production": {**production, **_end(wish.production)},
        "replica": {**replica, **_end(wish.replica)},
    }
    hosts = {
        vm.host: {
            "dr_checks": [
                {"tcp": f"127.0.0.1:{ports[vm.vm]}"},
                {
                    "http": f"http://127.0.0.1:{ports[vm.vm]}/health",
                    "status": 200,
                    "contains": '"ok"',
                    "identity": "copy",
                },
            ],
            **(per_host or {}).get(vm.host, {}),
        }
        for vm in wish.vms
    }
    return {wish.group: {"vars": {"dr_site": site, **(extra or {})}, "hosts": hosts}}


def without_vendor(wish: SiteWish, provider: str) -> dict[str, Words]:
    """Per host, what a client of another platform must not say on this one.

    There the replica is a VM of its own and another product's job makes it; here the platform replicates by itself.
    """
    if wish.provider == provider:
        return {}
    found: dict[str, Words] = {}
    for vm in wish.vms:
        found[vm.host] = {"dr_replica": None}
        if isinstance(vm.policy_words, dict) and "job_hook" in vm.policy_words:
            kept = {key: word for key, word in vm.policy_words.items() if key != "job_hook"}
            found[vm.host] = {**found[vm.host], "dr_policy": kept}
    return found


def write(path: Path, content: dict[str, t.Any]) -> Path:
    """Write atomically, readable by its owner alone: it holds the lab's secrets."""
    plain = json.loads(json.dumps(content))
    # A client's own words may hold braces; they are data here, never a template.
    text = "---\n# Written by the lab; it lives as long as the lab runs.\n" + yaml.dump(
        plain, Dumper=_Dumper, allow_unicode=True, sort_keys=False
    )
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
    part.replace(path)
    return path


def read(path: Path) -> dict[str, t.Any]:
    """Read an overlay without Ansible."""
    found: dict[str, t.Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Plain)
    return found


def _end(end: End) -> dict[str, str]:
    return {"node": end.node, "datastore": end.datastore, "network": end.network}


class _Dumper(yaml.SafeDumper):
    """Marks text with braces as unsafe, so that Ansible does not template it; writes no aliases."""

    def ignore_aliases(self, data: t.Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    tag = "!unsafe" if "{{" in value or "{%" in value or "{#" in value else "tag:yaml.org,2002:str"
    return dumper.represent_scalar(tag, value, style="'" if tag == "!unsafe" else None)


_Dumper.add_representer(str, _text)


class _Plain(yaml.SafeLoader):
    """Reads Ansible's ``!unsafe`` text as text."""


_Plain.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(t.cast("yaml.ScalarNode", node)))
