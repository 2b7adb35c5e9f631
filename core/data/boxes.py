"""What is seen where in a picture: the types of labelled pictures, and what a batch of them is."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

# Columns of a batch's boxes, (B, M, BOX_WIDTH) float32: the index of the class, then where the box
# is, each of the four from 0 to 1 in widths and heights of the picture. Rows that are no box are
# NO_BOX throughout.
CLASS, XMIN, YMIN, XMAX, YMAX = range(5)
BOX_WIDTH = 5
NO_BOX = -1.0


class Box(NamedTuple):
    """An object in a picture, as a file says it: ``label`` is the name of its class.

    Its edges are in pixels, or where ``relative``, in widths and heights of the picture; as the
    picture is shown, its EXIF orientation applied. ``difficult`` objects count neither as found nor
    as missed; a ``crowd`` is a group of objects that may be found any number of times, and is not
    learned. ``area`` is in square pixels where a file gives it. ``place`` says where it stands.
    """

    label: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    relative: bool = False
    difficult: bool = False
    crowd: bool = False
    area: Optional[float] = None
    place: str = ""


class LabelledPicture(NamedTuple):
    """The ``boxes`` of a picture, and its ``size`` (width, height) where a file gives that."""

    source: str
    boxes: Tuple[Box, ...]
    size: Optional[Tuple[int, int]] = None
