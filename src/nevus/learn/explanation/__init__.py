"""Heatmaps by gradients, and of randomised networks."""
