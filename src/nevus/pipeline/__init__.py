"""The pipeline as functions, for Python and for the commands alike: each stage alone, and all in their order."""
