"""Pages of HTML in one file each, for phones, screens and paper, and other texts from the folder ``templates``."""

import base64
from pathlib import Path

import jinja2

from utils.base.files import atomic, safe_name, write_text
from utils.results import drawing

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


class Figures:
    """The figures of a page, which are also saved to ``folder/figures``."""

    def __init__(self, folder):
        self.folder, self.names = Path(folder) / "figures", set()

    def add(self, figure, name, caption):
        """Save a figure as PNG and SVG; returns its source, caption and width in CSS pixels for the page."""
        images, name = {kind: drawing.image(figure, kind) for kind in ("png", "svg")}, safe_name(name, self.names)
        for kind, content in images.items():
            with atomic(self.folder / f"{name}.{kind}") as file:
                file.write(content)
        source = "data:image/png;base64," + base64.b64encode(images["png"]).decode()
        width = int.from_bytes(images["png"][16:20], "big") * 96 // drawing.DPI
        return {"source": source, "caption": caption, "width": width}
