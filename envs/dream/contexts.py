"""Start contexts: short real clips from which dreams begin; they ship beside a world model."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dreamdrive.checkpoint import load_tensors
from dreamdrive.driving.palette import PALETTE
from dreamdrive.errors import CheckpointError, ConfigError
from dreamdrive.files import write_atomically
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.state import RolloutState

FILE = "contexts"
NEAR_PIXELS = 12
"""Pixels of vehicles in a frame from which on it counts as traffic near by."""
COLOUR_TOLERANCE = 60
"""Sum of the differences of the channels up to which a pixel has a colour."""
TIME_LEFT = 15
"""Decisions that a clip's episode must still go on for, so that no end is inevitable."""


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """n clips of T frames, checked to fit each other.

    Attributes:
        image: uint8, shape (n, T, H, W, 3).
        vector: float32, shape (n, T, K).
        action: float32, shape (n, T, A): the action that led to a frame; row 0 is not used.
    """

    image: NDArray[np.uint8]
    vector: NDArray[np.float32]
    action: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Checks the arrays.

        Raises:
            ConfigError: If they do not fit each other.
        """
        clip = self.image.shape[:2]
        if (
            self.image.ndim != 5
            or self.image.dtype != np.uint8
            or self.vector.ndim != 3
            or self.action.ndim != 3
            or not clip == self.vector.shape[:2] == self.action.shape[:2]
            or 0 in clip
        ):
            raise ConfigError(
                f"A clip's image {self.image.dtype} {self.image.shape}, state "
                f"{self.vector.shape} and action {self.action.shape} do not fit each other",
                do="Give uint8 (n, T, H, W, 3), float32 (n, T, K) and float32 (n, T, A).",
            )
        if not (np.isfinite(self.vector).all() and np.isfinite(self.action).all()):
            raise ConfigError("A clip's state or action holds a number that is not finite")

    def __len__(self) -> int:
        """Returns the number of clips."""
        return len(self.image)

    @property
    def length(self) -> int:
        """Frames of a clip."""
        return self.image.shape[1]

    # --- making ----------------------------------------------------------------------------------

    @staticmethod
    def choose(
        table: FrameTable, *, count: int = 64, length: int = 8, traffic: float = 0.6, seed: int = 0
    ) -> "Contexts":
        """Returns clips drawn from episodes.

        Args:
            table: The episodes.
            count: How many clips.
            length: Frames of each.
            traffic: Share of the clips that end with traffic near by, where there is any.
            seed: Fixes the draw.

        Episodes that are all short give shorter clips, or clips nearer to their end.
        """
        longest = int(table.length_E.max())
        length = min(length, longest)
        after = min(TIME_LEFT, longest - length)
        rows = choose_windows(
            table, count=count, length=length, after=after, traffic=traffic, seed=seed
        )
        return Contexts(
            image=table.image_NHWC[rows].numpy(), vector=table.vector_NK[rows].numpy(),
            action=table.action_NA[rows].numpy(),
        )  # fmt: skip

    # --- files -----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Writes `contexts.safetensors` into a checkpoint folder; each clip is kept as one PNG.

        Raises:
            StorageError: If it could not be written.
        """
        from safetensors.numpy import save

        # Frames below each other share a compressor's window, which saves a fifth.
        clips = [_to_png(clip.reshape(-1, *clip.shape[2:])) for clip in self.image]
        tensors = {
            "png": np.frombuffer(b"".join(clips), np.uint8),
            "end": np.cumsum([len(clip) for clip in clips]),
            "vector": np.ascontiguousarray(self.vector, np.float32),
            "action": np.ascontiguousarray(self.action, np.float32),
        }
        facts = {"clips": str(len(self)), "frames": str(self.length)}
        write_atomically(Path(folder) / f"{FILE}.safetensors", save(tensors, facts))

    @staticmethod
    def load(folder: Path) -> "Contexts":
        """Returns the contexts of a checkpoint folder.

        Raises:
            CheckpointError: If there are none, or if the file is damaged.
        """
        path = Path(folder) / f"{FILE}.safetensors"
        if not path.is_file():
            raise CheckpointError(
                "The checkpoint has no start contexts", where=path,
                do="Give reset(options={'image': ..., 'state': ...}), or write some with "
                "Contexts.choose(table).save(folder).",
            )  # fmt: skip
        tensors = load_tensors(Path(folder), FILE)
        try:
            vector, action = tensors["vector"].numpy(), tensors["action"].numpy()
            blob, end = tensors["png"].numpy().tobytes(), tensors["end"].tolist()
            clips = [
                np.asarray(Image.open(io.BytesIO(blob[a:b])))
                for a, b in zip([0, *end], end, strict=False)
            ]
            image = np.stack(clips).reshape(*vector.shape[:2], -1, *clips[0].shape[1:])
            return Contexts(image=image, vector=vector, action=action)
        except (KeyError, ValueError, OSError) as error:
            raise CheckpointError(
                f"The start contexts are damaged: {error}", where=path,
                do="Copy the checkpoint again.",
            ) from error  # fmt: skip

    # --- use -------------------------------------------------------------------------------------

    def encode(self, model: WorldModel) -> RolloutState:
        """Returns the model's states after each clip, batch n.

        Raises:
            ConfigError: If the clips are not of the sizes that the model reads.
        """
        config = model.config
        size = (config.image_size, config.image_size, 3)
        wanted = (size, config.vector_size, config.action_size)
        found = (self.image.shape[2:], self.vector.shape[2], self.action.shape[2])
        if found != wanted:
            raise ConfigError(
                f"A clip has frames, states and actions of sizes {found}, "
                f"the world model reads {wanted}"
            )
        state = model.init_state(len(self))
        image, vector, action = (
            torch.from_numpy(x).to(model.device) for x in (self.image, self.vector, self.action)
        )
        for t in range(self.length):
            frame = image[:, t].movedim(-1, 1).float() / 255.0
            state = model.observe(state, frame, vector[:, t], action[:, t] if t else None)
        return state


