"""Arrays that people bring: taken whole, or refused in one line with nothing left behind; what is written opens."""

import numpy as np
import pytest

from data_prep import open_prepared, write_prepared
from data_prep.folder.arrays import check_keys, check_names, check_numbers, check_rate, check_text
from tests.support import refused
from utils.base.errors import InputError

RATE, SECONDS, TRIALS = 16, 6, 3
DESCRIPTION = dict(
    name="MINE",
    sampling_rate=RATE,
    eeg_channels=["Fp1", "Cz", "Pz"],
    pps_channels=["GSR"],
    ratings=["arousal", "valence"],
    rating_range=(1, 9),
    threshold=5,
)


def person(number, **more):
    rng = np.random.default_rng(number)
    arrays = {
        "id": f"p{number}",
        "eeg": rng.standard_normal((TRIALS, 3, RATE * SECONDS)),
        "pps": rng.standard_normal((TRIALS, 1, RATE * SECONDS)),
        "ratings": rng.uniform(1, 9, (TRIALS, 2)),
    } | more
    return {key: value for key, value in arrays.items() if value is not None}


def write(folder, *changes, **description):
    """A folder of three people, the second one with the first of these changes, the third with the next."""
    changes = [{}, *changes, {}, {}][:3]
    people = (person(number, **change) for number, change in enumerate(changes))
    write_prepared(folder, people, **DESCRIPTION | description)
    return open_prepared(folder)


@pytest.mark.parametrize("rate", [256, 256.0, np.int64(256), np.float64(256), np.array([[256]]), [[256.0]], 256.00001])
def test_whole_rates_are_taken(rate):
    assert check_rate(rate) == 256
    assert type(check_rate(rate)) is int


@pytest.mark.parametrize(
    "rate", [0, -128, 128.9, 374.9998, 0.5, np.inf, np.nan, "128", True, None, [128, 256], 1e12, 10**400]
)
def test_other_rates_are_refused(rate):
    with pytest.raises(InputError, match="sampling_rate"):
        check_rate(rate)


def cells(*names):
    """Names as scipy.io.loadmat gives a cell array."""
    array = np.empty((len(names), 1), object)
    array[:, 0] = [np.array([name]) for name in names]
    return array


@pytest.mark.parametrize(
    "values",
    [["a", "b"], ("a", "b"), np.array(["a", "b"]), np.array([b"a", b"b"]), cells("a", "b"), [" a", "\ufeffb "]],
)
def test_names_of_other_libraries(values):
    assert check_names(values, "names") == ["a", "b"]


def test_numbers_are_names():
    assert check_names(np.array([1.0, 2.0, 10.0]), "stimuli") == ["1", "2", "10"]
    assert check_text("e\u0301", "id") == "\u00e9"  # one letter, however it is written


@pytest.mark.parametrize(
    "values", ["ab", {"a", "b"}, {"a": 1}, 3, None, ["a", "a"], ["a", ""], ["a", None], [1.5], [True]]
)
def test_what_are_no_names(values):
    with pytest.raises(InputError, match="names"):
        check_names(values, "names")


@pytest.mark.parametrize("text", ["", " ", 10**400, "a\nb", "\ud800", "x" * 300, None, 1.5, [], ["a", "b"]])
def test_what_is_no_text(text):
    with pytest.raises(InputError) as error:
        check_text(text, "id")
    assert len(str(error.value)) < 200
    assert str(error.value).isascii() or "\ud800" not in str(error.value)


def test_unknown_keys_are_named_with_what_may_be_meant():
    with refused("which-not-known-has", "baseline_eeg", "eeg_baseline"):
        check_keys(["eeg", "baseline_eeg"], ("eeg", "eeg_baseline"), "subject a")


@pytest.mark.parametrize("kind", ["f2", "f4", ">f8", "i2", "u1", "longdouble", object])
def test_numbers_of_all_types(kind):
    array = check_numbers(np.array([[1, 2], [3, 4]]).astype(kind), "subject a", "eeg")
    assert array.dtype.isnative
    assert array.dtype.itemsize <= 8
    assert array.tolist() == [[1, 2], [3, 4]]


