"""The report's HTML, of made-up studies; how it behaves in a browser: tests/workflow/test_report_browser.py."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from guidebp.analysis.analyse import analyse
from guidebp.analysis.results import Results, load_results
from guidebp.collect.rows import TABLES
from guidebp.paths import FIGURE_KINDS, TABLE_KINDS, StudyPaths
from guidebp.rendering.figure_catalogue import FIGURE_ENTRIES
from guidebp.rendering.placements import list_placements
from guidebp.rendering.report.page import write_report
from guidebp.rendering.report.tables import build_html_table, extract_sort_key
from guidebp.rendering.table_catalogue import list_table_entries
from guidebp.rendering.tables.files import encode_table
from guidebp.rendering.tables.results import build_table
from guidebp.schema.published import from_json
from tests.support.made_up_results import made_up, write_collected

PATHS = StudyPaths("made-up")
PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 120.5"><path d="M9 9h380v99H9z"/></svg>'
Json = dict[str, Any]


def claim(architectures: list[str], setting: str = "small-scale", **changed: Any) -> Json:
    """As study.json has it."""
    return {
        "paper": "guidebp",
        "statement": "Guided is better.",
        "source": "abstract",
        "published": "none reachable",
        "metric": "merged",
        "rule": "superiority",
        "margin": 0.2,
        "comparisons": [
            {
                "candidate": {"method": "guidebp", "metric": None},
                "baseline": {"method": "average", "metric": None},
            }
        ],
        "readings": [],
        "context_methods": ["independent"],
        "settings": {
            setting: {
                "datasets": ["digits"],
                "architectures": architectures,
                "recipes": [],
                "study": None,
                "substitutes": {},
            },
        },
        "differs": None,
        "plan": [],
    } | changed


CLAIMS = {
    "decided": claim(["columns"], differs="Smaller data."),
    "untested": claim(
        ["elsewhere"],
        paper="multiway",
        plan=[
            {
                "setting": "published",
                "study": "paper",
                "command": "snakemake --config study=paper",
                "runs": 1200,
                "hours": {"a GPU": 7.0},
            }
        ],
    ),
    "explored": claim(["columns"], "exploratory", paper="ours", metric="every pathway"),
}
PUBLISHED = {
    "models": {
        "title": "Models",
        "paper": "local-critic",
        "source": "Table 1",
        "confidence": "H",
        "columns": {"accuracy": None},
        "rows": [{"label": "VGG", "published": [93.5]}],
    }
}


def study(results: Results, claims: Json = CLAIMS, lock: Json | None = None, **about: Any) -> Results:
    """Made-up results with everything that the report wants to know of a study."""
    data = {
        "images": 1000,
        "official_test_images": 0,
        "sha256": "0123456789abcdef" * 4,
        "copies": {"within_training": 1, "within_test": 0, "test_in_training": [], "dropped": 0},
    }
    known = results.about
    whole = {
        **known,
        "claims": claims,
        "published": PUBLISHED,
        "datasets": {"digits": known["datasets"]["digits"] | {"citation": "By hand", "licence": "CC0"}},
        "data": {"digits": known["data"]["digits"] | data},
    }
    repeated = {name: getattr(results, name) for name in (*TABLES, "costs")}
    deciding = {name: table.assign(seed=table["seed"] + 100) for name, table in repeated.items()}
    return replace(results, about=whole | about, lock=lock or {}, **deciding)


def write(results: Results) -> StudyPaths:
    """The folder of a study and its report; its figures are empty frames, drawing them is tested elsewhere."""
    write_collected(results, PATHS)
    analyse(PATHS)
    analysed, sections = load_results(PATHS, analysed=True), results.about["sections"]
    for place in list_placements(FIGURE_ENTRIES, sections):
        for kind in FIGURE_KINDS:
            path = PATHS.figure(*place, kind)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(PICTURE)
    shown = list_table_entries(from_json(results.about["published"]))
    for name, dataset, section in list_placements(shown, sections):
        table = build_table(name, analysed.section(section) if dataset else analysed, dataset)
        for kind in TABLE_KINDS:
            path = PATHS.table(name, dataset, section, kind)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encode_table(table, shown[name].caption, kind, "t"))
    write_report(PATHS)
    return PATHS


class Page(HTMLParser):
    """The tags of a page, its texts but for scripts and styles, and the titles of its sections."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.path: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.sections: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.path.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.path and self.path[-1] not in ("script", "style"):
            self.texts.append(data)
            if self.path[-1] == "h2":
                self.sections.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def page(results: Results) -> Page:
    found = Page(write(results).report.read_text())
    levels = [int(tag[1]) for tag in found.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise([0, *levels])), (
        "a level of headings is left out"
    )
    return found


def test_verdicts_come_first_then_papers_then_results() -> None:
    found = page(study(made_up(seeds=3)))
    assert found.sections == [
        "Verdicts",
        "GuideBP",
        "Multi-way backpropagation",
        "Local critic training",
        "Checks of our own",
        "What differs after correction",
        "Digits",
        "Protocol",
        "Hardware, time and cost",
        "Provenance",
    ]
    assert "3 claims" in found.text and "9 runs: 9 finished" in found.text
    assert "To test it: 1200 runs, 7.0 h on a GPU: snakemake --config study=paper." in found.text
    assert "Smaller data." in found.text
    assert "VGG" in found.text, "the paper's own table stands in its section"


