"""Prepare your own recordings: amplifiers' files, a table of trials and one of channels -> one prepared folder.

    python data_prep/prepare_recordings.py --trials mine/trials.csv --channels mine/channels.csv --out-dir data/MINE
    python data_prep/prepare_recordings.py --bids-dir my_study --task film --out-dir data/MINE

It does what the tables say and guesses nothing; propose_trials.py writes them, for you to correct. --bids-dir does both
at once where nothing is in doubt. Any file that MNE-Python reads (.edf .bdf .gdf .vhdr .set .fif .cnt).
docs/recordings.md says more.
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

from data_prep.amplifiers import channels_table, proposal_page, recordings, trial_plan, trials_table
from data_prep.amplifiers.parts import Parts
from data_prep.amplifiers.proposal import propose
from data_prep.amplifiers.recording_signals import AS_RECORDED, Steps, read_trials
from data_prep.folder import preparation, ratings
from data_prep.folder import stimuli as stimulus_names
from data_prep.folder.arrays import signals
from data_prep.folder.quality import Quality, Row
from data_prep.folder.writer import PreparedWriter, is_prepared
from data_prep.signals.channels import shorten
from data_prep.signals.transforms import prepare_trials
from utils.base.errors import InputError
from utils.base.files import sha256
from utils.base.progress import Progress, say_next, say_pretraining, warn
from utils.base.settings import read_settings

# what to read
TRIALS = "trials.csv"  # table of trials, CSV or TSV
CHANNELS = None  # table of channels: which are EEG, and which are peripheral (None: by their names)
BIDS_DIR = None  # a BIDS data set in the place of the tables (None: the tables)
TASK = None  # its task, such as film
SESSIONS = []  # its sessions (empty: all)
STIMULUS = None  # column of its events that names the stimulus (None: stim_file, or else trial_type)
RATED = True  # False: recordings without ratings, to predict; one person is enough
RATINGS = []  # columns that are ratings (empty: all that have no other meaning)
RATING_MIN = 1.0  # lowest and
RATING_MAX = 9.0  # highest possible rating, of all that are numbers, or by name: arousal=9,stress=1
THRESHOLD = None  # a rating of at least this counts as high; one for all, or by name (None: the middle of the scale)
OUT_DIR = "data/MINE"  # prepared folder to write
# which signals, without a table of channels
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
MISSING = "error"  # stimuli that somebody did not see: error | drop, for all | keep, as not there
EEG_NORMALISE = "channels"  # channels: across channels at each sample (paper) | trial: each channel over its trial
PPS_NORMALISE = "trial"  # trial: each channel over its trial | subject: over a person's training data | none
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Write the prepared folder, one recording in memory at a time."""
    settings = read_settings(globals())
    recordings.need_mne()
    check_settings(settings)
    trials, files = read_trials_of(settings)
    names, classes, values = ratings.parse_ratings(trials)
    scales = ratings.check_scale(settings, trials, names, classes, values)
    rated = {id(trial): row for trial, row in zip(trials, values, strict=True)}
    least = 2 if settings.RATED else 1
    people = trial_plan.by_person(trials, least)
    stimuli = trial_plan.find_stimuli(people, settings.MISSING, least)
    groups = trial_plan.find_groups(people, stimuli)
    files = {path: files.get(path) for path in dict.fromkeys(trial.file for trial in trials)}
    for path in Progress([path for path in files if files[path] is None], desc="opening", unit="file"):
        files[path] = recordings.open_recording(path)
    recordings.say_notes(files.values())
    rest = int(settings.REST_SECONDS or 0)
    plan = trial_plan.make_plan(people, stimuli, files, settings.SECONDS, rest)
    for trial, flaw in trial_plan.flaws_in(plan, files, rest):
        warn(f"{trial.where}: {flaw} within {trial.stimulus!r} or its rest")
    eeg, pps = channels_table.choose_channels(settings, {str(path): file.channels for path, file in files.items()})
    if settings.REFERENCE == "average" and len(eeg) == 1:
        raise InputError("the average reference of one EEG channel is the channel itself; --reference file")
    done = ("HIGH_PASS", "LOW_PASS", "NOTCH", "REFERENCE", "BAD_CHANNELS", "SAMPLING_RATE")  # in the order of `Steps`
    steps = Steps(*(getattr(settings, name) for name in done), plan.seconds, rest)
    made = describe(settings, plan, rest, bool(eeg))
    sources = name_sources(settings, files.values())
    description = {"name": settings.OUT_DIR.name, "sampling_rate": settings.SAMPLING_RATE, "eeg_channels": eeg}
    description |= {"pps_channels": pps, "ratings": names, "classes": classes, "stimuli": stimuli}
    description |= ({"groups": groups} if groups else {}) | ratings.scales_of(settings, scales)
    if is_prepared(settings.OUT_DIR, made, sources, seconds=plan.seconds, **description):
        print(f"{settings.OUT_DIR}: complete, from these files")
        say_what_follows(settings)
        return
    keep = {"missing": "keep"} if settings.MISSING == "keep" else {}
    writer = PreparedWriter(settings.OUT_DIR, preparation=made, rated=settings.RATED, **keep, **description)
    writer.quality.notes.append(AS_RECORDED)
    writer.adjoining = adjoining(plan)
    with writer:
        parts = Parts(settings.OUT_DIR, [made, description, asdict(steps), list(Row.__annotations__)])
        checksums = {path: sha256(path) for path in Progress(sources.values(), desc="checksums", unit="file")}
        refuse_copies(files.values(), checksums)
        for subject, own in Progress(plan.people.items(), desc="preparing", unit="person"):
            used = {trial.file: files[trial.file] for trial, _ in own}
            key = [subject, [(trial.stimulus, onset) for trial, onset in own]]
            key += [checksums[path] for recording in used.values() for path in recording.files]
            arrays = parts.get(key, lambda: prepare(subject, own, used, eeg, pps, steps, made))  # noqa: B023
            of_person = np.array([rated[id(trial)] for trial, _ in own], float)  # (trials, ratings)
            shown = {name: checksums[path] for name, path in sources.items()}
            saw = [trial.stimulus for trial, _ in own]
            seen = {"seen": np.isin(stimuli, saw)} if keep else {}
            writer.add(subject, arrays["eeg"], arrays["pps"], of_person, sources=shown, **seen)
            writer.quality.people[subject] = [Row(**row) for row in json.loads(str(arrays["quality"]))]
    parts.remove()
    writer.report()
    print(f"EEG: {shorten(eeg, 400) or 'none'}\nPPS: {shorten(pps, 400) or 'none'}")
    say_what_follows(settings)


