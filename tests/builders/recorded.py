"""The same synthetic people in all formats: what tests/test_recordings.py reads."""

import csv
import gzip
import json
import warnings

import numpy as np

RATE, SECONDS, REST = 256, 6, 2
ELECTRODES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "T7", "T8", "P3", "P4", "O1", "O2"]
PERIPHERAL = ["ECG", "GSR"]
FILMS = ["film_a", "film_b", "film_c"]
ONSETS = [3.0, 13.5, 24.25]  # s, of the first, second and third film of a person
LENGTH = 32  # s


def signals(person):
    """EEG (12, samples) in uV and peripheral signals (2, samples) in uV and uS, of a person who is a number."""
    rng = np.random.default_rng(person)
    times = np.arange(LENGTH * RATE) / RATE
    shape = (len(ELECTRODES), 1)
    eeg = sum(
        rng.uniform(5, 20, shape) * np.sin(2 * np.pi * f * times + rng.uniform(0, 6, shape))
        for f in (3.3, 7.7, 11.2, 19.6)
    )
    ecg = 400 * np.sin(2 * np.pi * 1.2 * times) + 50 * np.sin(2 * np.pi * 9.3 * times)
    gsr = 4 + np.sin(2 * np.pi * 0.1 * times + person)
    return eeg, np.stack([ecg, gsr])


def order(person):
    """Films in the order in which this person saw them."""
    return FILMS[person % 3 :] + FILMS[: person % 3]


def ratings(person):
    """(arousal, valence, mood) by film."""
    return {film: (1 + (person + i) % 9, 9 - i, "glad" if (person + i) % 2 else "sad") for i, film in enumerate(FILMS)}


def raw(person, names=ELECTRODES, bad=(), markers=True):
    """A person's recording as an object of MNE."""
    import mne

    eeg, pps = signals(person)
    data = np.concatenate([eeg[[ELECTRODES.index(name) for name in names]] * 1e-6, pps * 1e-6])
    info = mne.create_info([*names, *PERIPHERAL], RATE, ["eeg"] * len(names) + ["ecg", "gsr"])
    made = mne.io.RawArray(data, info, verbose="ERROR")
    made.info["bads"] = list(bad)
    if markers:
        made.set_annotations(mne.Annotations(ONSETS, [SECONDS] * 3, order(person)))
    return made


def write(folder, extension, person, **options):
    """A person's recording as a file; its path."""
    import mne

    path = folder / (f"p{person}_raw.fif" if extension == "fif" else f"p{person}.{extension}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unusual units
        if extension == "fif":
            raw(person, **options).save(path, verbose="ERROR")
        elif extension in ("edf", "bdf"):
            write_edf(path, person, **options)
        else:
            mne.export.export_raw(path, raw(person, **options), verbose="ERROR")
    return path


def write_edf(path, person, unit="uV", names=ELECTRODES, gsr_rate=RATE, skin=("GSR", "uS")):
    """EDF or BDF with units, and skin conductance at a rate, with a label and in a unit of its own."""
    import edfio

    eeg, (ecg, gsr) = signals(person)
    signal, file = (edfio.BdfSignal, edfio.Bdf) if path.suffix == ".bdf" else (edfio.EdfSignal, edfio.Edf)
    scale = {"uV": 1, "mV": 1e-3, "V": 1e-6, "": 1}[unit]
    channels = [
        signal(eeg[ELECTRODES.index(name)] * scale, RATE, label=name, physical_dimension=unit) for name in names
    ]
    channels.append(signal(ecg, RATE, label="ECG", physical_dimension="uV"))
    gsr = gsr[:: RATE // gsr_rate] * {"uS": 1, "mS": 1e-3}[skin[1]]
    channels.append(signal(gsr, gsr_rate, label=skin[0], physical_dimension=skin[1]))
    marks = [edfio.EdfAnnotation(t, None, film) for t, film in zip(ONSETS, order(person), strict=True)]
    file(channels, annotations=marks).write(path)


def write_table(path, files, markers=False, delimiter=",", encoding="utf-8", rows=None, leave_out=(), mood=False):
    """The table of trials; files by person. ``mood``: a rating with names of classes besides."""
    header = ["subject", "file", "stimulus", "onset", "duration", "arousal", "valence"] + ["mood"] * mood
    if rows is None:
        rows = []
        for person, file in files.items():
            for onset, film in zip(ONSETS, order(person), strict=True):
                mark = f"Comment/{film}" if file.suffix == ".vhdr" else film
                arousal, valence, feeling = ratings(person)[film]
                if (person, film) not in leave_out:
                    rows.append([f"p{person}", file.name, film, mark if markers else onset, SECONDS, arousal, valence])
                    rows[-1] += [feeling] * mood
    with open(path, "w", newline="", encoding=encoding) as out:
        csv.writer(out, delimiter=delimiter).writerows([header, *rows])
    return path


def write_bids(root, people, physio_rate=None, bad=(), session=None):
    """The people as a BIDS data set; with ``physio_rate`` their skin conductance in a file of its own."""
    import mne_bids

    for person in people:
        made = raw(person, bad=bad)
        if physio_rate:
            made.drop_channels(["GSR"])
        path = mne_bids.BIDSPath(f"{person:02d}", session, "film", run=1, root=root, datatype="eeg")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mne_bids.write_raw_bids(made, path, format="BrainVision", allow_preload=True, verbose="ERROR")
        events = path.copy().update(suffix="events", extension=".tsv").fpath
        lines = ["onset\tduration\ttrial_type\tarousal\tvalence", "0.5\t0\tfixation\tn/a\tn/a"]
        for onset, film in zip(ONSETS, order(person), strict=True):
            arousal, valence, _ = ratings(person)[film]
            lines.append(f"{onset}\t{SECONDS}\t{film}\t{arousal}\t{valence}")
        events.write_text("\n".join(lines) + "\n")
        if physio_rate:
            write_physio(
                path.copy().update(suffix="physio", extension=".tsv.gz", check=False).fpath, person, physio_rate
            )


def write_physio(path, person, rate, start=-1.0):
    """Skin conductance of a person, from a second before the EEG on, and its JSON."""
    gsr = signals(person)[1][1]
    rows = [gsr[0]] * int(-start * rate) + list(gsr[:: RATE // rate])
    with gzip.open(path, "wt") as file:
        file.write("".join(f"{value:.9f}\tn/a\n" for value in rows))
    header = {"SamplingFrequency": rate, "StartTime": start, "Columns": ["GSR", "trigger"], "GSR": {"Units": "uS"}}
    path.with_name(path.name.replace(".tsv.gz", ".json")).write_text(json.dumps(header))
