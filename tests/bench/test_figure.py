import numpy as np

from bench import figure

PNG = b"\x89PNG\r\n\x1a\n"
LIMIT = 60_000  # bytes


def test_picture_is_written(tmp_path, capsys):
    path = tmp_path / "results" / "fit.png"
    figure.main(path)
    written = path.read_bytes()
    assert written.startswith(PNG)
    assert len(written) <= LIMIT
    assert "fit.png" in capsys.readouterr().out


def test_both_panels_are_named_and_show_the_truth():
    left, right = figure.draw().axes
    for axes in (left, right):
        assert axes.get_xlabel() == "x, seconds"
        assert axes.get_ylabel()
        assert "truth" in [text.get_text() for text in axes.get_legend().get_texts()]
    fit, truth = (line.get_ydata() for line in left.lines[1:])
    assert np.abs(fit - truth).max() < 0.2
    scipys, ours, slope = (line.get_ydata() for line in right.lines)
    assert np.abs(ours - slope).max() < 0.3 * np.abs(scipys - slope).max()


def test_slope_is_the_derivative():
    t, step = np.linspace(0.0, 60.0, 41), 1e-5
    rise = figure.true_curve(t + step) - figure.true_curve(t - step)
    np.testing.assert_allclose(rise / (2.0 * step), figure.true_slope(t), atol=1e-9)
