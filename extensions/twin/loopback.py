# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A loopback port that stays ours while nobody listens on it, and a listener that can be shut and opened again."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class LoopbackPort:
    """Reserves a free port on 127.0.0.1: connections are refused until ``listen``, and again after the listener closes.

    A second socket is bound beside the listening one and never listens itself, so that no other program is given the port.
    """

    def __init__(self, port: int = 0) -> None:
        self._reservation = self._bound(port)
        self.port: int = self._reservation.getsockname()[1]

    def listen(self, backlog: int = 128) -> socket.socket:
        listener = self._bound(self.port)
        listener.listen(backlog)
        return listener

    def release(self) -> None:
        self._reservation.close()

    @staticmethod
    def _bound(port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(("127.0.0.1", port))
        return bound


class Listener:
    """Accepts connections on a port of its own, one thread each; ``shut`` cuts those that are open too."""

    def __init__(
        self,
        serve: Callable[[socket.socket], None],
        name: str,
        port: int = 0,
        wrap: Callable[[socket.socket], socket.socket] = lambda plain: plain,
    ) -> None:
        self._serve, self._name, self._wrap = serve, name, wrap
        self._place = LoopbackPort(port)
        self._lock = threading.Lock()
        self._listening: socket.socket | None = None
        self._open: set[socket.socket] = set()

    @property
    def port(self) -> int:
        return self._place.port

    def is_open(self) -> bool:
        return self._listening is not None

    def open(self) -> None:
        with self._lock:
            if self._listening is None:
                self._listening = self._place.listen()
                threading.Thread(target=self._accept, args=(self._listening,), name=self._name, daemon=True).start()

    def shut(self) -> None:
        """Refuse new connections and cut the open ones."""
        with self._lock:
            listening, self._listening = self._listening, None
            if listening is not None:
                # shutdown wakes the accepting thread; close alone would leave it, and the port, behind
                with contextlib.suppress(OSError):
                    listening.shutdown(socket.SHUT_RDWR)
                listening.close()
        self.cut()

    def cut(self) -> None:
        """Cut the open connections."""
        with self._lock:
            for connection in list(self._open):
                with contextlib.suppress(OSError):
                    # past a TLS socket's own shutdown, which is not made to be called from another thread
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            # one that is still shaking hands finds itself gone when it is done
            self._open.clear()

    def end(self) -> None:
        self.shut()
        self._place.release()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, dummy = listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._listening is not listening:
                    connection.close()
                    return
                self._open.add(connection)
            threading.Thread(target=self._one, args=(connection,), name=f"{self._name}-connection", daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        try:
            connection = self._wrapped(connection)
            self._serve(connection)
        except (OSError, EOFError):
            pass  # the client went away, or the lab cut the line: both are everyday business here
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _wrapped(self, plain: socket.socket) -> socket.socket:
        """Wrap a connection (TLS): the wrapper takes the plain socket's place among those that can be cut."""
        wrapped = self._wrap(plain)
        with self._lock:
            if plain not in self._open:
                raise ConnectionAbortedError("cut during the handshake")
            self._open.discard(plain)
            self._open.add(wrapped)
        return wrapped
