"""From a command line to a plan: overrides, composition, checks, ids, estimates."""
