"""Intervals, tests and decisions; nothing here reads MLflow, draws or prints."""
