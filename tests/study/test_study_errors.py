"""Every mistake in config/ is one UserError that names the file, the key and what was expected."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from guidebp.errors import UserError
from guidebp.schema import families as families_module
from guidebp.schema import yaml_files
from guidebp.schema.families import read_families
from guidebp.schema.yaml_files import read_yaml
from guidebp.study.resolve import load_study
from tests.support.tiny import ROOT

SMOKE = "studies/smoke.yaml"
BASE = "options: {base: column-digits, copies: 3}"
LR = "lr: 0.05, momentum: 0.9, nesterov: true, weight_decay: 5.0e-4}\n  schedule: {name: cosine}\n  epochs: 2"


PETS = """
pets:
  title: Pets
  source: {folder: pets}
  shape: [3, 8, 8]
  classes: 2
  split: {test: 0.2, validation: 0.1}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    with (tmp_path / "config/datasets.yaml").open("a") as file:
        file.write(PETS)
    return tmp_path


def broken(root: Path, file: str, old: str, new: str, study: str = "smoke") -> str:
    """The message after replacing `old` in the file (everything, if empty)."""
    path = root / "config" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) if old else new)
    with pytest.raises(UserError) as caught:
        load_study(study, root)
    return str(caught.value)


@pytest.mark.parametrize("study", ["smoke", "demo"])
def test_copied_config_is_sound(root: Path, study: str) -> None:
    assert load_study(study, root).runs


