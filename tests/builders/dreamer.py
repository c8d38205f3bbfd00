"""DREAMER.mat, tiny, and as MATLAB 7.3 writes it."""

import io

import h5py
import numpy as np
import scipy.io

from data_prep.formats import dreamer
from data_prep.make_synthetic import cells


def to_hdf5(structure, path):
    """Write what SciPy loaded as MATLAB 7.3 writes it: references for cells, all axes reversed, texts as numbers."""
    with h5py.File(path, "w", userblock_size=512) as file:
        number = 0

        def put(where, name, value):
            nonlocal number
            if value is None:  # SciPy's structure without fields
                where.create_group(name)
            elif value.dtype.names:
                group = where.create_group(name)
                for field in value.dtype.names:
                    put(group, field, value[0, 0][field] if value.size == 1 else value[field])
            elif value.dtype == object:
                references = np.empty(value.shape[::-1], h5py.ref_dtype)
                for index, item in np.ndenumerate(value):
                    number += 1
                    own = str(number)
                    put(file.require_group("#refs#"), own, item)
                    references[index[::-1]] = file["#refs#"][own].ref
                where.create_dataset(name, data=references, dtype=h5py.ref_dtype)
            elif value.dtype.kind == "U" and value.size:
                rows = value if value.dtype == "<U1" and value.ndim == 2 else [list(row) for row in value.ravel()]
                codes = np.array([[ord(c) for c in row] for row in rows], "u2").T
                where.create_dataset(name, data=codes).attrs["MATLAB_class"] = np.bytes_("char")
            elif not value.size:
                where.create_dataset(name, data=np.array(value.shape, "u8")).attrs["MATLAB_empty"] = np.uint8(1)
            else:
                where.create_dataset(name, data=value.T)

        put(file, "DREAMER", structure)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(512, b"\0"))


def small(**changes):
    """A small structure like DREAMER's, of 2 people and 2 clips of 6 s, as nested dicts; changes by path with __."""
    rng = np.random.default_rng(0)

    def part(rate, channels):
        clips = [rng.standard_normal((6 * rate, channels)) for _ in range(2)]
        return {"baseline": cells([c[:rate] for c in clips], (2, 1)), "stimuli": cells(clips, (2, 1))}

    people = []
    for _ in range(2):
        person = {"Age": "25", "Gender": "male", "EEG": part(128, 14), "ECG": part(256, 2)}
        people.append(person | {f"Score{n}": np.array([[1.0], [5.0]]) for n in ("Valence", "Arousal", "Dominance")})
    structure = {"Data": people, "EEG_SamplingRate": 128.0, "ECG_SamplingRate": 256.0, "noOfSubjects": 2.0}
    structure |= {"EEG_Electrodes": cells(dreamer.EEG_CHANNELS, (1, 14)), "noOfVideoSequences": 2.0}
    for path, value in changes.items():
        *steps, last = path.split("__")
        target = structure
        for step in steps:
            target = target[int(step) if step.isdigit() else step]
        if value is None:
            del target[int(last) if last.isdigit() else last]
        else:
            target[int(last) if last.isdigit() else last] = value(target.get(last)) if callable(value) else value
    structure["Data"] = (
        cells(structure["Data"], (1, -1)) if isinstance(structure.get("Data"), list) else structure.get("Data")
    )
    return {name: value for name, value in structure.items() if value is not None}


def save(path, structure, **options):
    scipy.io.savemat(path, {"DREAMER": structure}, oned_as="column", **options)


def good_bytes(**options):
    file = io.BytesIO()
    save(file, small(), **options)
    return file.getvalue()
