"""The set-up that all notebooks of the course share: their parameters, checked, and what follows from them.

A notebook's parameters are flat literals, so that papermill can replace them. `setup` checks them all before
anything runs, shows what will be run, and gives the data, the annotators and the recorded runs.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nlkit._util import atomic_write, invalid, named
from nlkit.data.checks import check_count, check_share, class_numbers
from nlkit.noise import KINDS
from nlkit.study.comparing import own_data
from nlkit.study.recorded import Run, experiment, is_recorded, settings_of
from nlkit.training.config import PROFILES

if TYPE_CHECKING:
    from datasets import DatasetDict

    from nlkit.annotate.base import Annotator

__all__ = ["DEMONSTRATION_SEED", "LABEL_WORDS", "Setup", "labeller", "reference", "setup"]

LABEL_WORDS = {
    "acq": "acquisition",
    "crude": "oil",
    "earn": "earnings",
    "interest": "interest rates",
    "money-fx": "currency",
    "money-supply": "money supply",
    "ship": "shipping",
}
"""What a language model reads and is scored on where Reuters' own class name says little."""

GIVEN = "as given"
"""The noise of data of one's own."""

LABELS = "observed_labels"
"""The experiment in which an annotator labels a whole training set."""

DEMONSTRATION_SEED = 3
"""Draw of the fixed demonstrations with which SmolLM2 labels R8: many labels are wrong, most topics stay.

`benchmarks/labels.py` says how it was chosen.
"""


def labeller(annotator: str, ds: DatasetDict, **settings: Any) -> Annotator:
    """Return the annotator that labels whole training sets in the course.

    A language model reads words that mean something (`LABEL_WORDS`) and is calibrated by an empty text;
    `settings` replace those of `nlkit.annotate.LocalLLM`. "simulated" is right six times in ten, and has
    none of them.
    """
    from nlkit.annotate import Simulated

    if annotator == "simulated":
        return Simulated(accuracy=0.6, reference=reference(ds))
    names = ds["train"].features["label"].names
    usual: dict[str, Any] = {
        "calibration": "contextual", "normalise": "sum", "list_labels": False,
        "label_words": {name: word for name, word in LABEL_WORDS.items() if name in names},
        "max_text_tokens": 48,
    }  # fmt: skip
    return language_model(annotator, **usual | settings)


def language_model(annotator: str, **settings: Any) -> Annotator:
    """Return the language model of this name, on this machine or, by MODEL@ADDRESS, at an endpoint.

    ``"gpt-4o-mini@https://api.openai.com/v1"`` asks the chat API there, with the key that OPENAI_API_KEY
    holds. `settings` are those of `nlkit.annotate.LocalLLM`; an endpoint takes over which words stand for the
    labels, how much of a text is read, and the store.

    Raises
    ------
    ValueError
        If the address has more than a place: notebooks show it and write it down.
    """
    from nlkit.annotate import LocalLLM, OpenAIChat

    model, at, rest = annotator.partition("@http")
    if not at:
        return LocalLLM(annotator, **{"precision": "auto"} | settings)
    if "@" in rest or "?" in rest:
        raise ValueError(
            f"the address of {model!r} has more than a place, perhaps a key, which a notebook would show: "
            "leave that out and set the environment's OPENAI_API_KEY"
        )
    given = {"label_descriptions": settings.get("label_words"), "store": settings.get("store", "default")}
    if tokens := settings.get("max_text_tokens"):
        given["max_text_chars"] = 4 * tokens  # as English has it
    return OpenAIChat(model, f"http{rest}", **given)


def reference(ds: DatasetDict) -> dict[str, int]:
    """Return the true label of each training and validation text (−1: missing), for a simulated annotator."""
    known: dict[str, int] = {}
    for split in ("validation", "train"):
        known |= zip(ds[split]["text"][:], _numbers(ds, split, "label").tolist(), strict=True)
    return known