SCHEMA = {
    "unknown key": (SMOKE, "about:", "abuot:", ["abuot: unknown key", "about: Field required"]),
    "unknown key in a block": (
        SMOKE,
        "    recipe:",
        "    colour: red\n    recipe:",
        ["blocks.0.colour: unknown"],
    ),
    "string for a number": (SMOKE, "_pack: 2", "_pack: two", ["seeds_per_pack: ", "integer", "'two'"]),
    "number below its bound": (SMOKE, "_pack: 2", "_pack: 0", ["seeds_per_pack: ", "greater than or"]),
    "number for a list": (
        SMOKE,
        "datasets: [digits]",
        "datasets: 3",
        ["blocks.0.datasets: ", "array"],
    ),
    "bool for a number": (SMOKE, "[0, 1]", "[0, true]", ["blocks.0.seeds.1: ", "integer"]),
    "fraction for an integer": (SMOKE, "[0, 1]", "[0, 1.5]", ["blocks.0.seeds.1: ", "integer"]),
    "negative seed": (SMOKE, "[0, 1]", "[-1]", ["blocks.0.seeds.0: ", "greater than or equal"]),
    "seed twice": (SMOKE, "[0, 1]", "[0, 1, 0]", ["blocks.0.seeds: listed twice: 0"]),
    "method twice": (
        SMOKE,
        "[average, ind",
        "[average, average, ind",
        ["blocks.0.methods: listed twice: av"],
    ),
    "no seeds": (SMOKE, "[0, 1]", "[]", ["blocks.0.seeds: ", "at least 1"]),
    "no datasets": (SMOKE, "[digits]", "[]", ["blocks.0.datasets: ", "at least 1"]),
    "no baselines": (SMOKE, "baselines: [average, independent]", "baselines: []", ["baselines: "]),
    "odd name": (SMOKE, "[digits]", "[Digits!]", ["blocks.0.datasets.0: ", "pattern"]),
    "duplicate key": (
        SMOKE,
        "about:",
        "title: again\nabout:",
        ["not valid YAML", "'title' stands here twice"],
    ),
    "no YAML": (SMOKE, "about:", "about: [", ["not valid YAML"]),
    "a list": (SMOKE, "", "[1, 2]", ["should be an object"]),
    "empty": (SMOKE, "", "", ["title: Field required"]),
    "recursive": (
        SMOKE,
        "",
        "&a [*a]",
        ["not valid YAML", "an alias stands within its own anchor", "line 1"],
    ),
    "recursive mapping": (
        SMOKE,
        "about:",
        "x: &a {b: [*a]}\nabout:",
        ["an alias stands within its own anchor"],
    ),
    "recursive key": (SMOKE, "", "? &a {b: *a}\n: 1", ["an alias stands within its own anchor"]),
    "merge key": (
        SMOKE,
        "about:",
        "x: &a {b: 1}\ny: {<<: *a, c: 2}\nabout:",
        ["merge keys (<<) are not supported; write the keys out", "line 4"],
    ),
    "alias of nothing": (SMOKE, "about:", "x: *a\nabout:", ["not valid YAML", "undefined alias 'a'"]),
    "key that breaks the line": (SMOKE, "about:", '"a\\nb": 1\nabout:', ["'a\\nb': unknown key"]),
    "nested too deep": (SMOKE, "", "[" * 5000 + "]" * 5000, ["not valid YAML"]),
    "a date": (SMOKE, "[0, 1]", "[2020-01-01]", ["no form"]),
    "wrong tag": (SMOKE, "[0, 1]", "!!bool maybe", ["not valid YAML"]),
    "dangerous tag": (SMOKE, "[0, 1]", "!!python/object/apply:os.getcwd []", ["not valid YAML"]),
    "unknown optimiser": (
        "recipes/digits.yaml",
        "name: sgd",
        "name: sdg",
        ["digits-short.optimiser: ", "'sgd', 'rmsprop', 'adam'"],
    ),
    "lr not a number": ("recipes/digits.yaml", "lr: 0.05", "lr: .nan", ["digits-short.optimiser.sgd.lr: "]),
    "lr infinite": ("recipes/digits.yaml", "lr: 0.05", "lr: .inf", ["digits-short.optimiser.sgd.lr: "]),
    "lr zero": ("recipes/digits.yaml", "lr: 0.05", "lr: 0", ["optimiser.sgd.lr: ", "greater than 0"]),
    "lr as YAML's string": ("recipes/digits.yaml", "lr: 0.05", "lr: 5e-2", ["sgd.lr: ", "number", "'5e-2'"]),
    "nesterov alone": ("recipes/digits.yaml", "momentum: 0.9", "momentum: 0", ["nesterov needs a momentum"]),
    "milestones astray": (
        "recipes/digits.yaml",
        "{name: cosine}",
        "{name: step}",
        ["schedule: milestones are needed by"],
    ),
    "share above 1": ("datasets.yaml", "test: 0.2", "test: 1.2", ["digits.split.test", "less than 1"]),
    "source that is a word": (
        "datasets.yaml",
        "source: {folder: pets}",
        "source: pets",
        ["pets.source: needs exactly one of the keys files, folder, npz, torchvision"],
    ),
    "no source": (
        "datasets.yaml",
        "source: {folder: pets}",
        "source:",
        ["pets.source: needs exactly one of the keys"],
    ),
    "two sources": (
        "datasets.yaml",
        "source: {folder: pets}",
        "source: {folder: pets, npz: {path: x.npz}}",
        ["pets.source: needs exactly one of the keys"],
    ),
    "download among the arguments": (
        "datasets.yaml",
        "source: {folder: pets}",
        "source: {torchvision: FakeData, arguments: {download: true}}",
        ["pets.source.arguments: download stands beside the arguments"],
    ),
    "class named twice": (
        "datasets.yaml",
        "classes: [T-shirt/top, trouser,",
        "classes: [trouser, trouser,",
        ["fashion-mnist.classes: class named twice: trouser"],
    ),
    "reader of another source": (
        "datasets.yaml",
        "reader: digits-csv",
        "reader: image-folder",
        ["digits.source.reader: unknown reader 'image-folder'; known: cifar, digits-csv, idx, mat, npz"],
    ),
    "checksum": (
        "datasets.yaml",
        "sha256: 09f6",
        "sha256: 9f6",
        ["digits.source.files.0.sha256: ", "pattern"],
    ),
    "path that escapes": (
        "datasets.yaml",
        "path: digits.csv.gz",
        "path: ../digits.csv.gz",
        ["digits.source.files.0.path: ", "pattern"],
    ),
    "dataset without source": (
        "datasets.yaml",
        "source:\n    reader: digits-csv",
        "sauce:\n    reader: digits-csv",
        ["digits.source: Field required", "digits.sauce: unknown key"],
    ),
    "source of no kind": (
        "datasets.yaml",
        "digits-csv\n    files:",
        "digits-csv\n    fils:",
        ["digits.source: needs exactly one of the keys files, folder, npz, torchvision"],
    ),
    "source of two kinds": (
        "datasets.yaml",
        "digits-csv\n    files:",
        "digits-csv\n    folder: pictures\n    files:",
        ["digits.source: needs exactly one of the keys"],
    ),
    "unknown reader": (
        "datasets.yaml",
        "reader: digits-csv",
        "reader: digit-csv",
        ["digits.source.reader: unknown reader 'digit-csv'; did you mean 'digits-csv'"],
    ),
    "path twice": (
        "datasets.yaml",
        "path: train_32x32.mat",
        "path: test_32x32.mat",
        ["svhn.source: path given twice: test_32x32.mat"],
    ),
    "neither checksum nor unverified": (
        "datasets.yaml",
        "        md5: e26dedcc434d2e4c54c9b2d4a06d8373\n",
        "",
        ["svhn.source.files.0: give md5 or sha256", "`unverified: true`"],
    ),
    "checksum and unverified": (
        "datasets.yaml",
        "        md5: e26dedcc434d2e4c54c9b2d4a06d8373\n",
        "        md5: e26dedcc434d2e4c54c9b2d4a06d8373\n        unverified: true\n",
        ["svhn.source.files.0: give md5 or sha256"],
    ),
    "two sides": ("datasets.yaml", "shape: [1, 8, 8]", "shape: [1, 8]", ["digits.shape.2: Field required"]),
    "part of nothing": (
        "datasets.yaml",
        "{subset_of: mnist, ",
        "{subset_of: mnst, ",
        ["mnist-10k.subset_of: no base dataset 'mnst'; did you mean 'mnist'"],
    ),
    "part of a part": (
        "datasets.yaml",
        "{subset_of: mnist, ",
        "{subset_of: kmnist-10k, ",
        ["mnist-10k.subset_of: 'kmnist-10k' is itself a subset; name its base dataset"],
    ),
    "part of no size": (
        "datasets.yaml",
        "{subset_of: mnist, images: 10000}",
        "{subset_of: mnist, images: 0}",
        ["mnist-10k.images: ", "greater than 0"],
    ),
    "part with a shape": (
        "datasets.yaml",
        "{subset_of: mnist, ",
        "{subset_of: mnist, shape: [1, 28, 28], ",
        ["mnist-10k.shape: unknown key"],
    ),
    "padding above its bound": (
        "datasets.yaml",
        "{flip: true, crop: 4}",
        "{flip: true, crop: 65}",
        ["cifar-10.augmentation.crop: ", "less than or equal to 64"],
    ),
    "unknown change": (
        "datasets.yaml",
        "{flip: true, crop: 4}",
        "{flop: true}",
        ["cifar-10.augmentation.flop: unknown key"],
    ),
    "recipe's augmentation": (
        "recipes/digits.yaml",
        "  epochs: 2\n",
        "  epochs: 2\n  augmentation: all\n",
        ["digits-smoke.augmentation", "'dataset' or 'none'", "'all'"],
    ),
    "method without title": ("methods.yaml", "  title: add\n", "", ["add.title: Field required"]),
    "device": (
        "config.yaml",
        "device: auto",
        "device: gpu",
        ["device: ", "'auto', 'cpu' or 'cuda'", "'gpu'"],
    ),
    "margin": ("claims.yaml", "margin: 0.5", "margin: -1", ["guidebp-instances.margin: ", "greater than 0"]),
    "margin of nothing": (
        "claims.yaml",
        "margin: 5\n",
        "margin: 0\n",
        ["guidebp-cost.margin: ", "greater than 0"],
    ),
    "margin not a number": ("claims.yaml", "margin: 0.5", "margin: .nan", ["guidebp-instances.margin: "]),
    "margin infinite": ("claims.yaml", "margin: 0.5", "margin: .inf", ["guidebp-instances.margin: "]),
    "unknown rule": (
        "claims.yaml",
        "margin: 0.5",
        "rule: equality",
        ["not valid YAML", "'rule' stands here twice"],
    ),
    "unknown setting": (
        "claims.yaml",
        "    published: {datasets: [mnist, cmaterdb, cifar-10], architectures: [columns-32]",
        "    publishd: {datasets: [mnist, cmaterdb, cifar-10], architectures: [columns-32]",
        ["guidebp-merge.settings.publishd", "'published', 'small-scale' or 'exploratory'"],
    ),
    "no datasets in a setting": (
        "claims.yaml",
        "published: {datasets: [mnist, cmaterdb, cifar-10], architectures: [columns-32]",
        "published: {datasets: [], architectures: [columns-32]",
        ["guidebp-merge.settings.published.datasets: ", "at least 1"],
    ),
    "no architectures in a setting": (
        "claims.yaml",
        "architectures: [columns-32]",
        "architectures: []",
        ["guidebp-merge.settings.published.architectures: ", "at least 1"],
    ),
    "no settings": (
        "claims.yaml",
        "  settings: *instances\n",
        "  settings: {}\n",
        ["guidebp-cost.settings: ", "at least 1"],
    ),
    "architecture of one side": (
        "claims.yaml",
        "{candidate: mwresnet-44-2, baseline: resnet-110}",
        "{candidate: mwresnet-44-2}",
        ["multiway-depth.settings.published.architectures.0", "baseline: Field required"],
    ),
    "unknown metric": (
        "claims.yaml",
        "metric: ensemble",
        "metric: ensembel",
        ["critic-ensemble.metric: ", "'ensemble'", "'ensembel'"],
    ),
    "metric of a side": (
        "claims.yaml",
        "metric: primary}}",
        "metric: main}}",
        ["critic-ensemble.comparisons.0.baseline.metric: ", "'main'"],
    ),
    "no comparison": (
        "claims.yaml",
        "    - {candidate: {method: local-critic}, baseline: {method: sub-models}}",
        "    []",
        ["critic-submodels.comparisons: ", "at least 1"],
    ),
    "old key": (
        "claims.yaml",
        "  settings: *instances\n",
        "  families: [columns]\n",
        ["guidebp-cost.families: unknown"],
    ),
}


