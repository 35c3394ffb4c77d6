# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands around every change of the world."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Change:
    """The world's lock, and after a change that went well: the log line, the watch, and the front ends woken up."""

    def __init__(self, lock: threading.RLock, done: Callable[[], None]) -> None:
        self._lock, self._done = lock, done

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if error is None:
                self._done()
        finally:
            self._lock.release()
