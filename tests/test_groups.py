"""Groups of stimuli: parts of a film are held out together, from the arrays to the audit."""

import json

import numpy as np
import pytest

from data_prep import open_prepared, write_prepared
from data_prep.folder.stimuli import adjoining
from tests.builders import recorded
from tests.support import TINY, call, done, lines_of, refused, says
from utils.finetuning.baselines import evaluate_fold
from utils.protocol import audit, held_out, splits
from utils.protocol.permutation import permuted_stimuli

FILMS, PARTS = 6, 4
STIMULI = [f"{film}_{part}" for part in range(1, PARTS + 1) for film in "abcdef"]  # parts of a film are apart
GROUPS = [name[0] for name in STIMULI]
NAMES = dict(name="FILMS", sampling_rate=32, eeg_channels=list("wxyz"), ratings=["valence"], threshold=5)
NAMES |= dict(rating_range=[1, 9], eeg_normalise="trial")


def people(n=6, seconds=10, **others):
    """A person recognises the film: its tone, in all its parts alike. What they feel has nothing to do with it."""
    times = np.arange(seconds * 32) / 32
    for number in range(n):
        rng = np.random.default_rng(number)
        eeg = rng.standard_normal((len(STIMULI), 4, seconds * 32))
        rated = dict(zip("abcdef", rng.permutation([2.0, 2.0, 2.0, 8.0, 8.0, 8.0]), strict=True))
        mixing = rng.uniform(0.5, 2, (FILMS, 4, 1))
        eeg += [mixing["abcdef".index(film)] * 3 * np.sin(2 * np.pi * 6 * times) for film in GROUPS]
        yield {"id": f"p{number}", "eeg": eeg, "ratings": [[rated[film]] for film in GROUPS], **others}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same recordings with and without groups."""
    folder = tmp_path_factory.mktemp("groups")
    write_prepared(folder / "with", people(), stimuli=STIMULI, groups=GROUPS, **NAMES)
    write_prepared(folder / "without", people(), stimuli=STIMULI, **NAMES)
    return folder


def nearest(data, run_dir, *flags):
    done("Fine_tuning/baseline.py", "--data-dir", data, "--run-dir", run_dir, "--label", "valence", *flags)
    return json.loads((run_dir / "baseline_valence_nearest_standardised" / "metrics.json").read_text())


FLAGS = ["--models", "nearest", "--standardise", "subject", "--n-folds", 3]


def test_only_a_split_by_groups_holds_parts_of_a_film_apart(folders, tmp_path):
    """A nearest neighbour finds the other parts of the film; where whole films are held out, it is at chance."""
    apart, leaking = (
        nearest(folders / name, tmp_path / name, *FLAGS, "--split", "trial") for name in ("with", "without")
    )
    assert leaking["trial_accuracy"]["pooled"] > 0.75
    assert 0.3 < apart["trial_accuracy"]["pooled"] < 0.68
    assert apart["audit"]["classifier"] == {"window": 0, "trial": 0, "subject": 1, "stimulus": 0, "group": 0}
    assert apart["interval_unit"] == "group"
    assert "group" not in leaking["audit"]["classifier"]  # nothing is known of them
    windows = nearest(folders / "with", tmp_path / "window", *FLAGS, "--split", "window")
    assert windows["audit"]["classifier"]["group"] == 1
    assert "a leak" in " ".join(windows["audit_in_words"])


def test_every_script_counts_groups(folders, tmp_path):
    """The whole road across subjects and films, with its report; validation, permutations and the card know groups."""
    where = ["--data-dir", folders / "with", "--run-dir", tmp_path, "--epochs", 1]
    for window in ("1s", "5s"):
        split = ["--split", "subject+trial", "--n-folds", 2, "--keep", "best", "--validation-fraction", 0.25]
        done(f"main_pretrain_{window}.py", *where, *split, *TINY)
    done("Fine_tuning/fine_tuning.py", *where, "--label", "valence", "--permutations", 30)
    result = json.loads((tmp_path / "finetune_valence" / "metrics.json").read_text())
    clean = {"window": 0, "trial": 0, "subject": 0, "stimulus": 0, "group": 0}
    assert result["audit"] == dict.fromkeys(("classifier", "encoder_1s", "encoder_5s"), clean)
    assert (
        "| seen by | window | trial | subject | stimulus | group |" in next(tmp_path.rglob("model_card.md")).read_text()
    )
    assert "group" in done("Fine_tuning/report.py", "--run-dir", tmp_path, "--no-feature-maps")
    assert ">group</th>" in (tmp_path / "report.html").read_text()


def test_splits_hold_out_whole_groups(folders, tmp_path):
    data = open_prepared(folders / "with")
    np.testing.assert_array_equal(data.groups, np.tile(np.arange(FILMS), PARTS))
    assert open_prepared(folders / "without").groups is None
    for split in ("trial", "subject+trial"):
        settings = type("S", (), dict(RUN_DIR=tmp_path / split, PROTOCOL=None, SPLIT=split, N_FOLDS=None, SEED=0))
        manifest = splits.load_or_create(settings, data)
        assert len(manifest.folds) == FILMS
        for fold in manifest.folds:
            test, train = (splits.windows_of(part.subjects, part.rows["5s"], 2) for part in (fold.test, fold.train))
            assert audit.count(test, train, data.groups)["group"] == 0
            assert len(np.unique(test[:, 1])) % PARTS == 0
    manifest = splits.load_or_create(
        type("S", (), dict(RUN_DIR=tmp_path / "w", PROTOCOL=None, SPLIT="window", N_FOLDS=None, SEED=0)), data
    )
    seen = [
        splits.windows_of(part.subjects, part.rows["5s"], 2)
        for part in (manifest.folds[0].test, manifest.folds[0].train)
    ]
    assert audit.count(*seen, data.groups)["group"] == 1
    keep = type("S", (), dict(KEEP="best", VALIDATION_FRACTION=0.34, SEED=0))
    train, validation = held_out.set_aside(keep, "trial", 0, np.arange(48), 2, data.groups)
    assert not set(data.groups[train // 2]) & set(data.groups[validation // 2])
    with refused("more-than-to-hold", "--n-folds 7", "6 groups of stimuli"):
        other = type("S", (), dict(RUN_DIR=tmp_path / "x", PROTOCOL=None, SPLIT="trial", N_FOLDS=7, SEED=0))
        splits.load_or_create(other, data)


def test_audit_counts_parts_of_a_film():
    groups = np.array([0, 0, 1, 2])
    test = np.array([[0, 0, 0], [0, 2, 2]])
    counted = audit.count(test, np.array([[1, 1, 1]]), groups)
    assert (counted["stimulus"], counted["group"]) == (0, 0.5)
    assert "other parts of the test films" in " ".join(audit.in_words({"classifier": counted}))


def test_permutations_move_whole_groups():
    """Each film's labels stay together, in the order of its parts, also where films differ in length."""
    groups = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])
    labels = np.tile(np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]]).T.ravel()[None], (2, 1))
    labels[0] = [0, 3, 6, 1, 4, 7, 2, 5, 8]
    moved = [permuted_stimuli(labels[:1], 0, number, groups)[0] for number in range(20)]
    for one in moved:
        for group in range(3):
            own = one[groups == group]
            assert own.tolist() in ([0, 1, 2], [3, 4, 5], [6, 7, 8])
    assert len({tuple(one) for one in moved}) == 6
    uneven = permuted_stimuli(np.arange(6)[None], 0, 3, np.array([0, 0, 0, 1, 1, 2]))[0]
    assert sorted(uneven) == list(range(6))


