"""All recipes below config/recipes/. A tuned one may stand in several files, one for each study that tunes."""

from pathlib import Path

from guidebp.errors import UserError
from guidebp.schema.recipes import Recipe, TunedRecipe
from guidebp.schema.yaml_files import read_config_file

Recipes = dict[str, Recipe | TunedRecipe]
# The file that has the rates of a tuned recipe, a dataset and a network.
TunedIn = dict[tuple[str, str, str], Path]


def read_recipes(folder: Path) -> tuple[Recipes, dict[str, Path], TunedIn]:
    """Every recipe by name, tuned ones put together from all files; the first file of each; where rates stand.

    UserError when two files have the same recipe or, of a tuned one, rates of the same dataset and network.
    """
    recipes: Recipes = {}
    files: dict[str, Path] = {}
    tuned_in: TunedIn = {}
    for path in sorted(folder.glob("*.yaml")):
        for name, found in read_config_file(path, "recipes").items():
            known = recipes.get(name, found)
            if name in recipes and not (isinstance(known, TunedRecipe) and isinstance(found, TunedRecipe)):
                raise UserError(f"{path}: recipe '{name}' also stands in {files[name]}; rename one")
            if isinstance(found, TunedRecipe):
                for dataset, architecture in cells(found):
                    other = tuned_in.setdefault((name, dataset, architecture), path)
                    if other != path:
                        raise UserError(
                            f"{path}: {name}.rates.{dataset}.{architecture}: also stands in {other}; remove one"
                        )
                if known.base != found.base:
                    raise UserError(
                        f"{path}: {name}.base: '{found.base}', but {files[name]} says '{known.base}'; rename one"
                    )
                found = joined(known, found)
            recipes[name] = found
            files.setdefault(name, path)
    return recipes, files, tuned_in


def cells(recipe: TunedRecipe) -> list[tuple[str, str]]:
    """Datasets and networks that a tuned recipe has rates for."""
    return [(dataset, network) for dataset, networks in recipe.rates.items() for network in networks]


def joined(first: TunedRecipe, second: TunedRecipe) -> TunedRecipe:
    """The rates of both in one."""
    rates = {
        dataset: first.rates.get(dataset, {}) | second.rates.get(dataset, {})
        for dataset in dict.fromkeys([*first.rates, *second.rates])
    }
    return TunedRecipe(base=first.base, rates=rates)
