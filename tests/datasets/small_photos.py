"""A small release like mini-ImageNet's, in all its forms, to be damaged in every way."""

import dataclasses
import io
import pickle
import zipfile

import numpy as np
from PIL import Image

from tfmeta.datasets.mini_imagenet.layout import ARCTIC_FOX, SIDE, SPLITS, YAWL, Layout

LAYOUT = Layout(train=3, val=1, test=2, images=4)
CLASSES = {"train": [YAWL, "n01532829", ARCTIC_FOX], "val": ["n01855672"], "test": ["n09999999", "n01930112"]}
ORDER = ["n01532829", "n01855672", "n01930112", ARCTIC_FOX, YAWL, "n09999999"]  # sorted
FORMS = ("zip", "flat zip", "folder", "class folders", "class zip", "beside")


def scene(seed, height=SIDE, width=SIDE):
    """Smooth random colours: uint8 [height, width, 3]."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def encode(array, kind="JPEG", mode="RGB", **options):
    file = io.BytesIO()
    Image.fromarray(array).convert(mode).save(file, kind, **options)
    return file.getvalue()


def decode(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@dataclasses.dataclass
class Photos:
    """Photos by file name, and the rows of the csv files."""

    files: dict
    rows: dict  # split -> [(file name, label)]

    def write(self, folder, form="zip"):
        folder.mkdir(parents=True, exist_ok=True)
        for split, rows in self.rows.items():
            lines = ["filename,label", *(f"{name},{label}" for name, label in rows)]
            (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
        prefix = "images/" if form in ("zip", "folder") or form.startswith("class") else ""
        paths = {
            prefix + (f"{name[:9]}/" if form.startswith("class") else "") + name: data
            for name, data in self.files.items()
        }
        if form.endswith("zip"):
            with zipfile.ZipFile(folder / "images.zip", "w") as file:
                for name, data in paths.items():
                    file.writestr(name, data)
        else:
            for name, data in paths.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
        return folder


def make_photos():
    """Make images that all differ, in another order than that of their names."""
    files, rows = {}, {}
    for split in SPLITS:
        names = [f"{wnid}{8 - k:08d}.jpg" for wnid in CLASSES[split] for k in range(LAYOUT.images)]
        rows[split] = [(name, name[:9]) for name in names]
        files |= {name: encode(scene(int(name[1:-4])), quality=85) for name in names}
    return Photos(files, rows)


def contents(release, form="class_dict"):
    """Return what the pickles of a release hold, by split: {"image_data": ..., ...}, or MetaOptNet's form."""
    out = {}
    for split, rows in release.rows.items():
        rows = sorted(rows)
        images = np.stack([decode(release.files[name]) for name, _ in rows])
        labels = [label for _, label in rows]
        names = sorted(set(labels), reverse=True)
        if form == "class_dict":
            numbers = {name: [k for k, label in enumerate(labels) if label == name] for name in names}
            out[split] = {"image_data": images, "class_dict": numbers}
        else:
            out[split] = {
                "data": images,
                "labels": [names.index(label) for label in labels],
                "catname2label": {name: k for k, name in enumerate(names)},
            }
    return out


def write_pickles(folder, by_split, protocol=4, name="mini-imagenet-cache-{}.pkl"):
    folder.mkdir(parents=True, exist_ok=True)
    for split, content in by_split.items():
        data = content if isinstance(content, bytes) else pickle.dumps(content, protocol)
        (folder / name.format(split)).write_bytes(data)
    return folder
