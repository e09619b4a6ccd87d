"""The form in which training and evaluation read annotations, with only the fields that they need.

MMDetection, hotcoco and pycocotools each read a file in their own way: hotcoco refuses header fields of other types
than COCO's own; pycocotools reads text in the locale's encoding and takes an annotation's id 0 for "no match". So
class names are text, all text is ASCII with escapes, and annotations are numbered from 1 in the file's order.
"""

import json
from collections.abc import Iterator
from itertools import islice

from experiments.data.coco_records import Annotation, MaskedAnnotation
from experiments.data.judgement import Judged

BLOCK = 10_000  # objects that are written at once


def parts(found: Judged) -> Iterator[bytes]:
    """Yields the content of a file in this form."""
    images = [
        {"id": one.id, "file_name": one.file_name, "width": one.width, "height": one.height} for one in found.images
    ]
    categories = [{"id": one.id, "name": str(one.name)} for one in found.categories]
    yield f'{{"images":{json.dumps(images)},"categories":{json.dumps(categories)},"annotations":['.encode()
    objects = enumerate(found.objects, 1)
    comma = b""
    while block := list(islice(objects, BLOCK)):
        yield comma + b",".join(_object(number, one) for number, one in block)
        comma = b","
    yield b"]}"


def _object(number: int, one: Annotation) -> bytes:
    box = "%r,%r,%r,%r" % one.bbox  # noqa: UP031 (faster, and there are many)
    start = (
        f'{{"id":{number},"image_id":{one.image_id},"category_id":{one.category_id},"bbox":[{box}],'
        f'"area":{one.area!r},"iscrowd":{int(one.iscrowd)}'
    )
    if isinstance(one, MaskedAnnotation):
        return b'%b,"segmentation":%b}' % (start.encode(), bytes(one.segmentation))
    return start.encode() + b"}"
