"""Draws the figures; only this room imports matplotlib."""
