"""Weights in few bits, with as little change of the answers as can be."""
