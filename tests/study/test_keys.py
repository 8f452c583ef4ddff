"""Run keys: what is part of them, what is not, and that resolving a study needs no torch."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guidebp.errors import UserError
from guidebp.runs.json_fields import to_json
from guidebp.runs.spec import AugmentationSpec, spec_to_json
from guidebp.schema import families as families_module
from guidebp.schema.families import hash_code, read_families
from guidebp.study import keys as keys_module
from guidebp.study.resolve import load_study
from tests.support.tiny import ROOT

SOURCE = '''"""Module."""
# a comment
from dataclasses import dataclass


class A:
    """Class."""

    x = "# no comment"  # but this

    def f(self, y: int) -> int:
        """Function.

        Several lines.
        """
        return y + 1
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of config/ with the smoke study."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package's families, to edit."""
    copied = tmp_path / "package"
    for kind in ("methods", "models"):
        shutil.copytree(ROOT / "src/guidebp" / kind, copied / kind)
    monkeypatch.setattr(families_module, "PACKAGE", copied)
    read_families.cache_clear()
    yield copied
    read_families.cache_clear()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def keys(root: Path) -> dict[tuple[str, str, int], str]:
    return {(r.architecture, r.method, r.seed): r.key for r in load_study("smoke", root).runs}


def changed(before: dict[tuple[str, str, int], str], after: dict[tuple[str, str, int], str]) -> set[str]:
    """Methods and architectures of which every key changed; the others kept every key."""
    assert before.keys() == after.keys()
    moved = {run for run in before if before[run] != after[run]}
    for run in before:
        others = {other for other in before if other[:2] == run[:2]}
        assert others <= moved or not others & moved
    return {f"{architecture} {method}" for architecture, method, _ in moved}


ALL = {
    f"{a} {m}"
    for a in ("columns-digits", "branches-digits")
    for m in ("average", "independent", "learned", "guidebp")
}


@pytest.mark.parametrize(
    "edited",
    [
        SOURCE.replace("# a comment\n", ""),
        SOURCE.replace("# a comment", "# another"),
        SOURCE.replace("  # but this", ""),
        SOURCE.replace('"""Module."""', '"""Another.\n\nLonger."""'),
        SOURCE.replace("Several lines.", "Other\n\n        lines."),
        SOURCE.replace("\n\n", "\n\n\n\n"),
        SOURCE.replace("    return y + 1", "    return y + 1   "),
        SOURCE.replace("import dataclass", "import field"),
    ],
)
def test_code_hash_ignores_what_does_not_run(edited: str) -> None:
    assert edited != SOURCE
    assert hash_code(edited) == hash_code(SOURCE)


@pytest.mark.parametrize(
    "edited",
    [
        SOURCE.replace("y + 1", "y + 2"),
        SOURCE.replace("# no comment", "# no comments"),
        SOURCE.replace("    x =", "    z ="),
        SOURCE.replace("        return", "        if y:\n            return"),
    ],
)
def test_code_hash_sees_what_runs(edited: str) -> None:
    assert edited != SOURCE
    assert hash_code(edited) != hash_code(SOURCE)


@pytest.mark.parametrize("kind", ["methods", "models"])
def test_code_hashes_of_families_differ(kind: str) -> None:
    found = read_families(kind)
    assert len({family.code for family in found.values()}) == len(found) > 2


def test_keys_are_unique_and_equal_when_resolved_again(root: Path) -> None:
    first = keys(root)
    assert len(set(first.values())) == len(first) == 16
    assert all(len(key) == 20 and set(key) <= set("0123456789abcdef") for key in first.values())
    assert keys(root) == first


def test_equal_content_under_other_names_and_titles_has_equal_keys(root: Path) -> None:
    before = keys(root)
    config = root / "config"
    edit(config / "methods.yaml", "title: guidebp (primary)", "title: Something else")
    edit(config / "architectures.yaml", "title: Three columns (kernels 3, 5, 7)", "title: Columns")
    edit(config / "architectures.yaml", "columns-digits:\n", "columns-renamed:\n")
    edit(config / "datasets.yaml", "title: Handwritten digits, 8x8", "title: Digits")
    edit(config / "recipes/digits.yaml", "digits-smoke:", "other-name:")
    edit(config / "claims.yaml", "margin: 0.2", "margin: 0.3")
    edit(config / "claims.yaml", "columns-digits", "columns-renamed")
    smoke = config / "studies/smoke.yaml"
    edit(smoke, "columns-digits", "columns-renamed")
    edit(smoke, "digits-smoke", "other-name")
    edit(smoke, "seeds_per_pack: 2", "seeds_per_pack: 1")
    after = keys(root)
    assert set(after.values()) == set(before.values())


