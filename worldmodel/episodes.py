"""Episodes on disk: memory-mapped TensorDicts, committed whole or not at all.

An episode of T decisions holds T+1 frames once. Row t of every per-frame array belongs to frame t;
row t of every per-decision array belongs to the decision taken on frame t, which leads to frame
t+1. `Episode.transitions` shows the same data in TorchRL's layout.
"""

import json
import shutil
import uuid
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDict
from torch import Tensor

from dreamdrive.errors import EpisodeError, StorageError

FORMAT = 1
PER_FRAME = ("image", "state")
PER_DECISION = ("action", "reward", "terminated", "truncated", "cause", "cost")


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One drive: T+1 frames and the T decisions between them.

    Attributes:
        image: uint8, shape (T+1, H, W, 3).
        state: float32, shape (T+1, K).
        action: float32, shape (T, A); all NaN in a video without actions.
        reward: float32, shape (T,); it counts for nothing in a video without actions.
        terminated: bool, shape (T,).
        truncated: bool, shape (T,).
        cause: uint8, shape (T,): index into `meta["causes"]`, 0 while the episode goes on.
        cost: float32, shape (T, J): the terms that `meta["costs"]` names.
        meta: JSON facts: source, town, seed, driver, names of causes and costs.
        motion: float32, shape (T, 3): how far a decision moved the ego ahead and to the left, in
            metres in its axes before, and turned it, in radians; None where nobody told.
    """

    image: NDArray[np.uint8]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    cause: NDArray[np.uint8]
    cost: NDArray[np.float32]
    meta: dict[str, Any] = field(default_factory=dict)
    motion: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Checks that the arrays fit each other.

        Raises:
            EpisodeError: If they do not, or if a number is not finite.
        """
        steps = len(self)
        if steps < 1:
            raise EpisodeError("An episode needs at least one decision")
        for name in PER_FRAME:
            if len(getattr(self, name)) != steps + 1:
                raise EpisodeError(
                    f"{name!r} has {len(getattr(self, name))} rows, expected {steps + 1}"
                )
        for name in PER_DECISION:
            if len(getattr(self, name)) != steps:
                raise EpisodeError(f"{name!r} has {len(getattr(self, name))} rows, not {steps}")
        if self.motion is not None and self.motion.shape != (steps, 3):
            raise EpisodeError(f"'motion' has shape {self.motion.shape}, not ({steps}, 3)")
        for name in ("state", "action", "reward", "cost", "motion"):
            if getattr(self, name) is None or (name == "action" and not self.has_actions):
                continue
            if not np.isfinite(getattr(self, name)).all():
                raise EpisodeError(f"{name!r} holds a number that is not finite")

    @property
    def has_actions(self) -> bool:
        """Whether it is known what was done; false for unlabelled video."""
        return not bool(np.isnan(self.action).all())

    def __len__(self) -> int:
        """Returns the number of decisions T."""
        return len(self.action)

    def transitions(self) -> TensorDict:
        """Returns the episode in TorchRL's layout, batch size (T,).

        Keys: `observation` (`image`, `state`), `action`, and `next` with `observation`, `reward`
        (T, 1), `terminated`, `truncated` and `done` (T, 1), which belong to the decision's outcome.
        """
        steps = len(self)
        image, state = torch.from_numpy(self.image), torch.from_numpy(self.state)

        def observation(rows: slice) -> TensorDict:
            return TensorDict({"image": image[rows], "state": state[rows]}, batch_size=[steps])

        terminated = torch.from_numpy(self.terminated)[:, None]
        truncated = torch.from_numpy(self.truncated)[:, None]
        outcome = TensorDict(
            {
                "observation": observation(slice(1, steps + 1)),
                "reward": torch.from_numpy(self.reward)[:, None],
                "terminated": terminated,
                "truncated": truncated,
                "done": terminated | truncated,
            },
            batch_size=[steps],
        )
        return TensorDict(
            {
                "observation": observation(slice(0, steps)),
                "action": torch.from_numpy(self.action),
                "next": outcome,
            },
            batch_size=[steps],
        )


