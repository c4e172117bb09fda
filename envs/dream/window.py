"""The window of `render_mode="human"`, drawn by pygame, which is loaded only here."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.errors import MissingExtraError

LARGEST = (1280, 960)
TITLE = "WorldModelDream-v0"


class Window:
    """Shows the frames of all environments side by side.

    Args:
        fps: Frames a second at most.

    Raises:
        MissingExtraError: If pygame is not installed.
    """

    def __init__(self, fps: int) -> None:
        try:
            import pygame
        except ImportError as error:
            raise MissingExtraError("pygame", "human") from error
        self._pygame: Any = pygame
        self._fps = fps
        self._screen: Any = None
        self._clock: Any = None

    def show(self, frames: NDArray[np.uint8]) -> None:
        """Draws frames (B, H, W, 3) and waits until it is time for the next.

        A closed window stays closed; the environment goes on.
        """
        pygame = self._pygame
        tiled = tile(frames)
        if self._clock is None:
            pygame.display.init()
            height, width = tiled.shape[:2]
            scale = min(1.0, LARGEST[0] / width, LARGEST[1] / height)
            size = (round(width * scale), round(height * scale))
            self._screen, self._clock = pygame.display.set_mode(size), pygame.time.Clock()
            pygame.display.set_caption(TITLE)
        if self._screen is None:
            return
        if any(event.type == pygame.QUIT for event in pygame.event.get()):
            self.close()
            return
        surface = pygame.surfarray.make_surface(tiled.swapaxes(0, 1))
        self._screen.blit(pygame.transform.scale(surface, self._screen.get_size()), (0, 0))
        pygame.display.flip()
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Closes the window."""
        if self._screen is not None:
            self._screen = None
            self._pygame.display.quit()


def tile(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns frames (B, H, W, 3) as one picture, in rows of about as many as there are rows."""
    B, H, W, C = frames.shape
    columns = math.ceil(math.sqrt(B))
    rows = math.ceil(B / columns)
    padded = np.zeros((rows * columns, H, W, C), np.uint8)
    padded[:B] = frames
    tiled: NDArray[np.uint8] = (
        padded.reshape(rows, columns, H, W, C).swapaxes(1, 2).reshape(rows * H, columns * W, C)
    )
    return tiled
