"""What learns by acting: actor-critic in imagination, behaviour cloning."""
