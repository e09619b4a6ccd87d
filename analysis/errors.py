"""The user's mistakes in asking for a table or a figure."""


class AnalysisError(Exception):
    """One sentence: the bad value, the valid ones and the remedy."""
