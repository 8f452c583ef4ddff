"""Picture files to arrays of the catalogue's shape, with Pillow."""

import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.Image import Resampling

from guidebp.data.contents import Images
from guidebp.errors import UserError
from guidebp.study.datasets import Fit

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
EIGHT_BITS = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}


def open_picture(path: Any) -> Image.Image:
    """A picture file, decoded and turned upright; UserError when it is none or unreasonably large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: no picture that can be read ({error}); remove or replace it") from error


def as_array(image: Image.Image, shape: tuple[int, int, int], fit: Fit, where: Any) -> Images:
    """uint8 [C, H, W] of `shape`; UserError for 16-bit pictures and, with fit `exact`, another size."""
    channels, height, width = shape
    if image.mode not in EIGHT_BITS:
        raise UserError(f"{where}: has more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    if channels not in MODES:
        raise UserError(f"{where}: pictures have 1, 3 or 4 channels, the catalogue's shape is {shape}")
    image = image.convert(MODES[channels])
    if image.size != (width, height):
        if fit == "exact":
            raise UserError(
                f"{where}: is {image.height}x{image.width}, the catalogue's shape is {shape}; "
                "set fit: crop or stretch in its source"
            )
        if fit == "crop":
            image = ImageOps.fit(image, (width, height), Resampling.BILINEAR)
        else:
            image = image.resize((width, height), Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
