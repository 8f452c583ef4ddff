"""A study that tunes makes recipes; a study that uses them trains only at rates that were not tried."""

from pathlib import Path

import pytest

from tests.support.project import FULL, STUDY, Project

TUNING = (
    STUDY.replace("    recipe: tiny\n", "    recipe: tiny\n    rates: [0.05, 0.01]\n")
    .replace("[0, 1]", "[900]")
    .replace("blocks:", "tunes: tiny\nblocks:")
    .replace("[digits]", "[digits-half]")
)
HALF = "digits-half: {subset_of: digits, images: 898}\n"


@pytest.mark.workflow
def test_from_tuning_to_the_study_that_uses_it(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    (project.folder / "config/studies/tuning.yaml").write_text(TUNING)
    catalogue = project.folder / "config/datasets.yaml"
    catalogue.write_text(catalogue.read_text() + HALF)
    project.call("snakemake", "--config", "study=tuning")
    tuned = "config/recipes/tiny.tuned.yaml"
    made = project.files("results/tuning/rates.csv", "results/tuning/figures/*", tuned)
    assert len(made) == 2 + 5 and len(project.runs()) == 6
    assert b"guidebp: 0.0" in made[tuned]
    assert "Nothing to be done" in project.call("snakemake", "-n", "--config", "study=tuning")
    assert "tunes: it is whole or nothing" in project.call(
        "snakemake", "-n", "--config", "study=tuning", "partial=true", code=1
    )
    assert "study 'tuning' tunes" in project.call("guidebp", "analyse", "--study", "tuning", code=2)

    # what is committed of it: records without predictions
    archives = project.files("results/tuning/records/*")
    assert list(archives) == ["results/tuning/records/digits-half_columns-digits.tar.xz"]
    clone = project.clone(tmp_path / "clone", *archives)
    said = clone.call("guidebp", "restore", "--study", "tuning")
    assert "6 unpacked" in said and f"nothing is left to do; {tuned} and all figures are rendered" in said
    assert clone.files(*archives) == archives and not clone.files("results/runs/*/predictions.safetensors")
    if not FULL:
        return

    uses = STUDY.replace("recipe: tiny", "recipe: tiny-tuned").replace("[0, 1]", "[0, 900]")
    uses = uses.replace("[digits]", "[digits-half]")
    (project.folder / "config/studies/tiny.yaml").write_text(uses)
    project.call("snakemake")
    assert len(project.runs()) == 6 + 3  # those of seed 900 are there
    assert "Learning rates of tiny-tuned" in (project.folder / "results/tiny/report.html").read_text()

    # made again from what was collected, to the byte
    (project.folder / tuned).write_text("{}")
    (project.folder / "results/tuning/rates.csv").unlink()
    project.call("guidebp", "tune", "--study", "tuning")
    again = project.files(*(name for name in made if "provenance" not in name))
    assert again == {name: content for name, content in made.items() if "provenance" not in name}
