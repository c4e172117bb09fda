"""What a sensor sends, matched to the tick that it belongs to."""

import contextlib
import queue
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.session import Session
from dreamdrive.errors import ServerError

FIRST_WAIT_S = 0.05
"""How long the first message is waited for before another tick; a subscription takes its time."""


class FrameQueue:
    """A sensor's messages, which arrive on a thread of the client.

    Args:
        session: Where the sensor is.
        sensor: It, not yet listening.
    """

    def __init__(self, session: Session, sensor: Any) -> None:
        self._session, self._kind = session, sensor.type_id
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        sensor.listen(self._messages.put)

    @property
    def is_silent(self) -> bool:
        """Whether no message waits to be taken."""
        return self._messages.empty()

    def open(self) -> Any:
        """Ticks until the sensor sends, and returns its first message, of whichever frame.

        From then on it sends for every tick. A server that takes its time to draw is some ticks
        ahead of that message.

        Raises:
            ServerError: If nothing has come by the tick deadline.
        """
        deadline = time.monotonic() + self._session.config.tick_deadline_s
        while time.monotonic() < deadline:
            self._session.tick()
            with contextlib.suppress(queue.Empty):
                return self._messages.get(timeout=FIRST_WAIT_S)
        raise self.silent()

    def take(self, frame: int) -> Any:
        """Returns the message of a frame; those before it are dropped.

        Raises:
            ServerError: If it has not come by the tick deadline, or that of a later tick has: the
                world stands still meanwhile, so that it is lost.
        """
        deadline = time.monotonic() + self._session.config.tick_deadline_s
        while True:
            try:
                found = self._messages.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty as error:
                raise self.silent() from error
            if found.frame == frame:
                return found
            if found.frame > frame:
                raise self._error(
                    f"{self._kind} sent frame {found.frame} instead of {frame}",
                    "Let nobody else tick the server, and see its own log.",
                )

    def silent(self) -> ServerError:
        """Returns the error of a sensor that should have sent."""
        return self._error(
            f"{self._kind} sent nothing for the last tick",
            "See that the server renders (no -nullrhi, no no_rendering_mode), or give it a longer "
            "tick_deadline_s.",
        )

    def _error(self, what: str, do: str) -> ServerError:
        config = self._session.config
        return ServerError(what, where=f"{config.host}:{config.port}", do=do)


def pixels(image: Any) -> NDArray[np.uint8]:
    """Returns red, green and blue of an image of CARLA's, shape (H, W, 3)."""
    rows = np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)
    return rows[:, :, 2::-1].copy()
