# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Privileges, roles and the access control list of one cluster, resolved as PVE::AccessControl resolves them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

PRIVILEGES: frozenset[str] = frozenset(
    "Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit Group.Allocate "
    "Mapping.Audit Mapping.Modify Mapping.Use Permissions.Modify Pool.Allocate Pool.Audit Realm.Allocate "
    "Realm.AllocateUser SDN.Allocate SDN.Audit SDN.Use Sys.AccessNetwork Sys.Audit Sys.Console Sys.Incoming "
    "Sys.Modify Sys.PowerMgmt Sys.Syslog User.Modify VM.Allocate VM.Audit VM.Backup VM.Clone VM.Config.CDROM "
    "VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk VM.Config.HWType VM.Config.Memory VM.Config.Network "
    "VM.Config.Options VM.Console VM.GuestAgent.Audit VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt "
    "VM.GuestAgent.FileWrite VM.GuestAgent.Unrestricted VM.Migrate VM.PowerMgmt VM.Replicate VM.Snapshot "
    "VM.Snapshot.Rollback".split()
)

_VM_USER = "VM.Audit VM.Backup VM.Config.CDROM VM.Config.Cloudinit VM.Console VM.GuestAgent.Audit VM.PowerMgmt"
ASSESS = "VM.Audit VM.GuestAgent.Audit Datastore.Audit Sys.Audit Pool.Audit"
FAILOVER_GUESTS = (
    "VM.Audit VM.GuestAgent.Audit VM.PowerMgmt VM.Migrate VM.Replicate VM.Config.Options VM.Config.Network VM.Config.Disk "
    "VM.Allocate VM.Clone VM.Snapshot VM.Snapshot.Rollback VM.Console "
    # not in the facts' list: the shell over a replica's disks is made with the original's hardware
    "VM.Config.CPU VM.Config.Memory VM.Config.HWType VM.Config.CDROM VM.Config.Cloudinit"
)
FAILOVER_STORAGE = "Datastore.Audit Datastore.AllocateSpace Datastore.Allocate"

ROLES: Mapping[str, frozenset[str]] = {
    "Administrator": PRIVILEGES,
    "NoAccess": frozenset(),
    "PVEAuditor": frozenset(
        "Datastore.Audit Mapping.Audit Pool.Audit SDN.Audit Sys.Audit VM.Audit VM.GuestAgent.Audit".split()
    ),
    "PVEDatastoreAdmin": frozenset(p for p in PRIVILEGES if p.startswith("Datastore.")),
    "PVEDatastoreUser": frozenset(["Datastore.AllocateSpace", "Datastore.Audit"]),
    "PVEPoolUser": frozenset(["Pool.Audit"]),
    "PVESDNUser": frozenset(["SDN.Audit", "SDN.Use"]),
    "PVEVMAdmin": frozenset(p for p in PRIVILEGES if p.startswith("VM.")),
    "PVEVMUser": frozenset(_VM_USER.split()),
    # facts-proxmox.md, section 4: least-privilege roles of this collection
    "DRAssess": frozenset(ASSESS.split()),
    "DRFailover": frozenset(FAILOVER_GUESTS.split()),  # on /vms, or on a pool
    "DRFailoverStorage": frozenset(FAILOVER_STORAGE.split()),
    "DRFailoverNetwork": frozenset(["SDN.Use"]),
    "DRHighAvailability": frozenset(["Sys.Console", *ASSESS.split()]),  # it gives a root shell: opt-in
}


class Acl:
    """Who holds which role on which path. ``who`` is a user (``dr@pve``) or a token (``dr@pve!operator``)."""

    def __init__(self, pool_of: Callable[[str], str] = lambda path: "") -> None:
        self.roles: dict[str, frozenset[str]] = dict(ROLES)
        self.pool_of = pool_of  # "/vms/100" or "/storage/tank" -> the pool it is in, "" when in none
        self._entries: dict[str, dict[str, dict[str, bool]]] = defaultdict(lambda: defaultdict(dict))
        self._known: dict[tuple[str, str], dict[str, bool]] = {}

    def grant(self, who: str, path: str, role: str, *, propagate: bool = True) -> None:
        if role not in self.roles:
            raise ValueError(f"no role {role!r}; there are {', '.join(sorted(self.roles))}")
        self._entries[_clean(path)][who][role] = propagate
        self._known.clear()

    def revoke(self, who: str, path: str = "", role: str = "") -> None:
        """Take away a role on a path; all of them where none is named."""
        for here, holders in self._entries.items():
            if path and here != _clean(path):
                continue
            for held in list(holders.get(who, {})):
                if role in ("", held):
                    del holders[who][held]
        self._known.clear()

    def add_role(self, role: str, privileges: Iterable[str]) -> None:
        wanted = frozenset(privileges)
        if unknown := wanted - PRIVILEGES:
            raise ValueError(f"no such privilege: {', '.join(sorted(unknown))}")
        self.roles[role] = wanted
        self._known.clear()

    def privileges(self, who: str, path: str) -> dict[str, bool]:
        """The privileges of one user or token on a path, and whether they propagate; tokens are not cut to their user."""
        path = _clean(path)
        held = self._privileges(who, path)
        pool = self.pool_of(path) if path.startswith(("/vms/", "/storage/")) else ""
        if not pool or "NoAccess" in self._roles(who, path):
            return held
        of_pool = self._roles(who, f"/pool/{pool}")
        if "NoAccess" in of_pool:
            return {}
        return dict.fromkeys((p for role in of_pool for p in self.roles[role]), False) | held

    def _privileges(self, who: str, path: str) -> dict[str, bool]:
        if (who, path) not in self._known:
            held: dict[str, bool] = {}
            for role, propagates in self._roles(who, path).items():
                for privilege in self.roles[role]:
                    held[privilege] = held.get(privilege, False) or propagates
            self._known[who, path] = held
        return self._known[who, path]

    def _roles(self, who: str, path: str) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for here in _ancestry(path):
            held = self._entries[here].get(who, {}) if here in self._entries else {}
            counted = {role: propagates for role, propagates in held.items() if propagates or here == path}
            found = counted or found  # what is granted nearer replaces what comes from above
        return {"NoAccess": found["NoAccess"]} if "NoAccess" in found else found

    def paths(self) -> list[str]:
        return sorted(self._entries)

    def rows(self) -> list[dict[str, object]]:
        """As ``GET /access/acl`` lists them."""
        return [
            {
                "path": path,
                "ugid": who,
                "roleid": role,
                "propagate": int(propagates),
                "type": "token" if "!" in who else "user",
            }
            for path, holders in sorted(self._entries.items())
            for who, held in sorted(holders.items())
            for role, propagates in sorted(held.items())
        ]


def _clean(path: str) -> str:
    return "/" + path.strip("/")


def _ancestry(path: str) -> list[str]:
    """``/vms/100`` -> ``/``, ``/vms``, ``/vms/100``."""
    if path == "/":
        return ["/"]
    parts = path.strip("/").split("/")
    return ["/"] + ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]
