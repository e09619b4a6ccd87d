"""The records of an annotation file in COCO's format: the fields that training and evaluation read, and their types.

All other fields are skipped and may hold anything. A file may be in UTF-8 or UTF-16, with or without a byte order mark.
"""

import codecs
import json
import math
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

LARGEST = 2**63 - 1  # of an id: detections are kept with 64 bits
Id = Annotated[int, Meta(ge=0, le=LARGEST)]
Side = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Image(Struct, gc=False):
    """An image; its sides are in pixels."""

    id: Id
    file_name: Annotated[str, Meta(min_length=1)]
    width: Side
    height: Side


class Annotation(Struct, gc=False):
    """An object."""

    id: Id
    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]  # x, y, width and height in pixels
    area: float  # square pixels
    iscrowd: Literal[0, 1] | bool
    ignore: Literal[0, 1] | bool | None = None


class MaskedAnnotation(Annotation, gc=False):
    """An object with its mask as it is in the file, not checked yet."""

    segmentation: Raw = Raw(b"")


class Category(Struct, gc=False):
    """A class."""

    id: Id
    name: Annotated[str, Meta(min_length=1)] | int


class Records(Struct, gc=False):
    """A file whose masks are not read."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


class MaskedRecords(Records, gc=False):
    """A file."""

    annotations: list[MaskedAnnotation]  # type: ignore[assignment]


PARTS: dict[str, type[Struct]] = {"images": Image, "annotations": MaskedAnnotation, "categories": Category}
GIVE = {
    "id": f"a whole number from 0 to {LARGEST}",
    "file_name": "a path",
    "width": "pixels, a whole number of 1 or more",
    "height": "pixels, a whole number of 1 or more",
    "image_id": "the id of one of its images, a whole number",
    "category_id": "the id of one of its categories, a whole number",
    "bbox": "[x, y, width, height] in pixels",
    "area": "square pixels",
    "iscrowd": "0, or 1 for a crowd",
    "ignore": "0, or 1 for an object that is not to be trained on",
    "name": "text or a whole number",
}
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
File = TypeVar("File", bound=Records)


class FlawError(Exception):
    """An error in a file and its place, without the file's name."""

    verdict = "is not an annotation file in COCO's format"


def read(content: bytes, kind: type[File]) -> File:
    """Returns the records of an annotation file; FlawError, with the place, if the file is wrong."""
    text = _in_utf8(content)
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _read_slowly(text, kind)


def short(value: object) -> str:
    """Returns the beginning of a value as JSON, in characters that every terminal shows."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _in_utf8(content: bytes) -> bytes | memoryview:
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return memoryview(content)[3:] if encoding == "utf-8" else _from(content[2:], encoding)
    nulls = (
        content[:1] == b"\0",
        content[1:2] == b"\0",
    )  # by the place of the zero byte of the first character, { or a space
    if nulls[0] != nulls[1] and len(content) > 1:
        return _from(content, "utf-16-be" if nulls[0] else "utf-16-le")
    return content


def _from(content: bytes, encoding: str) -> bytes:
    try:
        return content.decode(encoding).encode()
    except UnicodeError as error:
        raise FlawError(f"it is not text in {encoding[:6].upper()} ({error}); save it in UTF-8") from error


def _read_slowly(text: bytes | memoryview, kind: type[File]) -> File:
    """Reads a wrong file, to find the place of the error, or a file with numbers that JSON does not have.

    Python's json writes NaN and Infinity, which other programs refuse. They become text, as do numbers that are too
    long, so that they are checked like any other value.
    """
    try:
        whole = _parsed(bytes(text).decode())
        _require_form(whole)
        known = {part: [_known(one, form) for one in whole[part]] for part, form in PARTS.items()}
        return msgspec.json.decode(msgspec.json.encode(known), type=kind)
    except UnicodeDecodeError as error:
        raise FlawError(f"it is not text in UTF-8 or UTF-16 ({error}); save it in UTF-8") from error
    except RecursionError as error:
        raise FlawError("its lists are nested too deeply") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise FlawError(str(error)) from error


def _parsed(text: str) -> Any:
    def whole_number(digits: str) -> int | str:
        return int(digits) if len(digits) < 20 else digits

    def fraction(digits: str) -> float | str:
        return float(digits) if math.isfinite(float(digits)) else digits

    try:
        return json.loads(text, parse_constant=str, parse_int=whole_number, parse_float=fraction)
    except json.JSONDecodeError as error:
        raise FlawError(f"it is not JSON in UTF-8 or UTF-16 ({error})") from error


def _known(record: dict[str, Any], form: type[Struct]) -> dict[str, Any]:
    return {key: record[key] for key in form.__struct_fields__ if key in record}


def _require_form(whole: Any) -> None:
    for part, form in PARTS.items():
        if not isinstance(whole, dict) or not isinstance(whole.get(part), list):
            raise FlawError(f"it has no list of {part}; it needs images, annotations and categories")
        fields = [field for field in msgspec.structs.fields(form) if field.type is not Raw]
        needed = [field.name for field in fields if field.required]
        for place, record in enumerate(whole[part]):
            if not isinstance(record, dict):
                raise FlawError(f"{part}[{place}] is {short(record)}, not an object with {', '.join(needed)}")
            where = f"{part}[{place}] (id {short(record.get('id'))})"
            for field in fields:
                value = record.get(field.name)
                if value is None and field.required:
                    raise FlawError(f"{where} has no {field.name}; each needs {', '.join(needed)}")
                try:
                    msgspec.convert(value, field.type if field.required else field.type | None)
                except msgspec.ValidationError as error:
                    given = f"{where} has the {field.name} {short(value)}"
                    raise FlawError(f"{given}; give {GIVE[field.name]}") from error