def test_stimulus_baseline_knows_the_film_where_the_part_is_new():
    labels = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]])
    fold = splits.Fold(
        0,
        splits.Part(np.array([0, 1]), {"5s": np.array([0, 2, 3])}),
        splits.Part(np.array([2]), {"5s": np.array([1, 3])}),
    )
    settings = type("S", (), dict(STANDARDISE="none", LABEL_FRACTION=1, SEED=0))
    arguments = ("stimulus", fold, np.zeros((3, 4, 1, 2)), labels, settings, 2)
    np.testing.assert_allclose(evaluate_fold(*arguments).probability, [[2 / 3, 1 / 3], [1, 0]])  # all votes
    known = evaluate_fold(*arguments, np.array([0, 0, 1, 1])).probability
    np.testing.assert_allclose(known, [[0, 1], [1, 0]])


def test_parts_are_warned_of_once_with_the_remedy(tmp_path, capsys):
    write_prepared(tmp_path / "a", people(2, 5), stimuli=STIMULI, **NAMES)
    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(said) == 1
    says(said[0], "may-be-parts-one", "a_1, a_2", "groups=[...]")
    write_prepared(tmp_path / "b", people(2, 5), stimuli=STIMULI, groups=GROUPS, **NAMES)
    write_prepared(tmp_path / "c", people(2, 5), **NAMES)  # numbered 1, 2, 3: nothing is known
    assert not lines_of(capsys.readouterr().err, "may-be-parts-one")


def test_stimuli_that_begin_where_another_ends():
    trials = [("rain", "a.edf", 10.0, 70.0), ("snow", "a.edf", 70.001, 130.0), ("hail", "a.edf", 200.0, 260.0)]
    assert adjoining(trials) == ["rain", "snow"]
    assert adjoining([*trials[:1], ("snow", "b.edf", 70.0, 130.0)]) == []


