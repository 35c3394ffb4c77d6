# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking many at once, none longer than it may take."""

from __future__ import annotations

import threading
import time
import typing as t
from collections.abc import Callable, Sequence

T = t.TypeVar("T")


def ask_all(questions: Sequence[Callable[[], T]], *, within_s: float, late: Callable[[int], T]) -> list[T]:
    """Ask all questions in parallel; ``late`` makes the answer of one that takes longer.

    A name server that hangs cannot be interrupted, so the threads are daemons and the late ones are left behind.
    """
    answers: dict[int, T] = {}
    failures: dict[int, BaseException] = {}
    done = [threading.Event() for dummy in questions]

    def ask(number: int) -> None:
        try:
            answers[number] = questions[number]()
        except Exception as error:  # noqa: BLE001  (raised again in the caller's thread)
            failures[number] = error
        finally:
            done[number].set()

    for number in range(len(questions)):
        threading.Thread(target=ask, args=(number,), daemon=True, name=f"probe-{number}").start()
    left = _Countdown(within_s)
    for event in done:
        event.wait(left.seconds())
    for number, event in enumerate(done):
        if event.is_set() and number in failures:
            raise failures[number]
    return [answers[n] if event.is_set() else late(n) for n, event in enumerate(done)]


class _Countdown:
    """What is left of a duration, on the monotonic clock."""

    def __init__(self, within_s: float) -> None:
        self._end = time.monotonic() + within_s

    def seconds(self) -> float:
        return max(0.0, self._end - time.monotonic())
