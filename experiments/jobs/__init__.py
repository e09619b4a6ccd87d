"""Runs planned trials: submits jobs, supervises ranks, handles stops and failures."""
