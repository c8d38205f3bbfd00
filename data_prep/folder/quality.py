"""Quality of the signals as recorded: seconds that are flat, clipped or noisy, line noise, values that no body has.

Nothing is dropped because of it; `write_page` shows it.
"""

import html
import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from data_prep.signals.transforms import to_blocks
from utils.base.files import write_text

PAGE = "quality.html"
FAST = 16  # Hz; a signal of fewer samples a second is a slow one: steps and swings of single seconds say nothing
CLIPPED = (3, 0.02)  # samples, s: so many samples in a row at the highest or lowest value are clipped
NOISY = 5  # times the swing of the channel's median second
MANY_NOISY = 0.05  # of the seconds; some blinks and movements are in every recording
LINE = (50, 60)  # Hz
MUCH_LINE = 0.2  # of the power
LINE_EVERY = 8  # each so many seconds one is looked at for line noise, for speed
LOUD = 10  # times the median amplitude of a recording's electrodes
BINS, HEIGHT = 48, 30  # of the pictures


@dataclass(frozen=True)
class Kind:
    """A signal that is known by its channel's name, or by default any other one."""

    names: str = ""  # regular expression of the lower-case name without digits and signs
    unit: str = ""
    low: float = -np.inf  # human range in ``unit``
    high: float = np.inf
    step: float = np.inf  # largest change in a second
    still: int = 1  # seconds for which it may be constant
    clips: bool = False  # whether it is fast enough to judge single samples at its limits


# Skin conductance as in Kleckner et al., "Simple, transparent, and flexible automated quality assessment procedures for
# ambulatory electrodermal activity data", IEEE Trans. Biomedical Engineering 65(7), 2018.
KINDS = (
    Kind(r"gsr|eda|scl|skinconductance|electrodermalactivity", "uS", 0.05, 60, step=10),
    Kind(r"temp|skt|temperature|skintemperature", "degrees C", 15, 42, still=60),
    Kind(r"hr|heartrate|pulserate", "beats/min", 30, 220),
    Kind(r"(acc|acceleration|accelerometer)[xyz]?", still=60, clips=True),  # at rest it stays at one of its few values
)

FINDINGS = {  # what may stand out in a signal, and how the counts call it
    "missing": "with gaps",
    "flat": "flat in some seconds",
    "clipped": "clipped in some seconds",
    "noisy": f"noisy in more than {MANY_NOISY:.0%} of the seconds",
    "line": f"with more than {MUCH_LINE:.0%} of the power at {LINE[0]} or {LINE[1]} Hz",
    "range": "out of the range of a human body",
    "loud": f"of more than {LOUD} times the amplitude of the other electrodes",
}


def kind_of(name):
    """The `Kind` that a channel's name says, or None."""
    plain = re.sub(r"[\W\d_]", "", name).lower()
    return next((kind for kind in KINDS if re.fullmatch(kind.names, plain)), None)


@dataclass
class Row:
    """One signal of one person."""

    name: str
    low: float
    high: float
    unit: str
    seconds: float
    numbers: dict  # by finding: seconds; "line": share of the power; "loud": times the other electrodes' amplitude
    unjudged: list  # findings of which such a signal says nothing
    picture: str

    @property
    def findings(self):
        """Which of its numbers stand out."""
        least = {"noisy": MANY_NOISY * self.seconds, "line": MUCH_LINE}
        return {what for what, number in self.numbers.items() if number > least.get(what, 0)}


class Quality:
    """Looks at one person after the other and keeps a few numbers and a picture of each signal."""

    def __init__(self):
        self.people = {}  # a `Row` of each signal, by person
        self.notes = []  # what else there is to say on the page

    def look(self, subject, channels, rate, trials, units_known=True, unit="", louder=None):
        """Look at signals of a person as recorded: trials (channels, n_samples) of any length, NaN for missing.

        ``units_known``: GSR is in uS, temperature in degrees Celsius, heart rate in beats per minute; ``unit``: of
        other signals; ``louder``: electrodes much louder than the others, and how many times.
        """
        block = max(1, round(rate))
        trials = [to_blocks(np.asarray(trial), block) for trial in trials]
        trials = [trial for trial in trials if trial.size]
        if not trials:
            return
        kinds = [kind_of(name) or Kind() for name in channels]
        slow = np.array([kind != Kind() or rate < FAST for kind in kinds])
        limits = kinds if units_known else [Kind()] * len(kinds)
        least, most, step = np.array([(kind.low, kind.high, kind.step) for kind in limits]).T[:, :, None]
        with np.errstate(invalid="ignore", over="ignore"):  # of NaN, which is looked for
            edges = [(trial.min(axis=2), trial.max(axis=2)) for trial in trials]  # both while a trial is in the cache
            low, high = (np.concatenate(parts, axis=1, dtype=np.float64) for parts in zip(*edges, strict=True))
            width = np.array([max(kind.still, math.ceil(FAST / rate)) for kind in kinds])
            counts = {"missing": np.isnan(high), "flat": np.concatenate([flat(*pair, width) for pair in edges], axis=1)}
            fast, swing = ~slow | [kind.clips for kind in kinds], high - low
            counts["clipped"] = clipped(trials, low, high, rate) & ~counts["flat"] & fast[:, None]
            counts["noisy"] = (swing > step) | (noisy(swing, counts["flat"]) & ~slow[:, None])
            counts["range"] = (low < least) | (high > most)
            line = np.where(slow, 0.0, line_noise(trials, rate))
        judged = {"clipped": fast, "line": ~slow, "range": (most < np.inf)[:, 0]}
        judged["noisy"] = ~slow | (step < np.inf)[:, 0]
        for index, name in enumerate(channels):
            numbers = {what: round(seconds[index].sum() * block / rate) for what, seconds in counts.items()}
            numbers |= {"line": float(line[index]), "loud": (louder or {}).get(name, 0.0)}
            unjudged = [what for what, of_channels in judged.items() if not of_channels[index]]
            ends = float(np.fmin.reduce(low[index])), float(np.fmax.reduce(high[index]))
            length, drawing = len(low[index]) * block / rate, picture(low[index], high[index])
            row = Row(name, *ends, limits[index].unit or unit, length, numbers, unjudged, drawing)
            self.people.setdefault(subject, []).append(row)

    def counts(self):
        """In words, what stands out."""
        rows = [row for rows in self.people.values() for row in rows]
        numbers = {what: sum(what in row.findings for row in rows) for what in FINDINGS}
        words = ", ".join(f"{n:,} {FINDINGS[what]}" for what, n in numbers.items() if n)
        return f"of {len(rows):,} signals, {words or 'none stands out'}"


