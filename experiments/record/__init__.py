"""What is kept of a trial: journal, provenance, and MLflow's copy."""
