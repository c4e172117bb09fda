"""Sockets with what waits to be read and sent; none ever blocks the world."""

import socket
import struct
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

import msgpack

from dreamdrive.envs.embedded.limits import Limits

MAX_MAP_ITEMS = 16
"""No call takes a map; small ones are read so that the refusal can be told."""


class Connection(ABC):
    """A socket and its peer's address."""

    def __init__(self, sock: socket.socket, peer: str, limits: Limits) -> None:
        self.sock, self.peer, self.limits = sock, peer, limits

    @property
    @abstractmethod
    def is_waiting(self) -> bool:
        """Whether something waits to be sent."""

    @abstractmethod
    def flush(self) -> None:
        """Sends as much of what waits as the socket takes.

        Raises:
            OSError: If the peer is gone.
        """


class RpcConnection(Connection):
    """A client's calls.

    Attributes:
        unpacker: What has come of them.
        again: What answers the one that asked for what is still being made.
    """

    def __init__(self, sock: socket.socket, peer: str, limits: Limits) -> None:
        super().__init__(sock, peer, limits)
        self._outgoing = bytearray()
        self.again: Callable[[], Any] | None = None
        self.unpacker = msgpack.Unpacker(
            raw=False, max_buffer_size=limits.max_message_bytes, strict_map_key=False,
            max_array_len=limits.max_items, max_map_len=MAX_MAP_ITEMS, max_ext_len=0,
        )  # fmt: skip

    @property
    def is_waiting(self) -> bool:
        """Whether an answer waits to be sent."""
        return bool(self._outgoing)

    def send(self, data: bytes) -> None:
        """Sends what the socket takes now and keeps the rest.

        Raises:
            OSError: If the peer is gone, or reads too little of what it asked for.
        """
        self._outgoing += data
        self.flush()
        if len(self._outgoing) > self.limits.max_queued_bytes:
            raise OSError(f"{len(self._outgoing)} bytes of answers wait to be read")

    def flush(self) -> None:
        """Sends as much of what waits as the socket takes."""
        try:
            sent = self.sock.send(self._outgoing)
        except BlockingIOError:
            return
        del self._outgoing[:sent]


class StreamConnection(Connection):
    """A subscriber: its first four bytes say to which stream.

    Frames wait in a queue; where they grow too many the oldest go, whole.

    Attributes:
        stream: Its number, None until it is known.
        num_lost: Frames that were never sent.
    """

    def __init__(self, sock: socket.socket, peer: str, limits: Limits) -> None:
        super().__init__(sock, peer, limits)
        self.stream: int | None = None
        self.num_lost = 0
        self._incoming = b""
        self._frames: deque[bytes] = deque()
        self._sent = 0
        self._queued = 0

    @property
    def is_waiting(self) -> bool:
        """Whether a frame waits to be sent."""
        return bool(self._frames)

    def subscribe(self, data: bytes) -> bool:
        """Takes in what the peer sent; returns whether it named its stream just now."""
        if self.stream is not None:
            return False
        self._incoming += data[:4]
        if len(self._incoming) < 4:
            return False
        self.stream = struct.unpack_from("<I", self._incoming)[0]
        return True

    def send(self, frame: bytes) -> None:
        """Sends a frame or keeps it; drops the oldest that are kept where there are too many.

        Raises:
            OSError: If the peer is gone.
        """
        self._frames.append(frame)
        self._queued += len(frame)
        self.flush()
        first = 1 if self._sent else 0
        while self._queued > self.limits.max_queued_bytes and len(self._frames) > first + 1:
            self._queued -= len(self._frames[first])
            del self._frames[first]
            self.num_lost += 1

    def flush(self) -> None:
        """Sends as much of what waits as the socket takes."""
        while self._frames:
            frame = self._frames[0]
            try:
                self._sent += self.sock.send(memoryview(frame)[self._sent :])
            except BlockingIOError:
                return
            if self._sent < len(frame):
                return
            self._frames.popleft()
            self._queued -= len(frame)
            self._sent = 0
