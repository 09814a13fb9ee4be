"""Per-example gradients, Adam map, projection and the collection loop."""
