"""The networks, the names of their layers, and what is attached to them."""
