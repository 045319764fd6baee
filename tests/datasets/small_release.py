"""A small release like Omniglot's, to be damaged in every way."""

import dataclasses
import io
import zipfile

import numpy as np
from PIL import Image

from tfmeta.datasets.omniglot.layout import DRAWINGS, SIDE, Digest, Part


def image(seed, side=SIDE, mode="1", **options):
    """Return a PNG of a few random strokes, dark on white; the same strokes for the same seed."""
    random = np.random.default_rng(seed)
    paper = np.ones((side, side), bool)
    for _ in range(3):
        y, x = random.integers(5, side - 45, 2)
        paper[y : y + random.integers(3, 40), x : x + 3] = False
        paper[y : y + 3, x : x + random.integers(3, 40)] = False
    file = io.BytesIO()
    Image.fromarray(paper).convert(mode).save(file, "PNG", **options)
    return file.getvalue()


def ink(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("L")) < 128


@dataclasses.dataclass
class Release:
    """Files by path, and the parts that describe them."""

    parts: tuple
    files: dict

    def of(self, part):
        return {name: data for name, data in self.files.items() if name.startswith(part.folder + "/")}

    def write_zips(self, folder, compression=zipfile.ZIP_STORED):
        folder.mkdir(parents=True, exist_ok=True)
        for part in self.parts:
            with zipfile.ZipFile(folder / f"{part.folder}.zip", "w", compression) as file:
                for name, data in self.of(part).items():
                    file.writestr(name, data)
        return folder

    def write_folders(self, folder):
        for name, data in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder


def make_release():
    parts, files, number = [], {}, 0
    layout = {"background": {"Alpha": 2, "Beta_(old)": 1}, "evaluation": {"Gamma": 2}}
    for split, alphabets in layout.items():
        part = Part(split, f"images_{split}", "", alphabets)
        digest = Digest()
        for name in part.characters:
            number += 1
            pngs = [image(100 * number + drawing) for drawing in range(DRAWINGS)]
            digest.add(name, np.stack([ink(png) for png in pngs]))
            files |= {f"{part.folder}/{name}/{number:04d}_{i + 1:02d}.png": png for i, png in enumerate(pngs)}
        parts.append(dataclasses.replace(part, digest=digest.hexdigest()))
    return Release(tuple(parts), files)
