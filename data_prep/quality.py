"""Quality at a glance: what each channel of each person looks like before anything is subtracted or standardised.

`Quality` counts seconds that are flat, clipped or noisy, the share of line noise, and values that no human body has,
and writes one page with a picture of every signal. Nothing is dropped because of it.
"""

import html
import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from utils.files import write_text

PAGE = "quality.html"
FAST = 16  # Hz; a signal of fewer samples a second is a slow one: steps and swings of single seconds say nothing
CLIPPED = (3, 0.02)  # samples, s: so many samples in a row at the highest or lowest value are clipped
NOISY = 5  # times the swing of the channel's median second
MANY_NOISY = 0.05  # of the seconds; some blinks and movements are in every recording
LINE = (50, 60)  # Hz
MUCH_LINE = 0.2  # of the power
LINE_EVERY = 8  # each so many seconds one is looked at for line noise, for speed
BINS, HEIGHT = 48, 30  # of the pictures


@dataclass(frozen=True)
class Kind:
    """A signal whose unit and human range are known; it changes by ``step`` in a second at most, and in ``still`` s."""

    names: str
    unit: str
    low: float
    high: float
    step: float = np.inf
    still: int = 1


# Skin conductance as in Kleckner et al., "Simple, transparent, and flexible automated quality assessment procedures for
# ambulatory electrodermal activity data", IEEE Trans. Biomedical Engineering 65(7), 2018.
KINDS = (
    Kind(r"gsr|eda|scl|skinconductance|electrodermalactivity", "uS", 0.05, 60, step=10),
    Kind(r"temp|skt|temperature|skintemperature", "degrees C", 15, 42, still=60),
    Kind(r"hr|heartrate|pulserate", "beats/min", 30, 220),
)


def kind_of(name):
    """The `Kind` that a channel's name says, or None."""
    plain = re.sub(r"[\W\d_]", "", name).lower()
    return next((kind for kind in KINDS if re.fullmatch(kind.names, plain)), None)


class Quality:
    """Looks at one person after the other and keeps a few numbers and a picture of each signal."""

    def __init__(self):
        self.people = {}

    def look(self, subject, channels, rate, trials, units_known=True):
        """Look at some signals of a person.

        Parameters
        ----------
        subject : str
        channels : sequence of str
        rate : float
            Of these signals, in Hz.
        trials : sequence of numpy.ndarray, shape (len(channels), n_samples)
            As they were recorded; lengths may differ. What is NaN counts as missing.
        units_known : bool
            Whether skin conductance is in uS, temperature in degrees Celsius, heart rate in beats per minute.
        """
        block = max(1, round(rate))
        trials = [to_seconds(np.asarray(trial), block) for trial in trials]
        trials = [trial for trial in trials if trial.size]
        if not trials:
            return
        kinds = [kind_of(name) for name in channels]
        slow = np.array([kind is not None or rate < FAST for kind in kinds])
        with np.errstate(invalid="ignore", over="ignore"):  # NaN is looked for
            edges = [(trial.min(axis=2), trial.max(axis=2)) for trial in trials]  # both while a trial is in the cache
            low, high = (np.concatenate(parts, axis=1, dtype=np.float64) for parts in zip(*edges, strict=True))
            width = np.array([max(kind.still if kind else 1, math.ceil(FAST / rate)) for kind in kinds])
            still = np.concatenate([flat(*pair, width) for pair in edges], axis=1)
            loud, cut = noisy(high - low, still), clipped(trials, low, high, rate) & ~still
            loud[slow], cut[slow], impossible = False, False, np.zeros_like(still)
            for index, kind in enumerate(kinds):
                if kind and units_known:
                    impossible[index] = (low[index] < kind.low) | (high[index] > kind.high)
                    loud[index] = high[index] - low[index] > kind.step
            line = line_noise(trials, rate)
        counts = {"missing": np.isnan(high), "flat": still, "clipped": cut, "noisy": loud, "range": impossible}
        rows = self.people.setdefault(subject, [])
        for index, name in enumerate(channels):
            rows.append(
                Row(
                    name,
                    low=float(np.fmin.reduce(low[index])),
                    high=float(np.fmax.reduce(high[index])),
                    seconds=len(low[index]) * block / rate,
                    line=0.0 if slow[index] else float(line[index]),
                    slow=bool(slow[index]),
                    kind=kinds[index] if units_known else None,
                    picture=picture(low[index], high[index]),
                    **{what: round(found[index].sum() * block / rate) for what, found in counts.items()},
                )
            )

    def counts(self):
        """In words, what stands out."""
        rows = [row for rows in self.people.values() for row in rows]
        found = {what: sum(what in row.findings for row in rows) for what in FINDINGS}
        words = ", ".join(f"{n:,} {FINDINGS[what]}" for what, n in found.items() if n)
        return f"of {len(rows):,} signals {words or 'none stands out'}"

    def write(self, path, title):
        """Write the page."""
        parts = [f"<h1>Signals of {text(title)}</h1>", f"<p>{self.counts().capitalize()}.</p>", LEGEND]
        for subject, rows in self.people.items():
            findings = sum(bool(row.findings) for row in rows)
            words = f"{findings} of {len(rows)} signals stand out" if findings else "nothing stands out"
            state = " open" if findings else ""
            parts.append(f"<details{state}><summary><b>{text(subject)}</b>: {words}</summary>")
            parts.append("<table>" + HEADER + "".join(row.html() for row in rows) + "</table></details>")
        head = '<!doctype html><html lang="en"><meta charset="utf-8">'
        head += f"<title>Signals of {text(title)}</title><style>{STYLE}</style><body>\n"
        write_text(path, head + "\n".join(parts) + "\n</body></html>\n")


