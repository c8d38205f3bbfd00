"""A proposal as files: trials.csv, channels.csv, and a page with a line in time and the channels of every recording."""

import csv
import html
import io
import os

import numpy as np

from data_prep.amplifiers.channels_table import COLUMNS, propose_channels
from data_prep.amplifiers.recordings import BREAKS, read_raw, through_mne
from utils.base.errors import InputError
from utils.base.files import write_text

LOOKED_AT = 4  # s of every channel
WIDTH, POINTS = 900, 80  # of a line in time in pixels, and of a channel's picture in points
MOST_MARKERS = 400  # that are drawn of a recording
LEGEND = (
    "Each line is a recording from its start to its end. Green: trials. Grey ticks: markers and triggers. Red: pauses. "
    "Orange: marked as bad. Rest the pointer on one for its name and time. Under it, each channel in the "
    f"{LOOKED_AT} s from the first trial on, with its kind and lowest and highest value (uV, uS of gsr); grey ones are "
    "not taken. Correct trials.csv and the column kind of channels.csv, then give both to prepare_recordings.py."
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 0 auto; padding: 0 1rem 4rem; }
svg.line { width: 100%; height: 4rem; background: #f6f6f6; }
.c { display: inline-block; width: 14rem; font-size: .8rem; }
.c svg { width: 13rem; height: 2rem; display: block; } .c path { fill: none; stroke: #0072b2; stroke-width: .7; }
.no { color: #888; } .no path { stroke: #aaa; } .d { background: #fff3e8; border-left: .4rem solid #d55e00;
padding: .1rem .8rem; } rect.t { fill: #009e73; fill-opacity: .55; stroke: #fff; } rect.b { fill: #d55e00; }
line { stroke: #555; } line.p { stroke: #d00; stroke-width: 2; } text { font-size: 10px; }
"""


def write(proposal, table):
    """Write trials.csv under this name and the others beside it; the paths of the three."""
    pictures, constants, changed = {}, set(), set()
    for path, recording in proposal.recordings.items():
        onsets = [trial.onset for trial in proposal.trials if trial.file == path] or [0.0]
        windows = [peek(recording, at) for at in (onsets[0], recording.seconds / 2, recording.seconds)]
        pictures[path] = windows[0]
        constant = {name for name in windows[0] if all(np.ptp(window[name]) == 0 for window in windows)}
        changed |= windows[0].keys() - constant
        constants |= constant
    used = [proposal.recordings[file] for file in dict.fromkeys(trial.file for trial in proposal.trials)]
    rows, doubts = propose_channels(used, constants - changed)
    proposal.doubts += doubts
    channels, page = table.with_name("channels.csv"), table.with_name("trials.html")
    tables = {table: rows_of_trials(table, proposal.trials), channels: [COLUMNS, *(row.values() for row in rows)]}
    texts = {}
    for path, lines in tables.items():
        csv.writer(text := io.StringIO(), lineterminator="\n").writerows(lines)
        texts[path] = text.getvalue()
        if path.exists() and path.read_text(encoding="utf-8-sig") != texts[path]:
            raise InputError(f"{path} is there with other rows, yours perhaps: give another folder, or remove it")
    for path, text in texts.items():
        write_text(path, text)
    write_page(page, proposal, pictures, {row["name"]: row["kind"] for row in rows})
    return table, channels, page


def rows_of_trials(path, trials):
    """The table of trials; files relative to it, onsets with a decimal point, as they are no markers."""
    names = list(trials[0].ratings)
    header = ["subject", "file", "stimulus", "onset", "duration", *(["group"] if any(t.group for t in trials) else [])]
    rows = []
    for trial in trials:
        file = os.path.relpath(trial.file.resolve(), path.resolve().parent).replace(os.sep, "/")
        length = "" if trial.duration is None else f"{trial.duration:.6f}"
        row = [trial.subject, file, trial.stimulus, f"{trial.onset:.6f}", length]
        rows.append([*row, *([trial.group] if "group" in header else []), *(trial.ratings[name] for name in names)])
    return [[*header, *names], *rows]


def peek(recording, at):
    """A few seconds of the channels of a file, by name, in the units that are kept."""
    with through_mne(recording.path, recording.notes):
        raw = read_raw(recording.path)
        n = max(2, min(raw.n_times, round(LOOKED_AT * raw.info["sfreq"])))
        first = int(max(0, min(round(at * raw.info["sfreq"]), raw.n_times - n)))
        values = raw.get_data(start=first, stop=first + n)
    factors = {channel.name: channel.factor for channel in recording.channels if channel.physio is None}
    return {name: row * factors[name] for name, row in zip(raw.ch_names, values, strict=True)}


def write_page(path, proposal, pictures, kinds):
    """Write the page; ``pictures``: by the recordings' paths, values by channel; ``kinds``: what each is taken as."""
    parts = ["<h1>Proposed trials</h1>", *(f"<p>{html.escape(text)}</p>" for text in proposal.found)]
    parts += [f'<p class="d">{html.escape(text)}</p>' for text in proposal.doubts]
    parts.append(f"<p>{LEGEND}</p>")
    for file, recording in proposal.recordings.items():
        trials = [trial for trial in proposal.trials if trial.file == file]
        who = f"{trials[0].subject}, " if trials else ""
        words = f"{who}{file.name}: {len(trials)} trials, {recording.seconds:.6g} s"
        parts.append(f"<h2>{html.escape(words)}</h2>{line(recording, trials)}<details><summary>channels</summary>")
        parts += [trace(name, values, kinds.get(name, "no")) for name, values in pictures[file].items()]
        parts.append("</details>")
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Proposed trials</title><style>{STYLE}</style>'
    write_text(path, head + "<body>\n" + "\n".join(parts) + "\n</body></html>\n")


def line(recording, trials):
    """A recording in time."""
    scale = WIDTH / max(recording.seconds, 1e-6)
    parts = [
        f'<rect class="b" x="{first * scale:.1f}" y="52" width="{max(1, (last - first) * scale):.1f}" height="8">'
        f"<title>{html.escape(name)}</title></rect>"
        for name, first, last in recording.spoiled
    ]
    for name, at in recording.markers[:: 1 + len(recording.markers) // MOST_MARKERS]:
        css, top = ("p", 0) if name.lower().startswith(BREAKS) else ("m", 44)
        x = f"{at * scale:.1f}"
        title = html.escape(f"{name}, {at:.5g} s")
        parts.append(f'<line class="{css}" x1="{x}" x2="{x}" y1="{top}" y2="52"><title>{title}</title></line>')
    for trial in trials:
        x, width = trial.onset * scale, max(2.0, (trial.duration or 0) * scale)
        title = html.escape(f"{trial.stimulus}, {trial.onset:.5g} s, {trial.duration or 0:.4g} s")
        parts.append(f'<rect class="t" x="{x:.1f}" y="6" width="{width:.1f}" height="36"><title>{title}</title></rect>')
        parts.append(f'<text x="{x + 2:.1f}" y="20">{html.escape(trial.stimulus[:12])}</text>')
    return f'<svg class="line" viewBox="0 0 {WIDTH} 62" preserveAspectRatio="none">{"".join(parts)}</svg>'


def trace(name, values, kind):
    """A few seconds of a channel."""
    values = np.nan_to_num(values[: len(values) // POINTS * POINTS] if len(values) > POINTS else values)
    parts = values.reshape(POINTS, -1) if len(values) > POINTS else values[:, None]
    low, high = float(values.min()), float(values.max())
    scaled = [(30 - 28 * (edge - low) / (high - low or 1)).round(1) for edge in (parts.min(axis=1), parts.max(axis=1))]
    points = " ".join(f"{x},{a:g} {x},{b:g}" for x, (a, b) in enumerate(zip(*scaled, strict=True)))
    css = ' class="c no"' if kind == "no" else ' class="c"'
    words = f"{html.escape(name)} ({kind}): {low:.3g} to {high:.3g}"
    box = f'viewBox="0 0 {len(parts)} 32" preserveAspectRatio="none"'
    return f'<span{css}>{words}<svg {box}><path d="M{points}"/></svg></span>'
