"""Every code for products under its one name: what tests and comparisons read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coded.arguments import read_count
from coded.products.circulant import CirculantMatmulCode
from coded.products.coded_sketch import CodedSketchMatmulCode
from coded.products.convolutional import ConvolutionalMatmulCode
from coded.products.khatri_rao import KhatriRaoMatmulCode
from coded.products.matmul_code import MatmulCode
from coded.products.mds import MDSMatmulCode
from coded.products.orthogonal import OrthoMatDotMatmulCode, OrthoPolyMatmulCode
from coded.products.oversketch import OverSketchMatmulCode
from coded.products.polynomial import PolynomialMatmulCode
from coded.products.rotation import RotationMatmulCode


@dataclass(frozen=True)
class Variant:
    """A code for products with its options chosen, as comparisons list it.

    Attributes
    ----------
    make : callable
        ``make(m, n, n_workers)``: a code that cuts the product into m x n blocks, or into as many;
        ValueError where it cannot serve that.
    guarantee : str
        What is promised, in a few words.
    """

    make: Callable[[int, int, int], MatmulCode]
    guarantee: str


def _convolutional(
    n_blocks: int, n_workers: int, rng: int | None = None
) -> ConvolutionalMatmulCode:
    """Code A by rows, so that the last worker gets two blocks' worth."""
    cuts = max((n_workers - n_blocks - 1) * (n_blocks - 1), 1)
    return ConvolutionalMatmulCode(n_blocks, 1, n_workers, sub_blocks=(cuts, 1), rng=rng)


def _entangled(m: int, n: int, n_workers: int) -> PolynomialMatmulCode:
    """Cut the inner dimension in two, and the rest as finely as needs no more than m n answers."""
    most = (read_count(m, "m", at_least=1) * read_count(n, "n", at_least=1) - 1) // 2
    rows = max((k for k in range(1, int(most**0.5) + 1) if most % k == 0), default=1)
    return PolynomialMatmulCode(max(most // rows, 1), rows, n_workers, p=2)


def _coded_sketch(m: int, n: int, n_workers: int) -> CodedSketchMatmulCode:
    """Make as many sketches of two buckets as leave each an answer to lose."""
    n_sketches = max(n_workers // 4, 1)
    return CodedSketchMatmulCode(m, n, n_workers, n_buckets=2, n_sketches=n_sketches)


MATMULS: dict[str, Variant] = {
    "circulant": Variant(
        lambda m, n, n_workers: CirculantMatmulCode(m * n, n_workers),
        "exact from any m answers, by additions",
    ),
    "convolutional": Variant(
        lambda m, n, n_workers: _convolutional(m * n, n_workers),
        "exact from any m answers, by additions, where digits suffice",
    ),
    "entangled": Variant(_entangled, "exact from any p m n + p - 1 answers, where digits suffice"),
    "khatri-rao": Variant(
        KhatriRaoMatmulCode, "exact from any m n answers, blocks themselves bit for bit"
    ),
    "matdot": Variant(
        lambda m, n, n_workers: PolynomialMatmulCode(1, 1, n_workers, p=(m * n + 1) // 2),
        "exact from any 2 p - 1 answers, where digits suffice",
    ),
    "mds-rows": Variant(
        lambda m, n, n_workers: MDSMatmulCode(m * n, n_workers), "exact from any m answers"
    ),
    "ortho-matdot": Variant(
        lambda m, n, n_workers: OrthoMatDotMatmulCode((m * n + 1) // 2, n_workers),
        "exact from any 2 p - 1 answers, each as large as the product",
    ),
    "ortho-poly": Variant(OrthoPolyMatmulCode, "exact from any m n answers"),
    "polynomial": Variant(PolynomialMatmulCode, "exact from any m n answers, where digits suffice"),
    "random-convolutional": Variant(
        lambda m, n, n_workers: _convolutional(m * n, n_workers, rng=0),
        "exact from any m answers",
    ),
    "rotation": Variant(RotationMatmulCode, "exact from any m n answers, best conditioned"),
}

SKETCHES: dict[str, Variant] = {  # estimates: nothing that they give is exact
    "oversketch": Variant(
        lambda m, n, n_workers: OverSketchMatmulCode(
            100, n_workers, n_stragglers=n_workers - m * n
        ),
        "unbiased estimate, of a Hessian above all",
    ),
    "coded-sketch": Variant(_coded_sketch, "estimate of the large blocks, where few are large"),
}
