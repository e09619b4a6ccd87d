"""Reads studies from MLflow or from saved files, as tidy frames."""
