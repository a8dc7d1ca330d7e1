"""Functions that no constant of ours was set on: pictures, tables, fitted models, text, forecasts.

Inputs are drawn from populations without an end, so that batches are independent: crops of
photographs, mixtures of normals fitted to tables, sentences and series by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bench.science.functions import Array, Function, Sampler, ZooFunction
from bench.science.trials import Batch

Draw = Callable[[np.random.Generator, int], Array]


def drawn(draw: Draw) -> Sampler:
    """Make a sampler of a function that draws rows."""
    return lambda rng, k: Batch(draw(rng, k))


# Pictures: crops of two photographs, (n, 3, 24, 24), and digits, (n, 8, 8).

SIDE = 24


@cache
def photographs() -> tuple[Array, ...]:
    from sklearn.datasets import load_sample_images

    return tuple(image.transpose(2, 0, 1) / 255.0 for image in load_sample_images().images)


def crops(rng: np.random.Generator, k: int) -> Array:
    """Cut squares at random places, mirrored or not."""
    found = []
    for _ in range(k):
        photograph = photographs()[rng.integers(2)]
        top, left = (rng.integers(size - SIDE) for size in photograph.shape[1:])
        crop = photograph[:, top : top + SIDE, left : left + SIDE]
        found.append(crop[:, :, :: rng.choice([-1, 1])])
    return np.stack(found)


def colours(x: Array) -> Array:
    """Mean of each channel, its spread, and the saturation."""
    saturation = (x.max(axis=1) - x.min(axis=1)).mean(axis=(1, 2))
    return np.column_stack([x.mean(axis=(2, 3)), x.std(axis=(2, 3)), saturation])


def sharpness(x: Array) -> Array:
    """Log of the mean square of the Laplacian of the brightness, and its largest place's value."""
    grey = x.mean(axis=1)
    across = grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] + grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1]
    curved = across - 4.0 * grey[:, 1:-1, 1:-1]
    return np.log(1e-5 + (curved**2).mean(axis=(1, 2)))[:, None]


def random_convolutions(x: Array) -> Array:
    """Ten outputs of a network of random filters: convolve, rectify, pool, mix."""
    rng = np.random.default_rng(11)
    filters = rng.standard_normal((24, 3 * 25)) / np.sqrt(75)
    windows = np.lib.stride_tricks.sliding_window_view(x - 0.5, (5, 5), axis=(2, 3))[:, :, ::2, ::2]
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(len(x), -1, 75)
    pooled = np.maximum(patches @ filters.T, 0.0).mean(axis=1)
    return np.tanh(4.0 * pooled @ rng.standard_normal((24, 32)) / 5.0) @ rng.standard_normal(
        (32, 10)
    )


def half_image(x: Array) -> Array:
    """The brightness at half the resolution, six by six."""
    return x.mean(axis=1).reshape(len(x), 6, 4, 6, 4).mean(axis=(2, 4)).reshape(len(x), -1)


# Tables: mixtures of normals, fitted to those that scikit-learn brings.


@cache
def table(name: str) -> tuple[Array, NDArray[Any]]:
    from sklearn import datasets

    load = getattr(datasets, f"load_{name}")
    options = {"scaled": False} if name == "diabetes" else {}
    return load(return_X_y=True, **options)


def rows_like(name: str) -> Draw:
    """Draw rows like those of a table: one of them, moved by a third of each column's spread."""

    def draw(rng: np.random.Generator, k: int) -> Array:
        rows, _ = table(name)
        near = rows[rng.integers(len(rows), size=k)]
        return near + rows.std(axis=0) / 3.0 * rng.standard_normal(near.shape)

    return draw


@cache
def fitted(make: Callable[[], Any], name: str) -> Any:
    """Fit a model to a table."""
    return make().fit(*table(name))