def test_a_default_written_out_changes_nothing(root: Path) -> None:
    before = keys(root)
    edit(root / "config/methods.yaml", "family: learned", "family: learned\n  options: {per: class}")
    assert keys(root) == before


def test_claims_travel_beside_the_key(root: Path) -> None:
    before = load_study("smoke", root).runs[0]
    edit(root / "config/claims.yaml", "margin: 0.2", "margin: 0.3")
    after = load_study("smoke", root).runs[0]
    assert before.planned.locks.keys() == after.planned.locks.keys()
    assert before.planned.locks != after.planned.locks
    assert before.spec == after.spec and before.key == after.key


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (
            "methods.yaml",
            "family: learned",
            "family: learned\n  options: {per: pathway}",
            {s for s in ALL if "learned" in s},
        ),
        ("architectures.yaml", "stem: 8,", "stem: 16,", {s for s in ALL if "branches" in s}),
        ("recipes/digits.yaml", "epochs: 2", "epochs: 3", ALL),
        ("recipes/digits.yaml", "lr: 0.05", "lr: 0.06", ALL),
        ("datasets.yaml", "validation: 0.2", "validation: 0.1", ALL),
    ],
)
def test_what_decides_results_changes_the_key(
    root: Path, file: str, old: str, new: str, expected: set[str]
) -> None:
    before = keys(root)
    edit(root / "config" / file, old, new)
    assert changed(before, keys(root)) == expected


NONE, FLIP = AugmentationSpec(), AugmentationSpec(flip=True)


def augmentations(root: Path) -> list[AugmentationSpec]:
    """Every run's augmentation; the JSON of its recipe has the key only where images change."""
    recipes = [run.spec.recipe for run in load_study("smoke", root).runs]
    assert all(("augmentation" in to_json(recipe)) == bool(recipe.augmentation) for recipe in recipes)
    return [recipe.augmentation for recipe in recipes]


def of_the_digits(root: Path, augmentation: str) -> None:
    """Give the digits an augmentation."""
    title = "  title: Handwritten digits, 8x8\n"
    edit(root / "config/datasets.yaml", title, f"{title}  augmentation: {augmentation}\n")


def of_the_recipes(root: Path, augmentation: str) -> None:
    """Give all recipes an augmentation."""
    edit(root / "config/recipes/digits.yaml", "  epochs:", f"  augmentation: {augmentation}\n  epochs:")


@pytest.mark.parametrize("recipe", [None, "dataset", "none", "{}", "{flip: false, crop: 0}"])
def test_no_augmentation_is_not_part_of_the_key(root: Path, recipe: str | None) -> None:
    before = keys(root)
    if recipe:
        of_the_recipes(root, recipe)
    assert keys(root) == before and augmentations(root) == [NONE] * 16


@pytest.mark.parametrize("dataset", ["{}", "{flip: false}", "{cutout: 0}"])
def test_dataset_without_augmentation_keeps_its_keys(root: Path, dataset: str) -> None:
    before = keys(root)
    of_the_digits(root, dataset)
    assert keys(root) == before and augmentations(root) == [NONE] * 16


@pytest.mark.parametrize(
    ("dataset", "recipe", "expected"),
    [
        ("{flip: true}", None, FLIP),
        ("{flip: true}", "dataset", FLIP),
        ("{flip: true}", "none", NONE),
        ("{flip: true}", "{}", NONE),
        ("{flip: true}", "{crop: 2}", AugmentationSpec(crop=2)),
        ("{}", "{flip: true}", FLIP),
        ("{crop: 4, cutout: 8}", None, AugmentationSpec(crop=4, cutout=8)),
    ],
)
def test_recipe_chooses_the_augmentation(
    root: Path, dataset: str, recipe: str | None, expected: AugmentationSpec
) -> None:
    before = keys(root)
    of_the_digits(root, dataset)
    if recipe:
        of_the_recipes(root, recipe)
    assert augmentations(root) == [expected] * 16
    if expected == NONE:
        assert keys(root) == before
    else:
        assert changed(before, keys(root)) == ALL


def test_augmentations_that_differ_have_keys_that_differ(root: Path) -> None:
    config, found = (root / "config/recipes/digits.yaml").read_text(), [keys(root)]
    for chosen in ("{flip: true}", "{crop: 1}", "{crop: 2}", "{cutout: 1}", "{flip: true, crop: 1}"):
        of_the_recipes(root, chosen)
        found.append(keys(root))
        (root / "config/recipes/digits.yaml").write_text(config)
    assert len({key for some in found for key in some.values()}) == 6 * 16
    of_the_recipes(root, "{flip: true}")
    explicit = keys(root)
    (root / "config/recipes/digits.yaml").write_text(config)
    of_the_digits(root, "{flip: true}")
    assert keys(root) == explicit  # wherever it is written


