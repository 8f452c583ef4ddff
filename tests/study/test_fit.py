"""Which method trains which architecture: every pair of the catalogues fits or is refused with a reason."""

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import yaml

from guidebp.errors import UserError
from guidebp.methods import build_method
from guidebp.models import build_network
from guidebp.models.contract import Chain, Network, find_shared_parameters
from guidebp.requirements import Offer, Requirement
from guidebp.schema.catalogue import Catalogues
from guidebp.schema.families import explain_mismatch, has_several_exits, read_families
from guidebp.study.keys import Resolver
from guidebp.study.resolve import load_study
from tests.models.test_models import CATALOGUE, SPECS
from tests.support.tiny import CLASSES, METHODS, ROOT, maker

FAMILY = {name: spec.family for name, spec in METHODS.items()}
FIRST_OF_FAMILY = {spec.family: name for name, spec in reversed(METHODS.items())}.values()
OF_TRUNKS = ("backprop", "deep-supervision", "gradient-equilibrium", "multiway", "deconfliction")
OF_UNITS = {"local-critic": 3, "sub-models": 3}  # and their default number of critics


@cache
def resolve_options(kind: Literal["methods", "models"], name: str) -> Any:
    """The Options object that the study reads."""
    entry: Any = METHODS[name] if kind == "methods" else CATALOGUE[name]
    resolved, faults = read_families(kind)[entry.family].resolve(entry.options)
    assert not faults
    return resolved


def count_units(name: str) -> int:
    """The units that a network of one exit can be cut between, counted in the built network."""
    network = build_catalogue_network(name)
    return len(network.units()) if isinstance(network, Chain) and network.pathways == 1 else 0


@cache
def build_catalogue_network(name: str) -> Network:
    """The network for the smallest images it takes."""
    spec, side = SPECS[name]
    return build_network(spec, (1, side, side), CLASSES)


ALL = [(method, architecture) for method in METHODS for architecture in CATALOGUE]


def is_possible(method: str, architecture: str) -> bool:
    """Whether the pair is possible, told again from the networks themselves."""
    family = FAMILY[method]
    if family in OF_TRUNKS:
        return isinstance(build_catalogue_network(architecture), Chain)
    if family in OF_UNITS:
        critics = METHODS[method].options.get("critics", OF_UNITS[family])
        assert isinstance(critics, int)
        return count_units(architecture) >= critics + 1
    return True


def test_possible_pairs_are_those_that_the_networks_allow() -> None:
    wrong = [
        (m, a)
        for m, a in ALL
        if (explain_mismatch(resolve_options("methods", m), resolve_options("models", a)) is None)
        != is_possible(m, a)
    ]
    assert not wrong
    possible = sum(is_possible(*pair) for pair in ALL)
    assert 0 < possible < len(ALL)


@pytest.mark.parametrize("architecture", CATALOGUE)
def test_offers_are_what_the_network_has(architecture: str) -> None:
    resolved = resolve_options("models", architecture)
    offer = resolved.offer() if hasattr(resolved, "offer") else Offer()
    network = build_catalogue_network(architecture)
    assert offer.exits == (network.pathways if isinstance(network, Chain) else 0)
    assert bool(find_shared_parameters(network.stages())) == (offer.exits > 1)
    assert offer.units == count_units(architecture)


@pytest.mark.parametrize("architecture", CATALOGUE)
def test_a_possible_pair_of_every_family_builds(architecture: str) -> None:
    """All pairs of small networks, also with a forward pass; of large ones a method of every family."""
    network, side = build_catalogue_network(architecture), SPECS[architecture][1]
    small = sum(p.numel() for p in network.parameters()) < 100_000
    images = torch.zeros(2, 1, side, side)
    for name in METHODS if small else FIRST_OF_FAMILY:
        if is_possible(name, architecture):
            method = build_method(METHODS[name], network, maker()).eval()
            assert len(method.stages()) == len(method.pathway_names) == method.pathways, name
            if small:
                assert method.logits(images).shape == (method.pathways, 2, CLASSES), name


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
    assert not is_possible(method, architecture)
    mismatch = explain_mismatch(resolve_options("methods", method), resolve_options("models", architecture))
    assert mismatch is not None and reason in mismatch


@pytest.mark.parametrize(("method", "architecture"), POSSIBLE)
def test_known_possible_pairs(method: str, architecture: str) -> None:
    assert is_possible(method, architecture)
    assert (
        explain_mismatch(resolve_options("methods", method), resolve_options("models", architecture)) is None
    )


