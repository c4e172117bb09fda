"""`dreamdrive dream`: a film of the dream beside reality, under the same actions."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dreamdrive.driving.palette import PALETTE
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.envs.dream.contexts import vehicle_pixels
from dreamdrive.experiments.film import COLOURS, Scene, draw_frame, draw_strip, save_picture
from dreamdrive.experiments.run import RunLog, begin_run
from dreamdrive.experiments.truth_measures import warm_up
from dreamdrive.experiments.video import FPS, Film
from dreamdrive.files import write_atomically
from dreamdrive.seeding import derive_seed
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.fitting import check_episodes
from dreamdrive.worldmodel.model import DEFAULT, WorldModel

VIDEO, GIF, STRIP, SCORES = "dream.mp4", "dream.gif", "dream.png", "dream.json"
CANDIDATES = 256
ENOUGH_PIXELS, ENOUGH_SPEED_MPS = 40.0, 5.0
HOLD_FRAMES = 10
"""How long the last frame stands at the end of the film."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DreamConfig:
    """What is dreamed, and how it is shown."""

    data: Path = Path("data/test")
    """Folder of episodes that the model was not trained on."""
    model: str = DEFAULT
    """A shipped world model's name, or a checkpoint folder."""
    out: Path = Path("runs/dream")
    """Folder of the film `dream.mp4`, the same as `dream.gif`, and the strip `dream.png`."""
    scenes: int = 3
    """Windows that are shown side by side."""
    context: int = 8
    """Real frames that the model sees first."""
    horizon: int = 30
    """Frames that it then dreams, ten a second."""
    num_steps: int = 1
    """Euler steps of the sampler."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a number is below 1.
        """
        if min(self.scenes, self.context, self.horizon, self.num_steps) < 1:
            raise ValueError("scenes, context, horizon and num_steps must be at least 1")


def dream(config: DreamConfig) -> Path:
    """Dreams from unseen clips under their recorded actions; returns the path of the film.

    Beside it stand `dream.gif`, `dream.png` and `dream.json`, which holds the image PSNR of the
    dream and of a copy of the last real frame by the frame.

    Raises:
        CheckpointError: If the world model is missing or damaged.
        EpisodeError: If there are no episodes, or none is long enough.
        StorageError: If something could not be written.
    """
    model = WorldModel.from_pretrained(config.model)
    store = EpisodeStore(config.data)
    check_episodes(store, model.config)
    table = FrameTable.load(store, model.config.causes)
    rows = lively_windows(table, config, is_driving=model.config.interface is None)
    begin_run(config.out, config)
    scenes = dream_scenes(model, table, rows, config)
    with RunLog(config.out, "film", config.context + config.horizon, "frame") as log:
        frames = []
        for t in range(config.context + config.horizon):
            frames.append(draw_frame(scenes, t))
            log(t + 1, {})
    frames += [frames[-1]] * HOLD_FRAMES
    with Film(config.out / VIDEO) as film:
        for frame in frames:
            film.add(frame)
        film.keep()
    save_gif(config.out / GIF, frames)
    save_picture(config.out / STRIP, draw_strip(scenes))
    scores = {
        "psnr_dream_db": [round(value, 3) for value in _psnr(scenes, copies=False)],
        "psnr_copy_db": [round(value, 3) for value in _psnr(scenes, copies=True)],
        "windows": rows[:, 0].tolist(),
    }
    write_atomically(config.out / SCORES, (json.dumps(scores, indent=2) + "\n").encode())
    return config.out / VIDEO


