"""A TCP proxy before a real server that loses an answer at the worst moment."""

from __future__ import annotations

import socket
import threading

READY_AND_IDLE = b"Z\x00\x00\x00\x05I"


class AnswerLosingProxy:
    """Forwards to a PostgreSQL server. The first request that holds ``marker`` is carried out, its answer is lost.

    The connection is cut only after the server said that it is done and outside a transaction.
    """

    def __init__(self, server_port: int, marker: bytes) -> None:
        self._server_port, self._marker = server_port, marker
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lost = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        for one in (self._listener, *self._sockets):
            _end(one)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            self._sockets += [client, server]
            losing = threading.Event()
            for run in (self._forward, self._answer):
                thread = threading.Thread(target=run, args=(client, server, losing), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _forward(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        try:
            while data := client.recv(65536):
                if self._marker in data and not self.lost.is_set():
                    losing.set()
                server.sendall(data)
        except OSError:
            pass
        _end(server)

    def _answer(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        unseen = b""
        try:
            while data := server.recv(65536):
                if not losing.is_set():
                    client.sendall(data)
                    continue
                unseen += data
                if unseen.endswith(READY_AND_IDLE):
                    self.lost.set()
                    break
        except OSError:
            pass
        _end(client)
        _end(server)


def _end(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    finally:
        one.close()
