"""Open pictures that may be hostile; their pixels are decoded later, by `load`."""

import io
from itertools import count

from PIL import Image

from probunet.limits import MOST_PAGES, excess

# Pillow's limit is one number for all files: too large for a small one, and too small for a slide
Image.MAX_IMAGE_PIXELS = None


def open_picture(content: bytes, formats: tuple[str, ...]) -> Image.Image:
    """Return a picture in one of Pillow's formats; TIFF may have several pages.

    Raises
    ------
    ValueError
        If it declares more values, or pages, than a file of its size may hold.
    Exception
        Pillow raises anything on damaged data.
    """
    image = Image.open(io.BytesIO(content), formats=formats)
    values = 0
    for page in count() if image.format == "TIFF" else range(1):
        try:
            image.seek(page)
        except EOFError:  # behind the last page
            break
        if page == MOST_PAGES:
            raise ValueError(f"more than {MOST_PAGES:,} pages")
        values += image.width * image.height * len(image.getbands())
        if problem := excess(values, len(content)):
            raise ValueError(problem)
    image.seek(0)
    return image
