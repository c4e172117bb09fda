"""The leaderboard's traffic scenarios, written against the `carla` client alone."""
