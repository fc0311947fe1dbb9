"""Whether a model's heatmaps tell the truth, and what its risk rests on."""
