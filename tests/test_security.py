"""What must never happen: code that runs out of files, names that lead away, texts that are taken for markup."""

import ast
import csv
import io
import json
import pickle
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from guidebp.analysis.analyse import encode_csv
from guidebp.cli import main
from guidebp.data.prepared import load_prepared
from guidebp.errors import UserError
from guidebp.paths import NOTEBOOKS, StudyPaths
from guidebp.rendering.tables.files import encode_table
from guidebp.schema.datasets import RawFile
from guidebp.schema.entry import Name
from guidebp.schema.file_kinds import FILES
from guidebp.schema.yaml_files import check_config_value
from tests.support.finished_project import CLAIM, DATASET, STUDY, build, contents, inside
from tests.support.tiny import ROOT

# --- No code out of files

UNSAFE = {
    "pickle",
    "cPickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
    "cloudpickle",
    "jsonpickle",
    "pickletools",
}
# (file, what): why it may.
ALLOWED = {
    (
        "src/guidebp/ingest/untrusted/pickles.py",
        "pickle",
    ): "CIFAR is published as pickles; builds only plain data",
    ("src/guidebp/ingest/untrusted/pickles.py", "pickletools"): "names of instructions; runs none",
    ("src/guidebp/schema/families.py", "exec"): "the Options class of our own file, without importing torch",
    ("src/guidebp/schema/families.py", "compile"): "the same",
}
LOADERS = {"_UniqueKeys", "SafeLoader", "CSafeLoader"}


def sources() -> list[Path]:
    folders = [ROOT / name for name in ("src", "benchmarks", "workflow", "notebooks")]
    return sorted(
        path for folder in folders for path in folder.rglob("*.py") if "__pycache__" not in path.parts
    )


def dangers(tree: ast.AST) -> Iterator[str]:
    """What of a file's code could run what a file holds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name for alias in node.names if (name := alias.name.partition(".")[0]) in UNSAFE)
        elif isinstance(node, ast.ImportFrom):
            top = (node.module or "").partition(".")[0]
            yield from [top] if top in UNSAFE else []
        elif isinstance(node, ast.Call):
            yield from call_dangers(node)


def call_dangers(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in ("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec"):
        yield name
    if name in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"):
        yield name
    if given.get("shell", "False") != "False":
        yield "shell=True"
    if name in ("torch.load", "load_state_dict_from_url") and given.get("weights_only") != "True":
        yield "torch.load"
    if name.endswith(("np.load", "numpy.load", "pd.read_pickle", "pandas.read_pickle")) and (
        "pickle" in name or given.get("allow_pickle", "False") != "False"
    ):
        yield "np.load"
    if name in ("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"):
        loader = given.get("Loader", ast.unparse(node.args[1]) if len(node.args) > 1 else "none")
        if loader.removeprefix("yaml.") not in LOADERS:
            yield "yaml.load"


def test_no_code_of_ours_runs_what_a_file_holds() -> None:
    found = {
        (str(path.relative_to(ROOT)), danger)
        for path in sources()
        for danger in dangers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set(ALLOWED), "the list of exceptions holds what is there and nothing else"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "import marshal as m",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f, allow_pickle=True)",
        "pd.read_pickle(f)",
        "yaml.load(f, Loader=yaml.Loader)",
        "yaml.load(f, yaml.FullLoader)",
        "yaml.unsafe_load(f)",
        "eval(f)",
        "exec(f)",
        "os.system(f)",
        "subprocess.run(f, shell=True)",
    ],
)
def test_the_search_finds_it(code: str) -> None:
    assert list(dangers(ast.parse(code)))


def test_rules_quote_nothing_but_names() -> None:
    """What stands in a rule's shell command: names that the schema has checked, paths made of them, fixed words."""
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        used = set(
            re.findall(
                r"(?<!\{)\{([\w.]+)\}",
                " ".join(re.findall(r"shell:\s*((?:\"[^\n]*\"\s*)+)", path.read_text())),
            )
        )
        known = {"wildcards.dataset", "wildcards.pack", "params.study", "params.device", "params.weights"}
        known |= {"params.partial", "params.unverified", "input.notebook", "input.page", "log", "output"}
        assert used <= known, used - known


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("whole") / "project")


