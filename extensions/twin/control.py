# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may befall any lab, whatever its platform: each verb is a method here, and a POST on the lab's control door."""

from __future__ import annotations

import typing as t
from dataclasses import asdict

from ansible_collections.ferragosto.dr.extensions.twin.world.model import Role, Service

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab

PERSON = "marco.rinaldi"


class BaseControl:
    VERBS: t.ClassVar[frozenset[str]] = frozenset(
        "accidents begin_story calls corrupt crash hang log reset service violations world".split()
    )

    def __init__(self, lab: Lab) -> None:
        self._lab: t.Any = lab

    # --- guests ------------------------------------------------------------------------------------------------------

    def crash(self, vm: str, role: str = "production") -> None:
        """Blue screen once; the next boot is sound."""
        self._lab.world.crash(self._copy_id(vm, role))
        self._settle()

    def hang(self, vm: str, role: str = "production") -> None:
        self._lab.world.hang(self._copy_id(vm, role))
        self._settle()

    def corrupt(self, vm: str, since_s: float = 0.0) -> None:
        """Let the production copy's data be rotten since so many seconds: blue screen now, and again at every boot."""
        self._lab.world.corrupt(vm, since_s=self._lab.world.clock.now_s() - since_s)
        self._settle()

    def begin_story(self) -> str:
        """Play the story of the lab file; returns the VM it happens to."""
        story = self._lab.wish.story
        if story is None:
            raise ValueError("the lab file tells no story: add `story: {vm: ..., rotten_since: 2h}`")
        self.corrupt(story.vm, story.rotten_since_s)
        return str(story.vm)

    def service(self, vm: str, mode: str) -> None:
        """What the application does: ok, error (503), hanging, down."""
        self._lab.world.set_service(vm, Service(mode))
        self._settle()

    # --- what is so --------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        self._lab.reset()

    def world(self) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", self._lab.world.snapshot())

    def violations(self) -> list[dict[str, t.Any]]:
        return [asdict(v) for v in self._lab.world.violations]

    def accidents(self) -> list[dict[str, t.Any]]:
        with self._lab.world.lock:
            return [asdict(a) for a in self._lab.world.accidents]

    def calls(self) -> dict[str, int]:
        """How often each call of the API came in."""
        with self._lab.world.lock:
            return dict(self._lab.world.calls)

    def log(self) -> list[tuple[float, str]]:
        with self._lab.world.lock:
            return list(self._lab.world.log)

    # --- inner -------------------------------------------------------------------------------------------------------

    def _copy_id(self, vm: str, role: str) -> str:
        return str(self._lab.world.copy_of(vm, Role(role)).id)

    def _settle(self) -> None:
        """Let the pages follow at once; the front end follows within the animator's next turn."""
        self._lab.pages.refresh()