MASKED = np.ma.masked_less(np.arange(4.0), 2)
NO_NUMBERS = {
    "complex": np.ones(3, complex),
    "text": np.array(["1", "2"]),
    "texts as objects": np.array(["1", 2.0], object),
    "None": np.array([None, 1.0]),
    "dates": np.array(["2020-01-01"], "M8[D]"),
    "ragged": [[1, 2], [3]],
    "empty": np.zeros((0, 3)),
    "NaN": np.array([1, np.nan]),
    "infinite": np.array([1, np.inf], "f2"),
    "masked": MASKED,
}


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_are_no_numbers(name):
    with pytest.raises(InputError, match=r"subject a.*eeg"):
        check_numbers(NO_NUMBERS[name], "subject a", "eeg")


def test_half_precision_gives_nearly_the_same(tmp_path):
    full = write(tmp_path / "full")
    changed = [person(number) for number in range(3)]
    for one in changed:
        one |= {name: one[name].astype(np.float16) for name in ("eeg", "pps")}
    write_prepared(tmp_path / "half", changed, **DESCRIPTION)
    np.testing.assert_allclose(open_prepared(tmp_path / "half").eeg, full.eeg, atol=0.02)


LONG = RATE * SECONDS
BAD_PEOPLE = {  # what is wrong with the third person -> part of the message
    "NaN in the rest": (dict(eeg_baseline=np.full((TRIALS, 3, RATE), np.nan)), ["has-nan-or-infinite", "eeg_baseline"]),
    "rest without signal": (dict(pps=None, pps_baseline=np.ones((TRIALS, 1, RATE))), ["has-no-but-channels", "pps"]),
    "short rest": (dict(eeg_baseline=np.ones((TRIALS, 3, RATE - 1))), ["baseline-has-shape-not", "at least 1 s"]),
    "rest of other trials": (dict(eeg_baseline=np.ones((TRIALS - 1, 3, RATE))), ["baseline-has-shape-not", "eeg"]),
    "trials": (
        dict(pps=np.ones((TRIALS + 1, 1, LONG))),
        ["has-shape-not-trials", "pps has shape (4, 1, 96), not (3, 1, 96)"],
    ),
    "lengths": (dict(pps=np.ones((TRIALS, 1, LONG - 1))), ["has-shape-not-trials", "95", "cut all to one length"]),
    "lengths of all": (
        dict(eeg=np.ones((TRIALS, 3, LONG - RATE)), pps=np.ones((TRIALS, 1, LONG - RATE))),
        ["shape-trials-first-but", "(3, 5, 3"],
    ),
    "too short": (dict(eeg=np.ones((TRIALS, 3, 9)), pps=np.ones((TRIALS, 1, 9))), ["has-trials-samples-which"]),
    "channels": (dict(eeg=np.ones((TRIALS, 2, LONG))), ["has-shape-not-trials", "(3, 2, 96), not (3, 3, 96)"]),
    "transposed": (dict(eeg=np.ones((TRIALS, LONG, 3))), ["has-shape-not-trials", "(3, 96, 3), not (3, 3, 3)"]),
    "one trial": (dict(eeg=np.ones((3, LONG))), ["has-shape-not", "(trials, channels, samples)"]),
    "no eeg": (dict(eeg=None), ["has-no-but-channels", "eeg"]),
    "rest in microvolts": (dict(eeg_baseline=np.full((TRIALS, 3, RATE), 1e6)), ["eeg-baseline-times-large"]),
    "rest in volts": (dict(eeg_baseline=np.full((TRIALS, 3, RATE), 1e-6)), ["eeg-baseline-times-large"]),
    "huge": (dict(pps=np.full((TRIALS, 1, LONG), 1e300)), ["values-up-to-which"]),
    "ratings": (dict(ratings=np.ones((2, TRIALS))), ["has-ratings-shape-not"]),
    "ratings off the scale": (dict(ratings=np.full((TRIALS, 2), 10)), ["ratings-outside-to-subject", "1 to 9"]),
    "no ratings": (dict(ratings=None), ["person-number-has-no", "ratings"]),
    "key": (dict(EEG_baseline=1), ["which-not-known-has", "EEG_baseline"]),
    "id twice": (dict(id="p0"), ["comes-twice-subject", "p0"]),
    "id empty": (dict(id=" "), ["is-empty"]),
    "id of no text": (dict(id=1.5), ["must-be-text-not"]),
    "no id": (dict(id=None), ["person-number-has-no", "id"]),
    "stimuli of one": (dict(stimuli=["a", "b", "c"]), ["has-stimuli-subject-has", "p2"]),
}