def choose_windows(
    table: FrameTable, *, count: int, length: int, after: int, traffic: float, seed: int
) -> torch.Tensor:
    """Returns rows of windows that go on for a while, a share of them in traffic, (count, length).

    Args:
        table: The episodes.
        count: How many windows.
        length: Frames of each.
        after: Decisions that the episode goes on for after a window.
        traffic: Share of the windows whose last frame shows vehicles near by; the rest are drawn
            from all windows. Where too few show any, the rest fills up.
        seed: Fixes the draw.

    Raises:
        EpisodeError: If no episode is long enough.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = table.windows(8 * count, length + after, generator)[:, :length].unique(dim=0)
    drawn = drawn[torch.randperm(len(drawn), generator=generator)]
    last = table.image_NHWC[drawn[:, -1]].numpy()
    near = torch.from_numpy(vehicle_pixels(last) >= NEAR_PIXELS)
    busy, quiet = drawn[near], drawn[~near]
    busy = busy[: max(round(traffic * count), count - len(quiet))]
    rows = torch.cat([busy, quiet[: count - len(busy)]])
    if len(rows) < count:
        rows = rows[torch.arange(count) % len(rows)]
    return rows[torch.randperm(len(rows), generator=generator)]


def vehicle_pixels(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Returns how many pixels of each frame (..., H, W, 3) show a vehicle, shape (...)."""
    colour = np.array(PALETTE["vehicle"], np.int16)
    flat = image.reshape(-1, *image.shape[-3:])
    counts = [
        (np.abs(frame.astype(np.int16) - colour).sum(-1) < COLOUR_TOLERANCE).sum() for frame in flat
    ]
    return np.array(counts, np.int64).reshape(image.shape[:-3])


def _to_png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
