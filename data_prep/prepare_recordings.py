"""Prepare your own recordings: amplifiers' files and a table of trials, or a BIDS data set -> one prepared folder.

    python data_prep/prepare_recordings.py --trials trials.csv --out-dir data/MINE
    python data_prep/prepare_recordings.py --bids-dir my_study --task film --out-dir data/MINE

Any file that MNE-Python reads (.edf .bdf .gdf .vhdr .set .fif .cnt). The table has the columns subject, file, stimulus,
onset (s, or a marker's name), duration (s), and one per rating; with --no-rated none, for recordings that a model is to
predict. docs/recordings.md says more.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors  # before all packages, to say in one line which are not installed

# isort: split

import numpy as np

from data_prep.amplifiers import bids, recordings, trial_plan, trials_table
from data_prep.amplifiers.parts import Parts
from data_prep.amplifiers.recording_signals import AS_RECORDED, Steps, read_trials
from data_prep.folder import preparation, ratings
from data_prep.folder.from_arrays import prepare_person
from data_prep.folder.quality import Quality, Row, kind_of
from data_prep.folder.writer import PreparedWriter, is_prepared
from data_prep.signals import channel_kinds
from data_prep.signals.channels import shorten
from utils.base.errors import InputError
from utils.base.files import sha256
from utils.base.progress import Progress, say_next, say_pretraining, warn
from utils.base.settings import read_settings

# what to read
TRIALS = "trials.csv"  # table of trials, CSV or TSV
BIDS_DIR = None  # a BIDS data set in the place of a table (None: the table)
TASK = None  # its task, such as film
SESSIONS = []  # its sessions (empty: all)
RATED = True  # False: recordings that nobody has rated, to predict; one person will do
RATINGS = []  # columns that are ratings (empty: all that have no other meaning)
RATING_MIN = 1.0  # lowest and
RATING_MAX = 9.0  # highest possible rating, of all that are numbers
THRESHOLD = None  # a rating of at least this counts as high (None: the middle of the scale)
OUT_DIR = "data/MINE"  # prepared folder to write
# which signals
EEG_CHANNELS = []  # names (empty: all electrodes of the 10-5 system; common: those that everybody has; None: no EEG)
PPS_CHANNELS = []  # names, or eog ecg emg gsr resp temperature ppg (empty: all of these; common; None: none)
BAD_CHANNELS = "interpolate"  # EEG channels that a file marks as bad: interpolate | refuse | keep
# what is done to them, in this order; filters see the whole recording
HIGH_PASS = 1.0  # of the EEG, in Hz; takes drifts away (None: no such filter)
LOW_PASS = 45.0  # of the EEG, in Hz; takes muscles and the mains away (None: no such filter)
NOTCH = None  # frequency of the mains, 50 or 60 Hz, and its multiples (None: the low-pass filter does it)
REFERENCE = "average"  # average: of the chosen EEG channels at each sample | file: as it was recorded
SAMPLING_RATE = 128  # of the result, in Hz
SECONDS = None  # of each trial, from its onset on (None: of the shortest)
REST_SECONDS = 0  # s before each onset whose mean is subtracted, as for DEAP (0: none)
MISSING = "error"  # stimuli that somebody did not see: error | drop, for all
EEG_NORMALISE = "channels"  # channels: across channels at each sample (paper) | trial: each channel over its trial
PPS_NORMALISE = "trial"  # trial: each channel over its trial | subject: over a person's training data | none
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Write the prepared folder, one recording in memory at a time."""
    settings = read_settings(globals())
    recordings.need_mne()
    check_settings(settings)
    trials, sidecars = read_trials_of(settings)
    names, classes, values = ratings.parse_ratings(trials)
    ratings.check_scale(settings, trials, names, classes, values)
    rated = {id(trial): row for trial, row in zip(trials, values, strict=True)}
    least = 2 if settings.RATED else 1
    people = trial_plan.by_person(trials, least)
    stimuli = trial_plan.find_stimuli(people, settings.MISSING, least)
    said, files = set(), dict.fromkeys(trial.file for trial in trials)
    for path in Progress(list(files), desc="opening", unit="file"):
        files[path] = recordings.open_recording(path, sidecars.get(path), said)
    rest = int(settings.REST_SECONDS or 0)
    plan = trial_plan.make_plan(people, stimuli, files, settings.SECONDS, rest)
    for trial, flaw in trial_plan.flaws_in(plan, files, rest):
        warn(f"{trial.where}: {flaw} within {trial.stimulus!r} or its rest")
    eeg, pps = choose_channels(settings, files)
    steps = Steps(
        settings.HIGH_PASS,
        settings.LOW_PASS,
        settings.NOTCH,
        settings.REFERENCE,
        settings.BAD_CHANNELS,
        settings.SAMPLING_RATE,
        plan.seconds,
        rest,
    )
    made = describe(settings, plan, rest, bool(eeg))
    sources = name_sources(settings, files.values())
    description = {
        "name": settings.OUT_DIR.name,
        "sampling_rate": settings.SAMPLING_RATE,
        "eeg_channels": eeg,
        "pps_channels": pps,
        "ratings": names,
        "classes": classes,
        "stimuli": stimuli,
    }
    if len(classes) < len(names):
        description |= {"rating_range": [settings.RATING_MIN, settings.RATING_MAX], "threshold": settings.THRESHOLD}
    if is_prepared(settings.OUT_DIR, made, sources, seconds=plan.seconds, **description):
        print(f"{settings.OUT_DIR}: complete, from these files")
        say_what_follows(settings)
        return
    writer = PreparedWriter(settings.OUT_DIR, preparation=made, rated=settings.RATED, **description)
    writer.quality.notes.append(AS_RECORDED)
    with writer:
        parts = Parts(settings.OUT_DIR, [made, description, asdict(steps)])
        checksums = {path: sha256(path) for path in Progress(sources.values(), desc="checksums", unit="file")}
        refuse_copies(files.values(), checksums)
        for subject, own in Progress(plan.people.items(), desc="preparing", unit="person"):
            used = {trial.file: files[trial.file] for trial, _ in own}
            key = [subject, [(trial.stimulus, onset) for trial, onset in own]]
            key += [checksums[path] for recording in used.values() for path in recording.files]
            arrays = parts.get(key, lambda: prepare(subject, own, used, eeg, pps, steps, made, said))  # noqa: B023
            of_person = np.array([rated[id(trial)] for trial, _ in own], float)  # (trials, ratings)
            shown = {name: checksums[path] for name, path in sources.items()}
            writer.add(subject, arrays["eeg"], arrays["pps"], of_person, sources=shown)
            rows = json.loads(str(arrays["quality"]))
            writer.quality.people[subject] = [Row(**row, kind=kind_of(row["name"])) for row in rows]
    parts.remove()
    writer.report()
    say_what_follows(settings)


