"""The part of a report that shows how true the dreams are."""

import math
from collections.abc import Mapping
from typing import Any

from dreamdrive.experiments.report_html import Cell, table, text
from dreamdrive.experiments.summary import NOTHING

GROUPS: dict[str, dict[str, str]] = {
    "Pictures: PSNR over a copy of the last frame, dB": {
        f"psnr_gain_{h}": f"{h} step{'s' * (h > 1)} ahead" for h in (1, 5, 15, 30)
    },
    "Vehicle pixels: PSNR of the dream, and of the copy, dB": {
        name: label
        for h in (1, 5, 15, 30)
        for name, label in (
            (f"vehicle_psnr_{h}", f"{h} step{'s' * (h > 1)} ahead"),
            (f"vehicle_psnr_copy_{h}", "the copy"),
        )
    },
    "Vehicles after 20 steps": {
        "vehicle_f1_20": "class F1",
        "vehicle_f1_copy_20": "class F1 of the copy",
        "vehicle_pixels_ratio_20": "vehicle pixels, dreamed over real",
    },
    "Actions matter": {
        **{f"shuffled_ratio_{h}": f"error under another's actions, {h} steps" for h in (5, 15)},
        "steer_yaw_rank": "steering and yaw rate, rank correlation",
        "steer_yaw_rank_real": "the same in the recording",
        "pedal_speed_rank": "pedal and change of speed, rank correlation",
        "pedal_speed_rank_real": "the same in the recording",
        "progress_pearson": "progress in 15 steps, correlation",
        "progress_pearson_constant": "the same of speed times time",
        "progress_skill": "progress, skill over speed times time",
    },
    "Collisions within 10 steps are foreseen": {
        "collision_auc": "AUC",
        "collision_auc_speed": "AUC of speed alone",
        "collision_events": "collisions",
    },
    "Leaving the road within 10 steps is foreseen": {
        "off_road_auc": "AUC",
        "off_road_auc_offset": "AUC of the lateral offset alone",
        "off_road_events": "departures",
    },
    "Risk is neither over- nor underrated": {
        "terminations_foreseen": "terminations foreseen within 15 steps",
        "terminations_real": "terminations within 15 steps",
        "slow_terminations_foreseen": "foreseen below 1 m/s",
        "slow_terminations_real": "terminations below 1 m/s",
        "brake_terminations_foreseen": "foreseen if the ego braked fully instead",
    },
    "A policy's dreams keep what they promise of its drives": {
        f"policy_{name}_{kind}_{h}": label.format(h)
        for h in (15, 50)
        for name, kind, label in (
            ("return", "dreamed", "return of {} steps, dreamed"),
            ("return", "real", "the same, real"),
            ("return", "pearson", "the same, correlation"),
            ("progress", "dreamed", "progress in {} steps, dreamed (m)"),
            ("progress", "real", "the same, real"),
            ("terminations", "dreamed", "terminations within {} steps, dreamed"),
            ("terminations", "real", "the same, real"),
        )
    },
}
TARGETS = {
    "psnr_gain_5": 5.0, "psnr_gain_15": 3.5, "psnr_gain_30": 2.0, "shuffled_ratio_5": 4.0,
    "steer_yaw_rank": 0.95, "pedal_speed_rank": 0.95, "progress_pearson": 0.99,
    "collision_auc": 0.95,
}  # fmt: skip
"""What the dream has to reach, at least."""

MUST_EXCEED = {f"vehicle_psnr_{h}": f"vehicle_psnr_copy_{h}" for h in (5, 15, 30)}
"""Measures whose target is another measure of the same model: that of the copy."""

MODELS_KEYS = ("models", "rows", "truth")


def models_of(content: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Returns measures by model; one model's measures alone are those of `model`."""
    for key in MODELS_KEYS:
        if isinstance(content.get(key), Mapping):
            return models_of(content[key])
    found = {
        str(name): {k: float(v) for k, v in measures.items() if _is_measure(v)}
        for name, measures in content.items()
        if isinstance(measures, Mapping)
    }
    found = {name: measures for name, measures in found.items() if measures}
    alone = {name: float(value) for name, value in content.items() if _is_measure(value)}
    return found or ({"model": alone} if alone else {})


def is_truth(content: Mapping[str, Any]) -> bool:
    """Returns whether a JSON file holds measures of dreams."""
    known = {name for group in GROUPS.values() for name in group}
    return any(known & set(measures) for measures in models_of(content).values())


def truth_section(place: str, content: Mapping[str, Any]) -> str:
    """Returns the table of measures, one column a model, targets beside them.

    Args:
        place: Where the table was found.
        content: What it holds: measures by name, by model.
    """
    models = {
        name: measures for name, measures in models_of(content).items()
        if any(measure in measures for group in GROUPS.values() for measure in group)
    }  # fmt: skip
    rows: list[tuple[str, list[Cell | str]]] = []
    for title, group in GROUPS.items():
        if not any(name in measures for measures in models.values() for name in group):
            continue
        rows.append(("group", [Cell(text(title))]))
        for name, label in group.items():
            if any(name in measures for measures in models.values()):
                cells: list[Cell | str] = [label, _target(name)]
                rows.append(("", [*cells, *(_value(name, m) for m in models.values())]))
    return f"<h3>{text(place)}</h3>{table(['Measure', 'Target', *models], rows)}"


def _target(name: str) -> str:
    if name in MUST_EXCEED:
        return "over the copy"
    return f"≥ {TARGETS[name]:g}" if name in TARGETS else ""


def _value(name: str, measures: Mapping[str, float]) -> Cell:
    value = measures.get(name)
    if value is None or math.isnan(value):
        return Cell(NOTHING)
    digits = 1 if "psnr" in name or ("ratio_" in name and "pixels" not in name) else 3
    target = TARGETS.get(name, measures.get(MUST_EXCEED.get(name, "")))
    kind = "" if target is None else "good" if value >= target else "bad"
    return Cell(f"{value:.{digits}f}", kind)


def _is_measure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
