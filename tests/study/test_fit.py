"""Which method trains which architecture: every pair of the catalogues is refused with a reason, or builds."""

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from guidebp.errors import UserError
from guidebp.methods import build_method
from guidebp.models import build_network
from guidebp.models.contract import Chain, Network, shared_parameters
from guidebp.schema.catalogue import Catalogues
from guidebp.schema.families import families, unmet
from guidebp.study.keys import Resolver
from guidebp.study.resolve import load_study
from tests.models.test_models import CATALOGUE, SPECS
from tests.support.tiny import CLASSES, METHODS, ROOT, maker

FAMILY = {name: spec["family"] for name, spec in METHODS.items()}
OF_TRUNKS = ("backprop", "deep-supervision", "gradient-equilibrium", "multiway", "deconfliction")
OF_PARTS = {"local-critic": 3, "sub-models": 3}  # and how many critics, unless the options say so


def options(kind: Any, name: str) -> Any:
    """The Options object that the study reads."""
    entries = {"methods": METHODS, "models": CATALOGUE}[kind]
    entry = entries[name]
    family, given = (
        (entry["family"], entry["options"]) if isinstance(entry, dict) else (entry.family, entry.options)
    )
    found, faults = families(kind)[family].resolve(given)
    assert not faults
    return found


def parts_in_a_row(name: str) -> int:
    """Where a network of one exit can be cut: counted in the built network."""
    network = network_of(name)
    return len(network.parts()) if isinstance(network, Chain) and network.pathways == 1 else 0


@cache
def network_of(name: str) -> Network:
    """For the smallest images it takes."""
    spec, side = SPECS[name]
    return build_network(spec, (1, side, side), CLASSES)


ALL = [(method, architecture) for method in METHODS for architecture in CATALOGUE]


def expected(method: str, architecture: str) -> bool:
    """Whether the pair is possible, told again from the networks themselves."""
    family = FAMILY[method]
    if family in OF_TRUNKS:
        return isinstance(network_of(architecture), Chain)
    if family in OF_PARTS:
        critics = int(METHODS[method]["options"].get("critics", OF_PARTS[family]))
        return parts_in_a_row(architecture) >= critics + 1
    return True


def test_possible_pairs_are_those_that_the_networks_allow() -> None:
    wrong = [
        (m, a)
        for m, a in ALL
        if (unmet(options("methods", m), options("models", a)) is None) != expected(m, a)
    ]
    assert not wrong
    possible = sum(expected(*pair) for pair in ALL)
    assert 0 < possible < len(ALL)


@pytest.mark.parametrize("architecture", CATALOGUE)
def test_offers_are_what_the_network_has(architecture: str) -> None:
    made = options("models", architecture)
    offers = made.offers() if hasattr(made, "offers") else {}
    network = network_of(architecture)
    assert offers.get("trunk", 0) == (network.pathways if isinstance(network, Chain) else 0)
    assert bool(shared_parameters(network.stages())) == (offers.get("trunk", 0) > 1)
    assert offers.get("parts", 0) == parts_in_a_row(architecture)


@pytest.mark.parametrize("architecture", CATALOGUE)
def test_every_possible_pair_builds(architecture: str) -> None:
    network, side = network_of(architecture), SPECS[architecture][1]
    small = sum(p.numel() for p in network.parameters()) < 100_000
    for name in METHODS:
        if not expected(name, architecture):
            continue
        made = build_method(METHODS[name], network, maker())
        assert len(made.stages()) == len(made.names) == made.pathways, name
        if small:
            made.eval()
            assert made.logits(torch.zeros(2, 1, side, side)).shape == (made.pathways, 2, CLASSES), name


IMPOSSIBLE = [
    (
        "deconfliction",
        "columns-digits",
        "pathways that share no parameters have gradients that cannot conflict",
    ),
    ("multiway", "instances-digits", "updates a trunk from exit to exit"),
    ("deep-supervision", "columns-32", "for pathways apart take 'independent'"),
    ("gradient-equilibrium", "column-digits", "balances gradients within one trunk"),
    ("backprop", "columns-digits", "its last pathway has to be the output of the whole network"),
    ("local-critic", "msdnet-digits", "3 critics need a network of one exit that can be cut into 4 groups"),
    ("local-critic", "mwresnet-56-5", "3 critics need a network of one exit that can be cut into 4 groups"),
    ("local-critic-5", "lenet", "5 critics need a network of one exit that can be cut into 6 groups"),
    (
        "local-critic-1",
        "columns-digits",
        "1 critics need a network of one exit that can be cut into 2 groups",
    ),
    ("sub-models", "lenet-exits", "3 critics need a network of one exit that can be cut into 4 groups"),
]
POSSIBLE = [
    ("deconfliction", "msdnet-digits"),
    ("local-critic", "vgg-digits"),
    ("local-critic-1", "lenet"),
    ("local-critic-5", "resnet-56"),
    ("sub-models", "mobilenet-v2"),
    ("multiway", "resnet-110"),
    ("average", "columns-digits"),
]


