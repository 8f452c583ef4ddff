"""Memory and time that a pack requests from a scheduler, estimated from the cost of finished runs.

The best estimate is the telemetry of runs with other seeds. Without any, time follows from the step time on the
slowest timed machine (`guidebp time`). Otherwise the estimate is a safe constant.
"""

from collections.abc import Iterable
from functools import cached_property

from guidebp.runs.store import RunStore
from guidebp.study.keys import Run
from guidebp.study.step_times import MachineStepTimes, predict_run_seconds, read_step_times
from guidebp.study.study import Pack, Study

MEGABYTE = 1e6
START_MINUTES, LEAST_MINUTES = 5, 10  # imports and data; what no scheduler should be asked for less
MARGIN = 1.5
UNKNOWN_MINUTES, UNKNOWN_MEGABYTES = 60, 4000  # of one run; of a process

Kind = tuple[str, str, str, str]


class PackResources:
    """Memory and time of the packs of a study. Costs are read from the store once, at the first request."""

    def __init__(self, study: Study, store: RunStore) -> None:
        self.study, self.store = study, store
        self.packs = {pack.id: pack for pack in study.packs}

    def minutes(self, pack_id: str, attempt: int) -> int:
        """Minutes for the runs that the store lacks, with a margin that grows with the attempt."""
        left = [run for run in self.packs[pack_id].runs if not self.store.has(run.key)]
        seconds = sum(map(self.seconds, left)) * MARGIN * attempt
        return max(LEAST_MINUTES, START_MINUTES + round(seconds / 60))

    def megabytes(self, pack_id: str, attempt: int) -> int:
        """Megabytes of the largest process that trained such runs, with a margin that grows with the attempt."""
        known = [
            self.costs[kind]["host_memory"] for kind in _list_kinds(self.packs[pack_id]) if kind in self.costs
        ]
        largest = max(known, default=0) / MEGABYTE * MARGIN or UNKNOWN_MEGABYTES
        return round(largest * attempt)

    def seconds(self, run: Run) -> float:
        """Estimated seconds of one run."""
        if _kind_of(run) in self.costs:
            return self.costs[_kind_of(run)]["seconds"]
        machines = self.step_times.values()
        predicted = [predict_run_seconds(self.study, run, machine.seconds) for machine in machines]
        return max((found for found in predicted if found is not None), default=60.0 * UNKNOWN_MINUTES)

    @cached_property
    def costs(self) -> dict[Kind, dict[str, float]]:
        """The largest seconds and bytes of memory of finished runs, by kind: the run without its seed."""
        found: dict[Kind, dict[str, float]] = {}
        for run in self.study.runs:
            if self.store.has(run.key):
                cost, most = self.store.telemetry(run.key), found.setdefault(_kind_of(run), {})
                if cost.get("ended", "finished") != "finished":  # too early to say
                    continue
                for name in ("seconds", "host_memory"):
                    value = cost.get(name, 0.0)
                    if isinstance(value, int | float):
                        most[name] = max(most.get(name, 0.0), value)
        return {kind: most for kind, most in found.items() if most.get("seconds")}

    @cached_property
    def step_times(self) -> dict[str, MachineStepTimes]:
        """The step times by machine."""
        return read_step_times()


def _kind_of(run: Run) -> Kind:
    """The names of a run except its seed: dataset, architecture, method, recipe."""
    return run.dataset, run.architecture, run.method, run.recipe


def _list_kinds(pack: Pack) -> Iterable[Kind]:
    """The different kinds of a pack's runs."""
    return dict.fromkeys(map(_kind_of, pack.runs))
