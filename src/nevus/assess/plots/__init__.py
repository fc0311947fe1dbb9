"""Plots: each a record of its numbers, its words and how it is drawn."""
