"""Our policies under the public CARLA leaderboard; the folder holds nothing that shadows others."""
