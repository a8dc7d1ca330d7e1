"""The pictures that people ask for, under their public name; drawn by `evaluation.plots`."""

from coded.evaluation.plots import Curve, draw_curves, draw_timeline

__all__ = ["Curve", "draw_curves", "draw_timeline"]
