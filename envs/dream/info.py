"""What `info` of a dream holds, in the form of Gymnasium's vector environments."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamdrive.worldmodel.state import Imagined

TIME_LIMIT = "time_limit"
UNCERTAIN = "uncertain"
"""Truncated since the model does not know how it goes on."""


class DreamInfo:
    """Turns numbers of causes and tensors into an info dictionary with a mask for every key.

    Inside, `cause` is a number: 0 for none, then the model's causes, then the truncations. It
    stays one, under the name `cause_index`, where tensors are given out.

    Args:
        causes: Names of the causes that the model predicts.
        num_envs: B.
        as_torch: Give out tensors.
        costs: Names of the cost terms.
        quantities: Names of what else the model's heads tell.
        has_doubt: Whether the model's uncertainty is calibrated.
    """

    def __init__(
        self, causes: tuple[str, ...], num_envs: int, *, as_torch: bool, costs: tuple[str, ...],
        quantities: tuple[str, ...] = (), has_doubt: bool = False,
    ) -> None:  # fmt: skip
        self.names: tuple[str, ...] = ("", *causes, TIME_LIMIT, UNCERTAIN)
        """Names of the causes by their number."""
        self.time_limit = self.names.index(TIME_LIMIT)
        self.uncertain = self.names.index(UNCERTAIN)
        self._array = np.array(self.names, dtype=object)
        self._num_envs, self._as_torch, self._costs = num_envs, as_torch, costs
        self._quantities, self._has_doubt = quantities, has_doubt

    def values_at_start(self, start_B: Tensor) -> dict[str, Any]:
        """Returns the values of environments that stand at a start."""
        zero = torch.zeros(len(start_B), device=start_B.device)
        return {
            "cause": torch.zeros_like(start_B),
            "uncertainty": zero,
            "context": start_B,
            "cost": dict.fromkeys(self._costs, zero),
            **self._told(zero, dict.fromkeys(self._quantities, zero)),
        }

    def values(
        self, seen: Imagined, cause_B: Tensor, start_B: Tensor, cost: dict[str, Tensor]
    ) -> dict[str, Any]:
        """Returns the values of environments that were stepped."""
        told: dict[str, Tensor] = {}
        if seen.quantity_BQ is not None:
            told = dict(zip(self._quantities, seen.quantity_BQ.unbind(1), strict=True))
        return {
            "cause": cause_B, "uncertainty": seen.uncertainty_B, "context": start_B, "cost": cost,
            **self._told(seen.doubt_B, told),
        }  # fmt: skip

    def _told(self, doubt_B: Tensor | None, quantities: dict[str, Tensor]) -> dict[str, Any]:
        """Returns what only some models tell."""
        found: dict[str, Any] = {"doubt": doubt_B} if self._has_doubt else {}
        return found | ({"quantities": quantities} if self._quantities else {})

    def reset(self, start_B: Tensor, mask_B: Tensor) -> dict[str, Any]:
        """Returns the info of a reset of the environments of a mask."""
        return self.shown(self.values_at_start(start_B), mask_B)

    def shown(self, values: Mapping[str, Any], mask_B: Tensor | None = None) -> dict[str, Any]:
        """Returns values as they are given out, each key with its mask.

        Args:
            values: Tensors of shape (B,), and dictionaries of such.
            mask_B: Which environments the values are of; all by default.
        """
        mask: Any
        if self._as_torch:
            first = values["cause"]
            mask = torch.ones_like(first, dtype=torch.bool) if mask_B is None else mask_B
        else:
            mask = np.ones(self._num_envs, bool) if mask_B is None else mask_B.cpu().numpy()
        return self._masked(values, mask)

    def final(self, observation: Any, values: Mapping[str, Any], mask_B: Tensor) -> dict[str, Any]:
        """Returns `final_obs` and `final_info` of the environments whose episode has ended.

        NumPy's `final_obs` is an array of observations, None elsewhere, as Gymnasium wants it;
        tensors stay one batch.
        """
        if self._as_torch:
            return {
                "final_obs": observation, "_final_obs": mask_B,
                "final_info": self.shown(values, mask_B), "_final_info": mask_B,
            }  # fmt: skip
        mask = mask_B.cpu().numpy()
        each = np.full(self._num_envs, None, dtype=object)
        for i in np.flatnonzero(mask):
            each[i] = row_of(observation, int(i))
        return {
            "final_obs": each, "_final_obs": mask,
            "final_info": self.shown(values, mask_B), "_final_info": mask,
        }  # fmt: skip

    def _masked(self, values: Mapping[str, Any], mask: Any) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, Mapping):
                given: Any = self._masked(value, mask)
            elif self._as_torch:
                name, given = ("cause_index" if name == "cause" else name), value
            elif name == "cause":
                given = self._array[value.cpu().numpy()]
            else:
                given = value.cpu().numpy()
            out[name], out[f"_{name}"] = given, mask
        return out


def row_of(observation: Any, index: int) -> Any:
    """Returns one row of a batch of observations, a dictionary or an array."""
    if isinstance(observation, Mapping):
        return {name: value[index] for name, value in observation.items()}
    return observation[index]


def merged_infos(
    mask_B: Tensor, inside: Mapping[str, Any], outside: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the values of `inside` for the environments of the mask, of `outside` elsewhere."""
    return {
        name: merged_infos(mask_B, inside[name], value)
        if isinstance(value, Mapping)
        else torch.where(mask_B, inside[name], value)
        for name, value in outside.items()
    }
