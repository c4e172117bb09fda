"""Trains Stable-Baselines3's PPO in the dream: python examples/ppo_in_dream.py [steps] [model]."""

import sys

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from dreamdrive.envs.dream.sb3 import DreamVecEnv

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
model = sys.argv[2] if len(sys.argv) > 2 else "dreamdrive-cpu"

dreams = DreamVecEnv(num_envs=16, model=model, max_steps=100)
agent = PPO("MultiInputPolicy", dreams, n_steps=32, batch_size=128, gamma=0.97, verbose=1)
agent.learn(steps)
agent.save("ppo_in_dream")

judge = gym.make("dreamdrive:WorldModelDream-v0", model=model, max_steps=100)
mean, spread = evaluate_policy(agent, judge, n_eval_episodes=5, warn=False)
print(f"reward of an episode in the dream: {mean:.2f} +- {spread:.2f}")
