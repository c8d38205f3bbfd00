"""Which trials of whom are cut where: one order of stimuli for everybody, and nothing that cannot be cut."""

import difflib
import re

from data_prep.amplifiers.triggers import is_break, marker_seconds, number_of
from data_prep.folder.stimuli import common, natural
from data_prep.signals.channels import shorten
from utils.base.errors import InputError

MIN_SECONDS = 5  # a window
TOLERANCE = 0.02  # s by which a trial may be short, or meet the one before: rounding of onsets and durations
EDGE = 0.001  # s by which it may leave its recording


def by_person(trials, least=2):
    """Trials by subject and stimulus, in the table's order; people and files that are not kept apart are refused."""
    people, owners, spellings = {}, {}, {}
    for trial in trials:
        other = spellings.setdefault(plain_id(trial.subject), trial)
        if other.subject != trial.subject:
            what = f"{trial.where}: {trial.subject!r} and {other.subject!r} ({other.where}) look like one person"
            remedy = "write one in one way, and two in ways that differ in more than capitals, blanks and zeros"
            raise InputError(what, remedy=remedy)
        owner = owners.setdefault(trial.file.resolve(), trial)
        if owner.subject != trial.subject:
            what = f"{trial.file.name} is {trial.subject}'s, but in {owner.where} it is {owner.subject}'s"
            raise InputError(f"{trial.where}: {what}", remedy="every file belongs to one person")
        other = people.setdefault(trial.subject, {}).setdefault(trial.stimulus, trial)
        if other is not trial:
            what = f"{trial.where}: {trial.subject} has {trial.stimulus!r} already in {other.where}"
            remedy = "a stimulus comes once per person: rename the second, or leave one out (BIDS: --sessions)"
            raise InputError(what, remedy=remedy)
    if len(people) < least:
        remedy = f"at least {least} people are needed (to predict, with a model that is there: --no-rated)"
        raise InputError(f"all trials are of {shorten(people)}", remedy=remedy)
    return people


def plain_id(name):
    """A person's name without what tables change by accident: 01, 1 and 1.0 are the same, and so are P1 and p1."""
    text = "".join(name.casefold().split())
    text = re.sub(r"^(\d+)\.0+$", r"\1", text)
    return re.sub(r"0*(\d+)", r"\1", text)


def find_stimuli(people, missing, least=2):
    """Stimuli in the order of their names; ``missing``: what somebody did not see is an error, dropped or kept."""
    everything = sorted({name for own in people.values() for name in own}, key=natural)
    unseen = {name: [who for who, own in people.items() if name not in own] for name in everything}
    lacking = sorted((name for name in everything if unseen[name]), key=lambda name: len(unseen[name]))
    if lacking and missing == "error":
        name, who = lacking[0], unseen[lacking[0]]
        alone = [other for other in people[who[0]] if len(unseen[other]) == len(people) - 1 > 0]
        alone.sort(key=lambda other: difflib.SequenceMatcher(None, other.lower(), name.lower()).ratio())
        asked = f"; {who[0]} alone has {alone[-1]!r}: is it the same, written otherwise?" if alone else ""
        n = len(set(lacking) - {name, *alone[-1:]})
        others = f" ({n} more {'is' if n == 1 else 'are'} not everybody's)" if n else ""
        remedy = "--missing drop leaves out for all what not all have seen, --missing keep marks it as not there"
        raise InputError(f"{name!r} was not seen by {shorten(who)}{others}{asked}; {remedy}; or leave out these people")
    spellings = {}
    for name in everything:
        other = spellings.setdefault(plain_id(name), name)
        if other != name and not any({name, other} <= own.keys() for own in people.values()):
            what = f"the stimuli {other!r} and {name!r} look like one, and no person saw both"
            raise InputError(what, remedy="write it in one way")
    if missing != "keep":
        return common({who: list(own) for who, own in people.items()}, least=least)
    if len(everything) < least:
        raise InputError(f"{len(everything)} stimuli; at least {least} are needed")
    return everything


def find_groups(people, stimuli):
    """The group of every stimulus, where the table has that column; else an empty list."""
    groups = {}
    for trial in (trial for own in people.values() for trial in own.values()):
        other = groups.setdefault(trial.stimulus, trial)
        if other.group != trial.group:
            what = f"the group of {trial.stimulus!r} is {trial.group!r}, and {other.group!r} in {other.where}"
            remedy = "it has one (a rating that is called group: --ratings names it)"
            raise InputError(f"{trial.where}: {what}", remedy=remedy)
    return [groups[name].group or name for name in stimuli] if any(trial.group for trial in groups.values()) else []


