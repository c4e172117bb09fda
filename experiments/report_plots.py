"""Drawings of a report, as SVG."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLOURS = ("#2f5fc4", "#d9722e", "#2e8b57", "#9b4fb5", "#b3392f", "#5b6b7b", "#b8901f", "#2a9aa8")
INK, SOFT, LINE = "#1b1f24", "#626a73", "#dfe3e8"
STYLE: Any = {
    "font.size": 9.0, "axes.edgecolor": SOFT, "axes.labelcolor": INK, "axes.linewidth": 0.7,
    "xtick.color": SOFT, "ytick.color": SOFT, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 9.5, "axes.titlelocation": "left", "svg.hashsalt": "report",
}  # fmt: skip
MAX_POINTS = 300
MAX_CURVES = 9
HIDDEN = ("step", "time_s", "grad_norm", "rate", "learning_rate")


def completion_and_collisions(policies: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Returns route completion over collisions per kilometre, with 95 % intervals.

    Policies of which no drive counts are left out.

    Args:
        policies: Measures by policy, as in `summary.json`.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(7.6, 4.3), layout="constrained")
        axes = figure.add_subplot()
        for index, (name, measures) in enumerate(policies.items()):
            x, y = measures["collision_per_km"], measures["completion_pct"]
            if y["value"] is None:
                continue
            if x["value"] is None:
                x = {"value": 0.0, "low": None, "high": None}
                name = f"{name} (never moved)"
            colour = COLOURS[index % len(COLOURS)]
            axes.errorbar(
                x["value"], y["value"], xerr=_arms(x), yerr=_arms(y), fmt="o", ms=6, color=colour,
                elinewidth=1.1, alpha=0.9, label=name, clip_on=False,
            )  # fmt: skip
        axes.set(xlabel="collisions per km", ylabel="route completion, %", ylim=(-2, 103))
        axes.set_xlim(left=-0.02 * axes.get_xlim()[1])
        axes.grid(color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside right upper", frameon=False)
        return _svg(figure)


def _arms(interval: Mapping[str, float | None]) -> NDArray[np.float64] | None:
    value, low, high = (interval[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return None
    return np.maximum(0.0, np.array([[value - low], [high - value]]))


def curves(rows: Sequence[Mapping[str, float]]) -> bytes:
    """Returns a small plot for each metric of a run over its steps.

    Args:
        rows: Lines of `metrics.jsonl`: `step` and metrics.
    """
    names = [name for name in dict.fromkeys(key for row in rows for key in row)
             if name not in HIDDEN][:MAX_CURVES]  # fmt: skip
    columns = min(3, max(1, len(names)))
    height = -(-len(names) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 2.1 * max(1, height)), layout="constrained")
        for index, name in enumerate(names):
            axes = figure.add_subplot(height, columns, index + 1)
            step, value = _column(rows, name)
            axes.plot(step, value, color=COLOURS[0], alpha=0.25, linewidth=0.8)
            axes.plot(step, smooth(value), color=COLOURS[0], linewidth=1.4)
            axes.set_title(name.replace("_", " "))
            axes.grid(color=LINE, linewidth=0.6)
            _limit(axes, value)
        return _svg(figure)


def _column(
    rows: Sequence[Mapping[str, float]], name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns steps and means of a metric in at most `MAX_POINTS` equal parts."""
    pairs = np.array([[row["step"], row[name]] for row in rows if name in row], np.float64)
    parts = np.array_split(pairs, min(len(pairs), MAX_POINTS))
    means = np.array([part.mean(0) for part in parts])
    return means[:, 0], means[:, 1]


def smooth(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns a moving mean over about a thirtieth of the points, of the same length."""
    half = len(value) // 60
    total = np.concatenate([[0.0], np.cumsum(value)])
    index = np.arange(len(value))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(value))
    return np.asarray((total[high] - total[low]) / (high - low))


def _limit(axes: Axes, value: NDArray[np.float64]) -> None:
    """Keeps a few wild first values from flattening the rest of a curve."""
    finite = value[np.isfinite(value)]
    if len(finite) > 20:
        low, high = np.percentile(finite, [1.0, 98.0])
        margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        axes.set_ylim(low - margin, high + margin)


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
