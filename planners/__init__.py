"""What acts by searching over imagined rollouts."""
