"""Where a training computes: a GPU that is there, or the processor."""

import torch

from dreamdrive.errors import ConfigError


def device_of(name: str) -> torch.device:
    """Returns the device of a name: `auto` is a GPU where PyTorch has one, else the processor.

    Raises:
        ConfigError: If there is no such device, or it is not to be had.
    """
    has_gpu = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_gpu else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            f"There is no device {name!r}", where="device", do="Give auto, cpu, cuda or cuda:1."
        ) from error
    if device.type == "cuda" and (not has_gpu or (device.index or 0) >= torch.cuda.device_count()):
        found = torch.cuda.device_count() if has_gpu else 0
        raise ConfigError(
            f"PyTorch finds {found} CUDA devices here, and {name!r} is none of them",
            where="device", do="Give cpu; `dreamdrive doctor` says which PyTorch is installed.",
        )  # fmt: skip
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(
            f"Nothing here was made to run on {name!r}", where="device", do="Give cpu or cuda."
        )
    return device
