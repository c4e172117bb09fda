"""Trains PPO without a dream, in CARLA: python examples/ppo_in_carla.py [steps] [minutes]."""

import sys
import time

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv


class Until(BaseCallback):
    """Ends the training at a time of the monotonic clock."""

    def _on_step(self) -> bool:
        return time.monotonic() < end


steps = int(sys.argv[1]) if len(sys.argv) > 1 else 276_000
end = time.monotonic() + 60.0 * (float(sys.argv[2]) if len(sys.argv) > 2 else 1e9)
towns = [f"Dream0{number}" for number in range(1, 6)]
cars = DummyVecEnv([lambda t=t: gym.make("dreamdrive:CarlaDrive-v0", town=t) for t in towns])
agent = PPO("MultiInputPolicy", cars, n_steps=256, batch_size=256, gamma=0.97, verbose=1)
agent.learn(steps, callback=Until())
agent.save("ppo_in_carla")
cars.close()
