"""Training, prediction and export. The only part that knows TensorFlow and Keras."""
