"""Writes the results folder of a study: report, tables, figures, provenance and data."""
