"""Everything that may go wrong, on the real workflow: `make chaos`. Ends with a table.

GUIDEBP_KILLS says how often the workflow is killed at random (20); GUIDEBP_SEED, which is printed, when.
"""

import os
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.faults import FAULTS, can_mount, full_disk, read_only
from tests.chaos.victim import Victim


def outcome(victim: Victim, undisturbed: dict[str, bytes]) -> tuple[int, int, bool]:
    """Runs lost, files with other contents, and whether all is the same."""
    found = victim.kept()
    lost = sum(name.endswith("record.json") and name not in found for name in undisturbed)
    wrong = sum(name in undisturbed and content != undisturbed[name] for name, content in found.items())
    return lost, wrong, {name: found.get(name) for name in undisturbed} == undisturbed


def main() -> None:
    """Inject every fault, or those that the arguments name a part of."""
    seed = int(os.environ.get("GUIDEBP_SEED", random.randrange(10**6)))
    print(f"GUIDEBP_SEED={seed}", flush=True)
    chosen = [name for name in FAULTS if not sys.argv[1:] or any(word in name for word in sys.argv[1:])]
    rows, good = [("fault", "injected", "runs lost", "wrong numbers", "identical")], True
    with tempfile.TemporaryDirectory(prefix="chaos") as folder:
        template = Victim(Path(folder) / "template")
        template.call("snakemake", "--quiet", "all", "--", "data")
        reference = template.copy(Path(folder) / "undisturbed")
        reference.call(*reference.workflow)
        undisturbed = reference.kept()
        for name in chosen:
            if FAULTS[name] in (full_disk, read_only) and not can_mount():
                print(f"{name}: left out, mounting is not allowed here", flush=True)
                continue
            victim = template.copy(Path(folder) / FAULTS[name].__name__)
            count = FAULTS[name](victim, random.Random(f"{seed} {name}"))
            lost, wrong, identical = outcome(victim, undisturbed)
            rows.append((name, str(count), str(lost), str(wrong), "yes" if identical else "no"))
            good = good and identical
            print("  ".join(rows[-1]), flush=True)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(*("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows), sep="\n")
    sys.exit(not good)


if __name__ == "__main__":
    main()
