"""Plans to test claims: the study that trains the runs of a setting, their number, and the hours by machine."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass

from guidebp.errors import MissingRateError
from guidebp.runs.json_fields import JsonObject
from guidebp.schema.claims import Claim, SettingName, settings_of
from guidebp.study.keys import Run
from guidebp.study.resolve import load_study
from guidebp.study.step_times import MachineStepTimes, predict_run_seconds, read_step_times
from guidebp.study.study import Study


@dataclass(frozen=True)
class SettingPlan:
    """Plan to test a claim in one setting; `hours` has the machines on which every step was timed."""

    setting: SettingName
    study: str
    command: str
    runs: int
    hours: dict[str, float]


def plan_claims(study: Study) -> dict[str, JsonObject]:
    """Return every claim as JSON with its plans, one for each deciding setting that names a study.

    A study that lacks learning rates has no plan. An error would also stop the study that tunes them.
    """
    times, studies = read_step_times(), {study.name: study}
    named = {
        setting.study
        for claim in study.claims.values()
        for name, setting in claim.settings.items()
        if name != "exploratory" and setting.study
    }
    for other in named - {study.name}:
        with suppress(MissingRateError):
            studies[other] = load_study(other)

    def list_plans(claim_name: str, claim: Claim) -> list[JsonObject]:
        plans = [
            plan_setting(claim_name, claim, name, studies[setting.study], times)
            for name, setting in claim.settings.items()
            if name != "exploratory" and setting.study in studies
        ]
        return [asdict(plan) for plan in plans if plan.runs]

    return {
        name: claim.model_dump(mode="json") | {"plan": list_plans(name, claim)}
        for name, claim in study.claims.items()
    }


def plan_setting(
    name: str, claim: Claim, setting: SettingName, study: Study, times: dict[str, MachineStepTimes]
) -> SettingPlan:
    """Return the plan of a claim in a setting of a study: runs, hours and command."""
    runs = list(select_deciding_runs(claim, setting, study.runs))
    hours = {}
    for machine, timed in times.items():
        seconds = [predict_run_seconds(study, run, timed.seconds) for run in runs]
        if seconds and None not in seconds:
            hours[machine] = round(sum(filter(None, seconds)) / 3600, 1)
    command = f"snakemake --config study={study.name} claim={name}"
    return SettingPlan(setting, study.name, command, len(runs), hours)


def select_deciding_runs(claim: Claim, setting: SettingName, runs: Iterable[Run]) -> Iterator[Run]:
    """Yield the runs that count for a claim in a setting."""
    for run in runs:
        if setting in settings_of(claim, run.dataset, run.architecture, run.method, run.recipe, run.seed):
            yield run