@pytest.mark.parametrize("case", SCHEMA)
def test_fault_in_a_file(root: Path, case: str) -> None:
    file, old, new, expected = SCHEMA[case]
    message = broken(root, file, old, new)
    assert all(line.startswith(f"{root / 'config' / file}: ") for line in message.splitlines()), message
    for part in expected:
        assert part in message


NAMES = {
    "method": (
        SMOKE,
        "[average, ind",
        "[avrage, ind",
        "blocks.0.methods: unknown name 'avrage'; did you mean 'average'",
    ),
    "dataset": (
        SMOKE,
        "[digits]",
        "[digit]",
        "blocks.0.datasets: unknown name 'digit'; did you mean 'digits'",
    ),
    "architecture": (
        SMOKE,
        "[columns-digits,",
        "[colums-digits,",
        "architectures: unknown name 'colums-digits'; did you mean 'col",
    ),
    "recipe": (
        SMOKE,
        "digits-smoke",
        "digits-smok",
        "blocks.0.recipe: unknown name 'digits-smok'; did you mean 'digits-",
    ),
    "far from all": (SMOKE, "[digits]", "[zzz]", "unknown name 'zzz'; known: cifar-10, cifar-10-10k, "),
    "baseline": (SMOKE, "baselines: [average,", "baselines: [averag,", "'averag'"),
    "baseline not trained": (SMOKE, "baselines: [average,", "baselines: [add,", "'add'"),
    "method family": (
        "methods.yaml",
        "family: learned",
        "family: learnt",
        "learned.family: unknown family 'learnt'; did you",
    ),
    "model family": (
        "architectures.yaml",
        "family: branches",
        "family: branch",
        "branches-digits.family: unknown family 'branch'; did you mean 'branches'",
    ),
    "method in a claim": (
        "claims.yaml",
        "baseline: {method: separate}}",
        "baseline: {method: seperate}}",
        "guidebp-instances: unknown method 'seperate'; did you mean 'separate'",
    ),
    "option": (
        "methods.yaml",
        "family: learned",
        "family: learned\n  options: {pre: class}",
        "learned.options.pre: unknown key",
    ),
    "option's value": (
        "methods.yaml",
        "family: learned",
        "family: learned\n  options: {per: image}",
        "learned.options.per: Input should be 'pathway' or 'class', found 'image'",
    ),
    "option's type": ("architectures.yaml", "stem: 8,", "stem: eight,", "branches-digits.options.stem: "),
    "options that do not fit": (
        "methods.yaml",
        "options: {score: error, selection: soft, scale: sum}",
        "options: {score: logit, selection: soft}",
        "guidebp.options.the score 'logit' can be negative",
    ),
    "even kernel": (
        "architectures.yaml",
        "[7, 7]], widths: [8, 16]",
        "[8, 8]], widths: [8, 16]",
        "must be odd",
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_fault_between_files(root: Path, case: str) -> None:
    file, old, new, expected = NAMES[case]
    message = broken(root, file, old, new)
    assert file in message and expected in message, message


def test_unknown_base_names_its_own_file(root: Path) -> None:
    message = broken(root, "architectures.yaml", BASE, BASE.replace("column-digits", "colum-digits"), "demo")
    assert "architectures.yaml: instances-digits.options.base: " in message
    assert "'colum-digits'" in message and "did you mean 'column-digits'" in message


@pytest.mark.parametrize("long", [False, True])
def test_base_made_of_itself(root: Path, long: bool) -> None:
    other = "other" if long else "instances-digits"
    more = "\nother:\n  title: t\n  family: instances\n  options: {base: instances-digits}\n" if long else ""
    new = BASE.replace("column-digits", other) + "\n" + more
    message = broken(root, "architectures.yaml", BASE, new, "demo")
    assert "architectures.yaml" in message and "is made of itself" in message


def test_images_too_small(root: Path) -> None:
    old = "[[3, 3], [5, 5], [7, 7]], widths: [8, 16]"
    message = broken(root, "architectures.yaml", old, "[[3, 3, 3, 3]], widths: [4, 4, 4, 4]")
    assert message == (
        f"{root / 'config' / SMOKE}: blocks.0: architecture 'columns-digits' needs images of at least 16 pixels a "
        "side, dataset 'digits' has 8x8"
    )


def test_images_too_small_for_the_base(root: Path) -> None:
    old = "options: {kernels: [[3, 3]], widths: [8, 16]}"
    message = broken(
        root, "architectures.yaml", old, "options: {kernels: [[3, 3, 3, 3]], widths: [4, 4, 4, 4]}", "demo"
    )
    assert "architecture 'instances-digits' needs images of at least 16 pixels" in message


def test_same_run_in_two_blocks(root: Path) -> None:
    path = root / "config" / SMOKE
    study = yaml.safe_load(path.read_text())
    study["blocks"].append(study["blocks"][0] | {"methods": ["add", "guidebp"], "seeds": [1, 2]})
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(UserError) as caught:
        load_study("smoke", root)
    assert f"{path}: blocks.1: " in str(caught.value) and "guidebp" in str(caught.value)
    assert "is listed already" in str(caught.value)


def test_same_content_under_two_names(root: Path) -> None:
    twin = "add-again:\n  title: t\n  group: g\n  family: merges\n  options: {merge: average}\nadd:\n"
    path = root / "config" / "methods.yaml"
    path.write_text(path.read_text().replace("add:\n", twin, 1))
    message = broken(root, SMOKE, "[average, ind", "[average, add-again, ind")
    assert "add-again" in message and "average" in message and "listed already" in message


def test_recipe_in_two_files(root: Path) -> None:
    shutil.copy(root / "config/recipes/digits.yaml", root / "config/recipes/more.yaml")
    with pytest.raises(
        UserError, match=r"more\.yaml: recipe 'digits-short' also stands in .*digits\.yaml; rename one"
    ):
        load_study("smoke", root)


def test_missing_study_and_file(root: Path) -> None:
    with pytest.raises(UserError, match=r"studies/smok\.yaml: no study 'smok'; did you mean 'smoke'"):
        load_study("smok", root)
    (root / "config/methods.yaml").unlink()
    with pytest.raises(UserError, match=r"methods\.yaml: no such file"):
        load_study("smoke", root)


@pytest.mark.parametrize("junk", [b"\x00\x01\x02", b"\xff\xfe\x00", bytes(range(256)), b"\xef\xbb\xbf\x00"])
@pytest.mark.parametrize("file", [SMOKE, "methods.yaml", "recipes/digits.yaml"])
def test_binary_junk(root: Path, file: str, junk: bytes) -> None:
    (root / "config" / file).write_bytes(junk)
    with pytest.raises(UserError) as caught:
        load_study("smoke", root)
    assert str(caught.value).startswith(f"{root / 'config' / file}: ")


def test_folder_in_place_of_a_file(root: Path) -> None:
    (root / "config/methods.yaml").unlink()
    (root / "config/methods.yaml").mkdir()
    with pytest.raises(UserError, match=r"methods\.yaml: cannot be read"):
        load_study("smoke", root)


def test_a_requirement_that_is_not_met(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    for kind in ("methods", "models"):
        shutil.copytree(ROOT / "src/guidebp" / kind, package / kind)
    requirement = (
        "def requirement(self) -> Requirement:\n"
        '        return Requirement(exits=2, reason="it needs two exits")'
    )
    offer = "def offer(self) -> Offer:\n        return Offer()"
    for file, old, new in (
        ("methods/learned.py", "\n\nclass Learned", f"\n    {requirement}\n\n\nclass Learned"),
        ("models/columns.py", "    def smallest_image", f"    {offer}\n\n    def smallest_image"),
    ):
        path = package / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
    monkeypatch.setattr(families_module, "PACKAGE", package)
    read_families.cache_clear()
    try:
        with pytest.raises(UserError) as caught:
            load_study("smoke", root)
        path = root / "config" / SMOKE
        path.write_text(path.read_text().replace("[columns-digits, branches-digits]", "[branches-digits]"))
        assert load_study("smoke", root).runs
    finally:
        read_families.cache_clear()
    assert (
        "method 'learned' cannot train architecture 'columns-digits' (family columns): it needs two exits"
        in str(caught.value)
    )


WORDS = [
    "title",
    "about",
    "blocks",
    "datasets",
    "architectures",
    "methods",
    "recipe",
    "seeds",
    "digits",
]
WORDS += ["baselines", "seeds_per_pack", "average", "guidebp", "columns-digits", "digits-smoke"]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_subnormal=False)
    | st.sampled_from(WORDS)
    | st.text(max_size=8)
)
STRUCTURES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(st.data())
def test_random_structures_raise_nothing_but_user_errors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Either the whole file is random, or one value somewhere in a sound study is."""
    root = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(ROOT / "config", root / "config")
    path = root / "config" / SMOKE
    study: Any = yaml.safe_load(path.read_text())
    value = data.draw(STRUCTURES)
    place = data.draw(st.sampled_from([None, *study, *(("blocks", key) for key in study["blocks"][0])]))
    if place is None:
        study = value
    elif isinstance(place, tuple):
        study["blocks"][0][place[1]] = value
    else:
        study[place] = value
    text = yaml.safe_dump(study) if data.draw(st.booleans()) else json.dumps(study)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        found = load_study("smoke", root)
    except UserError as error:
        assert str(error).startswith(str(path))
    else:
        assert found.runs


@given(st.text(alphabet="[]{}:,-&*!|>#%@'\"? \n\tab01.~<=", max_size=40))
def test_random_text_raises_nothing_but_user_errors(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(ROOT / "config", root / "config")
    (root / "config" / SMOKE).write_text(text)
    with pytest.raises(UserError):
        load_study("smoke", root)


def test_two_recipes_for_one_network(root: Path) -> None:
    old = "blocks:\n"
    block = "  - {datasets: [digits], architectures: [columns-digits], methods: [average], "
    new = old + block + "recipe: digits-short, seeds: [7]}\n"
    message = broken(root, SMOKE, old, new)
    assert "columns-digits on digits is trained by two recipes" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "architectures: [columns-32]",
            "architectures: [colums-32]",
            "unknown architecture 'colums-32'; did you mean 'columns-32'",
        ),
        (
            "baseline: resnet-110}",
            "baseline: resnet-111}",
            "unknown architecture 'resnet-111'; did you mean 'resnet-110'",
        ),
        ("[mnist, cmaterdb,", "[mnist, cmaterbd,", "unknown dataset 'cmaterbd'; did you mean 'cmaterdb'"),
        (
            "recipes: [msdnet-cifar]",
            "recipes: [msdnet-cifa]",
            "unknown recipe 'msdnet-cifa'; did you mean 'msdnet-cifar'",
        ),
        ("study: paper", "study: papper", "unknown study 'papper'; did you mean 'paper'"),
        ("context_methods: [max,", "context_methods: [mix,", "unknown method 'mix'; did you mean 'max'"),
        ("&guided [guidebp,", "&guided [guidbp,", "unknown method 'guidbp'; did you mean 'guidebp'"),
        ("baseline: {method: add}", "baseline: {method: ad}", "unknown method 'ad'; did you mean 'add'"),
    ],
)
def test_claims_name_what_exists(root: Path, old: str, new: str, expected: str) -> None:
    assert expected in broken(root, "claims.yaml", old, new, "demo")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  - section: critics",
            "  - section: critic",
            "blocks.5 names section 'critic'; the study's sections are: merges",
        ),
        ("  - section: critics\n    datasets", "  - datasets", "blocks.5 names no section"),
        ("sections:\n", "sections:\n  more: More\n", "sections.more: no block belongs to it"),
    ],
)
def test_parts_name_what_exists(root: Path, old: str, new: str, expected: str) -> None:
    assert expected in broken(root, "studies/demo.yaml", old, new, "demo")


def test_a_combination_belongs_to_one_section(root: Path) -> None:
    old = "baselines:"
    block = "  - {section: critics, datasets: [digits], architectures: [resnet-digits], methods: [multiway], "
    new = block + "recipe: digits-short, seeds: [7]}\n" + old
    message = broken(root, "studies/demo.yaml", old, new, "demo")
    assert "digits/resnet-digits/multiway belongs to section 'exits' already" in message


CONFIGURATION = [
    "config.yaml",
    *(f"{kind}.yaml" for kind in ("datasets", "architectures", "methods", "claims")),
]
CONFIGURATION += ["published.yaml", "recipes/digits.yaml", SMOKE]


def bomb(first: str, levels: int) -> str:
    """Lists of ten aliases of the list before: 10 ** levels values in a few lines."""
    lines = [f"a0: &a0 [{', '.join([first] * 10)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("file", CONFIGURATION)
def test_aliases_that_stand_for_too_much_are_refused_unbuilt(root: Path, file: str) -> None:
    """Of 10 ** 60 values not one is built: no memory and no time would do."""
    message = broken(root, file, "", bomb("x", 60))
    assert message.startswith(f"{root / 'config' / file}: not valid YAML: its aliases stand for more than")
    assert "write the values out" in message and "\n" not in message and len(message) < 400


@pytest.mark.parametrize(
    "text",
    [
        bomb("x", 6),
        bomb("{k: v}", 6),
        f"long: &long {'x' * 5_000}\n" + bomb("*long", 4),
    ],
    ids=["lists", "mappings", "long texts"],
)
def test_every_kind_of_bomb(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match="aliases stand for more than"):
        read_yaml(tmp_path / "x.yaml")


def test_a_long_chain_of_aliases_is_no_crash(tmp_path: Path) -> None:
    links = [f"- &a{n + 1} [*a{n}]" for n in range(20_000)]
    (tmp_path / "x.yaml").write_text("\n".join(["- &a0 []", *links]))
    with pytest.raises(UserError, match="not valid YAML"):
        read_yaml(tmp_path / "x.yaml")


def test_ordinary_anchors_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: &a [1, &b {c: 2}]\nd: *a\ne: [*a, *b]\n'<<': text\n" + bomb("x", 5))
    found = read_yaml(tmp_path / "x.yaml")
    assert found["d"] == [1, {"c": 2}] and found["e"] == [[1, {"c": 2}], {"c": 2}] and found["<<"] == "text"
    assert str(found["a4"]).count("x") == 10**5


def test_files_far_too_large_are_refused_before_they_are_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"[" * 10_000_001)
    with pytest.raises(UserError, match=r"x\.yaml: has more than 10,000,000 bytes"):
        read_yaml(path)
    monkeypatch.setattr(yaml_files, "MAX_YAML_BYTES", 9)
    path.write_bytes(b"12345678\n")
    assert read_yaml(path) == 12345678
    path.write_bytes(b"123456789\n")
    with pytest.raises(UserError, match="has more than 9 bytes"):
        read_yaml(path)
