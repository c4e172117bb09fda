"""What every long command shares: its folder, its log and its progress bar."""

import io
import json
import platform
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console, ConsoleRenderable, RenderableType, RichCast
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from dreamdrive.checkpoint import git_commit
from dreamdrive.config import from_dict, to_dict
from dreamdrive.errors import ConfigError, StorageError
from dreamdrive.files import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.utils.tensorboard.writer import SummaryWriter

console = Console(soft_wrap=True)
"""Every command prints here, so that lines and progress bars do not overwrite each other."""

PACKAGES = ("dreamdrive", "torch", "tensordict", "torchrl", "gymnasium", "numpy", "carla")
FLUSH_S = 1.0
PLAIN_LINE_S = 10.0
SHOWN_METRICS = 3


def begin_run(folder: Path, config: Any, *, may_change: Collection[str] | None = None) -> None:
    """Writes `run.json` into a run folder: the resolved config and the versions that it ran with.

    Args:
        folder: The run folder; made if it is not there.
        config: A dataclass.
        may_change: Fields beside `out` in which a run that goes on in this folder may differ from
            what it began with; None for all.

    Raises:
        ConfigError: If another field differs: the folder holds what other settings made.
        StorageError: If it could not be written.
    """
    if may_change is not None:
        _refuse_changes(Path(folder) / "run.json", config, may_change)
    facts = {
        "command": type(config).__name__,
        "config": to_dict(config),
        "git": git_commit(),
        "versions": {"python": platform.python_version()} | installed_versions(PACKAGES),
    }
    write_atomically(Path(folder) / "run.json", (json.dumps(facts, indent=2) + "\n").encode())


