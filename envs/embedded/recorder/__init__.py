"""Recordings of what happens in a world, and their replay."""