def lively_windows(
    table: FrameTable, config: DreamConfig, *, is_driving: bool = True
) -> torch.Tensor:
    """Returns rows of windows in which there is something to see, (scenes, context + horizon).

    Of many random windows those with traffic near by and a moving ego come first, where nobody
    drives those whose pictures change most; one of each episode as long as there are enough.
    """
    generator = torch.Generator().manual_seed(derive_seed(config.seed, "dream", "windows"))
    rows = table.windows(CANDIDATES, config.context + config.horizon, generator).unique(dim=0)
    shown = table.image_NHWC[rows[:, config.context - 1 :: 5]].numpy()
    if is_driving:
        speed = table.vector_NK[rows][:, :, STATE_INDEX["speed"]].mean(1).numpy()
        score = np.minimum(vehicle_pixels(shown).mean(1) / ENOUGH_PIXELS, 1.0)
        score += np.minimum(speed / ENOUGH_SPEED_MPS, 1.0)
    else:
        score = np.abs(np.diff(shown.astype(np.float32), axis=1)).mean((1, 2, 3, 4))
    episode = torch.searchsorted(table.start_E, rows[:, 0].contiguous(), right=True).numpy()
    order = np.argsort(-score, kind="stable")
    _, first = np.unique(episode[order], return_index=True)
    is_first = np.isin(np.arange(len(order)), first)
    ranked = np.concatenate([order[is_first], order[~is_first]])
    return rows[torch.from_numpy(ranked[: config.scenes].copy())]


@torch.no_grad()
def dream_scenes(
    model: WorldModel, table: FrameTable, rows: torch.Tensor, config: DreamConfig
) -> list[Scene]:
    """Returns reality and dream of each window; the dream shows the real frames of its context."""
    state = warm_up(model, table, rows[:, : config.context])
    generator = torch.Generator(model.device).manual_seed(derive_seed(config.seed, "dream"))
    frames, ends = [], []
    for t in range(config.context, rows.shape[1]):
        state, seen = model.imagine_step(
            state, table.action_NA[rows[:, t]].to(model.device), generator=generator,
            num_steps=config.num_steps,
        )  # fmt: skip
        image, state = model.decode_step(state)
        frames.append((image * 255.0).round().to(torch.uint8).movedim(1, -1).cpu())
        ends.append(seen.termination_BC.sum(1).cpu())
    real = table.image_NHWC[rows]
    dreamed = torch.cat([real[:, : config.context], torch.stack(frames, 1)], 1).numpy()
    risk = torch.cat([torch.zeros(len(rows), config.context), torch.stack(ends, 1)], 1).numpy()
    is_driving = model.config.interface is None
    speed = table.vector_NK[rows][:, :, STATE_INDEX["speed"]].numpy() if is_driving else None
    action = table.action_NA[rows].numpy()
    return [
        Scene(
            real=real[i].numpy(), dreamed=dreamed[i], action=action[i],
            speed_mps=None if speed is None else speed[i], risk=risk[i], context=config.context,
        )
        for i in range(len(rows))
    ]  # fmt: skip


def save_gif(path: Path, frames: list[NDArray[np.uint8]]) -> None:
    """Writes frames (H, W, 3) as a GIF that repeats for ever, in one palette.

    Part of the palette is fitted to the frames; the rest holds the colours of the classes, since
    rare ones, such as red lights, would be lost in a fit.
    """
    pictures = [Image.fromarray(frame) for frame in frames]
    fitted = Image.fromarray(np.concatenate(frames[:: max(1, len(frames) // 4)])).quantize(100)
    colours = [channel for colour in (*PALETTE.values(), *COLOURS) for channel in colour]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours + (fitted.getpalette() or [])[:300])
    small = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    buffer = io.BytesIO()
    small[0].save(
        buffer, "GIF", save_all=True, append_images=small[1:], duration=round(1000 / FPS), loop=0
    )
    write_atomically(path, buffer.getvalue())


def _psnr(scenes: list[Scene], *, copies: bool) -> list[float]:
    """Returns the mean PSNR over the scenes of each dreamed frame, in dB."""
    values = []
    for t in range(scenes[0].context, len(scenes[0].real)):
        row = []
        for scene in scenes:
            shown = scene.real[scene.context - 1] if copies else scene.dreamed[t]
            error = np.square((shown.astype(float) - scene.real[t]) / 255.0).mean()
            row.append(-10.0 * np.log10(max(float(error), 1e-10)))
        values.append(float(np.mean(row)))
    return values