def _numbers(ds: DatasetDict, split: str, column: str) -> NDArray[np.int64]:
    return class_numbers(ds[split][column][:], f"ds[{split!r}][{column!r}]")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A notebook's parameters and what follows from them; made by `setup`.

    Attributes
    ----------
    profile, seed, encoder
        Of every method.
    dataset, train_size, test_size
        See `nlkit.load_dataset`; None is all there is.
    noise, noise_rate
        "symmetric", "asymmetric" or "instance" of that rate; or "llm": the annotator labels train and
        validation, shown one true example a class, and the rate is what comes out; or "as given": `dataset`
        is the path of data of one's own (`nlkit.study.comparing.own_data`), whose labels are what they are.
    annotator
        A language model's name such as "smollm2", or at an endpoint (`language_model`), or "simulated".
    recorded
        Whether recorded runs are used where the settings are theirs.
    results
        File that `write` writes; "" is none.
    recording
        The recorded run that the notebook's settings are compared with; "" is none.
    columns
        Further arguments of `own_data`; an empty one is the usual one.
    """

    profile: str
    seed: int
    dataset: str
    train_size: int | None
    test_size: int | None
    noise: str
    noise_rate: float
    encoder: str
    annotator: str
    recorded: bool
    results: str
    recording: str = ""
    columns: dict[str, Any] = field(default_factory=dict)

    def check(self, *, data: bool = True) -> None:
        """Raise ValueError if a parameter is not allowed; texts are read with `data`, models never."""
        if self.profile not in PROFILES:
            invalid("profile", self.profile, named(PROFILES, str(self.profile)))
        if self.noise not in (*KINDS, "llm", GIVEN):
            invalid("noise", self.noise, named((*KINDS, "llm", GIVEN), str(self.noise)))
        check_share("noise_rate", self.noise_rate)
        check_count("seed", self.seed)
        if not isinstance(self.recorded, bool):
            invalid("recorded", self.recorded, "True or False")
        if data:
            _ = self.names  # reads the data set

    @cached_property
    def clean(self) -> DatasetDict:
        """Train, validation and test without noise: texts and true labels; data of one's own as they are."""
        from nlkit.data import load_dataset

        if self.noise == GIVEN:
            columns: dict[str, Any] = {name: value or None for name, value in self.columns.items()}
            return own_data(self.dataset, **columns)
        return load_dataset(
            self.dataset, train_size=self.train_size, seed=self.seed, test_size=self.test_size
        )

    @cached_property
    def labels(self) -> Run | None:
        """With noise "llm" the run, recorded or live, in which the annotator labelled them; else None."""
        if self.noise != "llm":
            return None
        return experiment(LABELS, self._ask, self._label_settings, recorded=self.recorded)

    @property
    def _label_settings(self) -> dict[str, Any]:
        """What the annotator's labels depend on; they serve all notebooks, methods, encoders and profiles."""
        asked = ("dataset", "train_size", "seed", "annotator")
        return {name: value for name, value in self.settings.items() if name in asked}

    @property
    def _will_ask(self) -> bool:
        """Whether `labels` will put questions to the annotator."""
        return self.noise == "llm" and not (self.recorded and is_recorded(LABELS, self._label_settings))

    def _ask(self) -> dict[str, NDArray[np.int64]]:
        from nlkit.annotate.labelling import label_with_llm

        llm = labeller(self.annotator, self.clean)
        ds = label_with_llm(self.clean, llm, shots=1, seed=DEMONSTRATION_SEED)
        return {split: _numbers(ds, split, "noisy_label") for split in ("train", "validation")}

    @cached_property
    def ds(self) -> DatasetDict:
        """The same texts, train and validation with `noisy_label`."""
        return self.noised(self.seed)

    def noised(self, seed: int) -> DatasetDict:
        """Return the same texts with noise drawn by another seed; an annotator's labels are the same."""
        from nlkit.data.observed import with_column
        from nlkit.noise import add_noise

        if self.noise == GIVEN:
            return self.clean
        if self.labels is None:
            kind: Any = self.noise
            return add_noise(self.clean, kind=kind, rate=self.noise_rate, seed=seed)
        result = type(self.clean)(self.clean)
        for split, label in self.labels.data.items():
            part = self.clean[split]
            result[split] = with_column(part, "noisy_label", label.tolist(), part.features["label"])
        return result

    @property
    def texts(self) -> list[str]:
        """The N training texts."""
        found: list[str] = self.clean["train"]["text"][:]
        return found

    @property
    def label(self) -> NDArray[np.int64]:
        """Their true labels, shape (N,): for looking and scoring only, no method sees them."""
        return _numbers(self.clean, "train", "label")

    @property
    def noisy_label(self) -> NDArray[np.int64]:
        """Their observed labels, shape (N,)."""
        return _numbers(self.ds, "train", "noisy_label")

    @property
    def names(self) -> list[str]:
        """The names of the C classes, by number."""
        column = "noisy_label" if self.noise == GIVEN else "label"
        named: list[str] = self.clean["train"].features[column].names
        return named

    @property
    def shared(self) -> dict[str, Any]:
        """The arguments that every method takes: encoder, profile, seed."""
        return {"encoder": self.encoder, "profile": self.profile, "seed": self.seed}

    @property
    def settings(self) -> dict[str, Any]:
        """All that a result depends on, as plain literals."""
        own = ("recorded", "results", "recording", *(() if self.columns else ("columns",)))
        return {name: value for name, value in asdict(self).items() if name not in own}

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """What is other than in the recorded run, by name: the value there, and the value here."""
        then = settings_of(self.recording) if self.recording else {}
        here = self.settings
        return {name: (then[name], here[name]) for name in here if name in then and then[name] != here[name]}

    def make_annotator(self, **settings: Any) -> Annotator:
        """Return the annotator that is asked about single texts; "simulated" is right nine times in ten.

        `settings` are those of `nlkit.annotate.LocalLLM`; a simulated one has none of them.
        """
        from nlkit.annotate import Simulated

        if self.annotator == "simulated":
            return Simulated(accuracy=0.9, reference=reference(self.clean), seed=self.seed)
        return language_model(self.annotator, **settings)

    def run(self, name: str, compute: Callable[[], Mapping[str, Any]], **more: Any) -> Run:
        """Return the recorded run of an experiment where its settings are these, or run it.

        Parameters
        ----------
        name : str
            Of the experiment; `nlkit.study.recorded.names` lists the recorded ones.
        compute : callable
            Returns tables and arrays by name.
        **more
            Further settings that the result depends on.
        """
        return experiment(name, compute, self.settings | more, recorded=self.recorded)

    def train_both(self, epochs: int) -> Run:
        """Return the run that notebooks 02 and 03 share: both models, trained with cross-entropy.

        Its data: strong, weak (E, N, C) and history of `nlkit.methods.noiseal.dynamics.train_both`, issues of
        `nlkit.study.cleaning.confident_issues`, noisy_label and label.
        """
        from nlkit.methods.noiseal.dynamics import train_both
        from nlkit.study.cleaning import confident_issues

        def compute() -> dict[str, Any]:
            both = train_both(self.ds, epochs=epochs, eval_splits=("test",), **self.shared)
            issues = confident_issues(
                self.texts, self.noisy_label, len(self.names), encoder=self.encoder, seed=self.seed
            )
            return {
                "strong": both.strong, "weak": both.weak, "history": both.history, "issues": issues,
                "noisy_label": self.noisy_label, "label": self.label,
            }  # fmt: skip

        return self.run("dynamics", compute, epochs=epochs)

    def write(self, **found: Any) -> None:
        """Write what a notebook found, with its settings, as JSON to `results`; nothing if that is "".

        Tables become lists of rows. A sweep by papermill collects the table ``result`` of these files.
        """
        if not self.results:
            return
        plain = {k: v.to_dict("records") if hasattr(v, "to_dict") else v for k, v in found.items()}
        text = json.dumps({"settings": self.settings, **plain}, indent=2, default=float)
        with atomic_write(Path(self.results)) as path:
            path.write_text(text + "\n", "utf-8")

    def _rows(self) -> dict[str, str]:
        other = ", ".join(f"{name} {here} (recorded: {then})" for name, (then, here) in self.changed.items())
        texts = ", ".join(f"{split} {len(part):,}" for split, part in self.clean.items())
        made = (
            f"labels by {self.annotator}"
            if self.noise == "llm"
            else "labels as they are given"
            if self.noise == GIVEN
            else f"{self.noise}, rate {self.noise_rate:g}, on train and validation; test stays clean"
        )
        return ({"note": f"other settings than the recorded run's: {other}"} if other else {}) | {
            "texts": f"{self.dataset}: {texts}",
            "classes": f"{len(self.names)}: {', '.join(self.names[:8])}{' …' * (len(self.names) > 8)}",
            "noise": made,
            "encoder": self.encoder,
            "annotator": self.annotator,
            "profile": f"{self.profile}, seed {self.seed}",
            "runs": "recorded where the settings are theirs" if self.recorded else "live",
        }

    def __repr__(self) -> str:
        return "\n".join(f"{name:<10} {value}" for name, value in self._rows().items())

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(value)}</td></tr>'
            for name, value in self._rows().items()
        )
        return f"<table><caption>What is run</caption><tbody>{rows}</tbody></table>"


