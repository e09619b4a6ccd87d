"""One trial, from its description on the command line to its recorded result."""
