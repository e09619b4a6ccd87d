"""What every benchmark yields."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """What ours takes and what the peer takes, measured in the same run: seconds, or what `unit` says."""

    name: str
    ours: float
    peer: float
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """How many times less ours takes."""
        return self.peer / self.ours
