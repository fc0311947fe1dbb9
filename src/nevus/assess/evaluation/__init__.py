"""Evaluations as files: of a run, of a cross-validation, of several runs compared, and how they are read."""
