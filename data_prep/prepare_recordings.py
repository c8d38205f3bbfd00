"""Prepare your own recordings: amplifiers' files, a table of trials and one of channels -> one prepared folder.

    python data_prep/prepare_recordings.py --trials mine/trials.csv --channels mine/channels.csv --out-dir data/MINE
    python data_prep/prepare_recordings.py --bids-dir my_study --task film --out-dir data/MINE

It does what the tables say and guesses nothing; propose_trials.py writes them, for you to correct. --bids-dir does both
at once where nothing is in doubt. Any file that MNE-Python reads (.edf .bdf .gdf .vhdr .set .fif .cnt).
docs/recordings.md says more.
"""

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors  # before all packages, to say in one line which are not installed

# isort: split

import numpy as np

from data_prep.amplifiers import proposal_page, recordings, trial_plan, trials_table
from data_prep.amplifiers.channels_table import choose_channels
from data_prep.amplifiers.proposal import propose
from data_prep.amplifiers.recording_signals import AS_RECORDED, Steps, kept, prepare
from data_prep.folder import preparation, ratings
from data_prep.folder.quality import Row
from data_prep.folder.stimuli import adjoining
from data_prep.folder.writer import PreparedWriter, is_prepared
from data_prep.signals.channels import shorten
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
    trials, opened = read_trials_of(settings)
    names, classes, values = ratings.parse_ratings(trials)
    scales = ratings.check_scale(settings, trials, names, classes, values)
    rated = {id(trial): row for trial, row in zip(trials, values, strict=True)}
    least, rest = 2 if settings.RATED else 1, int(settings.REST_SECONDS or 0)
    everything = trial_plan.by_person(trials, least)
    stimuli = trial_plan.find_stimuli(everything, settings.MISSING, least)
    groups = trial_plan.find_groups(everything, stimuli)
    people = {who: [own[name] for name in stimuli if name in own] for who, own in everything.items()}
    used = [trial for own in people.values() for trial in own]
    seconds = trial_plan.find_seconds(used, settings.SECONDS)
    files = {path: opened.get(path) for path in dict.fromkeys(trial.file for trial in trials)}
    for path in Progress([path for path in files if files[path] is None], desc="opening", unit="file"):
        files[path] = recordings.open_recording(path)
    recordings.say_notes(files.values())
    for trial in trials:
        trial.onset = trial_plan.onset_of(trial, files[trial.file])
    trial_plan.check(everything, stimuli, files, seconds, rest)
    for trial in used:
        for flaw in trial_plan.flaws_in(trial, files[trial.file], seconds, rest):
            warn(f"{trial.where}: {flaw} within {trial.stimulus!r} or its rest")
    eeg, pps = choose_channels(settings, {str(path): file.channels for path, file in files.items()})
    if settings.REFERENCE == "average" and len(eeg) == 1:
        raise InputError("the average reference of one EEG channel is the channel itself; --reference file")
    done = ("HIGH_PASS", "LOW_PASS", "NOTCH", "REFERENCE", "BAD_CHANNELS", "SAMPLING_RATE")  # in the order of `Steps`
    steps = Steps(*(getattr(settings, name) for name in done), seconds, rest)
    is_cut = any(trial.duration is None or int(trial.duration) > seconds for trial in used)
    made = describe(settings, f"first {seconds} s" if is_cut else None, bool(eeg))
    sources = name_sources(settings, files.values())
    description = {"name": settings.OUT_DIR.name, "sampling_rate": settings.SAMPLING_RATE, "eeg_channels": eeg}
    description |= {"pps_channels": pps, "ratings": names, "classes": classes, "stimuli": stimuli}
    description |= ({"groups": groups} if groups else {}) | ratings.scales_of(settings, scales)
    if is_prepared(settings.OUT_DIR, made, sources, seconds=seconds, **description):
        print(f"{settings.OUT_DIR}: complete, from these files")
        say_what_follows(settings)
        return
    keep = {"missing": "keep"} if settings.MISSING == "keep" else {}
    writer = PreparedWriter(settings.OUT_DIR, preparation=made, rated=settings.RATED, **keep, **description)
    writer.quality.notes.append(AS_RECORDED)
    spans = [(t.stimulus, t.file, t.onset, t.onset + t.duration) for t in used if t.duration is not None]
    writer.adjoining = adjoining(spans)
    waiting = settings.OUT_DIR.with_name(f".{settings.OUT_DIR.name}.parts.partial")
    with writer:
        checksums = {path: sha256(path) for path in Progress(sources.values(), desc="checksums", unit="file")}
        refuse_copies(files.values(), checksums)
        for subject, own in Progress(people.items(), desc="preparing", unit="person"):
            read = [checksums.get(settings.CHANNELS)]
            read += [checksums[path] for trial in own for path in files[trial.file].files]
            key = [made, description, asdict(steps), list(Row.__annotations__), subject, read]
            key += [(trial.stimulus, trial.onset) for trial in own]
            arrays = kept(waiting, key, prepare, subject, own, files, eeg, pps, steps, made)
            of_person = np.array([rated[id(trial)] for trial in own], float)  # (trials, ratings)
            seen = {"seen": np.isin(stimuli, [trial.stimulus for trial in own])} if keep else {}
            shown = {name: checksums[path] for name, path in sources.items()}
            writer.add(subject, arrays["eeg"], arrays["pps"], of_person, sources=shown, **seen)
            rows = json.loads(str(arrays["quality"]))
            writer.quality.people[subject] = [Row(**row) for row in rows]
    shutil.rmtree(waiting, ignore_errors=True)
    writer.report()
    print(f"EEG: {shorten(eeg, 400) or 'none'}\nPPS: {shorten(pps, 400) or 'none'}")
    say_what_follows(settings)


