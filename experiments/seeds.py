"""The rules of `seed=auto`: made before the first training, and kept with every trial of the sweep as a tag."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

MOST = 100  # seeds of a row
OPEN = "open"  # the state of a comparison that more seeds may decide
KEPT = 20  # budgets that a tag remembers, the last ones: MLflow takes 8000 characters
FIXED = ("first", "most", "alpha")  # the rules that decisions depend on; they cannot change afterwards


@dataclass(frozen=True)
class Rules:
    """How many seeds rows may get; ValueError for invalid rules.

    Args:
        first: seeds of every row before anything is compared, 2 or more.
        most: of a row, `first` or more and at most `MOST`.
        budget: device-hours of the whole sweep; None if there is no limit.
        alpha: probability that a table without differences shows one, above 0 and below 1.
    """

    first: int = 2
    most: int = 10
    budget: float | None = None
    alpha: float = 0.05

    def __post_init__(self) -> None:
        for name, least in (("first", 2), ("most", self.first)):
            if not least <= getattr(self, name) <= MOST:
                lowest = f"seeds.first={self.first}" if name == "most" else str(least)
                raise ValueError(
                    f"seeds.{name}={getattr(self, name)} is refused; "
                    f"give a whole number, {lowest} or more and at most {MOST}"
                )
        if self.budget is not None and not 0 < self.budget < float("inf"):
            raise ValueError(f"seeds.budget={self.budget} is refused; give device-hours above 0, or null for no limit")
        if not 0 < self.alpha < 1:
            raise ValueError(f"seeds.alpha={self.alpha} is refused; give a number above 0 and below 1")


@dataclass(frozen=True)
class Budget:
    """Device-hours, None for no limit, and since when (ISO 8601 with time zone)."""

    hours: float | None
    since: str


@dataclass(frozen=True)
class Recorded:
    """The rules of a sweep as its trials keep them; ValueError if they are invalid.

    Args:
        first, most, alpha: those of `Rules`.
        made: when, ISO 8601 with time zone.
        budgets: oldest first; the last one counts.
    """

    first: int
    most: int
    alpha: float
    made: str
    budgets: tuple[Budget, ...]

    def __post_init__(self) -> None:
        for moment in (self.made, *(budget.since for budget in self.budgets)):
            if datetime.fromisoformat(moment).tzinfo is None:
                raise ValueError("the time of the rules is not a time")
        if not self.budgets:
            raise ValueError("rules lack a budget")
        _ = [self._with(budget.hours) for budget in self.budgets]

    @classmethod
    def of(cls, rules: Rules, now: str) -> "Recorded":
        """Returns new rules with the present time."""
        return cls(rules.first, rules.most, rules.alpha, now, (Budget(rules.budget, now),))

    @property
    def rules(self) -> Rules:
        """Returns the rules with the newest budget."""
        return self._with(self.budgets[-1].hours)

    @property
    def when(self) -> datetime:
        """Returns when the rules were made."""
        return datetime.fromisoformat(self.made)

    def with_budget(self, hours: float | None, now: str) -> "Recorded":
        """Returns the same rules with another budget from now on."""
        if self.rules.budget == hours:
            return self
        return replace(self, budgets=(*self.budgets, Budget(hours, now))[-KEPT:])

    def text(self) -> str:
        """Returns JSON; `read` is its inverse."""
        return json.dumps(asdict(self))

    def _with(self, hours: float | None) -> Rules:
        return Rules(self.first, self.most, hours, self.alpha)


RECORDED: TypeAdapter[Recorded] = TypeAdapter(Recorded)


def read(text: Any) -> Recorded:
    """Returns the rules in a tag; ValueError, in one line, if the tag is invalid."""
    try:
        return RECORDED.validate_json(text, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[0]
        reason = " ".join(found["msg"].removeprefix("Value error, ").split())
        raise ValueError(f"rules of seeds: {reason}") from error


def earliest(*found: Recorded) -> Recorded:
    """Returns the valid rules of a sweep: those that were made first, with the newest budget."""
    first = min(one.when for one in found)
    return max(
        (one for one in found if one.when == first), key=lambda one: datetime.fromisoformat(one.budgets[-1].since)
    )
