"""The mesh on which CARLA's client lets walkers find their way."""
