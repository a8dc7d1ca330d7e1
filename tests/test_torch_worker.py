import gc
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from coded import LocalWorkers, NotEnoughRespondersError, ReplicationScheme, TorchWorker, coded_map
from tests.models import (
    CountsLoads,
    Large,
    Mean,
    Pair,
    Small,
    count_threads,
    make_nothing,
    make_small,
)
from tests.worker_functions import WAIT, read_environment


def small(dtype=torch.float32):
    """A model with running statistics that are not trivial, left in training mode."""
    model = make_small().to(dtype)
    with torch.no_grad():
        model(torch.randn(16, 3, dtype=dtype, generator=torch.Generator().manual_seed(1)))
    return model.train()


def by_hand(model, batch):
    """The eval-mode answer of `Small`, from its parameters in numpy's float64."""
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    hidden = batch @ state["linear.weight"].T + state["linear.bias"]
    scale = state["norm.weight"] / np.sqrt(state["norm.running_var"] + model.norm.eps)
    return (hidden - state["norm.running_mean"]) * scale + state["norm.bias"]


@pytest.fixture(scope="module")
def workers():
    with LocalWorkers(2) as workers:
        yield workers


@pytest.fixture
def batch(rng):
    return rng.normal(size=(5, 3)).astype(np.float32)


# ---- one call


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("batched", [False, True], ids=["single", "batched"])
def test_kind_comes_back_in_the_models_dtype(kind, batched, batch):
    model = small()
    given = batch if batched else batch[0]
    is_tensor = isinstance(kind, torch.dtype)
    given = torch.tensor(given, dtype=kind) if is_tensor else given.astype(kind)
    answer = TorchWorker(model, batched=batched)(given)
    expected = by_hand(model, batch)
    assert type(answer) is type(given)
    assert answer.dtype == (torch.float32 if is_tensor else np.float32)
    np.testing.assert_allclose(answer, expected if batched else expected[0], rtol=1e-4, atol=1e-5)


def test_a_model_in_float64_computes_in_float64(batch):
    model = small(torch.float64)
    answer = TorchWorker(model)(batch[0])
    assert answer.dtype == np.float64
    np.testing.assert_allclose(answer, by_hand(model, batch)[0], rtol=1e-12)


def test_numbers_without_axes_and_lists_are_inputs():
    worker = TorchWorker(torch.nn.ReLU())
    assert worker(np.float64(-2.0)).shape == ()
    assert worker([-1.0, 3.0]).tolist() == [0.0, 3.0]


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "<u4", "i8", ">i4", ">f4", ">f8", "f2"])
@pytest.mark.parametrize("model_dtype", [torch.float32, torch.float64], ids=str)
def test_every_kind_of_real_numbers_is_cast_to_the_models_dtype(dtype, model_dtype):
    model = small(model_dtype)
    given = np.array([0, 1, 1]).astype(dtype)
    answer = TorchWorker(model)(given)
    assert answer.dtype == str(model_dtype).removeprefix("torch.")
    np.testing.assert_allclose(answer, by_hand(model, [[0, 1, 1]])[0], rtol=1e-4, atol=1e-5)
    if given.dtype.isnative:
        tensor = TorchWorker(model)(torch.from_numpy(given))
        assert np.array_equal(tensor, answer)


@pytest.mark.parametrize("given", [[1, 0], [True, False], torch.tensor([1, 0])], ids=repr)
def test_integers_become_float64_where_the_model_has_no_dtype(given):
    answer = TorchWorker(torch.nn.Sigmoid())(given)
    assert str(answer.dtype).endswith("float64")
    np.testing.assert_allclose(answer, [1 / (1 + np.exp(-1)), 0.5], rtol=1e-15)


