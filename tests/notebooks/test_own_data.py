"""Notebook 10 on a file of one's own: it speaks of that file, and ends with the report on its labels."""

from __future__ import annotations

import csv
import json
import random
import re

import nbformat
import pytest

from notebooks.build import running

OTHERS = re.compile(r"\bR8\b|\br8\b|Reuters|Newsgroups|\b20ng\b|± 0\.0")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    rng, folder = random.Random(0), tmp_path_factory.mktemp("own")
    words = {"tea": "cup leaf pot green mint brew", "sea": "wave salt fish boat tide shore"}
    with (folder / "my.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(["body", "llm", "gold"])
        for i in range(60):
            name = rng.choice(list(words))
            said = rng.choice(list(words)) if i % 4 == 0 else name
            text = " ".join(rng.choices(words[name].split(), k=4))
            writer.writerow([f"{text} {i}", said, name if i % 3 == 0 else ""])
    given = {
        "data": str(folder / "my.csv"), "text_column": "body", "label_column": "llm", "gold_column": "gold",
        "seeds": 1, "annotator": "simulated", "query_budget": 0, "recorded": False,
    }  # fmt: skip
    return nbformat.read(running.execute("10_compare", given, folder / "out.ipynb"), as_version=4), folder


def test_nothing_speaks_of_other_data(executed):
    nb, _ = executed
    said = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {"text": output.get("text", "")})
            said += [text for kind, text in data.items() if kind.startswith("text")]
    found = [match[0] for text in said for match in OTHERS.finditer(text)]
    assert found == []
    assert any("my.csv: train 36, validation 4, test 20" in text for text in said)


def test_it_ends_with_the_report(executed):
    nb, folder = executed
    page = (folder / "my-cleaned" / "report.html").read_text("utf-8")
    assert "No label of 60 was changed" in page
    assert "Of 20 texts with a true label" in page
    last = [cell for cell in nb.cells if cell.cell_type == "code"][-1]
    (shown,) = last.outputs
    assert "Labels, reviewed" in json.dumps(shown)
    assert "No label of 60 was changed" in shown["data"]["text/html"]
