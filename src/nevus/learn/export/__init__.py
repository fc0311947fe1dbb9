"""From a trained network to a model file that is checked against it."""
