"""A sitecustomize.py that has training processes die at the start of chosen runs, as for want of memory."""

KILLER = '''
import builtins, json, os, signal
from pathlib import Path

real, folder = builtins.print, Path(os.environ["GUIDEBP_TEST_KILLS"])


def print_then_die(*values, **options):
    """Die at the start of a run as often as the file named after its key has lines left."""
    real(*values, **options)
    event = json.loads(values[0]) if values and str(values[0]).startswith("{") else {}
    plan = folder / event.get("key", "none")
    if event.get("kind") == "start" and plan.exists() and (left := plan.read_text().split()):
        plan.write_text(" ".join(left[1:]))
        os.kill(os.getpid(), signal.Signals[left[0]])


builtins.print = print_then_die
'''
