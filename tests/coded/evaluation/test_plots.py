import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from coded import CodedResult, ReplicationScheme, coded_map
from coded.evaluation.plots import Curve, draw_curves, draw_timeline

PNG = b"\x89PNG\r\n\x1a\n"
COUNTS = [0, 5, 10]


def a_curve(name="copies", scale=1.0):
    return Curve(name, [0.0, 0.1 * scale, 0.4 * scale], [0.0, 0.01, 0.02])


def test_a_panel_shows_every_curve_with_its_band():
    curves = [a_curve(), a_curve("spline", 0.5)]
    figure = draw_curves(COUNTS, {"error": curves, "accuracy": curves[::-1]}, title="K = 4, N = 12")
    assert figure.get_suptitle() == "K = 4, N = 12"
    assert [axes.get_ylabel() for axes in figure.axes] == ["error", "accuracy"]
    left = figure.axes[0]
    assert [line.get_label() for line in left.lines] == ["copies", "spline"]
    np.testing.assert_array_equal(left.lines[1].get_xydata(), [[0, 0.0], [5, 0.05], [10, 0.2]])
    low, high = np.sort(left.collections[0].get_paths()[0].vertices[:, 1])[[0, -1]]
    assert (low, high) == pytest.approx((0.0, 0.42))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["copies", "spline"]


def test_the_figure_is_written_as_png_without_pyplot(tmp_path):
    path = tmp_path / "picture.png"
    program = (
        "import sys\n"
        "from coded.evaluation.plots import Curve, draw_curves\n"
        "figure = draw_curves([0, 1], {'e': [Curve('a', [0, 1], [0, 0])]}, title='t')\n"
        "figure.savefig(sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=60)
    assert path.read_bytes().startswith(PNG)


def test_a_curve_of_another_length_is_refused():
    with pytest.raises(ValueError, match="curve 'copies' has 3 means and 3 half widths"):
        draw_curves([0, 5], {"error": [a_curve()]}, title="")


def test_more_curves_than_colours_are_refused():
    with pytest.raises(ValueError, match="at most 7 curves, got 8"):
        draw_curves(COUNTS, {"error": [a_curve()] * 8}, title="")


def test_without_matplotlib_the_error_names_the_extra():
    program = "import sys; sys.modules['matplotlib'] = None; import coded.evaluation.plots"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert 'pip install "fastspline[demo]"' in last


def test_the_timeline_shows_every_workers_fate():
    def f(coded_input):
        if coded_input[0] == 0.0:
            raise ValueError("zero is hard")
        return coded_input

    inputs = np.array([[0.0], [1.0], [2.0]])
    with ThreadPoolExecutor(1) as pool:
        result = coded_map(f, inputs, ReplicationScheme(3, 3), pool, wait_for=2)
    figure = draw_timeline(result)
    (axes,) = figure.axes
    assert axes.get_title() == "2 of 3 answers used"
    widths = [bar.get_width() for bar in axes.patches]
    np.testing.assert_array_equal(widths, result.latencies[[1, 2]])
    assert [text.get_text() for text in axes.texts] == ["ValueError: zero is hard"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["answered", "failed"]


def test_who_was_not_waited_for_is_grey():
    latencies = np.array([0.2, np.nan, 0.1])
    result = CodedResult(
        outputs=np.zeros((2, 1)),
        complete=True,
        responders=np.array([0, 2]),
        stragglers=np.array([1]),
        latencies=latencies,
        failures={},
        exact=np.ones(2, bool),
    )
    figure = draw_timeline(result)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.2, 0.1, 0.2]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["answered", "not waited for"]
