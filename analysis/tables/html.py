"""Renders tables and the report as HTML pages of one file each, without network; the only script sorts tables."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.read.metrics import KINDS
from analysis.tables.ablation import Table, note

TEMPLATES = Path(__file__).parent / "templates"


def table_page(table: Table) -> str:
    """Returns a page with the table alone."""
    return render("page.html", table=table, note=note(table))


def render(template: str, **values: Any) -> str:
    """Returns a page; every value is escaped."""
    style = Markup((TEMPLATES / "style.css").read_text())
    return _environment().get_template(template).render(kinds=KINDS, style=style, **values) + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.filters["code"] = _code
    return environment


def _code(text: str) -> Markup:
    """Returns text whose `quoted` words are set as code."""
    words = [
        Markup("<code>{}</code>").format(word) if place % 2 else word for place, word in enumerate(text.split("`"))
    ]
    return Markup("").join(words)
