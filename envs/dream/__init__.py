"""`WorldModelDream-v0`: a world model opened as a Gymnasium environment."""
