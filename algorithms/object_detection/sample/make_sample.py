"""Make the bundled sample from BCCD, smaller, in COCO's form: python make_sample.py BCCD_FOLDER."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

COUNTS = {"train": 24, "test": 12}
SIZE = (240, 180)
SEED = 21
NAMES = ("Platelets", "RBC", "WBC")


def main(source: Path) -> None:
    here = Path(__file__).parent
    rng = np.random.default_rng(SEED)
    for part, count in COUNTS.items():
        listed = (source / "ImageSets" / "Main" / f"{part}.txt").read_text().split()
        images, annotations = [], []
        for number, stem in enumerate(sorted(rng.choice(listed, count, replace=False).tolist()), 1):
            with Image.open(source / "JPEGImages" / f"{stem}.jpg") as picture:
                scale = SIZE[0] / picture.width
                name = f"{part}-{stem[-5:]}.jpg"
                small = picture.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
                small.save(here / name, quality=80, optimize=True)
            images.append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
            root = ElementTree.parse(source / "Annotations" / f"{stem}.xml").getroot()
            for each in root.iter("object"):
                left, top, right, bottom = (
                    float(each.findtext(f"bndbox/{edge}") or "nan") * scale
                    for edge in ("xmin", "ymin", "xmax", "ymax")
                )
                box = [round(edge, 1) for edge in (left, top, right - left, bottom - top)]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": NAMES.index(each.findtext("name") or "") + 1,
                        "bbox": box,
                        "area": round(box[2] * box[3], 1),
                        "iscrowd": 0,
                    }
                )
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES, 1)],
        }
        lines = json.dumps(content).replace("}, {", "},\n{")
        (here / f"{part}.json").write_text(lines + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
