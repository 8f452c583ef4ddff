"""What the figures show: their numbers, and that these alone redraw them."""

import io
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.transforms import Bbox

from guidebp.analysis.comparisons import compare_methods
from guidebp.analysis.ranks import rank_methods
from guidebp.analysis.results import PATHWAYS, PRIMARY, Results, read_table
from guidebp.analysis.statistics import compute_interval
from guidebp.rendering.figure_catalogue import FIGURE_ENTRIES
from guidebp.rendering.figures import add_titles, claims, encode_figure_data, load_figure_module
from guidebp.rendering.figures.critical_difference import find_cliques
from guidebp.rendering.placements import list_placements
from guidebp.rendering.render import list_figure_runs
from guidebp.rendering.style import encode_figure, freeze_layout
from tests.support.made_up_results import METHODS, made_up


def analysed(results: Results) -> Results:
    ranks, pairs = rank_methods(results)
    return replace(
        results, comparisons=compare_methods(results), ranks=ranks, rank_pairs=pairs, claims=pd.DataFrame()
    )


def on_datasets(count: int) -> Results:
    """Runs on so many datasets, `guidebp` a point ahead, `independent` half a point."""
    results = made_up(seeds=2)
    ahead = results.metrics["method"].map({"average": 0.0, "independent": 0.5, "guidebp": 1.0})
    names = [f"set {number}" for number in range(count)]
    metrics = pd.concat(
        [
            results.metrics.assign(
                dataset=name, key=results.metrics["key"] + name, accuracy=90 + number + ahead
            )
            for number, name in enumerate(names)
        ],
        ignore_index=True,
    )
    combinations = [[name, "columns", method] for name in names for method in METHODS]
    about = results.about | {
        "datasets": dict.fromkeys(names, results.about["datasets"]["digits"]),
        "sections": [
            {"name": "all", "title": "", "combinations": combinations, "exits": True, "trunk": True}
        ],
    }
    return analysed(replace(results, about=about, metrics=metrics))


@pytest.mark.parametrize("name", FIGURE_ENTRIES)
def test_the_csv_file_alone_redraws_the_figure_to_the_byte(name: str) -> None:
    module = load_figure_module(name)
    data = module.prepare_figure_data(analysed(made_up(failed=("guidebp", 1))), "digits")
    again = pd.read_csv(io.BytesIO(encode_figure_data(data)))
    assert encode_figure(module.draw_figure(data), "svg") == encode_figure(module.draw_figure(again), "svg")
    assert encode_figure_data(again) == encode_figure_data(data)


def test_a_ranked_section_is_redrawn_from_its_csv_file_too() -> None:
    module = load_figure_module("critical-difference")
    data = module.prepare_figure_data(on_datasets(6).section("all"), "")
    again = pd.read_csv(io.BytesIO(encode_figure_data(data)))
    assert encode_figure(module.draw_figure(data), "svg") == encode_figure(module.draw_figure(again), "svg")


def test_titles_stand_beside_names_in_the_study_s_order() -> None:
    results = made_up()
    about = results.about | {
        "architectures": {"b": {"title": "Second"}, "a": {"title": "First"}},
        "methods": {m: {"title": m.upper(), "group": "own"} for m in ("guidebp", "average")},
    }
    rows = pd.DataFrame(
        {
            "method": ["average", "guidebp", "average", "average"],
            "architecture": ["a", "a", "b", "a"],
            "value": [1 / 3, 2.0, 3.0, 4.0],
        }
    )
    found = add_titles(replace(results, about=about), rows)
    assert list(found.columns) == [
        "architecture",
        "architecture_title",
        "method",
        "method_title",
        "group",
        "value",
    ]
    assert found.drop(columns="group").values.tolist() == [
        ["b", "Second", "average", "AVERAGE", 3.0],
        ["a", "First", "guidebp", "GUIDEBP", 2.0],
        ["a", "First", "average", "AVERAGE", 0.333333],
        ["a", "First", "average", "AVERAGE", 4.0],
    ]


def test_accuracy_has_the_interval_with_the_overlap_of_redrawn_splits() -> None:
    results = made_up(failed=("guidebp", 1))
    data = load_figure_module("accuracy").prepare_figure_data(results, "digits")
    rows = data[(data["method"] == "guidebp") & (data["output"] == "merged")]
    values = rows["accuracy"].dropna().to_numpy(float)
    found = compute_interval(values, overlap=200 / 800, step=0.5)
    first = rows.iloc[0]
    assert first[["n", "mean", "low", "high"]].tolist() == pytest.approx(
        [4, found.difference, found.low, found.high], abs=1e-6
    )
    assert "softmax average" not in set(data["output"])


