"""Reads what MLflow holds and turns it into tables and figures; it never runs or changes an experiment."""
