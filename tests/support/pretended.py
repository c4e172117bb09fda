"""A GPU that is not there: tensors without contents that know on which device they are.

PyTorch refuses an operation between two devices there as it does on a GPU, so that code which
forgets to say where a tensor belongs is found without one. The device is PyTorch's `meta`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
GENERATOR = torch.Generator
aten = torch.ops.aten


class _Answers(TorchDispatchMode):
    """Answers what reads contents, by 1, true or the first place.

    Refuses what a GPU refuses and tensors without contents do not: indices that lie on it of what
    does not, and draws elsewhere than where their generator is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.generators: list[torch.Generator] = []
        """Those of the GPU."""

    def generator(self, device: Any = "cpu") -> torch.Generator:
        """Stands for the type `torch.Generator`."""
        made = GENERATOR()
        if torch.device(device) == DEVICE:
            self.generators.append(made)
        return made

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if (drawn := (kwargs or {}).get("generator")) is not None:
            here = any(drawn._cdata == made._cdata for made in self.generators)
            assert here == (_device(args, kwargs) == DEVICE), f"{func} draws elsewhere"
        if func is aten._local_scalar_dense.default:
            return 1.0 if args[0].is_floating_point() else 1
        if func is aten.nonzero.default:
            return args[0].new_zeros((1, args[0].dim()), dtype=torch.long)
        if func is aten.index.Tensor and args[0].device != DEVICE:
            assert all(x is None or x.device != DEVICE for x in args[1]), "indices lie on the GPU"
        return func(*args, **(kwargs or {}))


@contextmanager
def pretended_gpu(monkeypatch: Any) -> Iterator[Callable[[Any], Any]]:
    """Gives what moves a tensor or a module to the GPU; where it is, code computes there."""
    answers = _Answers()
    monkeypatch.setattr("torch.Generator", answers.generator)
    monkeypatch.setattr("torch.autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(nn.Module, "to", lambda module, device: _moved(module))
    with FakeTensorMode(allow_non_fake_inputs=True), answers:
        yield _moved
    monkeypatch.undo()


def _device(args: Any, kwargs: Any) -> torch.device:
    """Returns where an operation puts what it draws."""
    given = kwargs.get("device")
    if given is None and args and isinstance(args[0], Tensor):
        return args[0].device
    return torch.device("cpu" if given is None else given)


def _moved(x: Any) -> Any:
    if isinstance(x, Tensor):
        return torch.empty_like(x, device=DEVICE, requires_grad=x.requires_grad)
    for module in x.modules():
        for name, parameter in module.named_parameters(recurse=False):
            module._parameters[name] = nn.Parameter(_moved(parameter), parameter.requires_grad)
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = _moved(buffer)
    return x
