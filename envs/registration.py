"""Registers the environments by name, so that importing the package stays cheap."""

import gymnasium as gym


def register_envs() -> None:
    """Registers the environments; a second call changes nothing."""
    if "WorldModelDream-v0" not in gym.registry:
        gym.register(
            id="WorldModelDream-v0",
            entry_point="dreamdrive.envs.dream.env:DreamEnv",
            vector_entry_point="dreamdrive.envs.dream.vector:DreamVectorEnv",
        )
    if "CarlaDrive-v0" not in gym.registry:
        gym.register(id="CarlaDrive-v0", entry_point="dreamdrive.envs.carla.env:CarlaDriveEnv")
    if "CarlaDriveObjects-v0" not in gym.registry:
        gym.register(
            id="CarlaDriveObjects-v0",
            entry_point="dreamdrive.envs.carla.env:CarlaDriveEnv",
            kwargs={"observation": "objects"},
        )
    for name, place in (
        ("HighwayDrive-v0", "highway:HighwayDriveEnv"),
        ("MetaDriveDrive-v0", "meta_drive:MetaDriveDriveEnv"),
    ):
        if name not in gym.registry:
            gym.register(id=name, entry_point=f"dreamdrive.envs.roads.{place}")
