"""Other people's driving simulators with the spaces of `CarlaDrive-v0`."""