def save_episode(path: Path, episode: Episode) -> None:
    """Writes an episode as the folder `path`, under a temporary name first.

    Raises:
        StorageError: If it could not be written; no part of it is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir(parents=True)
        told = () if episode.motion is None else ("motion",)
        for group, names in (("frames", PER_FRAME), ("decisions", (*PER_DECISION, *told))):
            arrays = {name: torch.from_numpy(np.ascontiguousarray(getattr(episode, name)))
                      for name in names}  # fmt: skip
            rows = len(episode) + (group == "frames")
            TensorDict(arrays, batch_size=[rows]).memmap(str(temporary / group))
        header = {"format": FORMAT, "steps": len(episode), **episode.meta}
        (temporary / "episode.json").write_text(json.dumps(header) + "\n")
        temporary.rename(path)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise StorageError(
            f"Could not write an episode: {error}", where=path,
            do="Free some space or choose another folder, then run the same command again: "
            "the episodes that stand there are kept.",
        ) from error  # fmt: skip


def load_episode(path: Path) -> Episode:
    """Returns the episode in a folder; its arrays are memory-mapped and read when touched.

    Raises:
        EpisodeError: If a file is missing, cut short, or does not fit the others.
    """
    path = Path(path)
    try:
        meta = json.loads((path / "episode.json").read_text())
        if meta.pop("format") != FORMAT:
            raise EpisodeError("The episode has another format version", where=path)
        steps = meta.pop("steps")
        arrays: dict[str, Any] = {}
        for group, names in (("frames", PER_FRAME), ("decisions", PER_DECISION)):
            _check_sizes(path / group)
            stored = TensorDict.load_memmap(str(path / group))
            arrays |= {name: stored.get(name).numpy() for name in names}
            if "motion" in stored.keys():  # noqa: SIM118, it is no dictionary
                arrays["motion"] = stored.get("motion").numpy()
        if len(arrays["action"]) != steps:
            raise EpisodeError(f"Expected {steps} decisions, found {len(arrays['action'])}")
        return Episode(**arrays, meta=meta)
    except EpisodeError as error:
        raise EpisodeError(error.what, where=path, do="Delete this folder.") from error
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise EpisodeError(
            f"The episode is damaged: {error}", where=path,
            do="Delete this folder; the other episodes are not concerned.",
        ) from error  # fmt: skip


def _check_sizes(folder: Path) -> None:
    """Raises if a memory-mapped file is shorter than its description says."""
    for name, entry in json.loads((folder / "meta.json").read_text()).items():
        if not isinstance(entry, dict) or "shape" not in entry:
            continue
        dtype = getattr(torch, entry["dtype"].removeprefix("torch."))
        expected = int(np.prod(entry["shape"])) * torch.empty((), dtype=dtype).element_size()
        found = (folder / f"{name}.memmap").stat().st_size
        if found < expected:
            raise EpisodeError(f"{name!r} is cut short: {found} of {expected} bytes")


class EpisodeStore:
    """All episodes below some folders, folder by folder in the order of their names."""

    def __init__(self, *folders: Path) -> None:
        """Lists the episodes.

        Raises:
            EpisodeError: If a folder has none.
        """
        self.folders = tuple(Path(folder) for folder in folders)
        self.paths: list[Path] = []
        for folder in self.folders:
            found = sorted(path.parent for path in folder.rglob("episode.json")
                           if not path.parent.name.startswith("."))  # fmt: skip
            if not found:
                raise EpisodeError(
                    "There are no episodes here", where=folder,
                    do="Collect some with: dreamdrive collect --out FOLDER",
                )  # fmt: skip
            self.paths += found

    def __len__(self) -> int:
        """Returns the number of episodes."""
        return len(self.paths)

    def __getitem__(self, index: int) -> Episode:
        """Returns one episode."""
        return load_episode(self.paths[index])


@dataclass(frozen=True)
class FrameTable:
    """All frames of many episodes end to end; what belongs to a decision stands at its outcome.

    Attributes:
        image_NHWC: uint8, shape (F, H, W, 3), or None where only latents are kept.
        vector_NK: float32, shape (F, K).
        action_NA: float32, shape (F, A): the action that led to the frame; zero at a first frame.
        reward_N: float32, shape (F,): received on arrival at the frame.
        cause_N: int64, shape (F,): termination cause on arrival, 0 for none and for truncations.
        start_E, length_E: first row and number of frames of each episode.
        drivers: name of the driver of each episode.
    """

    image_NHWC: Tensor
    vector_NK: Tensor
    action_NA: Tensor
    reward_N: Tensor
    cause_N: Tensor
    start_E: Tensor
    length_E: Tensor
    drivers: tuple[str, ...]

    @staticmethod
    def load(
        store: EpisodeStore, causes: tuple[str, ...], *, may_lack_actions: bool = False
    ) -> "FrameTable":
        """Reads all episodes into memory.

        Args:
            store: The episodes.
            causes: Names of the termination causes to keep, numbered from 1.
            may_lack_actions: Whether video without actions is of use; its actions are NaN.

        Raises:
            EpisodeError: If it is not, and there is some.
        """
        parts: dict[str, list[Tensor]] = {k: [] for k in ("image", "vector", "action", "r", "c")}
        lengths, drivers = [], []
        for index in range(len(store)):
            episode = store[index]
            if not (may_lack_actions or episode.has_actions):
                raise EpisodeError(
                    "This is video without actions", where=store.paths[index],
                    do="Leave it out, or train a world model with --transformer.has-null-action.",
                )  # fmt: skip
            names = episode.meta["causes"]
            number = np.array([causes.index(n) + 1 if n in causes else 0 for n in names])
            cause = np.where(episode.terminated, number[episode.cause], 0)
            parts["image"].append(torch.from_numpy(np.array(episode.image)))
            parts["vector"].append(torch.from_numpy(np.array(episode.state)))
            for key, value in (("action", episode.action), ("r", episode.reward), ("c", cause)):
                first = np.zeros_like(value[:1])
                parts[key].append(torch.from_numpy(np.concatenate([first, value])))
            lengths.append(len(episode) + 1)
            drivers.append(str(episode.meta.get("driver", "")))
        length_E = torch.tensor(lengths)
        return FrameTable(
            image_NHWC=torch.cat(parts["image"]), vector_NK=torch.cat(parts["vector"]),
            action_NA=torch.cat(parts["action"]), reward_N=torch.cat(parts["r"]),
            cause_N=torch.cat(parts["c"]).long(), start_E=length_E.cumsum(0) - length_E,
            length_E=length_E, drivers=tuple(drivers),
        )  # fmt: skip

    def __len__(self) -> int:
        """Returns the number of frames."""
        return len(self.vector_NK)

    @property
    def device(self) -> torch.device:
        """Where rows are drawn and read."""
        return self.vector_NK.device

    def to(self, device: str | torch.device) -> "FrameTable":
        """Returns the table on a device; pictures that would take half of a GPU's memory stay."""
        names = [field.name for field in fields(self) if field.name != "drivers"]
        moved = {name: getattr(self, name) for name in names}
        device = torch.device(device)
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self.image_NHWC.nbytes > 0.5 * free:
                del moved["image_NHWC"]
        return replace(self, **{name: tensor.to(device) for name, tensor in moved.items()})

    def only(self, episode_M: Tensor) -> "FrameTable":
        """Returns the table with some of its episodes alone; rows keep their numbers."""
        return replace(
            self, start_E=self.start_E[episode_M], length_E=self.length_E[episode_M],
            drivers=tuple(self.drivers[int(i)] for i in episode_M),
        )  # fmt: skip

    def windows(
        self, count: int, length: int, generator: torch.Generator, *, ending: float = 0.0
    ) -> Tensor:
        """Returns row indices of random windows, shape (count, length), each inside one episode.

        Args:
            count: How many.
            length: Frames in each.
            generator: Source of randomness, on the table's device.
            ending: Share of the windows that end with the last frame of a terminated episode, so
                that rare terminations are seen often enough.

        Raises:
            EpisodeError: If every episode is shorter than a window.
        """
        usable_E = (self.length_E - length + 1).clamp_min(0)
        if int(usable_E.sum()) == 0:
            raise EpisodeError(f"No episode has {length} frames", do="Use a shorter window.")
        bounds_E = usable_E.cumsum(0)
        device = self.device
        draw = torch.randint(int(bounds_E[-1]), (count,), generator=generator, device=device)
        episode = torch.searchsorted(bounds_E, draw, right=True)
        first = self.start_E[episode] + draw - (bounds_E[episode] - usable_E[episode])
        last_E = self.start_E + self.length_E - 1
        fatal = torch.nonzero((self.cause_N[last_E] > 0) & (usable_E > 0)).squeeze(1)
        num_ending = round(ending * count) if len(fatal) else 0
        if num_ending:
            drawn = torch.randint(len(fatal), (num_ending,), generator=generator, device=device)
            pick = fatal[drawn]
            first[:num_ending] = last_E[pick] - length + 1
        return first[:, None] + torch.arange(length, device=device)

    def oversampling(self, length: int, ending: float) -> float:
        """Returns how many times more often `windows` show a termination than it happens.

        Counted per decision, those of a window being all that lead to its frames but the first; 1
        where nothing was terminated.

        Args:
            length: Frames in each window, at least 2.
            ending: As in `windows`.
        """
        is_fatal_E = self.cause_N[self.start_E + self.length_E - 1] > 0
        happens = int(is_fatal_E.sum()) / max(1, int((self.length_E - 1).sum()))
        usable_E = (self.length_E - length + 1).clamp_min(0)
        num_ending = int((is_fatal_E & (usable_E > 0)).sum())
        if happens == 0.0 or num_ending == 0:
            return 1.0
        by_chance = num_ending / int(usable_E.sum())
        return (ending + (1.0 - ending) * by_chance) / (length - 1) / happens
