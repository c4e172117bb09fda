"""What has reset() and step(): the dream, CARLA, and the server that stands in for it."""
