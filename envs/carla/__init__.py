"""`CarlaDrive-v0` and everything else that imports the `carla` client."""
