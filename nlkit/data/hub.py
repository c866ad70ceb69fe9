"""Data sets on the Hugging Face hub, each at one commit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nlkit.data.readers import DataError, Table

__all__ = ["HUB", "HubSet", "from_hub"]


class HubSet(NamedTuple):
    """A data set on the Hugging Face hub at one commit, and where its parts are."""

    repository: str
    revision: str
    text: str
    label: str
    test: str
    files: dict[str, str] | None = None


HUB = {
    # The main branch is a loading script, which `datasets` no longer runs; the pinned commit is in the hub's
    # own conversion to Parquet.
    "trec": HubSet(
        "CogComp/trec", "65752bf53af25bc935a0dce92fb5b6c930728450", "text", "coarse_label", "test",
        {"train": "default/train/0000.parquet", "test": "default/test/0000.parquet"},
    ),
    "ag_news": HubSet(
        "fancyzhx/ag_news", "eb185aade064a813bc0b7f42de02595523103ca4", "text", "label", "test"
    ),
    # The labels of SST-2's test split were never published; its validation split is the usual test set.
    "sst2": HubSet(
        "stanfordnlp/sst2", "8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb", "sentence", "label", "validation"
    ),
    "imdb": HubSet("stanfordnlp/imdb", "e6281661ce1c48d982bc483cf8a173c1bbeb5d31", "text", "label", "test"),
}  # fmt: skip


def from_hub(name: str, instead: Iterable[str]) -> tuple[dict[str, Table], list[str]]:
    """Return the train and test tables of a set, and its class names.

    `instead` names the sets to propose when the hub cannot be reached.
    """
    import datasets

    wanted = HUB[name]
    tables: dict[str, Table] = {}
    names: list[str] = []
    for split, part in (("train", "train"), ("test", wanted.test)):
        try:
            loaded = datasets.load_dataset(
                wanted.repository, revision=wanted.revision, split=part, data_files=wanted.files
            )
        except Exception as error:  # the hub's client raises many kinds, some of its HTTP library
            raise DataError(
                f"{name!r} could not be fetched from the Hugging Face hub ({wanted.repository}): {error}",
                "Go online (and unset HF_HUB_OFFLINE), or use a set that needs no network: "
                f"{', '.join(instead)}.",
            ) from error
        columns = {"text": list(loaded[wanted.text]), "label": list(loaded[wanted.label])}
        tables[split] = Table(f"{wanted.repository}/{part}", columns, list(range(1, len(loaded) + 1)))
        names = list(loaded.features[wanted.label].names)
    return tables, names
