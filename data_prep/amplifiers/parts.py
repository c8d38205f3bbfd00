"""One person of a long preparation: read from all files, and kept until the folder is whole, so that it can go on."""

import contextlib
import hashlib
import json
import zipfile
from dataclasses import asdict

import numpy as np

from data_prep.amplifiers.recording_signals import read_trials
from data_prep.folder.from_arrays import prepare_person
from data_prep.folder.quality import Quality
from utils.base.files import atomic


def kept(folder, key, make, *arguments):
    """Arrays by name that a folder keeps under this key (for JSON), or those that are made, then kept."""
    text = json.dumps(key, sort_keys=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
    damage = (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile)  # or no such file
    with contextlib.suppress(*damage), np.load(path, allow_pickle=False) as file:
        return dict(file)
    arrays = make(*arguments)
    with atomic(path) as file:
        np.savez(file, **arrays)
    return arrays


def prepare(subject, trials, recordings, eeg, pps, steps, preparation):
    """Arrays of a person's trials by modality, and rows of quality.html as JSON."""
    person, looks, quality = {"id": subject}, {}, Quality()
    for path in dict.fromkeys(trial.file for trial in trials):
        places = [place for place, trial in enumerate(trials) if trial.file == path]
        onsets = [trials[place].onset for place in places]
        arrays, looks_of_file = read_trials(recordings[path], onsets, eeg, pps, steps)
        for name, array in arrays.items():
            person.setdefault(name, np.zeros((len(trials), *array.shape[1:])))[places] = array
        for look in looks_of_file:
            looks.setdefault((tuple(look.channels), look.rate, look.unit), []).append(look)
    for (names, rate, unit), of_all in looks.items():
        loud = {name: times for look in of_all for name, times in (look.loud or {}).items()}
        quality.look(subject, names, rate, [trial for look in of_all for trial in look.trials], unit=unit, louder=loud)
    blocks = prepare_person(person, steps.sampling_rate, preparation)
    rows = [{key: value for key, value in asdict(row).items() if key != "kind"} for row in quality.people[subject]]
    return {"eeg": blocks[0], "pps": blocks[1], "quality": np.array(json.dumps(rows))}