READERS: list[tuple[str, list[str]]] = [
    ("config/config.yaml", ["check"]),
    ("config/studies/made.yaml", ["check"]),
    ("config/datasets.yaml", ["verify"]),
    ("made.npz", ["prepare made"]),
    ("data/raw/made/fetched.json", ["verify"]),
    ("data/prepared/made.json", ["collect", "verify"]),
    ("data/prepared/made.safetensors", ["verify", "load"]),
    ("results/runs/*/record.json", ["collect"]),
    ("results/runs/*/predictions.safetensors", ["collect"]),
    ("results/runs/*/telemetry.json", ["collect"]),
    ("results/made/packs/*.json", ["collect"]),
    ("results/made/records/*.tar.xz", ["restore"]),
    ("results/made/telemetry.jsonl", ["restore", "analyse"]),
    ("results/made/claims.json", ["claims"]),
    *((f"results/made/{name}", ["analyse"]) for name in ("study.json", "metrics.csv", "claims.lock.json")),
    *(
        (f"results/made/{name}.parquet", ["analyse"])
        for name in ("history", "inference", "calibration", "cosines")
    ),
    *((f"results/made/{name}.csv", ["report"]) for name in ("comparisons", "ranks", "rank-pairs", "claims")),
]


@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize(("file", "verb"), [(file, verb) for file, verbs in READERS for verb in verbs])
def test_a_pickle_in_the_place_of_any_file_is_not_run(
    whole: Path, capsys: pytest.CaptureFixture[str], file: str, verb: str, protocol: int
) -> None:
    path = sorted(whole.glob(file))[0]
    content, fired = path.read_bytes(), whole / "fired"
    path.write_bytes(pickle.dumps(Bomb(fired), protocol))
    try:
        with inside(whole):
            if verb == "load":
                with pytest.raises(UserError, match="not a prepared dataset"):
                    load_prepared(Path("data/prepared"), "made")
            else:
                assert main(verb.split()) == 2
                said = capsys.readouterr().err
                assert len(said.splitlines()) == 1 and said.startswith(f"guidebp {verb.split()[0]}: "), said
    finally:
        path.write_bytes(content)
    assert not fired.exists()
    pickle.loads(pickle.dumps(Bomb(fired), protocol))
    assert fired.exists(), "and it would have fired"
    fired.unlink()


# --- Names lead nowhere else

NASTY = [
    "../",
    "/",
    "..",
    ".",
    "-",
    "--",
    ";",
    "$(id)",
    "`id`",
    "|",
    "&",
    ">",
    "'",
    '"',
    "\n",
    "\r",
    "\t",
    " ",
    "\0",
]
NASTY += [
    "\\",
    "{x}",
    "{{x}}",
    "~",
    "*",
    "?",
    "#",
    "%",
    "\u2215",
    "\uff0f",
    "\u2024",
    "\u0430",
    "\u200b",
    "\u202e",
    "\ud800",
]
TEXTS = st.lists(st.sampled_from([*NASTY, "a", "digits", "0"]), min_size=1, max_size=5).map("".join)


@given(TEXTS)
def test_a_name_is_a_plain_word_or_refused(name: str) -> None:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        return
    assert shlex.quote(name) == name and not name.startswith("-") and name.isascii()
    assert Path(name).name == name and name not in (".", "..")
    layout = StudyPaths(name)
    for path in (
        layout.folder,
        layout.pack(name),
        layout.figure(name, name, name, "svg"),
        layout.means(name),
    ):
        assert (
            path.resolve().is_relative_to(Path("results").resolve())
            and path.resolve() != Path("results").resolve()
        )


