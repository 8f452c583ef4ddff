"""The comparison with expected results: what matches, what differs and why, and which tables are refused."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from guidebp.analysis.expected import EXPECTED_COLUMNS, compare_with_expected, write_expected
from guidebp.cli import main
from guidebp.errors import UserError
from guidebp.paths import StudyPaths
from tests.support.finished_project import build
from tests.support.tiny import ROOT

PATHS = StudyPaths("made")
MATCH = "4 of 4 runs match the expected results"
CODE = "likely reason: the code computes something else than when the table was made"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collected study of four runs; nobody may change it."""
    return build(tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy with expected results, which is the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    write_expected(PATHS)
    return folder


def read_table() -> pd.DataFrame:
    return pd.read_csv(PATHS.expected, dtype=str)


def write_table(table: pd.DataFrame) -> None:
    table.to_csv(PATHS.expected, index=False)


def edit_results(path: Path, old: str, new: str) -> None:
    """Change a collected file, and remove the checksums that would notice."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    PATHS.collected_checksums.unlink(missing_ok=True)


def message() -> list[str]:
    comparison = compare_with_expected(PATHS)
    assert comparison is not None
    return comparison.message("made").splitlines()


def test_table_holds_counts_and_machine_but_no_keys(project: Path) -> None:
    table = read_table()
    assert list(table.columns) == EXPECTED_COLUMNS
    metrics = pd.read_csv(PATHS.metrics)
    assert len(table) == len(metrics) == 4 * 4
    right = (metrics["accuracy"] * metrics["test_images"] / 100).round().astype(int)
    assert list(table["correct"].astype(int)) == list(right)
    machine = table[["instructions", "processor", "torch"]].drop_duplicates().to_numpy().tolist()
    assert machine == [["AVX2", "one", "2.10.0"]]
    assert not any(key in PATHS.expected.read_text() for key in metrics["key"])


def test_equal_runs_match_in_one_line(project: Path) -> None:
    assert message() == [MATCH]
    content = PATHS.expected.read_bytes()
    write_expected(PATHS)
    assert PATHS.expected.read_bytes() == content


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (None, "", CODE),
        (
            "instructions",
            "AVX512",
            "likely reason: the runs were trained with instruction set AVX2, the table",
        ),
        (
            "torch",
            "2.9.0",
            "likely reason: the runs were trained with torch 2.10.0, the table was made with 2.9.0",
        ),
        (
            "processor",
            "Intel(R)",
            "likely reason: the runs were trained with processor one, the table was made",
        ),
    ],
)
def test_difference_is_told_with_its_size_and_likely_reason(
    project: Path, column: str | None, value: str, reason: str
) -> None:
    table = read_table()
    for row, change in ((0, 1), (5, -2)):
        table.loc[[row], "correct"] = str(int(table["correct"].iloc[row]) + change)
    if column:
        table[column] = value
    write_table(table)
    first, second, third = message()
    assert first == "2 of 4 runs match the expected results"
    assert (
        second == "2 runs differ from results/expected/made.csv by at most 2 of 8 test images (25.00 points)"
    )
    assert third.startswith(reason)


def test_run_is_compared_with_its_own_instruction_set(project: Path) -> None:
    """A second machine adds its rows and keeps those of the first."""
    table = read_table()
    table["instructions"], table["correct"] = "AVX512", "0"
    write_table(table)
    assert message()[0] == "0 of 4 runs match the expected results"
    write_expected(PATHS)
    assert message() == [MATCH]
    both = read_table()
    assert list(both["instructions"]) == ["AVX2"] * 16 + ["AVX512"] * 16
    write_table(pd.concat([both, table.assign(method="gone")]))
    write_expected(PATHS)
    assert read_table().equals(both), "runs that the study does not have are left out"


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("status", "diverged", "digits: finished, expected diverged"),
        ("test_images", "9", "8 test images, expected 9"),
        ("output", "other", "outputs kernel 3, kernel 5, merged, softmax average, expected other, kernel 5"),
    ],
)
def test_incomparable_run_is_described(project: Path, column: str, value: str, text: str) -> None:
    table = read_table()
    table.loc[[0] if column == "output" else range(4), column] = value
    write_table(table)
    first, second, third = message()
    assert first == "3 of 4 runs match the expected results"
    assert second.startswith("1 run differs from results/expected/made.csv")
    assert (
        "(first: made/columns-digits/average/seed 0: " in second and text.removeprefix("digits: ") in second
    )
    assert third == CODE


def test_missing_and_additional_runs_are_named(project: Path) -> None:
    table = read_table()
    table.loc[:3, "seed"] = "7"
    write_table(table)
    assert message() == [
        "3 of 4 runs match the expected results",
        "1 run is missing (first: made/columns-digits/average/seed 7); run: snakemake --config study=made",
        "1 run is not in results/expected/made.csv (first: made/columns-digits/average/seed 0)",
    ]


def test_run_of_an_unknown_machine(project: Path) -> None:
    keys = [json.loads(line)["key"] for line in PATHS.telemetry.read_text().splitlines()]
    PATHS.telemetry.write_text("".join(json.dumps({"key": key}) + "\n" for key in keys))
    PATHS.collected_checksums.unlink()
    assert message() == [MATCH]
    table = read_table()
    table["correct"] = "0"
    write_table(table)
    assert message()[-1] == "likely reason: unknown; the machine of these runs is not recorded"


def test_gpu_is_a_reason_and_no_expectation(project: Path) -> None:
    edit_results(PATHS.metrics, ",cpu,", ",cuda Some GPU,")
    with pytest.raises(UserError, match=r"telemetry\.jsonl: .*found cuda Some GPU, expected cpu"):
        write_expected(PATHS)
    table = read_table()
    table["correct"] = "0"
    write_table(table)
    assert message()[-1] == "likely reason: the runs were trained on cuda Some GPU, the table was made on cpu"


def test_incomplete_study_gives_no_expectation(project: Path) -> None:
    edit_results(PATHS.about, '"planned": 4', '"planned": 5')
    with pytest.raises(UserError, match=r"metrics\.csv: .*found 4 runs, expected 5"):
        write_expected(PATHS)
    edit_results(PATHS.about, '"tunes": null', '"tunes": "made"')
    with pytest.raises(UserError, match="study 'made' tunes"):
        write_expected(PATHS)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a,b\n1,2\n", b"half", None])
def test_damaged_table_is_refused_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    whole = PATHS.expected.read_bytes()
    PATHS.expected.write_bytes(whole.replace(b",8,", b",eight,", 1) if content is None else content)
    for options in ([], ["--write"]):
        assert main(["expect", *options]) == 2
        said = capsys.readouterr().err
        assert said.startswith("guidebp expect: results/expected/made.csv: ") and len(said.splitlines()) == 1
        assert "git checkout results/expected/made.csv" in said


def test_study_without_a_table_is_told_how_to_make_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PATHS.expected.unlink()
    assert compare_with_expected(PATHS) is None
    assert main(["expect"]) == 2
    assert "guidebp expect --write --study made" in capsys.readouterr().err
    assert main(["expect", "--write"]) == main(["expect"]) == 0
    assert capsys.readouterr().out.splitlines() == ["results/expected/made.csv", MATCH]


def test_demo_has_expected_results() -> None:
    table = pd.read_csv(ROOT / "results/expected/demo.csv")
    assert list(table.columns) == EXPECTED_COLUMNS
    assert not table.duplicated(["dataset", "architecture", "method", "seed", "output", "instructions"]).any()
