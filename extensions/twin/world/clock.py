# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One clock for a world: real time, real time run faster, or a clock that only a test turns."""

from __future__ import annotations

import threading
import time
import typing as t


class WorldClock(t.Protocol):
    def now_s(self) -> float:
        """Seconds since the epoch, in the world's time."""

    def real_s(self, world_s: float) -> float:
        """Tell how long a duration of the world takes outside of it."""


class RunningClock:
    """Real time from now on, ``speed`` times as fast."""

    def __init__(self, speed: float = 1.0, epoch_s: float | None = None) -> None:
        if speed <= 0:
            raise ValueError(f"a clock needs a positive speed, not {speed}")
        self.speed = speed
        self._epoch_s = time.time() if epoch_s is None else epoch_s
        self._started = time.monotonic()

    def now_s(self) -> float:
        return self._epoch_s + (time.monotonic() - self._started) * self.speed

    def real_s(self, world_s: float) -> float:
        return world_s / self.speed


class TurnedClock:
    """Stands still until somebody turns it."""

    def __init__(self, epoch_s: float = 1_786_780_800.0) -> None:
        self._now_s = epoch_s
        self._lock = threading.Lock()

    def now_s(self) -> float:
        return self._now_s

    def real_s(self, world_s: float) -> float:
        return world_s

    def turn(self, seconds: float) -> None:
        with self._lock:
            self._now_s += seconds
