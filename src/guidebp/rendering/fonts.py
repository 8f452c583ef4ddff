"""A reduced copy of the figures' font.

A PDF file embeds the glyphs that it uses. Extracting them from the full DejaVu Sans, with thousands of glyphs and
ligature tables that no figure needs, took a third of the time of rendering a study.
"""

import atexit
import tempfile
from functools import cache
from pathlib import Path

import matplotlib as mpl
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from matplotlib import font_manager

FAMILY = "DejaVu Sans Small"
FILES = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
# Latin, Greek, punctuation, arrows, mathematical signs and shapes; the full font is the fallback
RANGES = ((0x20, 0x180), (0x370, 0x400), (0x2010, 0x2070), (0x2190, 0x2300), (0x25A0, 0x2600))
FAMILY_NAME_IDS = (1, 4, 16)  # entries of a font's name table that hold the family name


@cache
def register_figure_font() -> list[str]:
    """Register the reduced font with matplotlib; return the font families to name, in order."""
    folder = tempfile.TemporaryDirectory(prefix="guidebp-fonts-")
    atexit.register(folder.cleanup)
    options = Options(
        layout_features=[],
        drop_tables=["FFTM", "GDEF", "GPOS", "GSUB"],
        hinting=False,
        glyph_names=True,
        name_IDs=["*"],
        notdef_outline=True,
    )
    for name in FILES:
        font = TTFont(Path(mpl.get_data_path()) / "fonts/ttf" / name, recalcTimestamp=False)
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=[code for first, end in RANGES for code in range(first, end)])
        subsetter.subset(font)
        for entry in font["name"].names:
            if entry.nameID in FAMILY_NAME_IDS:
                entry.string = FAMILY
        path = Path(folder.name) / name
        font.save(path)
        font_manager.fontManager.addfont(path)
    return [FAMILY, "DejaVu Sans"]