def _refuse_changes(path: Path, config: Any, may_change: Collection[str]) -> None:
    try:
        before = json.loads(path.read_text())["config"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    with suppress(ConfigError):
        # A run that began before an option was there began with its default.
        before = to_dict(from_dict(type(config), before))
    now = json.loads(json.dumps(to_dict(config)))
    fixed = now.keys() - {"out", *may_change}
    changed = sorted(name for name in fixed if before.get(name) != now[name])
    if changed:
        name = changed[0]
        raise ConfigError(
            f"This run began with another {name!r}: {before.get(name)!r}, now {now[name]!r}",
            where=path.parent, do="Choose another --out, or delete the folder to begin again.",
        )  # fmt: skip


def installed_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Returns the versions of those packages that are installed, without importing them."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def duration(seconds: float) -> str:
    """Returns a duration as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class RunLog:
    """Progress, TensorBoard and `metrics.jsonl` of one run; a context manager.

    A line of `metrics.jsonl` is `{"step": 10, "time_s": 3.2, "loss": 0.1}`; `time_s` counts from
    the start of this process's part of the run. TensorBoard gets the means of about a second. On a
    terminal a bar shows rate and time left; elsewhere a plain line does so every ten seconds.

    A run that goes on after a kill appends: lines at or beyond its first step are dropped, since
    those steps are taken again.

    Args:
        folder: The run folder.
        title: What is being done, for the bar.
        total: The step at which the run ends.
        unit: What a step is, for example `"episode"`.
        above: What a terminal shows above the bar, as it is at each moment.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        total: int,
        unit: str = "step",
        above: ConsoleRenderable | RichCast | None = None,
    ) -> None:
        self.folder, self.title, self.total, self.unit = Path(folder), title, total, unit
        self._above = above
        self._file: IO[str] | None = None
        self._writer: SummaryWriter | None = None
        self._pending: list[tuple[int, dict[str, float]]] = []
        self._progress: _Bar | None = None
        self._began = self._flushed = self._printed = time.monotonic()
        self._first = 0
        self._last: tuple[int, Mapping[str, float]] = (0, {})

    def __enter__(self) -> "RunLog":
        """Starts the clock and the bar."""
        self._began = self._flushed = self._printed = time.monotonic()
        if console.is_terminal:
            self._progress = _Bar(
                TextColumn("{task.description}"), BarColumn(bar_width=28), _Rate(self),
                console=console, transient=self._above is not None,
            )  # fmt: skip
            self._progress.above = self._above
            self._progress.add_task(self.title, total=self.total)
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Writes what is still pending and takes the bar down."""
        try:
            self._flush()
        finally:
            if self._progress is not None:
                self._progress.stop()
            elif self._file is not None:
                console.print(f"{self.title}  {self.status()}", markup=False, highlight=False)
            if self._writer is not None:
                self._writer.close()
            if self._file is not None:
                self._file.close()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records the metrics of one finished step.

        Raises:
            StorageError: If the log could not be written.
        """
        now = time.monotonic()
        if self._file is None:
            self._open(step)
        values = {name: float(value) for name, value in metrics.items()}
        self._last = (step, values)
        self._pending.append((step, values))
        line = json.dumps({"step": step, "time_s": round(now - self._began, 3), **values})
        assert self._file is not None
        with _writes(self.folder):
            self._file.write(line + "\n")
        if now - self._flushed >= FLUSH_S or step >= self.total:
            self._flush()
            self._flushed = now
        if self._progress is None and now - self._printed >= PLAIN_LINE_S:
            self._printed = now
            console.print(f"{self.title}  {self.status()}", markup=False, highlight=False)

    __call__ = log

    def picture(self, step: int, name: str, image_HWC: "NDArray[np.uint8]") -> None:
        """Shows an RGB picture in TensorBoard.

        Raises:
            StorageError: If it could not be written.
        """
        with _writes(self.folder):
            self._tensorboard(step).add_image(name, image_HWC, step, dataformats="HWC")

    def video(self, step: int, name: str, clip_THWC: "NDArray[np.uint8]", fps: int = 10) -> None:
        """Shows an RGB clip in TensorBoard, as a GIF that plays.

        Raises:
            StorageError: If it could not be written.
        """
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        frames = [Image.fromarray(frame) for frame in clip_THWC]
        buffer = io.BytesIO()
        frames[0].save(
            buffer, "GIF", save_all=True, append_images=frames[1:], duration=1000 // fps, loop=0
        )
        _, height, width, channels = clip_THWC.shape
        image = Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=buffer.getvalue()
        )
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        with _writes(self.folder):
            writer = self._tensorboard(step)
            assert writer.file_writer is not None
            writer.file_writer.add_summary(summary, step)

    def histograms(self, step: int, values: "Mapping[str, Tensor]") -> None:
        """Shows how the entries of tensors are distributed in TensorBoard.

        Raises:
            StorageError: If they could not be written.
        """
        with _writes(self.folder):
            for name, tensor in values.items():
                self._tensorboard(step).add_histogram(name, tensor.detach().float().cpu(), step)

    def rate(self) -> float:
        """Returns the steps a second of this process so far."""
        seconds = time.monotonic() - self._began
        return max(0, self._last[0] - self._first) / seconds if seconds > 0 else 0.0

    def status(self) -> str:
        """Returns step, rate, time left and the first few metrics as one line."""
        step, metrics = self._last
        rate = self.rate()
        if rate >= 1.0 or rate == 0.0:
            speed = f"{rate:.1f} {self.unit}s/s"
        else:
            speed = f"{1.0 / rate:.1f} s/{self.unit}"
        left = duration((self.total - step) / rate) if rate > 0 else "-:--"
        # A table above the bar says more than the metrics of the last step.
        count = SHOWN_METRICS if self._progress is None or self._above is None else 0
        shown = [f"{name} {value:.4g}" for name, value in list(metrics.items())[:count]]
        return "  ".join([f"{step}/{self.total} {self.unit}s", speed, f"left {left}", *shown])

    def _open(self, step: int) -> None:
        """Opens the files, less what they say of steps that are taken again."""
        path = self.folder / "metrics.jsonl"
        with _writes(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                lines = path.read_text().splitlines()
                kept = [line for line in lines if _step_of(line) < step]
                if len(kept) < len(lines):
                    write_atomically(path, "".join(line + "\n" for line in kept).encode())
            self._file = path.open("a")
        self._first = step - 1

    def _tensorboard(self, first: int) -> "SummaryWriter":
        if self._writer is None:
            # Costs a second, which commands that log nothing need not pay.
            from torch.utils.tensorboard.writer import SummaryWriter

            with _writes(self.folder):
                self._writer = SummaryWriter(str(self.folder), purge_step=first)
        return self._writer

    def _flush(self) -> None:
        if self._file is None or not self._pending:
            return
        first, last = self._pending[0][0], self._pending[-1][0]
        sums: dict[str, list[float]] = {}
        for _, values in self._pending:
            for name, value in values.items():
                sums.setdefault(name, []).append(value)
        self._pending.clear()
        with _writes(self.folder):
            self._file.flush()
            for name, column in sums.items():
                self._tensorboard(first).add_scalar(name, sum(column) / len(column), last)
            self._tensorboard(first).flush()
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=last)


class _Bar(Progress):
    """A bar with something above it."""

    above: ConsoleRenderable | RichCast | None = None

    def get_renderables(self) -> Iterator[RenderableType]:
        if self.above is not None:
            yield self.above
        yield from super().get_renderables()


class _Rate(ProgressColumn):
    """The status line of a log, at the end of its bar."""

    def __init__(self, log: RunLog) -> None:
        super().__init__()
        self._log = log

    def render(self, task: Task) -> Text:
        return Text(self._log.status())


def _step_of(line: str) -> float:
    """Returns the step of a line of `metrics.jsonl`, or infinity if a kill cut the line short."""
    try:
        return float(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")


@contextmanager
def _writes(folder: Path) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"Could not write the log: {error.strerror or error}", where=folder,
            do="Free some space, then run the same command again: it goes on from its last save.",
        ) from error  # fmt: skip
