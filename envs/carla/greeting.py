"""Asks what stands on a port for its version, without CARLA's client.

The client ends its whole process where an answer is not of its protocol.
"""

import socket
import time

import msgpack

from dreamdrive.errors import ServerVersionError

CLIENT_VERSION = "0.9.16"
ANSWER_BYTES = 1 << 16
"""More than any answer of a CARLA server takes."""


def server_version(host: str, port: int, deadline_s: float = 3.0) -> str:
    """Returns the version of the CARLA server on a port; empty if it does not speak CARLA.

    Raises:
        OSError: If nothing listens there, or it does not answer within the deadline.
    """
    ends = time.monotonic() + deadline_s
    with socket.create_connection((host, port), timeout=deadline_s) as peer:
        peer.sendall(msgpack.packb([0, 1, "version", [["", False]]]))
        unpacker = msgpack.Unpacker(max_buffer_size=ANSWER_BYTES)
        while (left := ends - time.monotonic()) > 0.0:
            peer.settimeout(left)
            data = peer.recv(ANSWER_BYTES)
            if not data:
                return ""
            try:
                unpacker.feed(data)
                for answer in unpacker:
                    return _version_in(answer)
            except (ValueError, msgpack.UnpackException):
                return ""
    raise TimeoutError("no answer")


def _version_in(answer: object) -> str:
    match answer:
        case [1, 1, None, [[1, str(version)]] | [1, str(version)]]:
            return version
    return ""


def wrong_version(version: str, where: str) -> ServerVersionError:
    """Returns the error that says that what answers is not the server that the client speaks to.

    Args:
        version: What it said; empty where it does not speak CARLA.
        where: Address or command.
    """
    what = f"is CARLA {version}" if version else "does not speak CARLA's protocol"
    return ServerVersionError(
        f"The server {what}, and this client speaks {CLIENT_VERSION}", where=where,
        do=f"Start a server of version {CLIENT_VERSION}.",
    )  # fmt: skip
