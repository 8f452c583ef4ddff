"""Picture files to arrays of the catalogue's shape, with Pillow."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.Image import Resampling

from guidebp.errors import UserError, summarise_error
from guidebp.ingest.contents import Images
from guidebp.schema.datasets import PictureFit

PICTURE_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # not those that run other programs, as EPS
EIGHT_BITS = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}


def open_picture(path: Path) -> Image.Image:
    """Decode a picture file and turn it upright; UserError when it is none or unreasonably large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities that change no pixel
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if any(";16" + order in str(tile) for tile in image.tile for order in "BLN"):
                    raise ValueError(
                        "it has 16 bits a channel, convert it to 8"
                    )  # Pillow keeps 8 of a colour's
                return ImageOps.exif_transpose(image)
    except Exception as error:  # a damaged file takes Pillow to any of them
        raise UserError(
            f"{path}: no picture that can be read ({summarise_error(error)}); remove or replace it"
        ) from error


def convert_picture(
    image: Image.Image, shape: tuple[int, int, int], fit: PictureFit, where: Path | str
) -> Images:
    """Return a picture as uint8 [C, H, W] of `shape`; UserError for 16 bits and, with fit `exact`, another size."""
    channels, height, width = shape
    if image.mode not in EIGHT_BITS:
        raise UserError(f"{where}: has more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    if channels not in PICTURE_MODES:
        raise UserError(
            f"{where}: pictures have 1, 3 or 4 channels, the catalogue's shape is {shape}; correct the entry"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's advice on palettes with transparency
            image = image.convert(PICTURE_MODES[channels])
    except (ValueError, OSError) as error:
        raise UserError(f"{where}: cannot be converted ({summarise_error(error)}); save it as PNG") from error
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