def test_an_untrained_pathway_has_no_accuracy() -> None:
    results = made_up()
    untrained = results.metrics["output"] == "kernel 3"
    results = replace(results, metrics=results.metrics.assign(trained=~untrained))
    data = load_figure_module("accuracy").prepare_figure_data(results, "digits")
    assert data.loc[data["output"] == "kernel 3", ["accuracy", "mean"]].isna().all(axis=None)
    assert data.loc[data["output"] == "kernel 5", "accuracy"].notna().all()


def test_differences_are_the_comparisons_that_analyse_wrote() -> None:
    results = made_up()
    table = compare_methods(results).assign(difference=7.0)
    data = load_figure_module("differences").prepare_figure_data(
        replace(results, comparisons=table), "digits"
    )
    assert set(data["difference"]) == {7.0}
    assert set(data["measure"]) == {PRIMARY, PATHWAYS}
    assert set(data["output"]) == {"merged"}


def test_cosines_are_means_over_seeds_of_runs_whose_exits_are_all_trained() -> None:
    results = made_up(seeds=2)
    rows = results.cosines
    apart = (rows["first"] != rows["second"]) & (rows["seed"] == 1)
    results = replace(results, cosines=rows.assign(cosine=rows["cosine"].where(~apart, -0.75)))
    metrics = results.metrics
    untrained = (metrics["method"] == "average") & (metrics["pathway"] == 1)
    data = load_figure_module("cosines").prepare_figure_data(
        replace(results, metrics=metrics.assign(trained=~untrained)), "digits"
    )
    assert set(data["method"]) == {"independent", "guidebp"}
    own = data["first"] == data["second"]
    assert set(data.loc[own, "cosine"]) == {1.0}
    assert set(data.loc[~own, "cosine"]) == {-0.25}
    assert set(data["runs"]) == {2}


def test_calibration_pools_the_bins_of_the_primary_output() -> None:
    results = made_up(seeds=2)
    rows = results.calibration
    other = rows["output"] != "merged"
    second = (rows["seed"] == 1) & (rows["bin"] == 9)
    rows = rows.assign(images=rows["images"].where(~second, 300), correct=rows["correct"].where(~other, 0))
    data = load_figure_module("calibration").prepare_figure_data(replace(results, calibration=rows), "digits")
    one = data[data["method"] == "average"].set_index("bin")
    assert one["images"].to_dict() == {9: 400, 15: 220}
    assert one["confidence"].tolist() == pytest.approx([100 * 180 / 400, 100 * 180 / 220], abs=1e-6)
    assert one["accuracy"].tolist() == pytest.approx([100 * 160 / 400, 100.0], abs=1e-6)
    # the bins' gaps weighted by their images: |160 - 180| and |220 - 180| of 620
    assert one["calibration_error"].tolist() == pytest.approx([100 * 60 / 620] * 2, abs=1e-6)


def test_bins_of_few_images_are_in_the_table_and_not_in_the_picture() -> None:
    module = load_figure_module("calibration")
    data = module.prepare_figure_data(made_up(), "digits")
    few = data.assign(images=data["images"].where(data["bin"] != 9, 9))
    lines = [line for line in module.draw_figure(few).axes[0].lines if line.get_color() == "#222222"]
    assert [len(line.get_xdata()) for line in lines] == [1]


def test_cost_shows_time_and_passes_and_memory_only_where_some_run_knows_it() -> None:
    results, module = made_up(), load_figure_module("cost")
    data = module.prepare_figure_data(results, "digits")
    means = data.drop_duplicates(["method", "quantity"]).set_index(["method", "quantity"])["mean"]
    assert means["average", "time per step (ms)"] == 20.0  # 2 s for 100 steps
    assert means["average", "backward passes per step"] == 1.0
    assert len(module.draw_figure(data).axes) == 2
    known = results.costs["method"].map({"guidebp": 3 * 2.0**20})
    data = module.prepare_figure_data(
        replace(results, costs=results.costs.assign(peak_memory=known)), "digits"
    )
    assert set(data.loc[data["quantity"] == "peak memory (MiB)", "value"]) == {3.0}
    assert len(module.draw_figure(data).axes) == 3
    unknown = results.costs.assign(peak_memory=np.nan)
    assert (
        len(module.draw_figure(module.prepare_figure_data(replace(results, costs=unknown), "digits")).axes)
        == 2
    )


