"""What users can call: every public name with its signature, as oracles/golden lists them.

``python -m tests.test_public_names > tests/oracles/golden/public_names.txt`` writes the list anew:
a change of it is a change for users, and belongs in the documents.
"""

import inspect
import sys
from importlib import import_module
from pathlib import Path

import coded
import fastspline

GOLDEN = Path(__file__).parent / "oracles" / "golden" / "public_names.txt"
MODULES = {  # that the README imports
    "coded.demo.lenet5": ("LeNet5", "load"),
    "coded.plots": ("Curve", "draw_curves", "draw_timeline"),
    "coded.schemes": ("codes",),
}
MADE_FOR_USERS = {
    "FitGradient",
    "RegressionSpline",
    "Spline",
    "SplineOperator",
}  # nobody else calls their classes
EXTRAS = (  # of coded, each needs an extra
    "CodedConv2d", "CodedLinear", "ProgressBar", "RayExecutor", "TorchWorker", "coded_layer",
)  # fmt: skip


def list_names():
    """Give a line for each public name, and for each member of a public class."""
    lines = []
    for package in (fastspline, coded):
        extras = EXTRAS if package is coded else ()
        for name in sorted({*package.__all__, *extras}):
            lines += describe(f"{package.__name__}.{name}", getattr(package, name))
    for module, names in MODULES.items():
        for name in names:
            lines += describe(f"{module}.{name}", getattr(import_module(module), name))
    return lines


def describe(path, value):
    """Give the lines of a function, a class with its members, or a constant."""
    if inspect.isclass(value):
        called = "" if value.__name__ in MADE_FOR_USERS else sign(value)
        members = {
            name: (kind, member)
            for name, kind, home, member in inspect.classify_class_attrs(value)
            if not name.startswith("_") and home.__module__.split(".")[0] in ("coded", "fastspline")
        }
        fields = {
            name: annotation
            for home in reversed(value.__mro__)
            if home.__module__.split(".")[0] in ("coded", "fastspline")
            for name, annotation in inspect.get_annotations(home).items()
            if not name.startswith("_")
        }
        return [
            f"{path}{called} (class)",
            *(f"{path}.{name}: {annotation}" for name, annotation in sorted(fields.items())),
            *(
                f"{path}.{name}{sign(member) if 'method' in kind else ''} ({kind})"
                for name, (kind, member) in sorted(members.items())
                if name not in fields
            ),
        ]
    return [f"{path}{sign(value)}" if callable(value) else f"{path}: {type(value).__name__}"]


def sign(value):
    """Give a signature as it is written, an unbound method's without its own `self`."""
    try:
        return str(inspect.signature(getattr(value, "__func__", value)))
    except ValueError:  # exceptions take what the built-in ones take
        return "(...)"


def test_what_users_can_call_keeps_its_name_and_signature():
    expected = GOLDEN.read_text(encoding="utf-8").splitlines()
    assert list_names() == expected


if __name__ == "__main__":
    sys.stdout.write("\n".join(list_names()) + "\n")