def test_groups_that_people_bring(tmp_path):
    """Each person's own order, with the film of each trial; a stimulus that somebody has not seen may be dropped."""
    order = np.random.default_rng(0).permutation(len(STIMULI))

    def own(lost=None, **others):
        for number, person in enumerate(people(2, 5)):
            places = [i for i in (order if number else range(len(STIMULI))) if number == 0 or STIMULI[i] != lost]
            yield {
                **{key: np.asarray(person[key])[places] for key in ("eeg", "ratings")},
                **{"id": person["id"], "stimuli": [STIMULI[i] for i in places]},
                **({"groups": [GROUPS[i] for i in places]} | others if others != {"groups": None} else {}),
            }

    write_prepared(tmp_path / "a", own(), **NAMES)
    write_prepared(tmp_path / "b", own(groups=None), stimuli=STIMULI, groups=GROUPS, **NAMES)
    write_prepared(tmp_path / "c", own(lost="b_2"), missing="drop", **NAMES)
    write_prepared(tmp_path / "d", own("b_2", groups=None), missing="drop", stimuli=STIMULI, groups=GROUPS, **NAMES)
    for name, n in (("a", 24), ("b", 24), ("c", 23), ("d", 23)):
        info = open_prepared(tmp_path / name).info
        assert info["groups"] == [stimulus[0] for stimulus in info["stimuli"]]
        assert len(info["groups"]) == n


@pytest.mark.parametrize(
    ("groups", "stimuli", "own", "part"),
    [
        (GROUPS[1:], STIMULI, {}, ["groups-for-stimuli-has", "23 groups", "24 stimuli"]),
        (GROUPS[1:], None, {}, ["names-for-trials-has", "23 names", "24 trials"]),
        ("abc", STIMULI, {}, ["must-be-list-names", "groups"]),
        ([*GROUPS[:-1], ""], STIMULI, {}, ["is-empty", "groups, number 24"]),
        (GROUPS[::-1], STIMULI, {"groups": GROUPS}, ["group-elsewhere-has"]),
        (None, None, {"groups": GROUPS[1:]}, ["names-for-trials-has", "23 names", "24 trials"]),
        (GROUPS, None, {"stimuli": STIMULI}, ["groups-has-none-for", "a_1"]),
    ],
)
def test_groups_that_do_not_fit(groups, stimuli, own, part, tmp_path):
    with refused(*part):
        write_prepared(tmp_path / "x", people(2, 5, **own), stimuli=stimuli, groups=groups, **NAMES)
    assert list(tmp_path.iterdir()) == []


def test_groups_in_npz(folders, tmp_path):
    """A person's .npz has them beside its stimuli: known, and of the right number."""
    where = ["--data-dir", folders / "with", "--run-dir", tmp_path / "run", "--epochs", 1]
    flags = ["--resolutions", "5s", "--init", "random", "--label", "valence", "--folds", 0]
    done("main_pretrain_5s.py", *where, "--n-folds", 2, *TINY)
    done("Fine_tuning/fine_tuning.py", *where, *flags)
    model = next((tmp_path / "run").rglob("model.pt"))
    person = {"eeg": next(people())["eeg"], "sampling_rate": 32, "eeg_channels": list("wxyz"), "stimuli": STIMULI}
    np.savez(tmp_path / "good.npz", groups=GROUPS, **person)
    np.savez(tmp_path / "bad.npz", groups=GROUPS[1:], **person)
    predict = ["Fine_tuning/predict.py", "--model", model, "--out-file", tmp_path / "out.csv"]
    outcome = call(*predict, "--input", tmp_path / "bad.npz")
    assert outcome.status == 2
    says(outcome.err, "names-for-trials-has", "groups", "23 names", "24 trials")
    done(*predict, "--input", tmp_path / "good.npz")


def test_trials_that_follow_each_other_in_a_file(tmp_path):
    """Trials without a gap are warned of as parts, unless a column names their group; each rating has its scale."""
    rows = []
    for person in range(2):
        recorded.write(tmp_path, "fif", person)
        for number, name in enumerate(("rain", "snow", "hail")):
            rated = [1 + (number + person) % 3, 0.2 + 0.3 * number]
            rows.append(
                [f"p{person}", f"p{person}_raw.fif", name, 3 + 6 * number, 6, "Up" if number else "Joker", *rated]
            )
    header = ["subject", "file", "stimulus", "onset", "duration", "group", "arousal", "stress"]
    tables = {"plain": [5, header, rows], "grouped": [None, header, rows]}
    for name, (left, *lines) in tables.items():
        cells = [[c for i, c in enumerate(row) if i != left] for row in [lines[0], *lines[1]]]
        (tmp_path / f"{name}.csv").write_text("\n".join(",".join(map(str, row)) for row in cells))
    scale = ["--rating-min", "arousal=1,stress=0", "--rating-max", "arousal=9,stress=1", "--threshold", "arousal=2"]
    for name in tables:
        flags = ["--trials", tmp_path / f"{name}.csv", "--out-dir", tmp_path / name, "--sampling-rate", 64]
        outcome = call("data_prep/prepare_recordings.py", *flags, *scale, "--low-pass", 30)
        assert outcome.status == 0, outcome.err
        said = [line for line in lines_of(outcome.err, "may-be-parts-one") if "hail, rain, snow" in line]
        assert len(said) == (name == "plain")
    info = open_prepared(tmp_path / "grouped").info
    assert info["groups"] == ["Up", "Joker", "Up"]
    assert info["threshold"] == {"arousal": 2, "stress": 0.5}
    assert info["rating_range"] == {"arousal": [1, 9], "stress": [0, 1]}
