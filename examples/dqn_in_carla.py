"""Trains DQN on a grid of actions, in CARLA: python examples/dqn_in_carla.py [steps].

What it learns drives in the dream and in an evaluation as it is:
dreamdrive evaluate --policies random dqn_in_carla.zip
"""

import sys

import gymnasium as gym
from stable_baselines3 import DQN
from stable_baselines3.common.monitor import Monitor

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
car = gym.make("dreamdrive:CarlaDrive-v0", actions="discrete", num_vehicles=2, max_steps=150)
metres = Monitor(car, info_keywords=("progress_m",))
agent = DQN(
    "MultiInputPolicy",
    metres,
    buffer_size=5_000,
    learning_starts=200,
    batch_size=64,
    gamma=0.97,
    exploration_fraction=0.5,
    target_update_interval=500,
    verbose=1,
)
agent.learn(steps, log_interval=20)
agent.save("dqn_in_carla")

driven = []
for seed in range(5):
    observation, info = car.reset(seed=seed)
    while not info["cause"]:
        observation, _, _, _, info = car.step(
            int(agent.predict(observation, deterministic=True)[0])
        )
    driven.append(info["progress_m"])
print(f"{sum(driven) / len(driven):.0f} m an episode without chance, after {steps} steps")
car.close()