def test_subset_has_keys_of_its_own_and_the_augmentation_of_its_whole(root: Path) -> None:
    smoke = root / "config/studies/smoke.yaml"
    keys_of = {}
    for name in ("cifar-10", "cifar-10-10k"):
        edit(smoke, "datasets: [digits]", f"datasets: [{name}]")
        runs = load_study("smoke", root).runs
        assert all(run.spec.recipe.augmentation == AugmentationSpec(flip=True, crop=4) for run in runs)
        assert all(run.spec.dataset.name == name for run in runs)
        keys_of[name] = {run.key for run in runs}
        edit(smoke, f"datasets: [{name}]", "datasets: [digits]")
    assert not keys_of["cifar-10"] & keys_of["cifar-10-10k"]


def test_engine_version_changes_every_key(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(root)
    monkeypatch.setattr(keys_module, "ENGINE_VERSION", keys_module.ENGINE_VERSION + 1)
    assert changed(before, keys(root)) == ALL


@pytest.mark.parametrize(
    ("file", "line", "touches"),
    [
        ("methods/guidebp.py", "        return guided\n", "guidebp"),
        ("methods/learned.py", "        return self.predict(logits)\n", "learned"),
        ("models/branches.py", "    return Chain(segments, exits, heads, depths)\n", "branches"),
    ],
)
def test_own_file_changes_own_keys_only(
    root: Path, package: Path, file: str, line: str, touches: str
) -> None:
    before = keys(root)
    edit(package / file, line, "\n" + line.rstrip("\n") + "  # the same\n")
    read_families.cache_clear()
    assert keys(root) == before
    edit(
        package / file,
        line.rstrip("\n") + "  # the same",
        line.replace("return ", "return 0 or ").rstrip("\n"),
    )
    read_families.cache_clear()
    assert changed(before, keys(root)) == {s for s in ALL if touches in s}


def test_code_of_the_base_is_part_of_the_key(root: Path, package: Path) -> None:
    def of_instances() -> set[str]:
        keys = load_study("demo", root).runs
        return {run.key for run in keys if run.architecture == "instances-digits"}

    before = of_instances()
    edit(package / "models/columns.py", "nn.MaxPool2d(2)", "nn.AvgPool2d(2)")
    read_families.cache_clear()
    assert not before & of_instances()


def test_more_runs_keep_the_keys_and_name_their_packs_by_them(root: Path) -> None:
    before, packs = keys(root), {pack.id for pack in load_study("smoke", root).packs}
    edit(root / "config/studies/smoke.yaml", "seeds: [0, 1]", "seeds: [0, 1, 2, 3]")
    edit(root / "config/studies/smoke.yaml", "[average,", "[add, average,")
    after = load_study("smoke", root)
    assert before.items() <= keys(root).items() and len(after.runs) == 40
    assert not packs & {pack.id for pack in after.packs}
    grouped = [run.key for pack in after.packs for run in pack.runs]
    assert sorted(grouped) == sorted(run.key for run in after.runs)
    for pack in after.packs:
        assert len({(run.dataset, run.architecture, run.seed // 2) for run in pack.runs}) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_a_number_of_seeds_means_that_many_from_0(root: Path, count: int) -> None:
    smoke = root / "config/studies/smoke.yaml"
    edit(smoke, "seeds: [0, 1]", f"seeds: {list(range(count))}")
    listed = keys(root)
    edit(smoke, f"seeds: {list(range(count))}", f"seeds: {count}")
    assert keys(root) == listed and {seed for _, _, seed in listed} == set(range(count))


@pytest.mark.parametrize("seeds", ["0", "-1", "1.5", "true", "[0, 0]", "[0, -1]", "[]", "[0.5]", "all", "{}"])
def test_seeds_that_are_none_are_refused(root: Path, seeds: str) -> None:
    smoke = root / "config/studies/smoke.yaml"
    edit(smoke, "seeds: [0, 1]", f"seeds: {seeds}")
    with pytest.raises(UserError) as caught:
        load_study("smoke", root)
    assert str(caught.value).startswith(f"{smoke}: blocks.0.seeds")
    assert len(str(caught.value).splitlines()) == 1 and "<" not in str(caught.value)


def probe(code: str, check: Callable[[str], None]) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check(done.stdout)


def test_resolving_imports_no_torch_and_gives_json() -> None:
    code = (
        "import json, sys\nfrom guidebp.runs.spec import spec_to_json\n"
        "from guidebp.study.resolve import load_study\n"
        "print(json.dumps([spec_to_json(run.spec) for run in load_study('smoke').runs]))\n"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)\n"
    )
    expected = [spec_to_json(run.spec) for run in load_study("smoke", ROOT).runs]

    def check(output: str) -> None:
        assert json.loads(output) == expected

    probe(code, check)
