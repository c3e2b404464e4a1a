"""A relay to Neo4j that lets through so many bytes: one record may be larger than all memory here.

The driver reads a record whole before anyone can look at its size.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from lsec.core.errors import Unavailable

CHUNK_BYTES = 64 * 1024
LOOPBACK = "127.0.0.1"


class Relay:
    """One connection's way to Neo4j; `is_full` once the answer was larger than allowed."""

    def __init__(self, host: str, port: int, max_bytes: int) -> None:
        self._host, self._port = host, port
        self._left = max_bytes
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_full = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what the driver and Neo4j say to each other, until one of them ends it."""
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, far_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._ask(reader, far_writer), self._answer(far_reader, writer))

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        self.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            self._left -= len(data)
            if self._left < 0:
                self.is_full = True
                break
            writer.write(data)
            await writer.drain()
        self.close()

    def close(self) -> None:
        """End the connections at once: Neo4j then ends the transaction."""
        for writer in self._writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def open_relay(neo4j_url: str, max_bytes: int) -> AsyncIterator[tuple[str, Relay]]:
    """The address for the driver, and the relay; it ends with the block."""
    address = urlsplit(neo4j_url)
    if address.scheme != "bolt" or address.hostname is None:
        raise Unavailable(
            "Ad-hoc Cypher needs an address of Neo4j that begins with bolt://.", remedy="Set LSEC_NEO4J_URL."
        )
    relay = Relay(address.hostname, address.port or 7687, max_bytes)
    server = await asyncio.start_server(relay.serve, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"bolt://{LOOPBACK}:{port}", relay
    finally:
        server.close()
        relay.close()