@dataclass
class Row:
    """One signal of one person; the counts are seconds."""

    name: str
    low: float
    high: float
    seconds: float
    missing: int
    flat: int
    clipped: int
    noisy: int
    range: int
    line: float
    slow: bool
    kind: Kind | None
    picture: str

    @property
    def findings(self):
        """Which of its numbers stand out."""
        found = {what for what in ("missing", "flat", "clipped", "range") if getattr(self, what)}
        found |= {"noisy"} if self.noisy > MANY_NOISY * self.seconds else set()
        return found | ({"line"} if self.line > MUCH_LINE else set())

    def html(self):
        """A row of the table."""
        cells = {what: str(getattr(self, what) or "") for what in ("missing", "flat", "clipped", "noisy", "range")}
        cells["line"] = f"{self.line:.0%}" if self.line >= 0.05 else ""
        if self.slow:
            cells["clipped"] = cells["line"] = "-"
            cells["noisy"] = cells["noisy"] or ("" if self.kind else "-")
        if not self.kind:
            cells["range"] = "-"
        marked = "".join(
            f"<td{' class=f' if what in self.findings else ''}>{cells[what]}"
            for what in ("missing", "flat", "clipped", "noisy", "line", "range")
        )
        unit = f" {self.kind.unit}" if self.kind else ""
        name = text(self.name)
        return f"<tr><th>{name}<td>{self.low:.3g} to {self.high:.3g}{unit}{marked}<td>{self.picture}\n"


def text(name):
    """A name, which may hold anything, as part of the page."""
    return html.escape(name[:200].encode("utf-8", "replace").decode())


def to_seconds(trial, block):
    """(channels, seconds, block) of a trial (channels, samples); a last second that is not complete is left out."""
    seconds = trial.shape[1] // block
    return trial[:, : seconds * block].reshape(len(trial), seconds, block)


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
    for edges, edge in ((low, np.fmin.reduce(low, axis=1)), (high, np.fmax.reduce(high, axis=1))):
        at_edge = edges == edge[:, None]
        at_edge[at_edge.sum(axis=1) < 2] = False  # a rail is hit again and again
        for channel, second in np.argwhere(at_edge):
            samples = _second(trials, channel, second) == edge[channel]
            if len(samples) >= in_a_row:
                found[channel, second] |= sliding_window_view(samples, in_a_row).all(axis=1).any()
    return found


def _second(trials, channel, second):
    for trial in trials:
        if second < trial.shape[1]:
            return trial[channel, second]
        second -= trial.shape[1]
    raise IndexError(second)


def noisy(swing, flat_seconds):
    """Which seconds (channels, seconds) swing more than NOISY times as far as the channel's median second."""
    found = np.zeros(swing.shape, bool)
    for index, (row, still) in enumerate(zip(swing, flat_seconds, strict=True)):
        moving = row[~still & ~np.isnan(row)]
        if len(moving):
            found[index] = row > NOISY * np.median(moving)
    return found


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
    path = " ".join(f"{x} {y}" for x, y in points)
    return (
        f'<svg viewBox="0 -1 {max(len(top) - 1, 1)} {HEIGHT + 2}" preserveAspectRatio=none><path d="M{path}z"/></svg>'
    )


FINDINGS = {  # of a row, and how the counts call it
    "missing": "have gaps",
    "flat": "are flat in some seconds",
    "clipped": "are clipped in some",
    "noisy": f"are noisy in more than {MANY_NOISY:.0%} of theirs",
    "line": f"have more than {MUCH_LINE:.0%} of their power at {LINE[0]} or {LINE[1]} Hz",
    "range": "leave the range of a human body",
}
HEADER = (
    "<tr><th>signal<td>values<td>missing<td>flat<td>clipped<td>noisy<td>line<td>out of range<td>all trials in a row"
)
LEGEND = f"""<p>The signals as they were recorded, before a baseline was subtracted or anything was standardised.
Nothing was dropped: look at what is marked, and leave a person or a channel out if you think so. Numbers are seconds;
"-": not judged.</p>
<ul><li>flat: the value does not change in a second (slow sensors: in {FAST} samples; temperature: {KINDS[1].still} s)
<li>clipped: {CLIPPED[0]} samples and {1000 * CLIPPED[1]:.0f} ms in a row at the signal's own highest or lowest value,
more than once
<li>noisy: swings more than {NOISY} times as far as the signal's median second (blinks, movement, muscles; skin
conductance: more than {KINDS[0].step} uS in a second); marked from {MANY_NOISY:.0%} of the seconds on
<li>line: share of the power at {LINE[0]} or {LINE[1]} Hz, whichever is more; marked from {MUCH_LINE:.0%} on
<li>out of range: {"; ".join(f"outside {kind.low:g} to {kind.high:g} {kind.unit}" for kind in KINDS)}, where the
channel's name says so and its unit is known</ul>"""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 65rem; margin: 0 auto; padding: 0 1rem 4rem; }
table { border-collapse: collapse; font-size: .85rem; } summary { cursor: pointer; margin-top: .6rem; }
th, td { padding: .1rem .6rem; text-align: left; border-bottom: 1px solid #ddd; font-weight: normal; }
.f { background: #ffd9b8; } svg { width: 18rem; height: 1.6rem; display: block; }
path { fill: #0072b2; stroke: #0072b2; vector-effect: non-scaling-stroke; }
"""
