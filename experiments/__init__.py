"""Plans, trains and records trials: from a command line to recorded results."""
