"""Doors to the CARLA leaderboard's interface of agents, in both directions."""