def check_settings(settings):
    """Refuse settings that contradict each other, before anything is read."""
    given, high, low = set(settings.given), settings.HIGH_PASS, settings.LOW_PASS
    if settings.BIDS_DIR is not None and "TRIALS" in given:
        raise InputError("--trials and --bids-dir: give one of them")
    if settings.CHANNELS and {"EEG_CHANNELS", "PPS_CHANNELS"} & given:
        raise InputError("--channels says which channels are taken: without --eeg-channels and --pps-channels")
    if settings.RATINGS and not settings.RATED:
        raise InputError("--ratings and --no-rated: give one of them")
    if len(given & {"RATING_MIN", "RATING_MAX"}) == 1:
        one, other = ("min", "max") if "RATING_MIN" in given else ("max", "min")
        raise InputError(f"--rating-{one} without --rating-{other}: say both ends of the scale of the ratings")
    if high and low and high >= low:
        raise InputError(f"--high-pass {high:g} must be less than --low-pass {low:g}")
    if (settings.REST_SECONDS or 0) % 1:
        raise InputError(f"--rest-seconds must be whole seconds, not {settings.REST_SECONDS}")
    if not any(isinstance(value, dict) for value in (settings.RATING_MIN, settings.RATING_MAX, settings.THRESHOLD)):
        ratings.scale_of(settings, "all")


def read_trials_of(settings):
    """Trials, and the recordings that were opened to find them: of a table, or of a data set that leaves no doubt."""
    if settings.BIDS_DIR is None:
        return trials_table.read_table(settings.TRIALS, settings.RATINGS, settings.RATED), {}
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


def say_what_follows(settings):
    """The next command: what is rated is trained on, the rest is predicted."""
    if settings.RATED:
        say_pretraining(settings.OUT_DIR)
        return
    model, out = "runs/film/finetune_arousal/fold_00/model.pt", f"{settings.OUT_DIR}.csv"
    print("with a model that was trained on recordings prepared likewise, such as this one:")
    say_next("Fine_tuning/predict.py", "--model", model, "--input", settings.OUT_DIR, "--out-file", out)


def describe(settings, segment, has_eeg):
    """The preparation as it is recorded."""
    high, low, notch = settings.HIGH_PASS, settings.LOW_PASS, settings.NOTCH
    filters = [f"{high or 0:g}-{low:g} Hz"] if low else [f"from {high:g} Hz"] if high else []
    filters += [f"notch {notch:g} Hz"] if notch else []
    reference = "average" if settings.REFERENCE == "average" else "as recorded"
    return preparation.make(
        settings.EEG_NORMALISE,
        settings.PPS_NORMALISE,
        baseline_seconds=int(settings.REST_SECONDS or 0) or None,
        segment=segment,
        filters=(", ".join(filters) or None) if has_eeg else None,
        reference=reference if has_eeg else None,
        resampling=f"to {settings.SAMPLING_RATE} Hz",
        bad_channels=settings.BAD_CHANNELS,
    )


def name_sources(settings, opened):
    """Every file that was read, by its name relative to the table or the data set."""
    base = (settings.BIDS_DIR or settings.TRIALS.parent).resolve()
    tables = [settings.TRIALS if settings.BIDS_DIR is None else None, settings.CHANNELS]
    paths = [*filter(None, tables), *(path for recording in opened for path in recording.files)]
    return {Path(os.path.relpath(Path(path).resolve(), base)).as_posix(): path for path in reversed(paths)}


def refuse_copies(opened, checksums):
    """Refuse one recording under two names: copied by mistake, it would be tested on what it was trained with."""
    seen, owners = {}, {}
    for recording in opened:
        path, remedy = recording.path, "leave one of them out of the table"
        twin = owners.setdefault(recording.signals.resolve(), path)
        twin = seen.setdefault(checksums[recording.signals], path) if twin == path else twin
        if twin != path:
            raise InputError(f"{path} holds the same signals as {twin}", remedy=remedy)
        for file in recording.files:
            is_markers, is_signals = file.suffix.lower() == ".vmrk", trials_table.is_recording(file)
            other = owners.setdefault(file.resolve(), path) if is_markers or is_signals else path
            if other != path:
                what = f"{path} names the {'markers' if is_markers else 'signals'} of {other} as its own ({file.name})"
                raise InputError(what, remedy="write its own .vmrk into the line MarkerFile=" if is_markers else remedy)


if __name__ == "__main__":
    utils.base.errors.run(main)
