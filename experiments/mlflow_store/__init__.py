"""Writes MLflow, from what trials' folders say."""