def test_every_requirement_comes_with_its_reason() -> None:
    """Also for critics of any number, and the number is in the reason."""
    for name in METHODS:
        resolved = resolve_options("methods", name)
        assert hasattr(resolved, "requirement") == (FAMILY[name] in (*OF_TRUNKS, *OF_UNITS)), name
        if hasattr(resolved, "requirement"):
            requirement = resolved.requirement()
            assert max(requirement.exits, requirement.units) >= 1 and len(requirement.reason) > 20
    for critics in range(6):
        resolved, faults = read_families("methods")["local-critic"].resolve({"critics": critics})
        assert not faults
        assert resolved.requirement().units == critics + 1
        assert f"into {critics + 1} groups" in resolved.requirement().reason


class Bare:
    pass


@dataclass
class Demanding:
    exits: int = 0
    units: int = 0

    def requirement(self) -> Requirement:
        return Requirement(self.exits, self.units, reason="the reason")


@dataclass
class Generous:
    exits: int = 0
    units: int = 0

    def offer(self) -> Offer:
        return Offer(self.exits, self.units)


@pytest.mark.parametrize(
    ("method", "architecture", "fits"),
    [
        (Bare(), Bare(), True),
        (Bare(), Generous(2, 3), True),
        (Demanding(), Bare(), True),
        (Demanding(2, 3), Bare(), False),
        (Demanding(2, 3), Generous(1, 9), False),
        (Demanding(2, 3), Generous(9, 2), False),
        (Demanding(2, 3), Generous(2, 3), True),
        (Demanding(exits=1), Generous(units=9), False),
        (Demanding(units=1), Generous(exits=9), False),
    ],
)
def test_an_offer_must_have_enough_of_everything(method: object, architecture: object, fits: bool) -> None:
    assert explain_mismatch(method, architecture) == (None if fits else "the reason")


@pytest.mark.parametrize(
    ("method", "architecture", "several"),
    [
        (Bare(), Bare(), False),
        (Bare(), Generous(exits=1), False),
        (Bare(), Generous(exits=2), True),
        (Demanding(units=1), Generous(1, 1), False),
        (Demanding(units=2), Generous(1, 2), True),  # the method adds exits
    ],
)
def test_several_exits_are_the_architectures_or_the_methods(
    method: object, architecture: object, several: bool
) -> None:
    assert has_several_exits(method, architecture) == several


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


def write_pair_study(root: Path, method: str, architecture: str) -> None:
    """A study of one pair on 32x32 images, beside the others."""
    path = root / "config/studies/pair.yaml"
    block = {
        "datasets": ["cmaterdb"],
        "architectures": [architecture],
        "methods": [method],
        "recipe": "digits-smoke",
        "seeds": [0],
    }
    smoke = yaml.safe_load((root / "config/studies/smoke.yaml").read_text())
    path.write_text(yaml.safe_dump(smoke | {"blocks": [block], "baselines": [method]}))


@pytest.mark.parametrize(("method", "architecture", "reason"), IMPOSSIBLE)
def test_study_of_an_impossible_pair_is_refused(
    root: Path, method: str, architecture: str, reason: str
) -> None:
    write_pair_study(root, method, architecture)
    with pytest.raises(UserError) as caught:
        load_study("pair", root)
    family = CATALOGUE[architecture].family
    start = f"{root / 'config/studies/pair.yaml'}: blocks.0: method '{method}' cannot train architecture "
    assert str(caught.value).startswith(f"{start}'{architecture}' (family {family}): ")
    assert reason in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("method", "architecture"), POSSIBLE)
def test_study_of_a_possible_pair_is_read(root: Path, method: str, architecture: str) -> None:
    write_pair_study(root, method, architecture)
    (run,) = load_study("pair", root).runs
    assert (run.method, run.architecture) == (method, architecture)


def test_every_pair_is_refused_or_read_as_expected(root: Path) -> None:
    """Over both catalogues, by what reads a study; the reason is the method's own."""
    parts = Resolver(Catalogues(root), "here")
    for method, architecture in ALL:
        if is_possible(method, architecture):
            parts.check_fit("cmaterdb", architecture, method)
            continue
        reason = resolve_options("methods", method).requirement().reason
        with pytest.raises(UserError) as caught:
            parts.check_fit("cmaterdb", architecture, method)
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