def test_ranks_of_six_datasets_are_shown_best_first_with_test_and_critical_difference() -> None:
    module = load_figure_module("critical-difference")
    results = on_datasets(6)
    data = module.prepare_figure_data(results.section("all"), "")
    assert data["method"].tolist() == ["guidebp", "independent", "average"]
    assert data["rank"].tolist() == [1.0, 2.0, 3.0]
    assert set(data["datasets"]) == {6}
    texts = [text.get_text().strip() for text in module.draw_figure(data).axes[0].texts]
    # Demsar 2006, table 5: q = 2.343 for three methods
    assert f"CD = {2.343 * (3 * 4 / 36) ** 0.5:.2f}" in texts
    assert {"guidebp (1.00)", "independent (2.00)", "(3.00) average"} <= set(texts)
    assert "p < 0.001, 6 datasets" in module.draw_figure(data).axes[0].get_title()


def test_ranks_of_few_datasets_are_refused_with_their_number() -> None:
    module = load_figure_module("critical-difference")
    for count in (1, 4):
        (text,) = module.draw_figure(module.prepare_figure_data(on_datasets(count).section("all"), "")).texts
        assert text.get_text() == (
            f"Ranks need at least five datasets that all methods of this section share. Shared: {count}."
        )


def test_bars_join_the_largest_runs_of_methods_within_the_critical_difference() -> None:
    assert find_cliques([1.0, 1.5, 2.4, 3.6, 5.0], 1.3) == [(1.0, 1.5), (1.5, 2.4), (2.4, 3.6)]
    assert find_cliques([1.0, 2.0], 1.0) == [], "as far apart as the critical difference is apart"
    assert find_cliques([1.0, 2.0, 2.5], 2.0) == [(1.0, 2.5)], "no bar within a bar"
    assert find_cliques([1.5, 1.5], 0.1) == []


def test_a_figure_across_datasets_has_one_placement_per_section() -> None:
    combinations = [[dataset, "columns", "average"] for dataset in ("a", "b")]
    sections = [
        {"name": name, "combinations": combinations, "exits": True, "trunk": True} for name in ("one", "two")
    ]
    found = [
        place for place in list_placements(FIGURE_ENTRIES, sections) if place[0] == "critical-difference"
    ]
    assert found == [("critical-difference", "", "one"), ("critical-difference", "", "two")]


@pytest.mark.parametrize("name", FIGURE_ENTRIES)
def test_provenance_names_every_file_that_a_figure_reads(name: str) -> None:
    """Files that it does not name, say those with the times of a machine, may change."""
    across = FIGURE_ENTRIES[name].per == "across"
    results, dataset = (on_datasets(6), "") if across else (analysed(made_up()), "digits")
    read = {
        "about",
        "prepared",
        *("costs" if file == "telemetry" else file for file in FIGURE_ENTRIES[name].reads),
    }
    others: dict[str, Any] = {column.name: None for column in fields(Results) if column.name not in read}
    module = load_figure_module(name)
    assert module.prepare_figure_data(replace(results, **others), dataset).equals(
        module.prepare_figure_data(results, dataset)
    )


def test_provenance_names_the_runs_of_the_dataset_or_of_all_of_them() -> None:
    results = on_datasets(2)
    keys = sorted(f"{method}-{seed}set 1" for method in METHODS for seed in range(2))
    assert list_figure_runs(results, "set 1") == keys
    assert len(list_figure_runs(results, "")) == 12


def test_the_ranks_of_a_study_s_only_section_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "ranks.csv"
    on_datasets(6).ranks.assign(section="").to_csv(path, index=False)  # type: ignore[union-attr]
    assert read_table(path)["section"].tolist() == [""] * 3


@pytest.mark.parametrize("long", [False, True])
def test_a_verdict_and_its_legend_do_not_overlap(long: bool) -> None:
    """A long legend stands on a line of its own."""
    name = "a-method-of-a-rather-long-name" if long else "a"
    row = {"claim": "a-claim", "role": "decides", "dataset": "d", "architecture": "n", "n": 5}
    row |= {"output": "merged", "difference": 0.1, "low": -0.1, "high": 0.3}
    row |= {"verdict": "undecided (small scale)", "margin": 0.2, "least": 0.0, "unit": "points"}
    figure = claims.draw_figure(
        pd.DataFrame([row | {"baseline": f"{name}-{k}", "candidate": f"{name}{k}"} for k in range(2)])
    )
    freeze_layout(figure)
    figure.draw_without_rendering()  # which places the legend
    legend = figure.axes[0].get_legend()
    assert legend
    (title,) = (text for text in figure.axes[0].texts if "a-claim" in text.get_text())
    box = title.get_window_extent()
    lines = title.get_text().count("\n") + 1
    assert lines == (2 if long else 1)
    heading = Bbox([[box.x0, box.y1 - box.height / lines], [box.x1, box.y1]])
    for text in legend.get_texts():
        words = text.get_window_extent()
        assert words.x0 > 0 and not heading.overlaps(words)
