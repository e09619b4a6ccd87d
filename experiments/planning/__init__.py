"""From a command line to trials: requests, composition, checks, ids, the plan."""
