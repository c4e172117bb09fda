"""What TensorBoard shows of a training beside its scalars: pictures, histograms, and its speed."""

import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dreamdrive.experiments.run import RunLog
from dreamdrive.worldmodel.losses import Batch, start_states
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.tokenizer import Tokenizer

SIDE = 768
"""Of the square matrices that the machine's limit is measured on; larger ones are hardly faster."""
REPEATS = 4


def matmul_limit(device: torch.device) -> float:
    """Returns the floating-point operations a second of a product of float32 matrices.

    The best of a few, with as many threads as torch now uses, and whatever else the machine does.
    """
    a = torch.ones(SIDE, SIDE, device=device)
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        (a @ a)[0, 0].item()
        best = min(best, time.perf_counter() - began)
    return 2.0 * SIDE**3 / best


def training_cost(loss: Callable[[], tuple[Tensor, int]]) -> float:
    """Returns the floating-point operations a frame of a loss and of its gradient.

    Those of products, convolutions and attention are counted. Gradients are left behind.

    Args:
        loss: Computes the loss, and tells of how many frames.
    """
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        value, frames = loss()
        value.backward()
    return float(counter.get_total_flops()) / frames


class Speed:
    """Frames that a training takes a second, beside the machine's own limit."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._frames, self._began = 0, time.perf_counter()

    def add(self, frames: int) -> None:
        """Counts the frames of one step."""
        self._frames += frames

    def measure(self, loss: Callable[[], tuple[Tensor, int]]) -> dict[str, float]:
        """Returns `frames_per_s` since the last call, and `matmul_share`.

        The share is what these frames cost in floating-point operations a second, over those of a
        product of matrices: 1 were the machine's limit.

        Args:
            loss: Computes the loss of one step, and tells of how many frames; see `training_cost`.
        """
        rate = self._frames / max(time.perf_counter() - self._began, 1e-9)
        share = rate * training_cost(loss) / matmul_limit(self.device)
        self._frames, self._began = 0, time.perf_counter()
        return {"frames_per_s": rate, "matmul_share": share}


def report_weights(log: RunLog, step: int, modules: Iterable[tuple[str, nn.Module]]) -> None:
    """Writes a histogram of each matrix that learns."""
    for name, module in modules:
        matrices = {
            f"{name}/{key}": p for key, p in module.named_parameters()
            if p.dim() > 1 and p.requires_grad
        }  # fmt: skip
        log.histograms(step, matrices)


@torch.no_grad()
def report_dream(log: RunLog, step: int, model: WorldModel, batch: Batch, context: int) -> None:
    """Writes what is dreamed after windows' first frames below what came: a picture, and a video.

    The latents of both go with it, as histograms.

    Args:
        log: Where to.
        step: Of the training.
        model: The model.
        batch: Windows with images.
        context: Frames that it sees.
    """
    assert batch.image is not None
    generator = torch.Generator(model.device).manual_seed(0)
    state = start_states(model, batch, context=context)
    latents, images = [], []
    for t in range(context, batch.latent.shape[1]):
        state, seen = model.imagine_step(state, batch.action[:, t], generator=generator)
        image, state = model.decode_step(state)
        latents.append(seen.latent_BCHW)
        images.append(image)
    dream = torch.stack(images, 1)
    log.picture(step, "dream", sheet([batch.image[:, context:], dream]))
    log.video(step, "dream/video", film([batch.image[:, context:], dream]))
    log.histograms(
        step, {"latent/real": batch.latent[:, context:], "latent/dream": torch.stack(latents, 1)}
    )


@torch.no_grad()
def report_pictures(log: RunLog, step: int, tokenizer: Tokenizer, image_BTCHW: Tensor) -> None:
    """Writes a picture of clips above what the tokenizer makes of them, and their latents."""
    posterior, _ = tokenizer.posterior(image_BTCHW)
    decoded, _ = tokenizer.decode(posterior.mean)
    log.picture(step, "reconstruction", sheet([image_BTCHW, decoded]))
    log.histograms(step, {"latent/mean": posterior.mean})


def film(clips: list[Tensor]) -> NDArray[np.uint8]:
    """Returns clips (B, T, 3, H, W) in [0, 1] as one (T, h, w, 3): windows aside, clips below."""
    stacked = torch.stack(clips)
    N, B, T, C, H, W = stacked.shape
    whole = stacked.permute(2, 0, 4, 1, 5, 3).reshape(T, N * H, B * W, C)
    frames: NDArray[np.uint8] = (whole.clamp(0.0, 1.0) * 255.0).round().byte().cpu().numpy()
    return frames


def sheet(clips: list[Tensor]) -> NDArray[np.uint8]:
    """Returns clips (B, T, 3, H, W) in [0, 1] as a picture: time to the right, in turn below."""
    rows = torch.stack(clips, 1).flatten(0, 1)
    N, T, C, H, W = rows.shape
    whole = rows.permute(0, 3, 1, 4, 2).reshape(N * H, T * W, C)
    picture: NDArray[np.uint8] = (whole.clamp(0.0, 1.0) * 255.0).round().byte().cpu().numpy()
    return picture
