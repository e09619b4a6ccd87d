"""Keeps MLflow's record of the trials: one run for each trial, a copy of the trial's folder."""
