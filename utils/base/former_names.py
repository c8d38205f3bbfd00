"""Modules under the names that they had before they moved, for scripts and notebooks that import them."""

import importlib
import importlib.abc
import importlib.util
import sys

_MOVED = {  # package of before, and of today: its modules
    ("utils", "utils.base"): "devices errors files progress ranks rules settings structure surroundings",
    (
        "utils.training",
        "utils.pretraining",
    ): "pretraining fold_pretraining batches networks together recipes checkpoints encoding variants",
    ("utils.training", "utils.inputs"): "recordings streaming front_end",
    ("utils.training", "utils.finetuning"): "finetuning fitting first_encoders labels baselines status",
    ("data_prep", "data_prep.signals"): "transforms resampling channels channel_kinds units",
    ("data_prep", "data_prep.formats"): "deap dreamer stress_predict matlab matlab_limits safe_pickle synthetic inputs",
    ("data_prep", "data_prep.amplifiers"): "recordings recording_signals trial_plan trials_table bids edf_header",
    ("data_prep", "data_prep.folder"): "prepared writer descriptions quality preparation ratings stimuli "
    "arrays from_arrays",
}
FORMER = {f"{old}.{name}": f"{new}.{name}" for (old, new), names in _MOVED.items() for name in names.split()}
FORMER["utils.training"] = "utils.pretraining"
FORMER["data_prep.parts"] = FORMER["data_prep.amplifiers.parts"] = "data_prep.amplifiers.recording_signals"
FORMER["utils.results.drawing"] = "utils.results.figures"
for _name in ("utils.training.subject_scales", "utils.inputs.subject_scales", "utils.inputs.population"):
    FORMER[_name] = "utils.inputs.normalise"
for _name in ("features", "front_end", "recordings", "streaming"):
    FORMER[f"utils.pretraining.{_name}"] = f"utils.inputs.{_name}"
for _name in ("population", "subject_scales"):
    FORMER[f"utils.pretraining.{_name}"] = "utils.inputs.normalise"
FORMER["utils.finetuning.fold_files"] = "utils.finetuning.cross_validation"
FORMER["data_prep.folder.values"] = "data_prep.folder.arrays"
FORMER["data_prep.folder.reading"] = "data_prep.folder.writer"
FORMER["data_prep.quality_page"] = FORMER["data_prep.folder.quality_page"] = "data_prep.folder.quality"


class _Former(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the module of today for a former name."""

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name in FORMER else None

    def create_module(self, spec):
        module = importlib.import_module(FORMER[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = module.__spec__.loader_state  # not the former name's


sys.meta_path.insert(0, _Former())  # before PathFinder, which would load such a file a second time
