"""Thresholds, metrics, plots and the report, from predictions alone."""
