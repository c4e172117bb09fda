"""Registers the environments by name, so that importing the package stays cheap."""

import gymnasium as gym


def register_envs() -> None:
    """Registers `WorldModelDream-v0` and `CarlaDrive-v0`; a second call changes nothing."""
    if "WorldModelDream-v0" not in gym.registry:
        gym.register(
            id="WorldModelDream-v0",
            entry_point="dreamdrive.envs.dream.env:DreamEnv",
            vector_entry_point="dreamdrive.envs.dream.vector:DreamVectorEnv",
        )
    if "CarlaDrive-v0" not in gym.registry:
        gym.register(id="CarlaDrive-v0", entry_point="dreamdrive.envs.carla.env:CarlaDriveEnv")
