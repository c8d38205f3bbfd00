"""Pages of HTML in one file each, for phones, screens and paper, and other texts from the folder ``templates``."""

from pathlib import Path

import jinja2

from utils.base.files import write_text

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=lambda name: name.endswith(".html"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def fill(template, **values):
    """The text of a template; in HTML the values are escaped."""
    return TEMPLATES.get_template(template).render(values)


def write_page(folder, template, **values):
    """Write ``report.html``, which needs no other file, to a folder."""
    write_text(Path(folder) / "report.html", fill(template, **values))
