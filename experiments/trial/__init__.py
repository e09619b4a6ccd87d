"""A trial's folder: its files, which process owns it, its progress, and the source of its result."""
