"""What sensors see: the town as triangles, a rasteriser and a ray caster over them."""
