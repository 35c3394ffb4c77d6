# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HostAutoStartManager, which vcsim names and does not have: one per host, read and written through the proxy."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from ansible_collections.ferragosto.dr.extensions.twin.vsphere.soap import (
    Answer,
    Call,
    answer,
    empty_answer,
    fault_answer,
)

PREFIX = "autostart-"  # + the host's id: vcsim gives every host the same manager
_VCSIM_NAME = b"ha-autostart-mgr"
_SPEC_SET = re.compile(rb"<((?:\w+:)?)specSet\b.*?</\1specSet>", re.S)
_OBJECT_SET = re.compile(rb"<((?:\w+:)?)objectSet\b.*?</\1objectSet>", re.S)
_OBJECT = re.compile(rb"<(?:\w+:)?obj\b[^>]*>(autostart-[^<]+)<")
_FIELDS = ("startOrder", "startDelay", "waitForHeartbeat", "startAction", "stopDelay", "stopAction")
_USUAL = {
    "startOrder": "-1",
    "startDelay": "-1",
    "waitForHeartbeat": "systemDefault",
    "startAction": "none",
    "stopDelay": "-1",
    "stopAction": "systemDefault",
}


@dataclass(slots=True)
class _Host:
    is_enabled: bool = False
    start_delay: str = "0"
    vms: dict[str, dict[str, str]] = field(default_factory=dict)  # VM moid -> fields


class Autostart:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}

    def enlist(self, host: str, vm: str, order: int) -> None:
        """Let a host start this VM at boot."""
        with self._lock:
            place = self._hosts.setdefault(host, _Host())
            place.is_enabled = True
            place.vms[vm] = {**_USUAL, "startOrder": str(order), "startAction": "PowerOn"}

    def starts(self, host: str, vm: str) -> bool:
        """Whether this host powers this VM on when it boots."""
        with self._lock:
            place = self._hosts.get(host)
            action = place.vms.get(vm, {}).get("startAction", "none") if place else "none"
            return bool(place and place.is_enabled and action.lower() == "poweron")

    # --- on the wire -------------------------------------------------------------------------------------------------

    @staticmethod
    def name_of(host: str, segment: bytes) -> bytes:
        """Put the host's own manager where vcsim names the common one."""
        return segment.replace(_VCSIM_NAME, f"{PREFIX}{host}".encode())

    def reconfigure(self, call: Call, host_of: dict[str, str]) -> Answer:
        """ReconfigureAutostart: ``host_of`` tells where each VM is."""
        host = call.moid.removeprefix(PREFIX)
        spec = _without_namespaces(ElementTree.fromstring(call.body)).find(".//spec")
        with self._lock:
            place = self._hosts.setdefault(host, _Host())
            for info in spec.iterfind("powerInfo") if spec is not None else ():
                vm = info.findtext("key", "")
                if host_of.get(vm) != host:
                    return fault_answer(
                        "InvalidArgument", "this VM is not on this host", {"invalidProperty": "spec.powerInfo.key"}
                    )
                given = {name: value for name in _FIELDS if (value := info.findtext(name)) is not None}
                place.vms[vm] = {**_USUAL, **place.vms.get(vm, {}), **given}
            enabled = spec.findtext("defaults/enabled") if spec is not None else None
            if enabled is not None:
                place.is_enabled = enabled == "true"
        return empty_answer("ReconfigureAutostart")

    def fetch(self, call: Call, host_of: dict[str, str]) -> Answer | None:
        """``Fetch`` of one of our managers' config, as pyvmomi's attribute access sends it."""
        config = self._config(call.moid.removeprefix(PREFIX), host_of)
        return answer(
            f'<FetchResponse xmlns="urn:vim25"><returnval xsi:type="HostAutoStartManagerConfig">{config}</returnval></FetchResponse>'
        )

    def split_read(self, body: bytes) -> tuple[bytes | None, list[str]]:
        """Take our managers out of a property collector's request.

        Returns what is left to ask of vcsim (None: nothing) and the managers that were asked for.
        """
        wanted: list[str] = []

        def objects(match: re.Match[bytes]) -> bytes:
            found = _OBJECT.search(match.group(0))
            if found is None:
                return match.group(0)
            wanted.append(found.group(1).decode())
            return b""

        def specs(match: re.Match[bytes]) -> bytes:
            left = _OBJECT_SET.sub(objects, match.group(0))
            return left if _OBJECT_SET.search(left) else b""

        left = _SPEC_SET.sub(specs, body)
        return (left if _SPEC_SET.search(left) else None), wanted

    def read_objects(self, managers: list[str], host_of: dict[str, str]) -> bytes:
        """The answer's ``<objects>`` of these managers: always the whole ``config``."""
        rows = (
            f'<objects><obj type="HostAutoStartManager">{escape(manager)}</obj><propSet><name>config</name>'
            f'<val xsi:type="HostAutoStartManagerConfig">{self._config(manager.removeprefix(PREFIX), host_of)}</val>'
            "</propSet></objects>"
            for manager in managers
        )
        return "".join(rows).encode()

    def _config(self, host: str, host_of: dict[str, str]) -> str:
        with self._lock:
            place = self._hosts.get(host) or _Host()
            defaults = (
                f"<defaults><enabled>{str(place.is_enabled).lower()}</enabled><startDelay>{place.start_delay}</startDelay>"
                "<stopDelay>120</stopDelay><waitForHeartbeat>false</waitForHeartbeat><stopAction>PowerOff</stopAction></defaults>"
            )
            infos = (
                f'<powerInfo><key type="VirtualMachine">{escape(vm)}</key>'
                + "".join(f"<{name}>{escape(row[name])}</{name}>" for name in _FIELDS)
                + "</powerInfo>"
                for vm, row in place.vms.items()
                if host_of.get(vm) == host
            )
            return defaults + "".join(infos)


def _without_namespaces(root: ElementTree.Element) -> ElementTree.Element:
    for element in root.iter():
        element.tag = element.tag.partition("}")[2] or element.tag
    return root
