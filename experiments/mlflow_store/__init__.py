"""Keeps MLflow's record of the trials: one run for each, a copy of what the trial's folder says."""
