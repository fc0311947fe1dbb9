"""From a prepared dataset to a trained network and its predictions."""
