"""Actor and critic for training on a processor: products by oneDNN, a pixel's channels together.

Convolutions run over channels that lie apart unless told otherwise. Parameters, files and results
stay the same, but for rounding. Where oneDNN is missing nothing changes.
"""

from typing import TypeVar

import torch
from torch import Tensor, nn

from dreamdrive.agents.networks import Actor, Critic
from dreamdrive.worldmodel.packed import has_packed_products
from dreamdrive.worldmodel.quick import quicken_products

Network = TypeVar("Network", Actor, Critic)


def quicken(network: Network) -> Network:
    """Returns the network itself, to be trained on a processor; its parameters stay its own."""
    if not has_packed_products() or next(network.parameters()).device.type != "cpu":
        return network
    quicken_products(network)
    if network.trunk.use_image and not network.trunk.see._forward_pre_hooks:
        network.trunk.see.register_forward_pre_hook(_channels_together)
    return network


def _channels_together(module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    return (given[0].contiguous(memory_format=torch.channels_last),)