def check_settings(settings):
    """Refuse settings that contradict each other, before anything is read."""
    if settings.BIDS_DIR is not None and "TRIALS" in settings.given:
        raise InputError("--trials and --bids-dir: give one of them")
    if settings.BIDS_DIR is not None and not settings.TASK:
        raise InputError("--bids-dir needs --task, the name of the task whose runs to read")
    if settings.HIGH_PASS and settings.LOW_PASS and settings.HIGH_PASS >= settings.LOW_PASS:
        raise InputError(f"--high-pass {settings.HIGH_PASS:g} must be less than --low-pass {settings.LOW_PASS:g}")
    if (settings.REST_SECONDS or 0) % 1:
        raise InputError(f"--rest-seconds must be whole seconds, not {settings.REST_SECONDS}")
    if settings.RATING_MIN >= settings.RATING_MAX:
        raise InputError(f"--rating-min {settings.RATING_MIN:g} must be less than --rating-max {settings.RATING_MAX:g}")
    if settings.THRESHOLD is None:
        settings.THRESHOLD = (settings.RATING_MIN + settings.RATING_MAX) / 2
    if not settings.RATING_MIN <= settings.THRESHOLD <= settings.RATING_MAX:
        raise InputError(
            f"--threshold {settings.THRESHOLD:g} lies outside the scale of {settings.RATING_MIN:g} to "
            f"{settings.RATING_MAX:g} (--rating-min, --rating-max)"
        )
    if settings.RATINGS and not settings.RATED:
        raise InputError("--ratings and --no-rated: give one of them")


def read_trials_of(settings):
    """Trials, and what stands beside the recordings of a BIDS data set."""
    if settings.BIDS_DIR is not None:
        return bids.read_bids(settings.BIDS_DIR, settings.TASK, settings.RATINGS, settings.SESSIONS, settings.RATED)
    return trials_table.read_table(settings.TRIALS, settings.RATINGS, settings.RATED), {}


def choose_channels(settings, files):
    """Names of the EEG and PPS channels that all recordings have."""
    people = {str(path): recording.channels for path, recording in files.items()}
    eeg = channel_kinds.choose(settings.EEG_CHANNELS, people, channel_kinds.find_eeg, "--eeg-channels")
    pps = channel_kinds.choose(settings.PPS_CHANNELS, people, channel_kinds.find_pps, "--pps-channels")
    both = [name for name in pps if channel_kinds.key(name) in set(map(channel_kinds.key, eeg))]
    if both:
        raise InputError(f"{shorten(both)} is in --eeg-channels and in --pps-channels; choose one")
    if settings.EEG_CHANNELS is None and settings.PPS_CHANNELS is None:
        raise InputError("--eeg-channels none and --pps-channels none: nothing would be left; leave one of them out")
    if not eeg and not pps:
        first, of_first = next(iter(people.items()))
        there = shorten([f"{channel.name} ({channel.kind})" for channel in of_first])
        raise InputError(f"{first} has no EEG and no peripheral channel that is known as such: {there}; name them")
    if settings.REFERENCE == "average" and len(eeg) == 1:
        raise InputError("the average reference of one EEG channel is the channel itself; --reference file")
    channel_kinds.say_rates(people, [*eeg, *pps], settings.SAMPLING_RATE)
    left = channel_kinds.left_out(next(iter(people.values())), eeg, pps)
    if left and not settings.EEG_CHANNELS:
        print(f"left out: {shorten(left, 150)}; --eeg-channels and --pps-channels take names")
    return eeg, pps


