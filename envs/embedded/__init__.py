"""A server that speaks CARLA 0.9.16's wire protocol, without Unreal and without a GPU."""
