# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One asyncio loop in one thread, for the doors of one twin or of two hundred."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import typing as t
from collections.abc import Callable, Coroutine

T = t.TypeVar("T")


class DoorLoop:
    """Runs what the doors do; its methods are called from other threads."""

    def __init__(self, name: str = "proxmox-doors") -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def run(self, work: Coroutine[t.Any, t.Any, T], within_s: float = 30.0) -> T:
        """Wait until the loop has done it; returns its result, raises its error."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("the doors' own thread must not wait for itself")
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(within_s)

    def soon(self, act: Callable[[], object]) -> None:
        """Let the loop do it next, and do not wait."""
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self.loop.call_soon_threadsafe(act)

    def end(self) -> None:
        if self._thread.is_alive():
            self.run(self._cancel_all())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(10.0)
        if not self.loop.is_running():
            self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    @staticmethod
    async def _cancel_all() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
