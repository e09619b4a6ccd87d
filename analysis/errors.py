"""What a person can get wrong when asking for a table or a figure."""


class AnalysisError(Exception):
    """One sentence for the terminal: the wrong value, what would be valid, the remedy."""