@pytest.mark.parametrize(
    "given",
    [
        np.array([1j, 0]),
        torch.tensor([1j, 0]),
        "text",
        np.array(["a", "b"]),
        None,
        np.zeros(3, np.longdouble),
        [[1.0], [1.0, 2.0]],
        {"x": 1.0},
    ],
    ids=repr,
)
def test_what_is_no_array_of_real_numbers_is_refused(given):
    with pytest.raises(TypeError, match=r"coded_input must .* real numbers.*; "):
        TorchWorker(torch.nn.ReLU())(given)


def test_a_single_number_is_no_batch():
    with pytest.raises(ValueError, match=r"coded_input must have a batch axis, got .*; pass"):
        TorchWorker(torch.nn.ReLU(), batched=True)(1.0)


@pytest.mark.parametrize("layout", ["read-only", "reversed", "fortran", "strided"])
def test_any_memory_layout_without_warning(layout, rng):
    array = rng.normal(size=(4, 6)).astype(np.float32)
    laid = {
        "read-only": array.copy(),
        "reversed": array[::-1],
        "fortran": np.asfortranarray(array),
        "strided": array[:, ::2],
    }[layout]
    laid.flags.writeable = layout != "read-only"
    expected = np.maximum(laid, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = TorchWorker(torch.nn.ReLU())(laid)
    assert np.array_equal(answer, expected)


def test_memory_is_shared_where_it_can_be(batch):
    worker = TorchWorker(torch.nn.Identity(), batched=True)
    assert np.shares_memory(worker(batch), batch)
    tensor = torch.from_numpy(batch)
    assert worker(tensor).data_ptr() == tensor.data_ptr()


def test_bfloat16_models_answer_numpy_in_float32(batch):
    worker = TorchWorker(small().to(torch.bfloat16))
    assert worker(batch[0]).dtype == np.float32
    assert worker(torch.from_numpy(batch[0])).dtype == torch.bfloat16


def test_the_given_model_is_a_snapshot_and_is_not_touched(batch):
    model = small()
    worker = TorchWorker(model)
    before = worker(batch[0])
    assert model.training
    with torch.no_grad():
        model.linear.bias += 1.0
    assert np.array_equal(worker(batch[0]), before)


def test_no_gradients_are_recorded(batch):
    answer = TorchWorker(small())(torch.from_numpy(batch[0]).requires_grad_())
    assert answer.grad_fn is None
    assert not answer.requires_grad


def test_threads_of_the_calling_process_are_left_alone(batch):
    before = torch.get_num_threads()
    TorchWorker(small(), threads=before + 1)(batch[0])
    assert torch.get_num_threads() == before


def test_one_worker_serves_many_threads_and_loads_once(tmp_path, batch):
    worker = TorchWorker(CountsLoads(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(worker, [batch[0]] * 32, timeout=WAIT))
    assert all(np.array_equal(answer, answers[0]) for answer in answers)
    assert len(list(tmp_path.iterdir())) == 1


# ---- in worker processes


def test_what_is_shipped_is_small_and_loads_once_per_process(tmp_path, workers, batch):
    assert len(pickle.dumps(TorchWorker(Large()))) < 1000
    worker = TorchWorker(CountsLoads(tmp_path))
    for executor in workers.executors:
        for _ in range(3):
            assert executor.submit(worker, batch[0]).result(WAIT).shape == (2,)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_set_in_worker_processes(threads, workers, batch):
    worker = TorchWorker(small(), threads=threads)
    assert workers.executors[0].submit(count_threads, worker, batch[0]).result(WAIT) == threads


@pytest.mark.parametrize("make", [make_small, Small], ids=["function", "class"])
def test_an_importable_function_builds_the_model_in_the_process(make, workers, batch):
    worker = TorchWorker(make)
    answer = workers.executors[0].submit(worker, batch[0]).result(WAIT)
    assert answer.shape == (2,)
    if make is make_small:
        np.testing.assert_allclose(answer, by_hand(make_small(), batch)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_coded_map_through_a_model(kind, workers, rng):
    inputs = rng.normal(size=(2, 3)).astype(np.float32)
    model = small()
    given = torch.from_numpy(inputs) if kind == "torch" else inputs
    result = coded_map(
        TorchWorker(model),
        given,
        ReplicationScheme(2, 4),
        workers.executors,
        wait_for=4,
        timeout=WAIT,
    )
    assert result.complete, result
    assert isinstance(result.outputs, torch.Tensor if kind == "torch" else np.ndarray)
    np.testing.assert_allclose(result.outputs, by_hand(model, inputs), rtol=1e-4, atol=1e-5)


def test_load_is_an_initializer(tmp_path, batch):
    worker = TorchWorker(CountsLoads(tmp_path))
    with LocalWorkers(1, initializer=worker.load) as workers:
        workers.wait(WAIT)
        assert len(list(tmp_path.iterdir())) == 1
        workers.executors[0].submit(worker, batch[0]).result(WAIT)
        assert workers.executors[0].submit(read_environment, "OMP_NUM_THREADS").result(WAIT) == "1"
    assert len(list(tmp_path.iterdir())) == 1


# ---- the file


def test_the_file_goes_with_the_worker(batch):
    worker = TorchWorker(small())
    path = worker._source.path
    assert path.stat().st_mode & 0o077 == 0
    shipped = pickle.loads(pickle.dumps(worker))
    del shipped
    assert path.exists()
    shipped = pickle.loads(pickle.dumps(worker))
    del worker
    gc.collect()
    assert not path.exists()
    with pytest.raises(FileNotFoundError, match="keep the TorchWorker that wrote it"):
        shipped(batch[0])


def test_the_file_is_removed_at_exit():
    program = (
        "from coded import TorchWorker; from tests.models import Small\n"
        "worker = TorchWorker(Small()); print(worker._source.path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT, check=True
    )
    assert done.stdout.strip().endswith(".pt")
    assert not Path(done.stdout.strip()).exists()


# ---- what is refused


def test_missing_torch_names_the_extra():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import coded\n"
        "try:\n    coded.TorchWorker\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WAIT, check=True
    )
    assert 'pip install "fastspline[torch]"' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"model": 3}, TypeError, "model must be a torch.nn.Module"),
        ({"model": torch.nn.ReLU(), "threads": 0}, ValueError, "threads must be >= 1"),
        ({"model": torch.nn.ReLU(), "threads": 1.5}, TypeError, "threads must be an integer"),
        ({"model": torch.nn.ReLU(), "batched": 1}, TypeError, "batched must be True or False"),
    ],
    ids=["model", "no-threads", "threads", "batched"],
)
def test_bad_arguments_are_refused(arguments, kind, words):
    with pytest.raises(kind, match=words):
        TorchWorker(**arguments)


