"""The page of the signals' quality: what is planted is found, what is sound is not, and names stay names."""

import html
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from data_prep import open_prepared, write_prepared
from data_prep.folder.quality import Quality, kind_of, write_page
from data_prep.formats.deap import EEG_CHANNELS, PPS_CHANNELS, RATE
from data_prep.make_synthetic import python2_pickle
from tests.support import call, done

SECONDS = 20
RNG = np.random.default_rng(0)


def findings(signal, rate, name="Cz", units_known=True):
    """Row of one channel (trials, samples)."""
    quality = Quality()
    quality.look("p", [name], rate, [trial[None] for trial in signal], units_known)
    return quality.people["p"][0]


def noise(rate, trials=2, seconds=SECONDS):
    return RNG.standard_normal((trials, seconds * rate))


def flat(x, rate):
    x[0, 3 * rate : 5 * rate] = 7.0


def cut(x, rate):
    np.clip(x, -1.5, 1.5, out=x)
    for second in (2, 9):
        x[1, second * rate : second * rate + rate // 4] = 1.5


def loud(x, rate):
    x[0, : 4 * rate] *= 30


def hum(x, rate):
    x += 2 * np.sin(2 * np.pi * 50 * np.arange(x.shape[1]) / rate)


def gap(x, rate):
    x[1, 3 * rate + 5] = np.nan


@pytest.mark.parametrize("rate", [128, 250, 1000])
@pytest.mark.parametrize("fault", [flat, cut, loud, hum, gap])
def test_each_fault_is_found_and_only_it(fault, rate):
    x = noise(rate)
    assert findings(x, rate).findings == set()
    fault(x, rate)
    row = findings(x, rate)
    name = {flat: "flat", cut: "clipped", loud: "noisy", hum: "line", gap: "missing"}[fault]
    assert row.findings == {name}
    expected = {"flat": 2, "noisy": 4, "missing": 1}
    assert name not in expected or row.numbers[name] == expected[name]


def test_what_slow_sensors_and_numbers_of_few_bits_do_is_no_fault():
    """Heart rate once a second, temperature in steps, an accelerometer at rest, a pulse wave's one highest beat."""
    assert findings(np.full((1, 85), 70.0) + np.arange(85), 1, "HR").findings == set()
    steps = np.repeat(33 + 0.02 * np.arange(8), 40)[None]  # a step each 10 s
    assert findings(steps, 4, "TEMP").findings == set()
    assert findings(np.full((1, 85 * 4), 33.0), 4, "TEMP").numbers["flat"] == 85
    assert findings(np.full((1, 20 * 4), 5.0), 4, "EDA").numbers["flat"] == 20
    acceleration = np.round(noise(32, 1, 60)).astype(np.int8)
    acceleration[0, : 50 * 32] //= 4
    assert findings(60 + acceleration, 32, "ACC_x").findings == set()
    rail = np.clip(noise(32) * 200, -128, 127).round().astype(np.int8)  # 2 g and more
    assert findings(rail, 32, "ACC1").numbers["clipped"] > 0
    wave = np.sin(2 * np.pi * 1.1 * np.arange(85 * 64) / 64)[None]
    assert findings(wave, 64, "BVP").findings == set()


def test_what_no_body_does():
    conductance = 5 + 0.01 * noise(4)
    assert findings(conductance, 4, "EDA").findings == set()
    conductance[0, 40:48] = 0.01
    row = findings(conductance, 4, "EDA")
    assert (row.numbers["range"], row.findings) == (2, {"range"})
    assert findings(conductance * 1000, 4, "GSR", units_known=False).findings == set()
    assert findings(np.full((1, 40), 250.0) + np.arange(40), 1, "heart rate").numbers["range"] == 40
    assert findings(22 + 0.01 * noise(4), 4, "Skin_Temperature").findings == set()
    assert findings(5 + 0.01 * noise(4), 4, "Skin_Temperature").numbers["range"] == 40
    assert all(kind_of(name) is None for name in ("Temporal", "ECG", "T8", "tEMG", "ThR", "", "数"))


def test_deap_page(tmp_path):
    """By the script: raw values, before the rest is subtracted; the numbers in words; the checksum is not concerned."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for index, name in enumerate(("s01", "s02")):
        data = RNG.standard_normal((2, 40, (3 + SECONDS) * RATE)) + 300
        if index:
            data[1, 4, 6 * RATE : 8 * RATE] = 250.0  # one electrode is loose
            data[0, 36] = 0.001  # no conductance at all; DEAP's unit is not known, so it is flat and no more
        labels = RNG.uniform(1, 9, (2, 4))
        (raw / f"{name}.dat").write_bytes(python2_pickle({"labels": labels, "data": data}))
    outcome = call("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", tmp_path / "out")
    assert "quality: of 80 signals, 2 flat in some seconds; see" in outcome.out
    page = (tmp_path / "out" / "quality.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr><th>(\w+)<td>([^<]*)<td>([^<]*)<td class=f>([^<]*)<td>", page)
    assert [(name, flat) for name, _, _, flat in rows] == [("FC5", "2"), ("GSR", str(3 + SECONDS))]
    assert page.count("<svg") == 80
    for name, low, high in re.findall(r"<tr><th>(\w+)<td>([^<]+) to ([^< ]+)", page):
        assert name == "GSR" or 200 < float(low) <= float(high) < 400
    (tmp_path / "out" / "quality.html").unlink()
    before = open_prepared(tmp_path / "out").checksum
    done("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", tmp_path / "again")
    assert open_prepared(tmp_path / "again").checksum == before


def test_dreamer_page(tmp_path):
    raw = tmp_path / "raw"
    sizes = ["--format", "dreamer", "--subjects", 2, "--trials", 2, "--seconds", 6]
    done("data_prep/make_synthetic.py", "--out-dir", raw, *sizes)
    flags = ["--raw-file", raw / "DREAMER.mat", "--out-dir", tmp_path / "out", "--segment-seconds", 5]
    assert "quality: of 32 signals" in done("data_prep/prepare_dreamer.py", *flags)
    assert (tmp_path / "out" / "quality.html").read_text(encoding="utf-8").count("<svg") == 32


class Reader(HTMLParser):
    tags, texts = (), ()

    def handle_starttag(self, tag, attributes):
        self.tags += (tag,)

    def handle_data(self, data):
        self.texts += (data,)


def test_names_stay_names(tmp_path):
    names = ["<script>alert(1)</script>", "\"'&amp;", "GSR </td></table>", "数\u202e"]

    def people():
        for name in ("<img src=x onerror=alert(1)>", "\x00\x1b[31m& b"):
            yield {
                "id": name,
                "eeg": RNG.standard_normal((2, 4, 6 * 32)),
                "ratings": np.ones((2, 1)),
            }

    write_prepared(
        tmp_path / "out",
        people(),
        name="</title><script>",
        sampling_rate=32,
        eeg_channels=names,
        pps_channels=[],
        ratings=["r"],
        rating_range=(0, 2),
        threshold=1,
    )
    page = (tmp_path / "out" / "quality.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    assert not {"script", "img"} & set(reader.tags)
    assert reader.tags.count("table") == 2
    assert all(html.escape(name) in page for name in names)
    assert set(names) <= set(reader.texts)


def test_page_of_deaps_size_is_small(tmp_path):
    quality = Quality()
    for person in range(32):
        quality.look(f"s{person + 1:02d}", EEG_CHANNELS + PPS_CHANNELS, 16, [RNG.standard_normal((40, 16 * 120))])
    write_page(tmp_path / "quality.html", "DEAP", quality)
    assert (tmp_path / "quality.html").stat().st_size < 2e6


def test_nothing_to_look_at(tmp_path):
    """Other shapes and values of the edge: no channels, less than a second, zeros, numbers too large to square."""
    quality = Quality()
    quality.look("p", [], 128, np.zeros((2, 0, 256)))
    quality.look("p", ["Cz"], 128, np.zeros((2, 1, 100)))
    assert quality.people == {}
    for row, signal in enumerate((np.zeros((1, 512)), np.full((1, 512), 1e300), np.full((1, 512), np.nan))):
        signal[0, -1] += row
        quality.look(f"p{row}", ["Cz"], 128, [signal])
    write_page(tmp_path / "quality.html", "x", quality)
    assert (tmp_path / "quality.html").exists()
