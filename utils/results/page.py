"""A page of HTML in one file, for phones, screens and paper: headings, tables that stack, figures, notes."""

import base64
import html
from pathlib import Path

from utils.base.files import atomic, safe_name, write_text
from utils.results import drawing

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 0 auto; padding: 0 1rem 4rem;
       overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin-bottom: 0; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; line-height: 1.3; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .7rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top; }
tbody th { font-weight: 600; overflow-wrap: anywhere; } tbody th small { font-weight: normal; display: block; }
td.n { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; } th.n { text-align: right; }
small { color: #555; font-size: .85em; } td small { display: block; }
tr.aside th, tr.aside td { color: #555; font-weight: normal; font-style: italic; }
td.free { background: #d9f0e3; } td.seen { background: #ffd9b8; font-weight: 600; }
.warn { border-left: .4rem solid #d55e00; background: #fff3e8; padding: .5rem 1rem; }
figure { display: inline-block; max-width: 100%; margin: 1rem 1.5rem 1rem 0; vertical-align: top; }
img { max-width: 100%; height: auto; display: block; } figcaption { color: #444; font-size: .9rem; max-width: 26rem; }
code { overflow-wrap: anywhere; }
pre { font-size: .85rem; background: #f6f6f6; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
dt { font-weight: 600; } dd { margin: 0 0 .6rem 1rem; max-width: 42rem; } summary { cursor: pointer; }
@media (max-width: 46rem) {
  table, tbody, tr, tbody th, td { display: block; } thead { display: none; }
  tr { border-bottom: 1px solid #999; padding: .5rem 0; }
  tbody th { border: 0; padding: .1rem 0; }
  td, td.n { display: flex; justify-content: space-between; gap: 1rem; text-align: right; border: 0; }
  td { padding: .1rem .4rem; }
  td::before { content: attr(data-label); color: #555; font-weight: normal; text-align: left; }
  td:empty { display: none; }
  .compact tr { display: flex; flex-wrap: wrap; gap: .2rem; } .compact th { flex: 0 0 100%; }
  .compact td { flex: 1; flex-direction: column; gap: 0; text-align: left; }
}
@media print {
  body { font-size: 10pt; max-width: none; padding: 0; } h2 { break-after: avoid; }
  figure, tr, .warn, dd { break-inside: avoid; } dt { break-after: avoid; }
  figure { width: 46%; margin: .5rem 2% .5rem 0; } img { max-height: 23cm; }
  td.free, td.seen, .warn { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details { display: none; }
}
"""


class Page:
    """Parts of a page in their order; texts are escaped. ``folder`` gets ``report.html`` and ``figures/``."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.parts, self.names = [], set()

    def heading(self, text, level=2):
        """A heading."""
        self.parts.append(f"<h{level}>{html.escape(text)}</h{level}>")

    def text(self, text, kind="p"):
        """A paragraph; ``kind`` may be ``"warn"`` or ``"code"``."""
        body = f"<code>{html.escape(text)}</code>" if kind == "code" else html.escape(text)
        self.parts.append(f'<p class="warn">{body}</p>' if kind == "warn" else f"<p>{body}</p>")

    def table(self, header, rows, asides=(), compact=False):
        """A table; on a narrow screen each row becomes a block with the header's words in front of its cells.

        A row is a list of cells, the first its name; a cell is a text, or (text, CSS class), and lines after its first
        are small. ``asides`` are rows set apart; ``compact`` keeps a row's short cells side by side there.
        """
        css = [cell[1] if isinstance(cell, tuple) else "" for cell in rows[0]] if rows else [""] * len(header)
        numbers = [' class="n"' if name == "n" else "" for name in css]
        heads = "".join(f"<th{n}>{html.escape(text)}</th>" for text, n in zip(header, numbers, strict=True))
        lines = ['<tr class="aside">' + _cells(header, row) for row in asides]
        lines = ["<tr>" + _cells(header, row) for row in rows] + lines
        body = "".join(line + "</tr>" for line in lines)
        css = ' class="compact"' if compact else ""
        self.parts.append(f"<table{css}><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>")

    def figure(self, figure, name, caption):
        """Save a figure as PNG and SVG, and put it into the page."""
        images, name = {kind: drawing.image(figure, kind) for kind in ("png", "svg")}, safe_name(name, self.names)
        for kind, content in images.items():
            with atomic(self.folder / "figures" / f"{name}.{kind}") as file:
                file.write(content)
        source = "data:image/png;base64," + base64.b64encode(images["png"]).decode()
        width = int.from_bytes(images["png"][16:20], "big") * 96 // drawing.DPI  # in CSS pixels
        text = html.escape(caption)
        image = f'<img src="{source}" width="{width}" alt="{text}">'
        self.parts.append(f"<figure>{image}<figcaption>{text}</figcaption></figure>")

    def folded(self, title, text):
        """A text that is shown on a click."""
        self.parts.append(f"<details><summary>{html.escape(title)}</summary><pre>{html.escape(text)}</pre></details>")

    def glossary(self, words):
        """Words and what they mean."""
        lines = (f"<dt>{html.escape(word)}</dt><dd>{html.escape(text)}</dd>" for word, text in words.items())
        self.parts.append("<dl>" + "".join(lines) + "</dl>")

    def write(self, title):
        """Write the page."""
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>'
        write_text(self.folder / "report.html", head + "<body>\n" + "\n".join(self.parts) + "\n</body></html>\n")


def _cells(header, row):
    """The cells of a row; those with several lines have the others in small letters."""
    cells = []
    for number, (label, cell) in enumerate(zip(header, row, strict=True)):
        text, css = cell if isinstance(cell, tuple) else (cell, "")
        title, *more = text.split("\n")
        body = html.escape(title) + "".join(f"<small>{html.escape(line)}</small>" for line in more)
        if number == 0:
            cells.append(f'<th scope="row">{body}</th>')
            continue
        attributes = f' class="{css}"' if css else ""
        body = f"<span>{body}</span>" if body else ""
        cells.append(f'<td{attributes} data-label="{html.escape(label)}">{body}</td>')
    return "".join(cells)
