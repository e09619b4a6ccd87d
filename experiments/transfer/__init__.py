"""Exports a study to one file and imports it elsewhere."""
