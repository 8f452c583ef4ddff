"""The hash of a family's code: what it leaves out (comments, docstrings, imports) and what it sees."""

import pytest

from guidebp.schema.families import hash_code

SOURCE = '''\
"""Module."""

import math; import torch  # two on a line
from dataclasses import dataclass, field
from guidebp.models.layers import (  # several lines
    GlobalAverage,  # the first
    draw_he_normal,
)
from guidebp.models import contract, \\
    layers

WIDTHS = (4, 8)


@dataclass
class Options:
    """Options."""

    rate: float = 0.1


def compute(values, scale=2.0):
    """Docstring."""
    from math import exp

    "text"; from math import log; total = exp(scale) * sum(values)
    if total > 0:
        import os; print("é", os.name); import sys
    text = """
    import this
    """
    return total, text
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import math; import torch", "import torch"),
        ("import math; import torch", "import cmath; import numpy as torch"),
        ("import math; import torch  # two on a line\n", ""),
        ("import dataclass, field", "import dataclass"),
        ("from dataclasses import dataclass, field", "from elsewhere import dataclass, field"),
        ("guidebp.models.layers", "guidebp.models.blocks"),
        ("    draw_he_normal,\n", ""),
        ("    draw_he_normal,\n", "    draw_he_normal,\n    make_conv_bn_relu,  # added\n"),
        ("  # the first", ""),
        ("(  # several lines\n    GlobalAverage,  # the first\n    draw_he_normal,\n)", "GlobalAverage"),
        ("contract, \\\n    layers", "contract"),
        ("    from math import exp\n", "    from math import exp, log\n"),
        ("    from math import exp\n", ""),
        ('"text"; from math import log; total', '"text"; total'),
        ('"text"; from math import log; total', '"text"; from cmath import log; total'),
        (
            'import os; print("é", os.name); import sys',
            'import os.path as os; print("é", os.name); import re',
        ),
        ('import os; print("é", os.name); import sys', 'print("é", os.name)'),
        ('"""Docstring."""', '"""Another.\n\n    Longer, with import this.\n    """'),
    ],
)
def test_imports_comments_and_docstrings_keep_the_hash(old: str, new: str) -> None:
    assert SOURCE.count(old) == 1
    assert hash_code(SOURCE.replace(old, new)) == hash_code(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("exp(scale) * sum", "exp(scale) + sum"),
        ("scale=2.0", "scale=3.0"),
        ("rate: float = 0.1", "rate: float = 0.2"),
        ("rate: float", "decay: float"),
        ("(4, 8)", "(4, 16)"),
        ("def compute", "def calculate"),
        ("@dataclass\n", ""),
        ("    import this\n", "    import that\n"),  # within a string that is no docstring
        ('"text"; from math', '"other"; from math'),
        ('print("é", os.name)', 'print("e", os.name)'),
        ("os.name", "os.sep"),
        ("        import os; print", "        import os\n    print"),
        ("    return total, text\n", "    return total, text; import sys; print()\n"),
    ],
)
def test_code_changes_the_hash(old: str, new: str) -> None:
    assert SOURCE.count(old) == 1
    assert hash_code(SOURCE.replace(old, new)) != hash_code(SOURCE)


def test_a_docstring_shares_its_line_with_code() -> None:
    assert hash_code('def f(): "doc"; return 1\n') == hash_code('def f(): "other"; return 1\n')
    assert hash_code('def f(): "doc"; return 1\n') != hash_code('def f(): "doc"; return 2\n')
