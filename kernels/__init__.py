"""Triton kernels, each beside its meaning in plain torch.

A file here is one operation: `reference` says in plain torch what it means, a `torch.library`
operator makes the kernel visible to autograd and to `torch.compile`, and the public function takes
`backend=`. The kernels themselves are in `device`, in a file of the same name, which is loaded only
where a kernel runs.
"""
