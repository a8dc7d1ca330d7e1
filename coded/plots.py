"""The pictures that people ask for, under their public name; drawn by `evaluation.plots`."""

from coded.evaluation.plots import Curve, Errors, draw_curves, draw_errors, draw_timeline

__all__ = ["Curve", "Errors", "draw_curves", "draw_errors", "draw_timeline"]
