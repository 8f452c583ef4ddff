"""config/published.yaml: what is refused, and that its networks, methods and outputs exist."""

import json
import re
import shutil
from pathlib import Path

import pytest

from guidebp.errors import UserError
from guidebp.schema.catalogue import Catalogues
from guidebp.schema.published import PaperTable, Row, Selector, from_json, to_json
from tests.support.tiny import ROOT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


def broken(root: Path, old: str, new: str) -> str:
    """The message after a replacement, once, in the file."""
    path = root / "config/published.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        Catalogues(root)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "ours: {method: deconfliction}",
            "ours: {method: deconflictoin}",
            "msdnet-cifar-100: unknown method 'deconflictoin'; did you mean 'deconfliction'",
        ),
        (
            "architecture: msdnet-7}",
            "architecture: msdnet-8}",
            "msdnet-cifar-100: unknown architecture 'msdnet-8'; did you mean 'msdnet-7'",
        ),
        (
            "CIFAR-100: {dataset: cifar-100}",
            "CIFAR-100: {dataset: cifar100}",
            "multiway-models: unknown dataset 'cifar100'; did you mean 'cifar-100'",
        ),
        (
            "{vgg: vgg-digits}",
            "{vgg: vgg-digit}",
            "critics: unknown architecture 'vgg-digit'; did you mean 'vgg-digits'",
        ),
        (
            "datasets: {cifar-100: digits}",
            "datasets: {cifar-101: digits}",
            "msdnet-cifar-100: unknown dataset 'cifar-101'; did you mean 'cifar-10'",
        ),
    ],
)
def test_names_must_exist(root: Path, old: str, new: str, expected: str) -> None:
    assert broken(root, old, new).startswith(expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "[0.03, 0.09, 0.18, 0.48, 0.85]",
            "[0.03, 0.09, 0.18, 0.48]",
            "multiway-exits: rows.0 (parameters (M)).published: 4 values for 5 columns",
        ),
        (
            "[0.03, 0.09, 0.18, 0.48, 0.85]",
            "[0.03, 0.09, 0.18, 0.48, lots]",
            "multiway-exits.rows.0.published.4: Input should be a valid number, found 'lots'",
        ),
        (
            "{mean: 93.93, sd: 0.20}",
            "{mean: 93.93}",
            "critics.rows.0.published.0.sd: Field required",
        ),
        ("{low: 5.39, high: 6.50}", "{low: 5.39}", "multiway-models.rows.2.published.0.high: Field required"),
        (
            "output: exit 3",
            "output: third exit",
            "multiway-exits.columns.layer 35.output: String should match",
        ),
        (
            "common: {architecture: vgg, method: local-critic}",
            "common: {architecture: vgg}",
            "critics-ensembles: rows.0 (whole network alone), column 'CIFAR-10': no method is named",
        ),
        (
            "{way: logit ensemble, level: 3}",
            "{way: logit ensemble}",
            "critics-ensembles: rows.1 (three sub-models), column 'CIFAR-10': way and level belong together",
        ),
        (
            "{way: logit ensemble, level: 3}",
            "{way: logit ensemble, level: 3, measure: parameters}",
            "critics-ensembles: rows.1 (three sub-models), column 'CIFAR-10': a way of using several exits has",
        ),
        (
            "  confidence: H\n",
            "  confidence: sure\n",
            "multiway-models.confidence: Input should be 'H' or 'M'",
        ),
    ],
)
def test_faults_are_named(root: Path, old: str, new: str, expected: str) -> None:
    assert broken(root, old, new).startswith(expected)


def test_every_exit_that_is_named_exists() -> None:
    """A table of k exits stands beside a network with as many."""
    catalogues = Catalogues(ROOT)
    exits = {"msdnet-7": 7, "mwresnet-56-5": 5, "vgg": 4}
    for table in catalogues.published.values():
        for row in table.rows:
            for cell in table.cells(row):
                if cell and cell.pathway:
                    assert cell.pathway <= exits[str(cell.architecture)]


def test_a_column_wins_over_its_row_and_a_row_over_what_is_common() -> None:
    selector = {"dataset": "d", "architecture": "a", "method": "m", "measure": "accuracy"}
    table = PaperTable(
        title="T",
        paper="multiway",
        source="S",
        confidence="H",
        common=Selector.model_validate(selector),
        columns={"plain": Selector(), "other": Selector(measure="operations")},
        rows=[Row(label="r", published=[None, None], ours=Selector(measure="error"))],
    )
    assert [cell and cell.measure for cell in table.cells(table.rows[0])] == ["error", "operations"]


def test_tables_survive_study_json() -> None:
    tables = Catalogues(ROOT).published
    assert from_json(json.loads(json.dumps(to_json(tables)))) == tables


def test_values_are_written_with_all_their_digits() -> None:
    """Two decimals, as the papers print them: 64.1 for 64.10 would be a digit lost on the way."""
    text = (ROOT / "config/published.yaml").read_text()
    for line in text.splitlines():
        if "published:" in line and "title" not in line:
            values = re.findall(
                r"(?<![\w.-])\d+(?:\.\d+)?(?![\w.-])", line.split("published:")[1].split("note:")[0]
            )
            assert all(re.fullmatch(r"\d+\.\d\d", value) for value in values), line
