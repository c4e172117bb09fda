"""Driving world models as Gymnasium environments, and what learns and plans in them.

Importing this package registers `WorldModelDream-v0` and `CarlaDrive-v0` with Gymnasium and does
nothing else: neither `torch` nor `carla` is loaded until an environment is made.
"""

from dreamdrive.envs.registration import register_envs

__all__ = ["__version__"]
__version__ = "0.1.0"

register_envs()
