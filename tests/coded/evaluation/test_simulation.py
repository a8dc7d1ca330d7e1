import numpy as np
import pytest
import torch

from coded import (
    BerrutScheme,
    ConsecutiveStragglers,
    KernelScheme,
    NotEnoughRespondersError,
    ParityScheme,
    ReplicationScheme,
    Simulation,
    SlowInputStragglers,
    SplineScheme,
    mean_l2,
    simulate,
)

INPUTS = np.random.default_rng(0).normal(size=(6, 4))
SCHEMES = [
    SplineScheme(6, 20),
    SplineScheme.paper(6, 20),
    BerrutScheme(6, 20),
    ReplicationScheme(6, 20),
]


def softmax(x):
    scores = np.exp(x)
    return scores / scores.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("stragglers", [5, ConsecutiveStragglers(5)], ids=repr)
@pytest.mark.parametrize("rng", [7, np.random.default_rng(7)], ids=["seed", "generator"])
def test_every_scheme_meets_the_same_stragglers(stragglers, rng):
    runs = [simulate(softmax, INPUTS, scheme, stragglers=stragglers, rng=rng) for scheme in SCHEMES]
    assert len(runs[0].responders) == 20
    for run in runs:
        assert all(len(who) == 15 for who in run.responders)
        for who, same in zip(run.responders, runs[0].responders, strict=True):
            assert np.array_equal(who, same)
    assert len({tuple(who) for who in runs[0].responders}) > 5


def test_a_generator_is_read_and_never_advanced():
    generator = np.random.default_rng(3)
    before = generator.bit_generator.state
    first = simulate(softmax, INPUTS, SCHEMES[0], stragglers=5, rng=generator)
    assert generator.bit_generator.state == before
    assert generator.bit_generator.seed_seq.n_children_spawned == 0
    generator.random()
    second = simulate(softmax, INPUTS, SCHEMES[0], stragglers=5, rng=generator)
    assert not np.array_equal(first.responders, second.responders)


def test_more_repeats_continue_the_same_draws():
    few = simulate(softmax, INPUTS, SCHEMES[0], stragglers=5, repeats=3)
    many = simulate(softmax, INPUTS, SCHEMES[0], stragglers=5, repeats=9)
    assert np.array_equal(few.responders, many.responders[:3])
    np.testing.assert_array_equal(few.outputs, many.outputs[:3])


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_outputs_are_what_the_scheme_decodes(scheme):
    run = simulate(softmax, INPUTS, scheme, stragglers=5, repeats=4)
    bound = scheme.bind(INPUTS)
    coded_outputs = softmax(bound.encode(INPUTS))
    for outputs, who in zip(run.outputs, run.responders, strict=True):
        np.testing.assert_array_equal(outputs, bound.decode(coded_outputs[who], who))
    np.testing.assert_array_equal(run.reference, softmax(INPUTS))
    np.testing.assert_array_equal(run.mean_l2, mean_l2(run.outputs, softmax(INPUTS)))
    labels = softmax(INPUTS).argmax(axis=1)
    right = (run.outputs.argmax(axis=-1) == labels).mean(axis=1)
    np.testing.assert_allclose(run.rel_acc(labels), right)


@pytest.mark.parametrize("batched", [True, False])
def test_each_worker_evaluates_its_own_function_of_its_own_input(batched):
    scheme = ParityScheme(3, 6, parity_models=[np.cos, np.exp, np.cos])
    inputs = INPUTS[:3]
    run = simulate(np.sin, inputs, scheme, stragglers=2, batched=batched)
    functions = [np.sin, np.sin, np.sin, np.cos, np.exp, np.cos]
    coded_inputs = scheme.encode(inputs)
    answers = np.stack([fn(x) for fn, x in zip(functions, coded_inputs, strict=True)])
    for outputs, who in zip(run.outputs, run.responders, strict=True):
        np.testing.assert_allclose(outputs, scheme.decode(answers[who], who), rtol=1e-12)


def test_without_stragglers_a_systematic_code_makes_no_error():
    run = simulate(softmax, INPUTS, SplineScheme(6, 20), stragglers=0)
    assert (run.mean_l2 == 0).all()


def test_one_by_one_equals_batched():
    batched = simulate(softmax, INPUTS, SCHEMES[0], stragglers=5)
    single = simulate(softmax, INPUTS, SCHEMES[0], stragglers=5, batched=False)
    np.testing.assert_allclose(single.outputs, batched.outputs, rtol=0, atol=1e-15)


def test_tensors_go_in_and_come_out():
    inputs = torch.from_numpy(INPUTS).float()
    for batched in (True, False):
        run = simulate(
            lambda x: torch.softmax(x, dim=-1), inputs, SCHEMES[0], stragglers=5, batched=batched
        )
        assert torch.is_tensor(run.outputs)
        assert torch.is_tensor(run.reference)
        assert run.outputs.dtype == torch.float32
        assert run.mean_l2.shape == (20,)


