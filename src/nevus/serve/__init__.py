"""Prediction from a model file with ONNX Runtime. Knows nothing of training."""
