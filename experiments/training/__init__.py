"""Runs in the ranks of a trial: builds the detector, trains, evaluates, saves."""
