"""Set-up of a clone, run by make before every target: `python -m setup.bootstrap`. Standard library only."""