def named(model: Any, at: str = "") -> Iterator[str]:
    """Every place of a JSON Schema where a text stands that no pattern, list or length binds."""
    if isinstance(model, dict):
        if model.get("type") == "string" and not {"pattern", "enum", "const"} & model.keys():
            yield at
        for key, value in model.items():
            passed = key in ("properties", "$defs", "anyOf", "items", "patternProperties") or key[:1] == "^"
            yield from named(value, at if passed else f"{at}.{key}")
    elif isinstance(model, list):
        for value in model:
            yield from named(value, at)


# Free texts are shown, never part of a path or command; where their own files lie is for users to choose.
SHOWN = {
    "title",
    "about",
    "group",
    "statement",
    "source",
    "published",
    "differs",
    "licence",
    "citation",
    "sections",
}
SHOWN |= {"classes", "label", "note", "columns", "caution", "options", "arguments", "test_arguments"}
OWN = {"folder", "path", "images", "labels", "root", "mirrors"}


def test_every_text_that_is_no_name_is_only_shown() -> None:
    """A new key of free text must be thought about."""
    free = {
        re.sub(r"\.(additionalProperties|propertyNames|prefixItems|oneOf)", "", place).rpartition(".")[2]
        for kind in FILES.values()
        for place in named(TypeAdapter(kind).json_schema())
    }
    assert free <= SHOWN | OWN, free - SHOWN - OWN


KINDS = {
    "dataset": "datasets.yaml",
    "architecture": "architectures.yaml",
    "method": "methods.yaml",
    "recipe": "recipes/digits.yaml",
    "claim": "claims.yaml",
}