def find_seconds(trials, seconds):
    """Seconds that are taken of every trial: those that are asked for, or as many as the shortest has."""
    lasting, empty = ([t for t in trials if (t.duration is None) == is_empty] for is_empty in (False, True))
    shortest = min(lasting, key=lambda trial: trial.duration, default=None)
    if seconds is None:
        if empty:
            raise InputError(f"{empty[0].where}: without a duration --seconds must say how much of each trial to take")
        seconds = int(shortest.duration + TOLERANCE)
        longest = max(trial.duration for trial in lasting)
        if longest >= seconds + 1:
            what = f"of each the first {seconds} s are taken, as {shortest.where} is the shortest (--seconds)"
            print(f"trials last {shortest.duration:g} to {longest:g} s: {what}")
    if shortest is not None and shortest.duration + TOLERANCE < seconds:
        raise InputError(f"{shortest.where}: the trial lasts {shortest.duration:g} s, less than --seconds {seconds}")
    if seconds < MIN_SECONDS:
        where = f"{shortest.where}: the shortest trial lasts {shortest.duration:g} s" if shortest else "--seconds"
        raise InputError(f"{where}; at least {MIN_SECONDS} s are needed")
    return seconds


def onset_of(trial, recording):
    """Seconds from the first sample to a trial's onset; a number that is a marker's, too, is refused."""
    if not isinstance(trial.onset, float):
        return marker_seconds(recording, trial.onset, trial.where)
    text, whole = trial.onset_text, re.fullmatch(r"(\d+)(\.0)?", trial.onset_text)  # 67.0, as programs write 67
    code = int(whole[1]) if whole else None
    meant = [name for name, _ in recording.markers if name == text or (whole and number_of(name) == code)]
    if meant:
        what = f"onset {text} may be seconds or the marker {meant[0]!r} in {recording.path.name}"
        remedy = f"write {trial.onset:.1f} s as {trial.onset:.3f}, or the marker as {meant[0]}#1 for the first"
        raise InputError(f"{trial.where}: {what}", remedy=remedy)
    return trial.onset


def check(people, stimuli, recordings, seconds, rest):
    """Refuse trials and rests that leave their recording or overlap; of stimuli that are not cut, only the latter."""
    for who, own in people.items():
        previous = None
        for trial in sorted(own.values(), key=lambda trial: (str(trial.file), trial.onset)):
            used, name, onset = trial.stimulus in stimuli, trial.file.name, trial.onset
            first, length, lasts = onset - rest if used else onset, recordings[trial.file].seconds, trial.duration or 0
            previous = previous if previous and previous.file == trial.file else None
            end = previous.onset + (previous.duration or seconds) if previous else 0.0
            what = None
            if used and first < -EDGE:
                begins = f"{rest} s of rest (--rest-seconds) begin" if onset >= 0 else "the trial begins"
                what = f"{begins} {-first:.4g} s before {name} does; onset {onset:.4g} s"
            elif used and onset + seconds > length + EDGE:
                what = f"{trial.stimulus!r} ends at {onset + seconds:.6g} s, {name} at {length:.6g} s"
                what += "; leave it out or take fewer --seconds"
            elif used and onset + lasts > length + TOLERANCE:
                what = f"{trial.stimulus!r} lasts {lasts:.6g} s from {onset:.6g} s on, {name} ends at {length:.6g} s"
                what += "; correct the duration, or leave it out"
            elif previous and first < end - TOLERANCE:
                begins = "the rest before it begins" if onset >= end - TOLERANCE else "it begins"
                what = f"{trial.stimulus!r} of {who} overlaps with {previous.where}"
                what += f": {begins} at {first:.6g} s, the other lasts to {end:.6g} s"
            if what:
                raise InputError(f"{trial.where}: {what}")
            previous = trial


def flaws_in(trial, recording, seconds, rest):
    """What is wrong in a trial or its rest: a pause of the recording, a part that is marked as bad."""
    first, last = trial.onset - rest + TOLERANCE, trial.onset + seconds - TOLERANCE
    breaks = [at for name, at in recording.markers if is_break(name) and first < at < last]
    flaws = [f"the recording was paused or cut at {at:.4g} s" for at in breaks]
    for name, start, end in recording.spoiled:
        if start < last and end > first:
            flaws.append(f"{name} marks {start:.4g} to {end:.4g} s, and nothing is left out because of it,")
    return flaws