def scaled(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


def forest_of_tumours() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(50, max_depth=6, random_state=0)


def logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return scaled(LogisticRegression())


def support_vectors() -> Any:
    from sklearn.svm import SVC

    return scaled(SVC(gamma=0.1))


def neural_network() -> Any:
    from sklearn.neural_network import MLPClassifier

    return scaled(MLPClassifier((48,), max_iter=60, tol=0.1, random_state=0))


def neighbours() -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(7)


def discriminant() -> Any:
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

    return scaled(QuadraticDiscriminantAnalysis(reg_param=0.1))


def boosted_trees() -> Any:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(n_estimators=60, random_state=0)


def regression_network() -> Any:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.preprocessing import StandardScaler

    network = MLPRegressor(
        hidden_layer_sizes=(20,), solver="lbfgs", alpha=0.1, max_iter=4000, random_state=0
    )
    return scaled(TransformedTargetRegressor(network, transformer=StandardScaler()))


def kernel_ridge() -> Any:
    from sklearn.kernel_ridge import KernelRidge

    return scaled(KernelRidge(kernel="rbf", alpha=0.1, gamma=0.02))


def nearest_regression() -> Any:
    from sklearn.neighbors import KNeighborsRegressor

    return scaled(KNeighborsRegressor(8, weights="distance"))


def predict(make: Callable[[], Any], name: str) -> Function:
    return lambda x: fitted(make, name).predict(x).reshape(len(x), -1)


def scores(make: Callable[[], Any], name: str) -> Function:
    """Class probabilities, or the decision function where a model has none."""

    def score(x: Array) -> Array:
        model = fitted(make, name)
        if hasattr(model, "predict_proba"):
            return model.predict_proba(x)
        return model.decision_function(x)

    return score


def credit(x: Array) -> Array:
    """A score of age, income, debt, years at work, accounts, late payments, house, loan, term."""
    age, income, debt, years, accounts, late, house, loan, term = x.T
    burden = (debt + loan / np.maximum(term, 1.0) * 12.0) / np.maximum(income, 1e3)
    score = 0.02 * age + 0.6 * np.log1p(np.maximum(years, 0.0)) - 2.5 * burden - 0.7 * late
    score += 0.1 * np.sqrt(np.maximum(accounts, 0.0)) + 1e-6 * house
    return np.column_stack([expit(score), 3.0 + 6.0 * expit(-score)])


def applicants(rng: np.random.Generator, k: int) -> Array:
    income = np.exp(10.5 + 0.5 * rng.standard_normal(k))
    return np.column_stack(
        [
            rng.uniform(20, 70, k), income, income * rng.uniform(0.0, 0.5, k),
            rng.exponential(6.0, k), rng.poisson(3.0, k), rng.poisson(0.5, k),
            rng.uniform(0.0, 6e5, k), rng.uniform(5e3, 8e4, k), rng.uniform(12.0, 84.0, k),
        ]
    )  # fmt: skip


def energy_bill(x: Array) -> Array:
    """A month's bill of a house: area, degree days, insulation, people, two tariffs, sun."""
    area, days, insulation, people, day, night, sun = x.T
    heat = area * days * 0.024 / np.maximum(insulation, 0.2)
    power = 60.0 * people + 0.5 * area - 0.6 * sun
    bill = heat * 0.08 + np.maximum(power, 0.0) * (0.65 * day + 0.35 * night)
    return (bill - 0.05 * np.maximum(-power, 0.0))[:, None]


def houses(rng: np.random.Generator, k: int) -> Array:
    return np.column_stack(
        [
            rng.uniform(40, 220, k), rng.uniform(50, 600, k), rng.uniform(0.6, 3.0, k),
            rng.integers(1, 6, k), rng.uniform(0.2, 0.45, k), rng.uniform(0.1, 0.25, k),
            rng.exponential(150.0, k),
        ]
    )  # fmt: skip


# Text: bags of letters' pairs of sentences by chance, hashed to 64 counts.

TOPICS = (
    "goal team match player season coach league score win ball defence stadium",
    "bank market price share profit growth trade debt interest fund budget loan",
    "cell protein gene patient trial drug dose virus therapy tissue blood immune",
    "code server network data kernel thread cache query memory compiler packet test",
)
COMMON = "the a of and in to for with on by from has was more new after"


@cache
def hashed_words() -> tuple[Array, ...]:
    """Counts of hashed letter pairs of each word: of common ones, and of each topic's."""

    def of(word: str) -> Array:
        row = np.zeros(64)
        for first, second in zip(f" {word}", f"{word} ", strict=True):
            row[(31 * ord(first) + 17 * ord(second)) % 64] += 1.0
        return row

    return tuple(np.stack([of(word) for word in words.split()]) for words in (COMMON, *TOPICS))


def sentences(rng: np.random.Generator, k: int) -> Array:
    """Draw bags of 12 to 25 words, most of one topic."""
    common, *topics = hashed_words()
    bags = []
    for _ in range(k):
        share = rng.dirichlet(np.full(len(topics), 0.3))
        chosen = rng.choice(len(topics), size=rng.integers(6, 13), p=share)
        words = [topics[topic][rng.integers(12)] for topic in chosen]
        bags.append(np.sum(words, axis=0) + common[rng.integers(len(common), size=12)].sum(axis=0))
    return np.stack(bags)


@cache
def topic_model() -> Array:
    return np.log(np.stack([topic.sum(axis=0) + 1.0 for topic in hashed_words()[1:]]).T)


def topic_scores(x: Array) -> Array:
    """Log-likelihoods of four topics, naive Bayes."""
    weights = topic_model()
    return x @ (weights - np.log(np.exp(weights).sum(axis=0)))


def similarity(x: Array) -> Array:
    """Cosines of damped counts to four topics'."""
    rows, topics = np.log1p(np.maximum(x, 0.0)), np.exp(topic_model())
    norms = np.linalg.norm(rows, axis=1)[:, None] * np.linalg.norm(topics, axis=0)
    return rows @ topics / np.maximum(norms, 1e-9)


def readability(x: Array) -> Array:
    """Flesch's ease and grade: words, sentences, syllables."""
    words, count, syllables = np.maximum(x, 1.0).T
    length, weight = words / count, syllables / words
    return np.column_stack(
        [206.8 - 1.015 * length - 84.6 * weight, 0.39 * length + 11.8 * weight - 15.6]
    )


def texts(rng: np.random.Generator, k: int) -> Array:
    words = rng.integers(80, 600, k)
    return np.column_stack([words, words // rng.uniform(8, 30, k), words * rng.uniform(1.2, 2, k)])


# Forecasts of series of 24 months.


def series(rng: np.random.Generator, k: int) -> Array:
    month = np.arange(24)
    level, trend = rng.uniform(50, 150, (k, 1)), rng.normal(0.0, 1.0, (k, 1))
    season = rng.uniform(0.0, 15.0, (k, 1)) * np.sin(
        2 * np.pi * (month / 12 + rng.uniform(size=(k, 1)))
    )
    return level + trend * month + season + rng.normal(0.0, 4.0, (k, 24))


def holt(x: Array) -> Array:
    """Six months ahead by Holt's damped trend."""
    level, trend = x[:, 0], x[:, 1] - x[:, 0]
    for now in x.T[1:]:
        before = level
        level = 0.4 * now + 0.6 * (level + 0.9 * trend)
        trend = 0.2 * (level - before) + 0.8 * 0.9 * trend
    return level[:, None] + trend[:, None] * np.cumsum(0.9 ** np.arange(1, 7))


def seasonal(x: Array) -> Array:
    """Six months ahead: last year's times the growth from year to year."""
    growth = x[:, 12:].sum(axis=1) / np.maximum(np.abs(x[:, :12].sum(axis=1)), 1.0)
    return x[:, 12:18] * growth[:, None]


def chosen_smoothing(x: Array) -> Array:
    """Next month by simple smoothing, with the one of nine factors that erred least so far."""
    factors = np.linspace(0.1, 0.9, 9)
    level = np.repeat(x[:, :1], 9, axis=1)
    errors = np.zeros_like(level)
    for now in x.T[1:]:
        errors += (now[:, None] - level) ** 2
        level = level + factors * (now[:, None] - level)
    return level[np.arange(len(x)), errors.argmin(axis=1)][:, None]


def models() -> list[ZooFunction]:
    """Give the functions of pictures, tables, fitted models, text and series."""
    tumours, wines, irises, digits, patients = map(
        rows_like, ("breast_cancer", "wine", "iris", "digits", "diabetes")
    )

    def one(name: str, kind: str, fn: Function, draw: Draw) -> ZooFunction:
        return ZooFunction(name, kind, fn, drawn(draw))

    def classifier(name: str, make: Callable[[], Any], data: str, draw: Draw) -> ZooFunction:
        fn = scores(make, data)
        return ZooFunction(name, "classifiers", fn, drawn(draw), has_labels=True)

    return [
        one("colours of photographs", "pictures", colours, crops),
        one("sharpness of photographs", "pictures", sharpness, crops),
        one("random convolutions", "pictures", random_convolutions, crops),
        one("half the resolution", "pictures", half_image, crops),
        one("credit score", "tables", credit, applicants),
        one("energy bill", "tables", energy_bill, houses),
        one("ease of reading", "tables", readability, texts),
        classifier("forest of tumours", forest_of_tumours, "breast_cancer", tumours),
        classifier("logistic regression of tumours", logistic, "breast_cancer", tumours),
        classifier("neighbours of irises", neighbours, "iris", irises),
        classifier("discriminant of wines", discriminant, "wine", wines),
        classifier("support vectors of digits", support_vectors, "digits", digits),
        classifier("neural network of digits", neural_network, "digits", digits),
        *(
            one(f"{name} of patients", "regressors", predict(make, "diabetes"), patients)
            for name, make in (
                ("boosted trees", boosted_trees),
                ("neural network", regression_network),
                ("kernel ridge", kernel_ridge),
                ("neighbours", nearest_regression),
            )
        ),
        one("topics of sentences", "text", topic_scores, sentences),
        one("similarity of sentences", "text", similarity, sentences),
        one("damped trend", "forecasts", holt, series),
        one("last year's growth", "forecasts", seasonal, series),
        one("chosen smoothing", "forecasts", chosen_smoothing, series),
    ]
