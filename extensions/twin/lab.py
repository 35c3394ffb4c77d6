# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every lab is: a client's site on loopback in a folder of its own, with doors, pages, an overlay and a certificate authority."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import threading
import time
import typing as t
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from ansible_collections.ferragosto.dr.extensions.twin import overlay
from ansible_collections.ferragosto.dr.extensions.twin.doors import Door, NoSuchRoute
from ansible_collections.ferragosto.dr.extensions.twin.inventory import SiteWish, read_site
from ansible_collections.ferragosto.dr.extensions.twin.pages import GuestPages
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing, Violation
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.control import BaseControl


class LabRunning(RuntimeError):
    """Another lab holds the state folder."""


class LabImpossible(RuntimeError):
    """What this lab stands on is not on this machine; the message says how to get it."""


class Lab(ABC):
    """Use ``start(...)`` as a context manager; everything it started ends with it."""

    provider: t.ClassVar[str]
    control: BaseControl
    world: World

    def __init__(self, wish: SiteWish, timing: Timing, state_dir: Path) -> None:
        self.wish, self.timing, self.state_dir = wish, timing, state_dir
        self.inventory = Path()
        self.ca = trustme.CA()
        self.ca_path = state_dir / "ca.pem"
        self.past_violations: list[Violation] = []
        self._lock = threading.RLock()
        self._pages: GuestPages | None = None
        self._doors: list[Door] = []
        self._folder_lock: t.IO[str] | None = None

    @classmethod
    def start(
        cls,
        inventory: Path | str,
        lab_file: Path | str | None = None,
        timing: Timing | None = None,
        state_dir: Path | str | None = None,
        limit: t.Container[str] | None = None,
        **more: t.Any,
    ) -> t.Self:
        """Build the client's site and open its endpoints; returns when a client may connect.

        ``more`` is what this platform's lab takes besides; it goes before the words of the lab file.
        """
        wish = cls._shape(read_site(Path(inventory), Path(lab_file) if lab_file else None, limit=limit), **more)
        folder = Path(state_dir) if state_dir else Path(tempfile.mkdtemp(prefix="ferragosto-lab-"))
        folder.mkdir(parents=True, exist_ok=True)
        lab = cls(wish, timing or Timing(), folder)
        lab.inventory = Path(inventory)
        try:
            lab._open()
        except BaseException:
            lab.end()
            raise
        return lab

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    # --- where it is -------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def endpoint(self) -> tuple[str, int]:
        """Where the production end's API listens."""

    @property
    def pages(self) -> GuestPages:
        if self._pages is None:
            raise RuntimeError("the lab is not open")
        return self._pages

    @property
    def overlay_path(self) -> Path:
        return self.state_dir / "overlay.yml"

    @property
    def control_url(self) -> str:
        return self._doors[0].url

    # --- what each platform does in its own way ----------------------------------------------------------------------

    @classmethod
    def _shape(cls, wish: SiteWish) -> SiteWish:
        """Turn a client's words into what this platform can be; may refuse with BadInventory."""
        return wish

    @abstractmethod
    def _stand_up(self) -> None:
        """Make the site and its world, with no door to it yet."""

    @abstractmethod
    def _prepare_endpoints(self) -> None:
        """Take the endpoints' ports, without answering on them yet."""

    def _more_doors(self) -> list[Door]:
        return []

    @abstractmethod
    def _overlay(self, ports: dict[str, int]) -> dict[str, t.Any]: ...

    @abstractmethod
    def _facts(self) -> dict[str, t.Any]:
        """What lab.json says besides the process and the control door."""

    @abstractmethod
    def _open_endpoints(self) -> None:
        """Let the guests live and clients in."""

    @abstractmethod
    def _shut_endpoints(self) -> None:
        """Let no client in any more. Called on a lab that may be half open."""

    @abstractmethod
    def _tear_down(self) -> None:
        """End all that ``_stand_up`` made. Called on a lab that may be half open."""

    @property
    def simulator_errors(self) -> list[str]:
        """What the twin did not know or broke down with since it was started or reset; any of these fails a test and the demo."""
        return []

    def technician_says(self) -> dict[str, t.Any]:
        """The variables that a recovery from the lab file's story needs of a person on this platform."""
        return {}

    # --- life --------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._lock_folder()
        self.ca.cert_pem.write_to_path(str(self.ca_path))
        self._stand_up()
        self._pages = GuestPages(self.world)
        ports = {vm.vm: self._pages.add(vm.vm) for vm in self.wish.vms}
        self._prepare_endpoints()
        token = os.urandom(18).hex()
        self._doors = [Door(self._control_route, "control", token), *self._more_doors()]
        write_secret(self.state_dir / "control-token", token)
        overlay.write(self.overlay_path, self._overlay(ports))
        self._open_endpoints()
        facts = {
            "pid": os.getpid(),
            "provider": self.provider,
            "inventory": str(self.inventory.resolve()),
            **self._facts(),
            "control": self.control_url,
        }
        part = self.state_dir / "lab.json.part"
        part.write_text(json.dumps(facts), encoding="utf-8")
        part.replace(self.state_dir / "lab.json")

    def _lock_folder(self) -> None:
        """Keep a second lab out of this folder; the lock file says who holds it."""
        held = (self.state_dir / "lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.close()
            raise LabRunning(f"a lab runs in {self.state_dir} already: end it, or name another --state-dir") from None
        self._folder_lock = held
        held.truncate(0)
        held.write(str(os.getpid()))
        held.flush()
        # What a killed lab left must not pass for a word of this one.
        (self.state_dir / "lab.json").unlink(missing_ok=True)

    @abstractmethod
    def reset(self) -> None:
        """Bring the site back to its first state: addresses stay, everything in the world is new."""

    def end(self) -> None:
        with self._lock:
            self._shut_endpoints()
            for door in self._doors:
                door.end()
            self._tear_down()
            if self._pages is not None:
                self._pages.end()
            if self._folder_lock is not None:
                self._folder_lock.close()
                self._folder_lock = None

    def _refresh_pages(self) -> None:
        if self._pages is not None:
            self._pages.refresh()

    # --- certificates ------------------------------------------------------------------------------------------------

    def leaf(self, kind: str = "good", *names: str) -> trustme.LeafCert:
        """A server certificate: "good", "expired" (of our CA), or "foreign" (of a CA that no client knows)."""
        names = ("127.0.0.1", "localhost", *names)
        if kind == "expired":
            return self.ca.issue_cert(*names, not_after=datetime.now(UTC) - timedelta(days=1))
        if kind not in ("good", "foreign"):
            raise ValueError(f"unknown certificate {kind!r}; there are good, expired, foreign")
        return (trustme.CA() if kind == "foreign" else self.ca).issue_cert(*names)

    # --- control from other processes --------------------------------------------------------------------------------

    def _control_route(self, verb: str, path: str, body: dict[str, t.Any]) -> t.Any:
        if path not in self.control.VERBS:
            raise NoSuchRoute(f"/{path}: the control knows {', '.join(sorted(self.control.VERBS))}")
        return getattr(self.control, path)(**body)


def write_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)


def wait_for(question: t.Callable[[], bool], within_s: float, what: str) -> None:
    """Poll until it is so; raises TimeoutError naming what did not come."""
    deadline = time.monotonic() + within_s
    while not question():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:.1f} s: {what}")
        time.sleep(0.01)
