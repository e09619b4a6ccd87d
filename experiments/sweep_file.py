"""The format of a file of sweeps/: its keys, what each takes, and the rows that grid and zip make."""

from collections.abc import Iterator
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from experiments import names
from experiments.commands import override
from experiments.errors import UserError

IouType = Literal["bbox", "segm"]
Published = Annotated[list[float], Field(min_length=len(names.COCO_METRICS), max_length=len(names.COCO_METRICS))]


Value = str | int | float | bool
Values = Annotated[list[Value], Field(min_length=1)]


class Keys(BaseModel):
    """Keys of a file; a key without a value counts as left out. A field's description says what the key takes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def without_nulls(cls, content: Any) -> Any:
        return {key: value for key, value in content.items() if value is not None} if type(content) is dict else content


class RowKeys(Keys):
    """The keys of a row in a file of sweeps/."""

    name: str = Field(description="a text in quotes")
    overrides: list[str] = Field(description="a list such as [aggregation=sum, pre=conv5]")
    published: dict[IouType, Published] = Field(
        default={}, description=f"six numbers ({' '.join(names.COCO_METRICS)}) for bbox or segm, as in {{bbox: [...]}}"
    )
    baseline: str | None = Field(default=None, description="the name of another row of the file")


class FileKeys(Keys):
    """The keys of a file of sweeps/."""

    purpose: str = Field(description="a text in quotes")
    table: int | str | None = Field(default=None, description="the number of a table of the paper, such as III")
    caption: str | None = Field(default=None, description="a text in quotes")
    columns: list[IouType] = Field(default=[], description="a list of bbox and segm")
    figures: dict[int | str, IouType] = Field(default={}, description="a mapping such as {4: bbox}")
    matters: float | None = Field(default=None, gt=0, le=100, description="a difference of AP x 100, such as 0.5")
    include: list[str] = Field(default=[], description="a list of other files, such as [table1]")
    rows: list[RowKeys] = Field(default=[], description="a list of rows, each with a name and overrides")
    grid: dict[str, Values] = Field({}, description="lists of values, such as {pre: [none, conv5]}")
    zip: dict[str, Values] = Field({}, description="lists of equal length, such as {pre: [none, conv5]}")
    exclude: list[dict[str, Value]] = Field([], description="a list of combinations, such as [{pre: none, post: none}]")


Combination = dict[str, Value]


def made(file: str, keys: FileKeys) -> Iterator[RowKeys]:
    """Yields the rows of grid and zip, named by their overrides; with both, each combination of grid for each of zip.

    Raises UserError where the lists of zip differ in length, a key is in both, or exclude leaves nothing out.
    """
    if twice := sorted(keys.grid.keys() & keys.zip.keys()):
        raise UserError(f"{file}: {twice[0]} is in grid and in zip; leave it out of one of them")
    lengths = {key: len(values) for key, values in keys.zip.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{length} for {key}" for key, length in lengths.items())
        raise UserError(f"{file}: zip has lists of different lengths ({listed}); give each key as many values")
    together = zip(*keys.zip.values(), strict=True)
    zipped: list[Combination] = [dict(zip(keys.zip, values, strict=True)) for values in together]
    unused = list(keys.exclude)
    for outer, inner in product(zipped or [{}], product(*keys.grid.values())):
        combination = {**outer, **dict(zip(keys.grid, inner, strict=True))}
        leaving_out = [one for one in keys.exclude if one.items() <= combination.items()]
        unused = [one for one in unused if one not in leaving_out]
        if combination and not leaving_out:
            overrides = [_typed(key, value) for key, value in combination.items()]
            yield RowKeys(name=" ".join(overrides), overrides=overrides)
    for one in unused:
        raise UserError(f"{file}: exclude {one} is no combination of grid and zip; mend its values or leave it out")


def _typed(key: str, value: Value) -> str:
    return f"{key}={str(value).lower()}" if isinstance(value, bool) else override(key, value)


def refusal(content: Any, error: ValidationError) -> str:
    """Returns what is wrong with a file, as the end of a sentence that starts with its name."""
    mistakes = error.errors(include_url=False, include_context=False)
    place, where = mistakes[0]["loc"], ""
    model: type[Keys] = FileKeys
    if place[:1] == ("rows",) and len(place) > 1:
        content, place, model = content["rows"][place[1]], place[2:], RowKeys
        named = type(content) is dict and isinstance(content.get("name"), str)
        where = f": row {(content['name'] if named else content)!r}"
    fields = model.model_fields
    if not place or mistakes[0]["type"] == "missing":
        given = content if type(content) is dict else {}
        lacks = [key for key, field in fields.items() if field.is_required() and given.get(key) is None]
        return f"{where} lacks {' and '.join(lacks)}; its keys are: {', '.join(fields)}"
    key = str(place[0])
    if mistakes[0]["type"] == "extra_forbidden":
        return f"{where}: {key!r} is unknown; choose from: {', '.join(fields)}"
    return f"{where}: {key} {content[key]!r} is refused; give {fields[key].description}"
