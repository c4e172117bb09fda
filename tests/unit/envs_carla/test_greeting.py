"""What stands on a port is asked for its version without CARLA's client."""

import contextlib
import socket
import threading

import msgpack
import pytest

from dreamdrive.envs.carla.greeting import server_version, wrong_version


@pytest.fixture
def answering():
    """Returns a function that listens, answers the first call with some bytes, and hangs up."""
    listeners = []

    def listen(*parts, hangs_up=True):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def answer():
            with contextlib.suppress(OSError):  # The test may be over before.
                peer, _ = listener.accept()
                listeners.append(peer)
                peer.recv(4096)
                for part in parts:
                    peer.sendall(part)
                if hangs_up:
                    peer.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=answer, daemon=True).start()
        return listener.getsockname()[1]

    yield listen
    for listener in listeners:
        listener.close()


def test_a_version_may_come_in_pieces(answering):
    whole = msgpack.packb([1, 1, None, [[1, "0.9.16"]]])
    assert server_version("127.0.0.1", answering(whole)) == "0.9.16"
    assert server_version("127.0.0.1", answering(whole[:5], whole[5:])) == "0.9.16"


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"\xc1\xc1\xc1", b"HTTP/1.1 400 Bad Request\r\n\r\n",
        msgpack.packb([1, 1, "no such function", None]), msgpack.packb([1, 1, None, [[0, "no"]]]),
        msgpack.packb({"version": "0.9.16"}),
    ],
)  # fmt: skip
def test_what_does_not_speak_carla_has_no_version(answering, answer):
    assert server_version("127.0.0.1", answering(answer)) == ""


def test_silence_is_an_error(answering):
    with pytest.raises(OSError, match=r"timed out|no answer"):
        server_version("127.0.0.1", answering(hangs_up=False), deadline_s=0.1)


def test_the_wrong_version_is_named():
    assert "CARLA 0.9.15, and this client speaks 0.9.16" in str(wrong_version("0.9.15", "there"))
    assert "does not speak CARLA" in str(wrong_version("", "there"))