@pytest.mark.parametrize("name", BAD_PEOPLE)
def test_people_that_do_not_fit_leave_nothing(tmp_path, name):
    change, part = BAD_PEOPLE[name]
    with refused(*part) as error:
        write(tmp_path / "a" / "data", {}, change)
    assert len(str(error.value)) < 300
    assert list(tmp_path.iterdir()) == []


def raising():
    yield person(0)
    raise ZeroDivisionError


GARBAGE = {
    "raises": (raising, ZeroDivisionError),
    "None": (lambda: [person(0), None], InputError),
    "a list": (lambda: [person(0), [1, 2]], InputError),
    "a dictionary": (lambda: person(0), InputError),
    "a text": (lambda: "p0", InputError),
    "a number": (lambda: 3, InputError),
    "nobody": (lambda: [], InputError),
    "one": (lambda: [person(0)], InputError),
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("missing", ["error", "drop"])
def test_garbage_leaves_nothing(tmp_path, name, missing):
    people, error = GARBAGE[name]
    with pytest.raises(error):
        write_prepared(tmp_path / "a" / "data", people(), **DESCRIPTION, missing=missing)
    assert list(tmp_path.iterdir()) == []


def test_what_matlab_reads_is_a_person(tmp_path):
    """scipy.io.loadmat and numpy.load give mappings with more in them than a dictionary has."""
    matlab = [person(number) | {"__header__": b"MATLAB", "id": np.array([f"p{number}"])} for number in range(2)]
    write_prepared(tmp_path / "matlab", matlab, **DESCRIPTION | {"sampling_rate": np.array([[RATE]])})
    files = []
    for number in range(2):
        np.savez(tmp_path / f"{number}.npz", **person(number))
        files.append(np.load(tmp_path / f"{number}.npz"))
    write_prepared(tmp_path / "numpy", files, **DESCRIPTION)
    one, other = (open_prepared(tmp_path / name) for name in ("matlab", "numpy"))
    np.testing.assert_array_equal(one.eeg, other.eeg)
    assert one.subjects == other.subjects == ["p0", "p1"]


# --- stimuli


ORDERS = [["f1", "f2", "f10"], ["f10", "f1", "f2"], ["f2", "f10", "f1"]]


def watchers(orders):
    """People who have seen films in these orders; a film's own signal is nearly the same for all."""
    for number, order in enumerate(orders):
        films = [int(name[1:]) for name in order]
        signal = np.stack([np.random.default_rng(film).standard_normal((4, LONG)) for film in films])
        signal += 1e-6 * np.random.default_rng([number, 1]).standard_normal(signal.shape)
        ratings = np.array(films)[:, None] % 9 + [1, 1]
        yield dict(id=f"p{number}", eeg=signal[:, :3], pps=signal[:, 3:], ratings=ratings, stimuli=order)


@pytest.mark.parametrize("missing", ["error", "drop"])
@pytest.mark.parametrize("stimuli", [None, ["f10", "f2", "f1"]])
def test_trials_come_into_one_order(tmp_path, missing, stimuli):
    write_prepared(tmp_path / "data", watchers(ORDERS), **DESCRIPTION, missing=missing, stimuli=stimuli)
    data = open_prepared(tmp_path / "data")
    assert data.info["stimuli"] == (stimuli or ["f1", "f2", "f10"])
    for array in (data.eeg, data.pps, data.ratings):
        np.testing.assert_allclose(array, np.broadcast_to(array[:1], array.shape), atol=1e-3)
    films = [int(name[1:]) for name in data.info["stimuli"]]
    assert data.ratings[0, :, 0].tolist() == [film % 9 + 1 for film in films]
    assert {path.name for path in (tmp_path / "data").iterdir()} >= {"eeg.npy", "dataset.json"}
    assert not (tmp_path / "data" / "waiting").exists()


def test_stimuli_that_not_all_have_seen(tmp_path, capsys):
    orders = [*ORDERS[:2], ["f2", "f7", "f1"]]
    for wanted in (None, ["f1", "f2", "f10"]):
        with refused("has-not-seen-which", "p2", "f10", 'missing="drop"'):
            write_prepared(tmp_path / "data", watchers(orders), **DESCRIPTION, stimuli=wanted)
    write_prepared(tmp_path / "data", watchers(orders), **DESCRIPTION, missing="drop")
    said = capsys.readouterr().out
    assert "f10 is dropped for all: not seen by p2" in said
    assert "f7 is dropped for all: not seen by p0, p1" in said
    data = open_prepared(tmp_path / "data")
    assert data.info["stimuli"] == ["f1", "f2"]
    np.testing.assert_allclose(data.eeg, np.broadcast_to(data.eeg[:1], data.eeg.shape), atol=1e-3)
    assert data.ratings[0, :, 0].tolist() == [2, 3]
    with refused("stimuli-were-seen-all", "0 stimuli"):
        write_prepared(tmp_path / "no", watchers([["f1", "f2"], ["f3", "f4"]]), **DESCRIPTION, missing="drop")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("stimuli", [["a", "b"], ["a", "b", "b"], "abc", {"a", "b", "c"}, ["a", "b", ""], 3])
def test_wrong_stimuli_of_a_person(tmp_path, stimuli):
    with pytest.raises(InputError, match="p1"):
        write_prepared(
            tmp_path / "data", [person(0, stimuli=["a", "b", "c"]), person(1, stimuli=stimuli)], **DESCRIPTION
        )
    assert list(tmp_path.iterdir()) == []


# --- descriptions


BAD_DESCRIPTIONS = {
    "option": (dict(pps_normalize="trial"), ["which-not-known-has", "pps_normalise"]),
    "choice": (dict(pps_normalise="subjcet"), ["must-be-not", "subjcet"]),
    "missing": (dict(missing="dorp"), ["missing-must-be-error"]),
    "no name": (dict(name=None), ["needs", "name"]),
    "name": (dict(name="a\nb"), ["which-not-line-text"]),
    "rate": (dict(sampling_rate=16.5), ["must-be-whole-not"]),
    "channels": (dict(eeg_channels="Fp1"), ["must-be-list-names", "eeg_channels"]),
    "channel twice": (dict(eeg_channels=["Cz", "CZ ", "Pz"]), ["has-channels-which-same"]),
    "no channels": (dict(eeg_channels=[], pps_channels=[]), ["eeg-channels-pps-channels"]),
    "no ratings": (dict(ratings=[]), ["ratings-empty"]),
    "four": (dict(ratings=["arousal", "four"]), ["ratings-has-which-means"]),
    "same but for case": (dict(ratings=["Arousal", "arousal"]), ["ratings-has-same-but"]),
    "range": (dict(rating_range=(9, 1)), ["rating-range-must-begin"]),
    "range of one": (dict(rating_range=(9,)), ["rating-range-must-be"]),
    "range of text": (dict(rating_range="19"), ["rating-range-must-be"]),
    "no range": (dict(rating_range=None), ["rating-needs-or-classes", "rating_range"]),
    "threshold": (dict(threshold=10), ["lies-outside-rating-range"]),
    "threshold NaN": (dict(threshold=np.nan), ["must-be-finite-number", "threshold"]),
    "stimuli": (dict(stimuli=["a", "b"]), ["names-for-trials-has", "2 names", "3 trials"]),
    "classes of nothing": (dict(classes={"stress": ["a", "b"]}), ["classes-has-which-not"]),
    "one class": (dict(classes={"arousal": ["a"]}), ["classes-of-are", "arousal"]),
    "class twice": (dict(classes={"arousal": ["a", "a"]}), ["names-twice"]),
    "classes as a list": (dict(classes=["a", "b"]), ["classes-must-be-dictionary"]),
    "rates": (dict(sampling_rates={"ECG": 256}), ["sampling-rates-has-which", "ECG"]),
    "rates of text": (dict(sampling_rates={"eeg": "fast"}), ["must-be-number-not", "sampling_rates"]),
    "sampling_rates": (dict(sampling_rates=[128, 4]), ["sampling-rates-must-be"]),
}


@pytest.mark.parametrize("name", BAD_DESCRIPTIONS)
def test_descriptions_that_cannot_be(tmp_path, name):
    change, part = BAD_DESCRIPTIONS[name]
    with refused(*part) as error:
        write(tmp_path / "data", **change)
    assert len(str(error.value)) < 300
    assert list(tmp_path.iterdir()) == []


ODD_NAMES = [
    "a",
    "A",
    "",
    " ",
    "a/b",
    "..",
    "ä\u0308",
    "數",
    "a\nb",
    "\ud800",
    "x" * 250,
    "four",
    "$x$",
    "<b>",
    "a,b",
    "-",
    7,
]


def random_description(rng):
    """A description that may or may not be one, and people who may or may not fit it."""

    def some(*choices):
        return choices[rng.integers(len(choices))]

    def names(least, most):
        n, odd = int(rng.integers(least, most + 1)), rng.random() < 0.05
        return [some(*ODD_NAMES) if odd else f"{some('E', 'Ω', 'b c')}{i}" for i in range(n)]

    eeg, pps, ratings = names(3, 4) if rng.random() < 0.8 else [], names(0, 2), names(1, 3)
    classes = {
        name: some(["x", "y"], ["x", "y", "z"]) if rng.random() < 0.95 else ["x"]
        for name in ratings[: rng.integers(0, 3)]
    }
    classes = classes if rng.random() < 0.5 else {}
    description = dict(
        name=some("MINE", "a/b", "ä", "..", "數 1"),
        sampling_rate=some(8, 8.0, np.int64(8), np.float32(8), [[8]], np.array(8), 8, 8.5),
        eeg_channels=some(list, tuple, np.array)(eeg) if eeg else [],
        pps_channels=pps,
        ratings=ratings,
        rating_range=some((0, 2), [0.0, 2.0], np.array([0, 2])) if rng.random() < 0.95 else (2, 0),
        threshold=some(1, 1.0, np.float32(1), np.int8(1)) if rng.random() < 0.95 else some(5, None),
        classes=classes or None,
        stimuli=names(3, 3) if rng.random() < 0.3 else None,
    )
    people = []
    for number in range(2 if rng.random() < 0.95 else 1):
        n = 3 if rng.random() < 0.95 else 4
        length = 8 * 6 if rng.random() < 0.97 else 47
        kind = some(np.float64, np.float32, np.float16, np.int16, object)
        one = {"id": some(f"p{number}", number, some(*ODD_NAMES)) if rng.random() < 0.1 else f"p{number}"}
        one |= {"eeg": (rng.standard_normal((n, len(eeg), length)) * 50).astype(kind)} if eeg else {}
        one |= {"pps": (rng.standard_normal((n, len(pps), length)) * 50).astype(kind)} if pps else {}
        values = rng.integers(0, 2, (n, len(ratings)))
        people.append(one | {"ratings": values.tolist() if len(ratings) > 1 else values[:, 0]})
    return description, people


def test_what_is_written_opens(tmp_path):
    """Random descriptions and people, good and bad: written and opened, or refused in words with nothing left."""
    rng, count = np.random.default_rng(0), {"written": 0, "refused": 0}
    for number in range(200):
        description, people = random_description(rng)
        folder = tmp_path / str(number)
        refused = None
        try:
            write_prepared(folder, iter(people), **description)
        except InputError as error:
            refused = str(error)
        if refused:
            count["refused"] += 1
            assert len(refused) < 300
            assert not folder.exists(), refused
            continue
        count["written"] += 1
        data = open_prepared(folder)
        assert len(data.info["stimuli"]) == data.eeg.shape[1]
        assert len(data.subjects) == len(people)
        for label in data.label_names:
            labels, names = data.labels(label)
            assert labels.shape == data.eeg.shape[:2]
            assert labels.max() < len(names)
            assert data.folder_name(label).isascii()
    assert min(count.values()) > 50, count
    assert len(list(tmp_path.iterdir())) == count["written"]


@pytest.mark.parametrize(
    "changes", [{"pps": {}}, {"pps_baseline": {}}, {"pps": {"GSR": np.ones((3, 40)), "BVP": np.ones((4, 320))}}]
)
def test_channels_by_name_that_do_not_fit(tmp_path, changes):
    """One line, no traceback."""
    rng = np.random.default_rng(0)
    eeg = rng.standard_normal((4, 4, 320))
    people = [
        {
            "id": name,
            "eeg": eeg + n,
            "pps": {c: rng.standard_normal((4, 320)) for c in ("GSR", "BVP")},
            "ratings": np.ones((4, 1)),
        }
        for n, name in enumerate("ab")
    ]
    people[0] |= changes
    rates = {"GSR": 8} if len(changes.get("pps", {})) else {}
    with refused(None, "subject a", "pps"):
        write_prepared(
            tmp_path / "out",
            people,
            name="x",
            sampling_rate=64,
            eeg_channels=["A", "B", "C", "D"],
            pps_channels=["GSR", "BVP"],
            ratings=["r"],
            rating_range=[1, 9],
            threshold=5,
            sampling_rates=rates,
        )
    assert not (tmp_path / "out").exists()
