"""`make bench`, or `python -m benchmarks [CASE ...]`: measure on this machine, write JSON, tables and a figure.

Results go to benchmarks/results/MACHINE.json, one entry per title; what is measured again replaces what was there.
"""

import argparse
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks import equivalence, memory, packs, pipeline, rules, throughput
from benchmarks.figure import draw
from benchmarks.measure import AbsentError, measured
from benchmarks.text import markdown
from guidebp.hashing import encode_readable_json
from guidebp.provenance import describe_machine

RESULTS = Path(__file__).parent / "results"
CASES = ("throughput", "rules", "packs", "pipeline", "memory", "equivalence")


def main() -> None:
    """Measure the cases named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all without any")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[100, 1_000, 10_000], help="runs, for pipeline"
    )
    args = parser.parse_args()
    if unknown := set(args.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    where = describe_machine(args.device) | {"edited": edited()}
    cpu = args.device == "cpu"
    name = f"{where['processor']} {where['instructions']}" if cpu else str(where["device"])
    path = RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}-{args.device}.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    packages = {
        package: version(package) for package in ("torch", "torchvision", "torchjd", "snakemake", "numpy")
    }
    for case in args.cases or CASES:
        try:
            for entry in entries(case, args):
                known[entry["title"]] = entry | {"machine": where | packages, "case": case}
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(encode_readable_json(known))
                path.with_suffix(".md").write_text(markdown(known))
                draw(known, path.with_suffix(".png"))
        except AbsentError as error:
            print(f"{case}: not measured: {error}", file=sys.stderr)


def edited() -> bool | None:
    """Whether what is measured, or what measures, differs from its commit; None outside a git checkout."""
    command = ["git", "status", "--porcelain", "--", "src", "workflow", "benchmarks/*.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode else bool(done.stdout.strip())


def entries(case: str, args: argparse.Namespace) -> Any:
    """What a case measures, one entry after the other."""
    if case == "packs":
        yield packs.beside(args.device)
    if case == "pipeline":
        yield pipeline.floor()
        yield pipeline.measure(args.sizes)
    elif case == "memory":
        yield memory.measure()
    elif case == "equivalence":
        yield equivalence.measure(args.device)
    else:
        module = {"throughput": throughput, "rules": rules, "packs": packs}[case]
        for one in module.cases(args.device):
            yield measured(one, args.rounds)


if __name__ == "__main__":
    main()
