"""A proposal as files: trials.csv, channels.csv, and a page with a line in time and the channels of every recording."""

import csv
import html
import io
import os

import numpy as np

from data_prep.amplifiers.channels_table import NO, propose_channels
from data_prep.amplifiers.recordings import read_raw, through_mne
from data_prep.amplifiers.trials_table import COLUMNS, GROUP, decode
from data_prep.amplifiers.triggers import is_break
from data_prep.folder.quality import picture
from utils.base.errors import InputError
from utils.base.files import write_text

LOOKED_AT = 4  # s of every channel
WIDTH = 900  # of a line in time, in pixels
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
.c svg { width: 13rem; height: 2rem; display: block; }
path { fill: #0072b2; stroke: #0072b2; vector-effect: non-scaling-stroke; }
.no { color: #888; } .no path { fill: #aaa; stroke: #aaa; } .d { background: #fff3e8; border-left: .4rem solid #d55e00;
padding: .1rem .8rem; } rect.t { fill: #009e73; fill-opacity: .55; stroke: #fff; } rect.b { fill: #d55e00; }
rect.m { fill: #555; } rect.p { fill: #d00; } text { font-size: 10px; }
"""


def write(proposal, table):
    """Write trials.csv under this name and the others beside it; the paths of the three."""
    pictures, changing = {}, set()
    for path, recording in proposal.recordings.items():
        first = next((trial.onset for trial in proposal.trials if trial.file == path), 0.0)
        windows = [peek(recording, at) for at in (first, recording.seconds / 2, recording.seconds)]
        pictures[path] = windows[0]
        changing |= {name for window in windows for name, values in window.items() if np.ptp(values) > 0}
    still = {name for window in pictures.values() for name in window} - changing
    used = [proposal.recordings[file] for file in dict.fromkeys(trial.file for trial in proposal.trials)]
    rows, doubts = propose_channels(used, still)
    proposal.doubts += doubts
    channels, page = table.with_name("channels.csv"), table.with_name("trials.html")
    texts = {}
    for path, lines in ((table, list(rows_of_trials(table, proposal.trials))), (channels, rows)):
        writer = csv.DictWriter(text := io.StringIO(), lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        texts[path] = text.getvalue()
        if path.exists() and decode(path).replace("\r\n", "\n") != texts[path]:
            raise InputError(f"{path} is there with other rows, yours perhaps: give another folder, or remove it")
    texts[page] = html_of(proposal, pictures, {row["name"]: row["kind"] for row in rows})
    for path, text in texts.items():
        write_text(path, text)
    return table, channels, page


def rows_of_trials(table, trials):
    """The table of trials; files relative to it, onsets with a decimal point, as they are no markers."""
    folder, has_groups = table.resolve().parent, any(trial.group for trial in trials)
    for trial in trials:
        file = os.path.relpath(trial.file.resolve(), folder).replace(os.sep, "/")
        length = "" if trial.duration is None else f"{trial.duration:.6f}"
        cells = (trial.subject, file, trial.stimulus, f"{trial.onset:.6f}", length)
        yield dict(zip(COLUMNS, cells, strict=True)) | ({GROUP: trial.group} if has_groups else {}) | trial.ratings


def peek(recording, at):
    """A few seconds of the channels of a file, by name, in the units that are kept."""
    with through_mne(recording.path, recording.notes):
        raw = read_raw(recording.path)
        n = max(2, min(raw.n_times, round(LOOKED_AT * raw.info["sfreq"])))
        first = int(max(0, min(round(at * raw.info["sfreq"]), raw.n_times - n)))
        values = raw.get_data(start=first, stop=first + n)
    factors = {channel.name: channel.factor for channel in recording.channels if channel.physio is None}
    return {name: row * factors[name] for name, row in zip(raw.ch_names, values, strict=True)}


def html_of(proposal, pictures, kinds):
    """The page; ``pictures``: by the recordings' paths, values by channel; ``kinds``: what each is taken as."""
    parts = ["<h1>Proposed trials</h1>", *(f"<p>{html.escape(text)}</p>" for text in proposal.found)]
    parts += [f'<p class="d">{html.escape(text)}</p>' for text in proposal.doubts]
    parts.append(f"<p>{LEGEND}</p>")
    for file, recording in proposal.recordings.items():
        trials = [trial for trial in proposal.trials if trial.file == file]
        who = f"{trials[0].subject}, " if trials else ""
        words = f"{who}{file.name}: {len(trials)} trials, {recording.seconds:.6g} s"
        parts.append(f"<h2>{html.escape(words)}</h2>{line(recording, trials)}<details><summary>channels</summary>")
        parts += [trace(name, values, kinds.get(name, NO)) for name, values in pictures[file].items()]
        parts.append("</details>")
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Proposed trials</title><style>{STYLE}</style>'
    return head + "<body>\n" + "\n".join(parts) + "\n</body></html>\n"


def line(recording, trials):
    """A recording in time: what is marked as bad, markers and pauses, and the trials."""
    scale = WIDTH / max(recording.seconds, 1e-6)

    def box(css, title, first, seconds, y, height, least):
        size = f'x="{first * scale:.1f}" y="{y}" width="{max(least, seconds * scale):.1f}" height="{height}"'
        return f'<rect class="{css}" {size}><title>{html.escape(title)}</title></rect>'

    parts = [box("b", name, first, last - first, 52, 8, 1) for name, first, last in recording.spoiled]
    for name, at in recording.markers[:: 1 + len(recording.markers) // MOST_MARKERS]:
        css, y, height = ("p", 0, 52) if is_break(name) else ("m", 44, 8)
        parts.append(box(css, f"{name}, {at:.5g} s", at, 0, y, height, 1))
    for trial in trials:
        title = f"{trial.stimulus}, {trial.onset:.5g} s, {trial.duration or 0:.4g} s"
        parts.append(box("t", title, trial.onset, trial.duration or 0, 6, 36, 2))
        parts.append(f'<text x="{trial.onset * scale + 2:.1f}" y="20">{html.escape(trial.stimulus[:12])}</text>')
    return f'<svg class="line" viewBox="0 0 {WIDTH} 62" preserveAspectRatio="none">{"".join(parts)}</svg>'


def trace(name, values, kind):
    """A few seconds of a channel."""
    values = np.nan_to_num(values)
    words = f"{html.escape(name)} ({kind}): {values.min():.3g} to {values.max():.3g}"
    return f'<span class="c{" no" * (kind == NO)}">{words}{picture(values, values)}</span>'