def test_hostile_titles_are_text() -> None:
    bad = """</script><script>alert(1)</script>"'><img src=x onerror=alert(2)>"""
    results = study(made_up(), {"decided": claim(["columns"], statement=bad, source=bad)})
    about = results.about
    found = page(
        replace(
            results,
            about=about
            | {
                "title": bad,
                "about": bad,
                "sections": [section | {"title": bad} for section in about["sections"]],
                "datasets": {"digits": about["datasets"]["digits"] | {"title": bad, "citation": bad}},
                "architectures": {"columns": about["architectures"]["columns"] | {"title": bad}},
            },
        )
    )
    assert found.tags.count("script") == 2, "DataTables and our own"
    assert found.text.count("alert(2)") >= 8


@pytest.mark.parametrize(
    ("lock", "text"),
    [
        ({"now": "aa", "runs": {"aa": {"count": 9, "commits": ["c" * 40]}}},
         "Small scale: rules unchanged since the 9 runs were trained (aa)."),
        (
            {"now": "bb", "runs": {"bb": {"count": 5, "commits": []}, "aa": {"count": 4, "commits": ["d" * 40]}}},
            "Small scale: 4 of 9 runs were trained under other rules than today's bb: 4 under aa, code dddddddddd.",
        ),
        (
            {"now": "bb", "runs": {"bb": {"count": 7, "commits": ["c"]}, "none": {"count": 2, "commits": ["c"]}}},
            "Small scale: 2 of 9 runs do not say under which rules they were trained.",
        ),
        (None, "undecided"),
    ],
)  # fmt: skip
def test_a_claim_says_whether_its_rules_changed(lock: Json | None, text: str) -> None:
    claims = {"decided": CLAIMS["decided"]}
    found = page(study(made_up(seeds=3), claims, {"decided": {"small-scale": lock}} if lock else {}))
    assert text in found.text
    changed = lock is not None and set(lock["runs"]) != {"aa"}
    suffix = " (rules changed after the runs)" * changed
    assert f"1 claims: 1 undecided (small scale){suffix}." in found.text
    assert f"small scale: undecided{suffix}" in found.texts, "the mark shows the setting as well"
    assert ("which rules changed" in found.texts) == changed


def test_a_study_without_claims() -> None:
    found = page(study(made_up(), {}, published={}))
    assert "This study puts no claim to the test." in found.text
    assert "GuideBP" not in found.text


def test_a_section_without_exits() -> None:
    results = study(made_up())
    sections = [section | {"exits": False, "trunk": False} for section in results.about["sections"]]
    found = page(replace(results, about=results.about | {"sections": sections}))
    assert "Every exit" not in found.text and "Progressive inference" not in found.text


def test_a_study_of_which_every_run_diverged() -> None:
    results = made_up(seeds=2)
    lost = results.metrics.assign(status="diverged", accuracy=float("nan"), calibration_error=float("nan"))
    empty = {name: getattr(results, name).iloc[:0] for name in ("inference", "calibration", "cosines")}
    found = page(study(replace(results, metrics=lost, **empty)))
    assert "6 runs: 6 diverged" in found.text
    assert "0 of 2, 2 diverged" in found.text


def test_costs_are_summed_by_section_and_device() -> None:
    results = made_up(seeds=2, failed=("guidebp", 1))
    costs = results.costs.assign(seconds=1800.0, threads=2, device_class="cpu", host="here", processor="P",
                                 device="cpu", torch="2", python="3", commit="c" * 40, edited=False)  # fmt: skip
    costs.loc[costs["method"] == "average", ["device_class", "instructions"]] = "cuda H200", "AVX2"
    sections = [
        section | {"name": name, "title": name}
        for section in made_up().about["sections"]
        for name in ("a", "b")
    ]
    found = page(study(replace(results, costs=costs), sections=sections))
    assert "a 6 1 0 4.00 1.00 b 6 1 0 4.00 1.00 all, every run once 6 1 0 4.00 1.00" in found.text
    assert "P AVX2 cpu 2 1.00 2 3 cccccccccc" in found.text
    assert "P unknown cpu 4 2.00 2 3 cccccccccc" in found.text


def test_notebooks_are_listed_where_there_are_some() -> None:
    paths = write(study(made_up()))
    Path("notebooks").mkdir()
    for name in ("one", "not-executed"):
        Path(f"notebooks/{name}.py").write_text("# %% [markdown]\n# # One <b>\n")
    paths.notebook("one").parent.mkdir()
    paths.notebook("one").touch()
    write_report(paths)
    text = paths.report.read_text()
    assert '<li><a href="notebooks/one.html">One &lt;b&gt;</a></li>' in text
    assert "not-executed" not in text


@pytest.mark.parametrize(
    ("text", "number"),
    [("98.10 ± 0.20", 98.1), ("+1.20", 1.2), ("-0.28 to +1.64", -0.28), ("0.001", 0.001), ("4 of 5, 1 crashed", 4)],
)  # fmt: skip
def test_cells_sort_as_the_number_they_begin_with(text: str, number: float) -> None:
    assert float(extract_sort_key(text)) == number


def test_cells_without_a_number_sort_below_all() -> None:
    assert extract_sort_key("-") == extract_sort_key("unknown") == ""
    assert 0.0009 < float(extract_sort_key("< 0.001")) < 0.001


def test_bold_cells_and_columns_of_numbers() -> None:
    table = pd.DataFrame({"what": ["a", "b"], "accuracy": ["9.0", "-"], "best": ["accuracy", ""]})
    found = build_html_table("t", "T", "", table)
    assert [column["head"] for column in found["columns"]] == ["what", "accuracy"]
    assert [[cell["bold"] for cell in row] for row in found["rows"]] == [[False, True], [False, False]]
    assert [[cell["order"] for cell in row] for row in found["rows"]] == [[None, "9.0"], [None, ""]]