def test_a_module_that_does_not_pickle_is_refused_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = torch.nn.ReLU()
    model.hook = lambda x: x
    with pytest.raises(TypeError, match="pass a function that builds it"):
        TorchWorker(model)
    assert list(tmp_path.iterdir()) == []


def test_models_that_do_not_answer_by_one_tensor_are_told_apart(batch):
    with pytest.raises(TypeError, match="Pair must give one tensor, but gave a tuple"):
        TorchWorker(Pair())(batch[0])
    with pytest.raises(ValueError, match=r"Mean gave shape \(\) for a batch of 1"):
        TorchWorker(Mean())(batch[0])
    with pytest.raises(TypeError, match="the function gave None"):
        TorchWorker(make_nothing)(batch[0])


def test_a_model_that_fails_is_the_cause_of_the_calls_failure(batch):
    with ThreadPoolExecutor(1) as pool, pytest.raises(NotEnoughRespondersError) as caught:
        coded_map(TorchWorker(Pair()), batch[:2], ReplicationScheme(2, 4), pool)
    assert isinstance(caught.value.__cause__, TypeError)


def test_repr_names_the_model():
    assert repr(TorchWorker(small())) == "TorchWorker(Small, batched=False, threads=1)"
    assert repr(TorchWorker(make_small, threads=2)).startswith("TorchWorker(make_small, ")