@pytest.mark.parametrize(("method", "architecture", "reason"), IMPOSSIBLE)
def test_known_impossible_pairs(method: str, architecture: str, reason: str) -> None:
    assert not expected(method, architecture)
    found = unmet(options("methods", method), options("models", architecture))
    assert found is not None and reason in found


@pytest.mark.parametrize(("method", "architecture"), POSSIBLE)
def test_known_possible_pairs(method: str, architecture: str) -> None:
    assert expected(method, architecture)
    assert unmet(options("methods", method), options("models", architecture)) is None


def test_every_need_comes_with_its_reason() -> None:
    """Also for critics of any number, and the number is in the reason."""
    for name in METHODS:
        made = options("methods", name)
        needs = made.needs() if hasattr(made, "needs") else {}
        assert bool(needs) == (FAMILY[name] in (*OF_TRUNKS, *OF_PARTS)), name
        for least, reason in needs.values():
            assert least >= 1 and len(reason) > 20
    for critics in range(6):
        made, faults = families("methods")["local-critic"].resolve({"critics": critics})
        assert not faults and made.needs()["parts"][0] == critics + 1
        assert f"into {critics + 1} groups" in made.needs()["parts"][1]


def test_nothing_needed_and_nothing_offered() -> None:
    class Bare:
        pass

    class Needy:
        def needs(self) -> dict[str, tuple[int, str]]:
            return {"trunk": (2, "two exits"), "parts": (3, "three parts")}

    class Generous:
        def __init__(self, **offers: int) -> None:
            self.kept = offers

        def offers(self) -> dict[str, int]:
            return self.kept

    assert unmet(Bare(), Bare()) is None and unmet(Bare(), Generous()) is None
    assert unmet(Needy(), Bare()) == "two exits"
    assert unmet(Needy(), Generous(trunk=1, parts=9)) == "two exits"
    assert unmet(Needy(), Generous(trunk=2)) == unmet(Needy(), Generous(trunk=9, parts=2)) == "three parts"
    assert unmet(Needy(), Generous(trunk=2, parts=3)) is None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


def study(root: Path, method: str, architecture: str) -> None:
    """A study of one pair on 32x32 images, beside the others."""
    path = root / "config/studies/pair.yaml"
    block = {
        "datasets": ["cmaterdb"],
        "architectures": [architecture],
        "methods": [method],
        "recipe": "digits-smoke",
        "seeds": [0],
    }
    made = yaml.safe_load((root / "config/studies/smoke.yaml").read_text())
    path.write_text(yaml.safe_dump(made | {"blocks": [block], "references": [method]}))


@pytest.mark.parametrize(("method", "architecture", "reason"), IMPOSSIBLE)
def test_study_of_an_impossible_pair_is_refused(
    root: Path, method: str, architecture: str, reason: str
) -> None:
    study(root, method, architecture)
    with pytest.raises(UserError) as caught:
        load_study("pair", root)
    family = CATALOGUE[architecture].family
    start = f"{root / 'config/studies/pair.yaml'}: blocks.0: method '{method}' cannot train architecture "
    assert str(caught.value).startswith(f"{start}'{architecture}' (family {family}): ")
    assert reason in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("method", "architecture"), POSSIBLE)
def test_study_of_a_possible_pair_is_read(root: Path, method: str, architecture: str) -> None:
    study(root, method, architecture)
    (run,) = load_study("pair", root).runs
    assert (run.method, run.architecture) == (method, architecture)


def test_every_pair_is_refused_or_read_as_expected(root: Path) -> None:
    """Over both catalogues, by what reads a study; the reason is the method's own."""
    parts = Resolver(Catalogues(root), "here")
    for method, architecture in ALL:
        if expected(method, architecture):
            parts.check_fit("cmaterdb", architecture, method)
            continue
        made = options("methods", method)
        with pytest.raises(UserError) as caught:
            parts.check_fit("cmaterdb", architecture, method)
        (reason,) = (text for _, text in made.needs().values())
        assert str(caught.value).startswith(f"here: method '{method}' cannot train architecture")
        assert str(caught.value).endswith(f": {reason}")


def test_a_pair_that_does_not_fit_among_ones_that_do(root: Path) -> None:
    path = root / "config/studies/smoke.yaml"
    text = path.read_text()
    assert "[average, independent, learned, guidebp]" in text
    path.write_text(text.replace("learned, guidebp]", "deconfliction, guidebp]"))
    with pytest.raises(UserError, match="'deconfliction' cannot train architecture 'columns-digits'"):
        load_study("smoke", root)
    path.write_text(path.read_text().replace("[columns-digits, branches-digits]", "[branches-digits]"))
    assert {run.method for run in load_study("smoke", root).runs} >= {"deconfliction", "average"}