def setup(**parameters: Any) -> Setup:
    """Check a notebook's parameters and return what follows from them.

    Parameters
    ----------
    **parameters
        The fields of `Setup`, by name.

    Raises
    ------
    ValueError
        If a parameter is not allowed: the field, its value, and what is.
    OSError
        If a model is not there, with the remedy.
    """
    _refuse_misspelt()
    from nlkit.annotate import LocalLLM
    from nlkit.data.packaged import resolve_model
    from nlkit.models.encoder import TextEncoder

    checked = Setup(**parameters)
    checked.check()
    # Models are looked for now, not in the middle of a run. What is no file here must be loaded to be seen.
    if not Path(resolve_model(checked.encoder)).exists():
        TextEncoder(checked.encoder)
    llm: Any = None if checked.annotator == "simulated" else language_model(checked.annotator)
    if isinstance(llm, LocalLLM):
        llm.ready(checked.names, convert=checked._will_ask)
    elif llm is not None:
        llm.ready(checked.names)  # one question, so that a wrong key shows here
    return checked


def _refuse_misspelt() -> None:
    """Raise ValueError if papermill injected a parameter that the cell of parameters, just before, lacks."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    cells: list[str] = shell.user_ns.get("In", []) if shell is not None else []
    for before, cell in pairwise(cells):
        if cell.startswith("# Parameters\n"):
            known = _assigned(before)
            for name in _assigned(cell):
                if name not in known:
                    raise ValueError(f"{name!r} is no parameter of this notebook: {named(known, name)}")


def _assigned(cell: str) -> list[str]:
    return [
        target.id
        for statement in ast.parse(cell).body if isinstance(statement, ast.Assign)
        for target in statement.targets if isinstance(target, ast.Name)
    ]  # fmt: skip