def test_it_prints_shapes():
    run = simulate(softmax, INPUTS, SCHEMES[0], stragglers=5, repeats=2)
    assert isinstance(run, Simulation)
    assert repr(run).startswith("Simulation(outputs (2, 6, 4), reference (6, 4), mean_l2 ")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"fn": 3}, TypeError, "fn must be callable, got int"),
        ({"fn": lambda x: x[:2]}, ValueError, "fn must return 20 answers for 20 inputs"),
        ({"fn": lambda _: 1.0}, ValueError, r"got shape \(\); pass batched=False"),
        ({"fn": lambda x: np.full(len(x), np.nan)}, ValueError, r"fn\(inputs\)\[0\] = nan"),
        ({"scheme": None}, TypeError, "scheme must be a coded Scheme, got None"),
        ({"scheme": SplineScheme}, TypeError, "got <class .* not its class"),
        ({"inputs": INPUTS[:3]}, ValueError, r"inputs has shape \(3, 4\)"),
        ({"stragglers": 20}, ValueError, r"stragglers must lie in \[0, 19\], got 20"),
        ({"stragglers": -1}, ValueError, r"stragglers must lie in \[0, 19\], got -1"),
        ({"stragglers": 1.5}, TypeError, "stragglers must be an integer"),
        ({"stragglers": "five"}, TypeError, "stragglers must be an integer"),
        ({"repeats": 0}, ValueError, "repeats must be >= 1, got 0"),
        ({"rng": "seed"}, TypeError, "rng must be an integer"),
        ({"rng": -1}, ValueError, "rng must be >= 0"),
        (
            {"stragglers": 19},
            NotEnoughRespondersError,
            r"^1 of 20 workers answered, .* needs 2 answers; lower stragglers, or make a code",
        ),
    ],
)
def test_bad_arguments_are_refused(changes, error, message):
    scheme = SplineScheme(6, 20)
    arguments = {"fn": softmax, "inputs": INPUTS, "scheme": scheme, "stragglers": 5} | changes
    with pytest.raises(error, match=message):
        simulate(**arguments)


def test_a_function_of_one_input_is_told_that_it_got_a_stack():
    def one_input(x):
        return np.eye(4)[:3] @ x

    with pytest.raises(ValueError, match="matmul") as caught:
        simulate(one_input, INPUTS, SplineScheme(6, 20), stragglers=5)
    (note,) = caught.value.__notes__
    assert note.startswith("fn got a stack of 20 inputs, shape (20, 4); pass batched=False if fn")
    run = simulate(one_input, INPUTS, SplineScheme(6, 20), stragglers=5, batched=False)
    np.testing.assert_array_equal(run.reference, INPUTS[:, :3])


# The loss and its two shares.


@pytest.mark.parametrize("lam_enc", [0.0, 1e-3, 10.0])
@pytest.mark.parametrize("make", [SplineScheme, SplineScheme.paper], ids=["ours", "paper"])
def test_the_loss_is_at_most_the_sum_of_its_shares(make, lam_enc):
    scheme = make(6, 20, lam_enc=lam_enc, lam_dec=1e-6)
    run = simulate(np.sin, INPUTS, scheme, stragglers=5, repeats=7)
    assert run.mse.shape == run.generalization_error.shape == (7,)
    assert (run.mse <= run.generalization_error + run.training_error + 1e-15).all()
    assert (run.training_error == 0.0) == (lam_enc == 0.0)
    np.testing.assert_allclose(run.mse, ((run.outputs - np.sin(INPUTS)) ** 2).sum(-1).mean(-1))
    smooth = scheme.bind(INPUTS).encoder_fit(INPUTS)
    expected = 2.0 * ((np.sin(smooth) - np.sin(INPUTS)) ** 2).sum(-1).mean()
    np.testing.assert_allclose(run.training_error, expected, rtol=1e-12, atol=0)


def test_the_exact_outputs_are_told():
    run = simulate(np.sign, INPUTS, ReplicationScheme(6, 20), stragglers=14, repeats=5)
    assert run.exact.shape == (5, 6)
    assert run.exact.any()
    assert not run.exact.all()
    for outputs, exact in zip(run.outputs, run.exact, strict=True):
        assert np.array_equal(outputs[exact], np.sign(INPUTS)[exact])


def test_workers_with_slow_inputs_are_lost_where_the_scheme_puts_them():
    inputs = np.linspace(0.0, 1.0, 6)[:, None]
    model = SlowInputStragglers(7, lambda x: 1.0 + x[:, 0], spread=0.0)
    for scheme in (KernelScheme(6, 20), ReplicationScheme(6, 20, fallback="nearest")):
        run = simulate(np.cos, inputs, scheme, stragglers=model, repeats=2)
        asked = scheme.bind(inputs).encode(inputs)[:, 0]
        for responders in run.responders:
            lost = np.setdiff1d(np.arange(20), responders)
            assert len(lost) == 7
            assert asked[lost].min() >= asked[responders].max()
