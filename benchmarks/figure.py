"""What every benchmark yields."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """What ours takes and what the peer takes, measured in the same run: seconds, or what `unit` says."""

    name: str
    ours: float
    peer: float
    unit: str = "s"
    more_is_better: bool = False

    @property
    def ratio(self) -> float:
        """How many times better ours is."""
        return self.ours / self.peer if self.more_is_better else self.peer / self.ours
