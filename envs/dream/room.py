"""Whether so many dreams fit into memory, said before it is full."""

from pathlib import Path

import torch

from dreamdrive.errors import ConfigError
from dreamdrive.worldmodel.model import WorldModel

MEMINFO = Path("/proc/meminfo")


def bytes_a_dream(model: WorldModel) -> int:
    """Returns the bytes that one dream keeps from step to step: its state and its picture."""
    state = sum(x.numel() * x.element_size() for x in model.init_state(1).leaves())
    return state + 3 * model.config.image_size**2


def free_bytes(device: torch.device) -> int | None:
    """Returns the memory that is free on a device; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def check_room(model: WorldModel, num_envs: int) -> None:
    """Refuses more dreams than fit; what a step needs beside them comes on top.

    Raises:
        ConfigError: If they do not fit; it names the most that do.
    """
    free, each = free_bytes(model.device), bytes_a_dream(model)
    if free is not None and num_envs * each > free:
        raise ConfigError(
            f"{num_envs:,} dreams need at least {num_envs * each / 2**30:,.1f} GiB on "
            f"{model.device}, and {free / 2**30:,.1f} are free",
            do=f"At most {free // each:,} fit: each keeps {each / 1024:,.0f} KiB.",
        )


def out_of_memory(model: WorldModel, num_envs: int) -> ConfigError:
    """Returns the error to raise where a device ran out of memory in the middle of a step."""
    each = bytes_a_dream(model)
    free = (free_bytes(model.device) or 0) + num_envs * each
    return ConfigError(
        f"{model.device} is out of memory with {num_envs:,} dreams",
        do=f"Try {max(1, min(num_envs // 2, free // (2 * each))):,}: a step needs about as much "
        "again as the dreams keep.",
    )