def flat(low, high, width):
    """Which seconds (channels, seconds) lie in at least ``width`` (one per channel) seconds that do not change."""
    found = low == high
    for index in np.flatnonzero((width > 1) & found.any(axis=1)):
        wide = min(width[index], low.shape[1])
        lowest, highest = sliding_window_view(low[index], wide), sliding_window_view(high[index], wide)
        still = lowest.min(axis=1) == highest.max(axis=1)
        found[index] = np.convolve(still, np.ones(wide)) > 0
    return found


def clipped(trials, low, high, rate):
    """Which seconds (channels, seconds) have several samples in a row at the person's highest or lowest value."""
    found = np.zeros(low.shape, bool)
    in_a_row = max(CLIPPED[0], round(CLIPPED[1] * rate))
    places = [(trial, second) for trial in trials for second in range(trial.shape[1])]
    for edges, edge in ((low, np.fmin.reduce(low, axis=1)), (high, np.fmax.reduce(high, axis=1))):
        at_edge = edges == edge[:, None]
        at_edge[at_edge.sum(axis=1) < 2] = False  # a rail is hit again and again
        for channel, number in np.argwhere(at_edge):
            trial, second = places[number]
            samples = trial[channel, second] == edge[channel]
            if len(samples) >= in_a_row:
                found[channel, number] |= sliding_window_view(samples, in_a_row).all(axis=1).any()
    return found


def noisy(swing, still):
    """Which seconds (channels, seconds) swing more than NOISY times as far as the channel's median second."""
    moving = np.ma.masked_array(swing, still | np.isnan(swing))
    return swing > NOISY * np.ma.median(moving, axis=1).filled(np.inf)[:, None]


def line_noise(trials, rate):
    """Share of the power (channels,) at 50 or 60 Hz, whichever is larger, in some of the seconds."""
    seconds = np.concatenate([trial[:, ::LINE_EVERY] for trial in trials], axis=1, dtype=np.float64)
    seconds = np.nan_to_num(seconds - seconds.mean(axis=2, keepdims=True))  # one with a gap counts nothing
    block, share = seconds.shape[2], np.zeros(len(seconds))
    power, window = np.square(seconds).sum(axis=(1, 2)) / block, np.hanning(block)
    for frequency in LINE:
        if rate >= 2 * frequency + 2:
            wave = window * np.exp(-2j * np.pi * frequency * np.arange(block) / rate)
            parts = seconds @ np.stack([wave.real, wave.imag], axis=1)  # (channels, seconds, 2)
            found = 2 * np.square(parts).sum(axis=(1, 2)) / window.sum() ** 2
            share = np.fmax(share, found / np.where(power > 0, power, 1))
    return np.minimum(share, 1)


def picture(low, high):
    """A small drawing (SVG) of a signal from its lowest and highest values in each second."""
    starts = np.unique(np.linspace(0, len(low), min(BINS, len(low)), endpoint=False).astype(int))
    low, high = np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts)
    least, most = (float(edge) for edge in (np.fmin.reduce(low), np.fmax.reduce(high)))
    scale = HEIGHT / (most - least) if most > least else 0
    top, bottom = (np.nan_to_num((most - edge) * scale).round().astype(int).tolist() for edge in (high, low))
    points = [*enumerate(top), *reversed(list(enumerate(bottom)))]
    path, size = " ".join(f"{x} {y}" for x, y in points), f"{max(len(top) - 1, 1)} {HEIGHT + 2}"
    return f'<svg viewBox="0 -1 {size}" preserveAspectRatio=none><path d="M{path}z"/></svg>'


def write_page(path, title, quality):
    """Write a `Quality` as one page, a table for each person, that needs no network and no JavaScript."""
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
