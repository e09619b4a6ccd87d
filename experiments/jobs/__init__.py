"""From planned trials to supervised processes, on this machine or many."""
