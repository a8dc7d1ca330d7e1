"""What `recommend` gives: a scheme, why, what it lost where it was measured, and cautions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Objective: TypeAlias = Literal["outputs", "labels"]
Setting: TypeAlias = tuple[int, int, int]

COPIES = "replication-nearest"
NEAR = 1.5  # times the least loss: as good as the best


@dataclass(frozen=True, eq=False)
class Recommendation:
    """A scheme, why it is recommended, and what it may be expected to lose.

    Attributes
    ----------
    scheme : Scheme, MatmulCode or GradientCode
        Ready to use.
    name : str
        Its name in ``coded.schemes.codes()``, as `compare` takes it; of a job's code that in
        `compare_matmul` or `compare_gradients`.
    why : str
        The reason, in one sentence.
    measured_at : (int, int, int) or None
        The measured (K, N, S) next to the one asked for; None where nothing needs to be
        measured, since all outputs are exact.
    measure : {"relative_mse", "relative_accuracy", "agreement"}
        What `measured` holds. relative_mse: mean square of the error over the variance of f, by
        the table the geometric mean over the functions of the kind. relative_accuracy: accuracy
        of the estimates over that of f, the mean over the classifiers. agreement: how often the
        largest output is that of f, by a probe.
    measured : dict of str to float
        Of each scheme there, the recommended one first, then the runner-up, and so on.
    cautions : tuple of str
        What else to know.
    sure : float or None
        By a probe: how often no other candidate is 1.5 times better, on a third of the inputs,
        drawn again and again. None where f was not looked at.
    probed : int
        On how many inputs it was probed.
    evaluations : int
        How often f was evaluated for that.
    """

    scheme: Any
    name: str
    why: str
    measured_at: Setting | None
    measure: Literal["relative_mse", "relative_accuracy", "agreement"]
    measured: dict[str, float]
    cautions: tuple[str, ...]
    sure: float | None = None
    probed: int = 0
    evaluations: int = 0

    def __str__(self) -> str:
        """Write scheme, reason, figures and cautions, a line each."""
        lines = [f"{self.scheme!r}", f"  why: {self.why}"]
        if self.measured:
            digits = ".2g" if self.measure == "relative_mse" else ".3f"
            named = "; ".join(f"{name}: {value:{digits}}" for name, value in self.measured.items())
            lines.append(f"  {self.measure.replace('_', ' ')} measured: {named}")
        if self.sure is not None:
            cost = f", {3 * self.evaluations} evaluations more" if self.evaluations else ""
            lines.append(
                f"  sure: {100 * self.sure:.0f} % that no other of these is {NEAR} times better "
                f"({self.probed} inputs, a third at a time; {self.evaluations} evaluations of fn); "
                f"4 times the inputs{cost} halve the doubt"
            )
        return "\n".join([*lines, *(f"  caution: {caution}" for caution in self.cautions)])


def tell_few_answers(setting: Setting) -> str:
    """Say how many outputs can be exact where fewer answers come than there are inputs."""
    answers = setting[1] - setting[2]
    return (
        f"{answers} answers for {setting[0]} inputs: at most {answers} outputs can be exact, "
        "the others are estimates"
    )
