"""Published accuracies in percent."""

# PhysioSync (arXiv 2504.17163): data set, protocol, label -> accuracy, F1
PAPER = {
    ("DEAP", "subject-dependent", "arousal"): ("98.35 ± 0.41", "98.61"),
    ("DEAP", "subject-dependent", "valence"): ("98.17 ± 0.59", "98.40"),
    ("DEAP", "subject-dependent", "four"): ("97.99 ± 0.49", ""),
    ("DREAMER", "subject-dependent", "arousal"): ("97.01 ± 0.31", "97.55"),
    ("DREAMER", "subject-dependent", "valence"): ("96.11 ± 0.32", "96.89"),
    ("DREAMER", "subject-dependent", "four"): ("94.70 ± 0.25", ""),
    ("DEAP", "cross-subject", "arousal"): ("65.46 ± 8.15", "64.33"),
    ("DEAP", "cross-subject", "valence"): ("64.79 ± 7.24", "64.10"),
    ("DREAMER", "cross-subject", "arousal"): ("64.88 ± 8.06", "65.89"),
    ("DREAMER", "cross-subject", "valence"): ("63.24 ± 8.56", "62.57"),
}
# From splits without leaks: LibEER (trials apart, each person alone) and EEGain (leave one subject out)
HONEST = {
    ("DEAP", "subject-dependent", "arousal"): ("LibEER, trials apart", "57.5 to 66.1"),
    ("DEAP", "subject-dependent", "valence"): ("LibEER, trials apart", "51.5 to 57.7"),
    ("DEAP", "cross-subject", "arousal"): ("EEGain, one person out", "53 to 57 (majority 59)"),
    ("DEAP", "cross-subject", "valence"): ("EEGain, one person out", "51 to 53 (majority 57)"),
    ("DREAMER", "cross-subject", "arousal"): ("EEGain, one person out", "46 to 48 (majority 52)"),
    ("DREAMER", "cross-subject", "valence"): ("EEGain, one person out", "60 (majority 59)"),
}
SIZES = {"DEAP": (32, 40), "DREAMER": (23, 18)}  # people and trials of the published data sets


def is_published_data(result):
    """Whether a result is of the whole published data set and not simulated.

    Earlier versions did not store the number of trials, nor whether recordings are simulated: then people are counted.
    """
    people = {name for fold in result["folds"] for name in fold["subjects"]}
    n_people, n_trials = SIZES.get(result["dataset"], (None, None))
    size = (result.get("n_subjects", len(people)), result.get("n_trials", n_trials))
    return size == (n_people, n_trials) and not result.get("simulated", False)


def figures(result):
    """Published (source, accuracy, F1) for a result's task, in percent; empty if it is not of the published data."""
    if not is_published_data(result):
        return []
    key = (result["dataset"], result["protocol"], result["label"])
    rows = [("PhysioSync, the paper", *(f"{part} %" if part else "" for part in PAPER[key]))] if key in PAPER else []
    return rows + ([(HONEST[key][0], f"{HONEST[key][1]} %", "")] if key in HONEST else [])
