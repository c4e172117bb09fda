"""What holds for a whole episode, such as its town and its weather, beside a dream's memory.

Each fact is a name such as `town=Dream01`; an episode has 1 where it is so and 0 elsewhere. Nothing
known is NaN, which the network has a learned value for. No text is read.

Reference:
    Peebles & Xie 2023, arXiv:2212.09748, §3.2 (a label conditions each block through AdaLN, and is
    dropped in training for one of its own).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dreamdrive.errors import ConfigError


class Situated(NamedTuple):
    """A memory and the surroundings that it stands in, which stay as they are.

    Attributes:
        kept: What the dynamics keeps of the frames before.
        surroundings_BX: Shape (B, X); NaN where nothing is known.
    """

    kept: Any
    surroundings_BX: Tensor

    def fork(self, num_branches: int) -> "Situated":
        """Returns branches of every row, one after the other; see `Ring.fork`."""
        repeated = self.surroundings_BX.repeat_interleave(num_branches, 0)
        return Situated(self.kept.fork(num_branches), repeated)


def situated(memory: Any, surroundings_BX: Tensor | None) -> Any:
    """Returns a memory in other surroundings, or as it is where there are none to be in."""
    if surroundings_BX is None or not isinstance(memory, Situated):
        return memory
    return memory._replace(surroundings_BX=surroundings_BX)


def surroundings_vector(facts: Mapping[str, str] | None, names: tuple[str, ...]) -> Tensor:
    """Returns facts as the network reads them, shape (X,); NaN for None.

    Args:
        facts: A mapping such as `{"town": "Dream01"}`; kinds that it leaves out are 0 throughout.
        names: What the network knows, as `kind=value`.

    Raises:
        ConfigError: If a fact is none of them.
    """
    vector = torch.full((len(names),), torch.nan)
    if facts is None:
        return vector
    vector.zero_()
    for kind, value in facts.items():
        if f"{kind}={value}" not in names:
            raise ConfigError(
                f"This world model knows no surroundings {kind}={value}",
                do=f"Known: {', '.join(names) or 'none'}.",
            )
        vector[names.index(f"{kind}={value}")] = 1.0
    return vector