def say_what_follows(settings):
    """The next command: what is rated is trained on, the rest is predicted."""
    if settings.RATED:
        say_pretraining(settings.OUT_DIR)
        return
    model, out = (
        "runs/film/finetune_arousal/fold_00/model.pt",
        settings.OUT_DIR.with_name(f"{settings.OUT_DIR.name}.csv"),
    )
    print("with a model that was trained on recordings prepared likewise, such as this one:")
    say_next("Fine_tuning/predict.py", "--model", model, "--input", settings.OUT_DIR, "--out-file", out)


def describe(settings, plan, rest, has_eeg):
    """The preparation as it is recorded."""
    high, low, notch = settings.HIGH_PASS, settings.LOW_PASS, settings.NOTCH
    band = f"{high or 0:g}-{low:g} Hz" if low else f"from {high:g} Hz" if high else None
    filters = ", ".join(text for text in (band, f"notch {notch:g} Hz" if notch else None) if text)
    reference = "average" if settings.REFERENCE == "average" else "as recorded"
    cut = any(
        trial.duration is None or int(trial.duration) > plan.seconds for own in plan.people.values() for trial, _ in own
    )
    return preparation.make(
        settings.EEG_NORMALISE,
        settings.PPS_NORMALISE,
        baseline_seconds=rest or None,
        segment=f"first {plan.seconds} s" if cut else None,
        filters=(filters or None) if has_eeg else None,
        reference=reference if has_eeg else None,
        resampling=f"to {settings.SAMPLING_RATE} Hz",
        bad_channels=settings.BAD_CHANNELS,
    )


def name_sources(settings, opened):
    """Every file that was read, by its name relative to the table or the data set."""
    base = (settings.BIDS_DIR or settings.TRIALS.parent).resolve()
    paths = [] if settings.BIDS_DIR is not None else [settings.TRIALS]
    paths += [path for recording in opened for path in recording.files]
    return {Path(os.path.relpath(Path(path).resolve(), base)).as_posix(): path for path in paths}


def refuse_copies(opened, checksums):
    """Refuse one recording under two names: copied by mistake, it would be tested on what it was trained with."""
    seen = {}
    for recording in opened:
        twin = seen.setdefault(checksums[recording.signals], recording.path)
        if twin != recording.path:
            raise InputError(f"{recording.path} holds the same signals as {twin}; leave one of them out of the table")
        for file in (file for file in recording.files if file.suffix.lower() == ".vmrk"):
            other = seen.setdefault(file.resolve(), recording.path)
            if other != recording.path:
                raise InputError(
                    f"{recording.path} names the markers of {other} as its own ({file.name}); write its own .vmrk "
                    "into the line MarkerFile="
                )


def prepare(subject, own, files, eeg, pps, steps, made, said):
    """Arrays of one person, in the order of the stimuli, and how the signals looked."""
    found, looked, quality = {}, {}, Quality()
    for path, recording in files.items():
        onsets = {index: onset for index, (trial, onset) in enumerate(own) if trial.file == path}
        arrays, looks = read_trials(recording, list(onsets.values()), eeg, pps, steps, said)
        for look in looks:
            looked.setdefault((tuple(look.channels), look.rate, look.unit), []).append(look)
        for name, trials in arrays.items():
            found.setdefault(name, {}).update(zip(onsets, trials, strict=True))
    for (names, rate, unit), of_all in looked.items():
        loud = {name: times for look in of_all for name, times in (look.loud or {}).items()}
        quality.look(subject, names, rate, [trial for look in of_all for trial in look.trials], unit=unit, louder=loud)
    person = {name: np.stack([trials[index] for index in range(len(own))]) for name, trials in found.items()}
    blocks = prepare_person({"id": subject, **person}, steps.sampling_rate, made)
    rows = [{key: value for key, value in asdict(row).items() if key != "kind"} for row in quality.people[subject]]
    return {
        "eeg": blocks[0].astype(np.float32),
        "pps": blocks[1].astype(np.float32),
        "quality": np.array(json.dumps(rows)),
    }


if __name__ == "__main__":
    utils.base.errors.run(main)