def check_settings(settings):
    """Refuse settings that contradict each other, before anything is read."""
    if settings.BIDS_DIR is not None and "TRIALS" in settings.given:
        raise InputError("--trials and --bids-dir: give one of them")
    if settings.CHANNELS and {"EEG_CHANNELS", "PPS_CHANNELS"} & set(settings.given):
        raise InputError("--channels says which channels are taken: without --eeg-channels and --pps-channels")
    if ("RATING_MIN" in settings.given) != ("RATING_MAX" in settings.given):
        one, other = ("min", "max") if "RATING_MIN" in settings.given else ("max", "min")
        raise InputError(f"--rating-{one} without --rating-{other}: say both ends of the scale of the ratings")
    if settings.HIGH_PASS and settings.LOW_PASS and settings.HIGH_PASS >= settings.LOW_PASS:
        raise InputError(f"--high-pass {settings.HIGH_PASS:g} must be less than --low-pass {settings.LOW_PASS:g}")
    if (settings.REST_SECONDS or 0) % 1:
        raise InputError(f"--rest-seconds must be whole seconds, not {settings.REST_SECONDS}")
    if not any(isinstance(value, dict) for value in (settings.RATING_MIN, settings.RATING_MAX, settings.THRESHOLD)):
        ratings.scale_of(settings, "all")
    if settings.RATINGS and not settings.RATED:
        raise InputError("--ratings and --no-rated: give one of them")


def read_trials_of(settings):
    """Trials, and the recordings that were opened to find them: of a table, or of a data set that leaves no doubt."""
    if settings.BIDS_DIR is None:
        return trials_table.read_table(settings.TRIALS, settings.RATINGS, settings.RATED), {}
    for name in ("FILES", "TRIAL", "UNTIL", "GROUP", "LAST"):  # propose_trials.py has them
        setattr(settings, name, None)
    proposal = propose(settings)
    for text in proposal.warnings:
        warn(text)
    if not proposal.doubts:
        return proposal.trials, proposal.recordings
    doubt, n = proposal.doubts[0], len(proposal.doubts)
    folder = settings.OUT_DIR.with_name(f"{settings.OUT_DIR.name}_proposal")
    *_, page = proposal_page.write(proposal, folder / "trials.csv")
    for text in proposal.doubts:
        print(f"doubt: {text}")
    what = f"{doubt[:150]}{f', and {n - 1} more doubts' if n > 1 else ''}"
    remedy = "correct trials.csv and channels.csv beside it, and give them with --trials and --channels"
    raise InputError(f"{what}: look at {page}, {remedy}")


