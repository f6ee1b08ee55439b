"""A PostgreSQL server as tests need it: with a schema of their own, or away for a while."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import sqlalchemy as sa


@contextmanager
def own_schema(server_url: str) -> Iterator[str]:
    """Yield the URL of a new schema, dropped at the end: a server may hold real studies."""
    schema, server = f"evotune_{uuid4().hex}", sa.create_engine(server_url)
    with server.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    url = server.url.update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    with server.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    server.dispose()


class Proxy:
    """Stands before a server, and can be away, or swallow the answer to the next COMMIT."""

    def __init__(self, url: sa.URL) -> None:
        self.server = (url.host or "localhost", url.port or 5432)
        self.is_up, self.swallows = True, 0
        self.sockets: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.set(host="127.0.0.1", port=self.listener.getsockname()[1])
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        self.cut()

    def go_away(self, seconds: float) -> None:
        self.is_up = False
        self.cut()
        threading.Timer(seconds, setattr, [self, "is_up", True]).start()

    def cut(self) -> None:
        for end in self.sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if not self.is_up:
                client.close()
                continue
            server = socket.create_connection(self.server)
            self.sockets += [client, server]
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        try:
            while data := source.recv(65536):
                if asks and b"COMMIT" in data and self.swallows:
                    self.swallows -= 1
                    source.shutdown(socket.SHUT_RDWR)  # it is done, but nobody hears of it
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
