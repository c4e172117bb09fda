"""How walkers swing their limbs, for those who draw them and those who tell of their joints."""

STEPS, STRIDE_M = 8, 1.4
"""Pictures of a walker's gait, and the way that they last."""
STANDING = -1
LEG_SWING_RAD, ARM_SWING_RAD = 0.45, 0.4
