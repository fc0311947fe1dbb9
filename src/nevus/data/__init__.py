"""From raw images to a prepared, split dataset. Knows core only."""