def adjoining(plan):
    """Stimuli that begin where another one ends, for the first person; they may be parts of one film."""
    first = next(iter(plan.people.values()))
    spans = [(t.stimulus, t.file, onset, onset + t.duration) for t, onset in first if t.duration is not None]
    return stimulus_names.adjoining(spans)


def say_what_follows(settings):
    """The next command: what is rated is trained on, the rest is predicted."""
    if settings.RATED:
        say_pretraining(settings.OUT_DIR)
        return
    model, out = "runs/film/finetune_arousal/fold_00/model.pt", f"{settings.OUT_DIR}.csv"
    print("with a model that was trained on recordings prepared likewise, such as this one:")
    say_next("Fine_tuning/predict.py", "--model", model, "--input", settings.OUT_DIR, "--out-file", out)


def describe(settings, plan, rest, has_eeg):
    """The preparation as it is recorded."""
    high, low, notch = settings.HIGH_PASS, settings.LOW_PASS, settings.NOTCH
    band = f"{high or 0:g}-{low:g} Hz" if low else f"from {high:g} Hz" if high else None
    filters = ", ".join(text for text in (band, f"notch {notch:g} Hz" if notch else None) if text)
    reference = "average" if settings.REFERENCE == "average" else "as recorded"
    lengths = [trial.duration for own in plan.people.values() for trial, _ in own]
    cut = any(length is None or int(length) > plan.seconds for length in lengths)
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
    paths += [settings.CHANNELS] if settings.CHANNELS is not None else []
    paths += [path for recording in opened for path in recording.files]
    return {Path(os.path.relpath(Path(path).resolve(), base)).as_posix(): path for path in paths}


def refuse_copies(opened, checksums):
    """Refuse one recording under two names: copied by mistake, it would be tested on what it was trained with."""
    seen = {}
    for recording in opened:
        twin = seen.setdefault(checksums[recording.signals], recording.path)
        if twin != recording.path:
            raise InputError(f"{recording.path} holds the same signals as {twin}; leave one of them out of the table")
        part = next((other for other in opened if other is not recording and other.path in recording.files), None)
        if part:
            raise InputError(f"{part.path} is a part of {recording.path}, and read with it; leave it out of the table")
        for file in (file for file in recording.files if file.suffix.lower() == ".vmrk"):
            other = seen.setdefault(file.resolve(), recording.path)
            if other != recording.path:
                what = f"{recording.path} names the markers of {other} as its own ({file.name})"
                raise InputError(f"{what}; write its own .vmrk into the line MarkerFile=")


def prepare(subject, own, files, eeg, pps, steps, made):
    """Arrays of one person, in the order of the stimuli, and how the signals looked."""
    found, looked, quality = {}, {}, Quality()
    for path, recording in files.items():
        onsets = {index: onset for index, (trial, onset) in enumerate(own) if trial.file == path}
        arrays, looks = read_trials(recording, list(onsets.values()), eeg, pps, steps)
        for look in looks:
            looked.setdefault((tuple(look.channels), look.rate, look.unit), []).append(look)
        for name, trials in arrays.items():
            found.setdefault(name, {}).update(zip(onsets, trials, strict=True))
    for (names, rate, unit), of_all in looked.items():
        loud = {name: times for look in of_all for name, times in (look.loud or {}).items()}
        quality.look(subject, names, rate, [trial for look in of_all for trial in look.trials], unit=unit, louder=loud)
    person = {name: np.stack([trials[index] for index in range(len(own))]) for name, trials in found.items()}
    blocks = prepare_trials(signals(person), steps.sampling_rate, made, f"subject {subject}")
    quality = np.array(json.dumps([asdict(row) for row in quality.people[subject]]))
    return {"eeg": blocks[0], "pps": blocks[1], "quality": quality}


if __name__ == "__main__":
    utils.base.errors.run(main)
