"""A trial's folder: every file in it, who works on it, how far it is and where its result comes from."""
