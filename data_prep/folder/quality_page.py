"""The page about the quality of a data set's signals: a table for each person, with a picture of each signal."""

import html

from data_prep.folder.quality import CLIPPED, FAST, KINDS, LINE, LOUD, MANY_NOISY, MUCH_LINE, NOISY
from utils.base.files import write_text

PAGE = "quality.html"


def write_page(path, title, quality):
    """Write a `Quality` as one page that needs no network and no JavaScript."""
    parts = [f"<h1>Signals of {_text(title)}</h1>", f"<p>{quality.counts().capitalize()}.</p>", LEGEND]
    parts += [f"<p>{_text(note, 1000)}.</p>" for note in quality.notes]
    for subject, rows in quality.people.items():
        findings = sum(bool(row.findings) for row in rows)
        words = f"{findings} of {len(rows)} signals stand out" if findings else "nothing stands out"
        state = " open" if findings else ""
        parts.append(f"<details{state}><summary><b>{_text(subject)}</b>: {words}</summary>")
        parts.append("<table>" + HEADER + "".join(map(_html, rows)) + "</table></details>")
    head = '<!doctype html><html lang="en"><meta charset="utf-8">'
    head += f"<title>Signals of {_text(title)}</title><style>{STYLE}</style><body>\n"
    write_text(path, head + "\n".join(parts) + "\n</body></html>\n")


def _html(row):
    """A row of the table."""
    cells = {what: str(row.numbers[what] or "") for what in ("missing", "flat", "clipped", "noisy", "line", "range")}
    cells["line"] = f"{row.numbers['line']:.0%}" if row.numbers["line"] >= 0.05 else ""
    cells |= dict.fromkeys(row.unjudged, "-")
    marked = "".join(f"<td{' class=f' if what in row.findings else ''}>{cell}" for what, cell in cells.items())
    values, loud = f"{row.low:.3g} to {row.high:.3g} {row.unit}".rstrip(), row.numbers["loud"]
    values = f"<td class=f>{values}, {loud:.0f} x the others" if loud else f"<td>{values}"
    return f"<tr><th>{_text(row.name)}{values}{marked}<td>{row.picture}\n"


def _text(name, most=200):
    """A name, which may hold anything, as part of the page."""
    return html.escape(name[:most].encode("utf-8", "replace").decode())


HEADER = (
    "<tr><th>signal<td>values<td>missing<td>flat<td>clipped<td>noisy<td>line<td>out of range<td>all trials in a row"
)
LEGEND = f"""<p>The signals as they were recorded, before a baseline was subtracted or anything was standardised.
Nothing was dropped: look at what is marked, and leave a person or a channel out if you think so. Numbers are seconds;
"-": not judged.</p>
<ul><li>flat: the value does not change in a second (slow sensors: in {FAST} samples; temperature and
acceleration: in {KINDS[1].still} s)
<li>clipped: {CLIPPED[0]} samples and {1000 * CLIPPED[1]:.0f} ms in a row at the signal's own highest or lowest value,
more than once
<li>noisy: swings more than {NOISY} times as far as the signal's median second (blinks, movement, muscles; skin
conductance: more than {KINDS[0].step} uS in a second); marked from {MANY_NOISY:.0%} of the seconds on
<li>line: share of the power at {LINE[0]} or {LINE[1]} Hz, whichever is more; marked from {MUCH_LINE:.0%} on
<li>out of range: {", ".join(f"outside {kind.low:g} to {kind.high:g} {kind.unit}" for kind in KINDS if kind.unit)};
where the channel's name says so and its unit is known
<li>x the others (amplifiers' recordings only): of more than {LOUD} times the other electrodes' median amplitude</ul>"""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 65rem; margin: 0 auto; padding: 0 1rem 4rem; }
table { border-collapse: collapse; font-size: .85rem; } summary { cursor: pointer; margin-top: .6rem; }
th, td { padding: .1rem .6rem; text-align: left; border-bottom: 1px solid #ddd; font-weight: normal; }
.f { background: #ffd9b8; } svg { width: 18rem; height: 1.6rem; display: block; }
path { fill: #0072b2; stroke: #0072b2; vector-effect: non-scaling-stroke; }
"""