@pytest.mark.parametrize("kind", KINDS)
@given(name=TEXTS)
def test_names_of_catalogues(kind: str, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As a key of its catalogue and as what a study or a claim names."""
    known = {"dataset": "datasets", "claim": "claims", "recipe": "recipes"}.get(kind, f"{kind}s")
    entry = SOUND[known]
    try:
        found = check_config_value(KINDS[kind], {name: entry}, known)
    except UserError as error:
        assert str(error).isprintable() and KINDS[kind] in str(error)
    else:
        assert all(shlex.quote(key) == key for key in found)


SOUND: dict[str, Any] = {
    "datasets": next(iter(yaml.safe_load(DATASET).values())),
    "architectures": {"title": "t", "family": "columns"},
    "methods": {"title": "t", "family": "merges", "group": "g"},
    "recipes": {"optimiser": {"name": "sgd", "lr": 0.1}, "epochs": 1, "batch_size": 2},
    "claims": {
        "paper": "ours",
        "statement": "s",
        "source": "s",
        "metric": "primary",
        "rule": "superiority",
        "margin": 1.0,
        "comparisons": [{"candidate": {"method": "a"}, "baseline": {"method": "b"}}],
        "settings": {"small-scale": {"datasets": ["a"], "architectures": ["b"]}},
    },
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_names_are_taken(kind: str) -> None:
    assert list(check_config_value("x.yaml", {"a-1.b": SOUND[kind]}, kind)) == ["a-1.b"]


def within_study(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A study that holds the name at each place for one."""
    sound = yaml.safe_load(STUDY)
    for key in ("datasets", "architectures", "methods"):
        yield key, sound | {"blocks": [sound["blocks"][0] | {key: [name]}]}
    for key in ("recipe", "section"):
        yield key, sound | {"blocks": [sound["blocks"][0] | {key: name}], "sections": {name: "t"}}
    yield "baselines", sound | {"baselines": [name]}
    yield "sections", sound | {"sections": {name: "t"}, "blocks": [sound["blocks"][0] | {"section": name}]}


@given(TEXTS)
def test_names_within_a_study(name: str) -> None:
    for _, study in within_study(name):
        try:
            check_config_value("x.yaml", study, "study")
        except UserError as error:
            assert all(line.isprintable() for line in str(error).split("\n"))
        else:
            assert shlex.quote(name) == name


@given(TEXTS)
def test_seeds_are_numbers(text: str) -> None:
    sound = yaml.safe_load(STUDY)
    with pytest.raises(UserError):
        check_config_value("x.yaml", sound | {"blocks": [sound["blocks"][0] | {"seeds": [text]}]}, "study")


@given(TEXTS)
def test_paths_of_raw_files_stay_below_their_folder(path: str) -> None:
    try:
        file = RawFile.model_validate({"path": path, "unverified": True})
    except ValidationError:
        return
    below = (Path("data/raw/x") / file.path).resolve()
    assert below.is_relative_to(Path("data/raw/x").resolve()) and below != Path("data/raw/x").resolve()
    assert not any(part.startswith(".") for part in Path(file.path).parts)


@given(TEXTS)
def test_settings_of_the_command_line(text: str) -> None:
    """`--config study=... claim=... device=...`"""
    for key in ("study", "claim", "device"):
        try:
            settings = check_config_value("--config", {key: text}, "config")
        except UserError as error:
            assert all(line.isprintable() for line in str(error).split("\n"))
        else:
            assert key != "device" and shlex.quote(getattr(settings, key)) == text


@pytest.mark.parametrize(
    "verb", ["analyse", "render", "report", "collect", "restore", "status", "check", "claims"]
)
@given(text=TEXTS)
def test_studies_of_the_command_line(whole: Path, verb: str, text: str) -> None:
    before = contents(whole.parent)
    with inside(whole), pytest.MonkeyPatch.context() as patch:
        said = io.StringIO()
        patch.setattr("sys.stderr", said)
        assert main([verb, f"--study={text}"]) == 2
    assert all(line.startswith(f"guidebp {verb}: ") for line in said.getvalue().splitlines())
    assert contents(whole.parent) == before


@given(text=TEXTS)
def test_packs_of_the_command_line(whole: Path, text: str) -> None:
    with inside(whole), pytest.MonkeyPatch.context() as patch:
        said = io.StringIO()
        patch.setattr("sys.stderr", said)
        assert main(["train", f"--pack={text}"]) == 2
    assert len(said.getvalue().splitlines()) == 1 and "has no pack" in said.getvalue()


def test_notebooks_have_plain_names() -> None:
    """They stand in a shell command."""
    for path in (ROOT / NOTEBOOKS).glob("*.py"):
        assert re.fullmatch(r"[a-z-]+", path.stem)


# --- Texts are texts

EVIL = """<script>alert(1)</script> "' {{7*7}} $\\frac{1}$ \\input{/etc/passwd} | ` [x](javascript:f) <img src=x>"""
FORMULA = """=cmd|'A0<script>"""
SHORT = {"columns-digits": r"<script>$\frac|", "average": FORMULA, "independent": r"[x](y) \input{f}$_"}


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which every free text is hostile, with figures, tables and report."""
    text = json.dumps(EVIL)
    dataset = DATASET.replace("title: Made", f"title: {text}\n  licence: {text}\n  citation: {text}")
    dataset = dataset.replace("classes: 2", f"classes: {json.dumps([FORMULA, '<i>&$'])}")
    study = STUDY.replace("title: Made", f"title: {text}").replace("about: By hand.", f"about: {text}")
    claim = CLAIM.replace("Independent is better.", text)
    claim = claim.replace("source: nowhere", f"source: {text}\n  differs: {text}\n  published: {text}")
    return build(tmp_path_factory.mktemp("evil"), True, study, dataset, claim, SHORT)


class Tags(HTMLParser):
    """The tags of a page, and its text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.within, self.scripts = "", "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.within = tag

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within in ("script", "style"):
            self.scripts += data
        else:
            self.text += data


def test_the_report_shows_texts_as_they_are(evil: Path) -> None:
    page = Tags((evil / "results/made/report.html").read_text())
    assert "alert(1)" not in page.scripts and "'A0" not in page.scripts
    assert page.text.count(EVIL) >= 5 and SHORT["columns-digits"] in page.text
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert not str(attributes.get("href", "")).lower().startswith("javascript"), attributes
        assert tag != "img" or str(attributes.get("src", "data:")).startswith("data:"), attributes


def test_figures_hold_no_markup_of_others(evil: Path) -> None:
    paths = sorted((evil / "results/made/figures").glob("*.svg"))
    assert paths
    for path in paths:
        tree = ET.parse(path)
        assert not [
            node.tag
            for node in tree.iter()
            if node.tag.rpartition("}")[2] in ("script", "a", "foreignObject")
        ]
        assert "<script" not in path.read_text()


def test_markdown_tables_keep_their_columns_and_hold_no_html(evil: Path) -> None:
    seen = ""
    for path in sorted((evil / "results/made/tables").glob("*.md")):
        rows = [line for line in path.read_text().splitlines() if line.startswith("|")]
        bare = [re.sub(r"\\.", "", row) for row in rows]
        assert len({row.count("|") for row in bare}) == 1, path
        assert not re.search(r"<[a-z/!?]", "".join(bare), re.IGNORECASE), path
        assert "](javascript" not in "".join(bare) or "[x](" not in "".join(bare)
        seen += path.read_text()
    assert "&lt;script>" in seen


def test_latex_tables_run_no_commands_of_others(evil: Path) -> None:
    seen = ""
    for path in sorted((evil / "results/made/tables").glob("*.tex")):
        text = path.read_text()
        assert "\\input" not in text and "\\frac" not in text, path
        assert not re.search(r"^(?!%).*(?<!\\)#", text, re.MULTILINE), path
        seen += text
    assert r"$<$script$>$\$\textbackslash{}frac|" in seen


def test_csv_cells_are_no_formulas(evil: Path) -> None:
    seen = ""
    for path in sorted((evil / "results/made").rglob("*.csv")):
        for row in csv.reader(io.StringIO(path.read_text())):
            for cell in row:
                assert not re.match(r"[=@\t\r]|[+-](?![\d.]|$)", cell), (path, cell)
        seen += path.read_text()
    assert "'=cmd|" in seen


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        *(
            (text, True)
            for text in ("-", "-0.5", "+0.52", "-1.20 to +0.30", "+0.52 (3)", "+0.52 %", "1e-05", "words", "")
        ),
        *((text, True) for text in ("-1.2e-05", "-1.20 to -0.30 %", "< 0.001")),
        *(
            (text, False)
            for text in (
                "=1+1",
                "+1+cmd|' /C calc'!A0",
                "-2+3",
                "@SUM(A1)",
                "\t=1",
                "-a",
                "+-1",
                "--",
            )
        ),
    ],
)
def test_signed_numbers_are_no_formulas(cell: str, kept: bool) -> None:
    table = pd.DataFrame({"a": [cell, "b", None], "b": [1, 2, 3]})
    rows = list(csv.reader(io.StringIO(encode_csv(table).decode(), newline="")))
    assert rows[1][0] == (cell if kept else f"'{cell}") and rows[2:] == [["b", "2"], ["", "3"]]


def test_a_row_of_a_table_is_one_line() -> None:
    table = pd.DataFrame({"a": ["two\n\nlines", "[2cm] of space"], "b": ["x", "y"]})
    assert "| two lines | x |" in encode_table(table, "", "md", "t").decode()
    tex = encode_table(table, "", "tex", "t").decode()
    assert r"two lines & x \\" in tex and r"{[}2cm{]} of space & y \\" in tex


def test_notebooks_escape_texts() -> None:
    """Markdown would pass HTML on; a styled table does unless told not to."""
    for path in (ROOT / NOTEBOOKS).glob("*.py"):
        code = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
        assert "Markdown(" not in code
        for styled in re.findall(r"\.style\.(.*)", code):
            assert styled.startswith(('format(escape="html")', 'format("{:.2f}")')), styled
    code = (ROOT / NOTEBOOKS / "results.py").read_text()
    assert "HTML(" in code and "escape(results.about[name])" in code
    assert "&lt;script&gt;" in pd.DataFrame({"a": [EVIL]}).style.format(escape="html").to_html()
