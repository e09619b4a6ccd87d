"""What every benchmark yields."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """What ours takes and what the peer takes, measured in the same run."""

    name: str
    ours: float
    peer: float
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.peer / self.ours
