import errno
import fcntl
import gc
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch

from coded import (
    CodedModel,
    LocalWorkers,
    NotEnoughRespondersError,
    ReplicationScheme,
    TorchWorker,
    coded_map,
)
from tests.support.meanwhile import Meanwhile
from tests.support.models import (
    CountsLoads,
    Head,
    KeepsTraining,
    Labelled,
    Large,
    Mean,
    Scores,
    Small,
    Sum,
    Switches,
    Unbatched,
    count_threads,
    give_model,
    make_nothing,
    make_small,
)
from tests.support.worker_functions import WAIT, read_environment, touch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


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
        {"input": "text"},
        ([1.0], [None]),
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


class Interrupted:
    """Gives a model; a second thread asks for it just then."""

    loads, moment = 0, None

    def __call__(self):
        self.loads += 1
        self.moment()
        return make_small()


def test_a_thread_that_comes_while_the_model_is_loaded_waits_for_it(batch):
    model = Interrupted()
    worker = TorchWorker(model)
    model.moment = Meanwhile(lambda: worker(batch[0]))
    worker(batch[0])
    model.moment.finish()
    assert model.loads == 1


# ---- eval mode


def test_every_module_stays_in_eval_mode(batch):
    worker = TorchWorker(torch.nn.Sequential(small(), torch.nn.Dropout(0.9)))
    first = worker(batch[0])
    for _ in range(3):
        assert np.array_equal(worker(batch[0]), first)


def test_a_forward_that_switches_to_training_is_found_out_each_time(batch):
    worker = TorchWorker(Switches())
    for _ in range(2):
        with pytest.raises(ValueError, match=r"switched Dropout 'dropout' to training.*; leave"):
            worker(batch[0])


def test_a_model_that_does_not_go_into_eval_mode_is_refused(batch):
    with pytest.raises(
        ValueError, match=r"leaves KeepsTraining '' and 1 more modules in tr.*; let"
    ):
        TorchWorker(KeepsTraining())(batch[0])


@pytest.mark.parametrize("norm", [torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d])
def test_batch_norms_without_running_statistics_are_refused(norm):
    model = torch.nn.Sequential(torch.nn.ReLU(), norm(3, track_running_stats=False))
    with pytest.raises(ValueError, match=rf"statistics in {norm.__name__} '1', so .*; train it"):
        TorchWorker(model)
    with pytest.raises(ValueError, match="no running statistics"):
        TorchWorker(partial(give_model, model))(np.zeros(3))


def test_norms_of_single_inputs_are_welcome(batch):
    model = torch.nn.Sequential(torch.nn.InstanceNorm1d(3), torch.nn.GroupNorm(1, 3))
    stack = np.stack([batch, batch + 1.0], axis=1).transpose(1, 2, 0)
    answers = TorchWorker(model, batched=True)(stack)
    for one, answer in zip(stack, answers, strict=True):
        np.testing.assert_allclose(TorchWorker(model)(one), answer, atol=1e-6)


# ---- half precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(dtype, batch):
    model = small()
    given = torch.from_numpy(batch[0]).to(dtype)
    answer = TorchWorker(model)(given)
    assert answer.dtype == torch.float32
    np.testing.assert_allclose(
        answer, by_hand(model, given.double().numpy()[None])[0], rtol=1e-4, atol=1e-5
    )
    powered = TorchWorker(Sum())((given, given))
    assert powered.dtype == torch.float32
    assert torch.equal(powered, 2 * given.float())


# ---- nested inputs and answers


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("batched", [False, True], ids=["single", "batched"])
@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("tuple", ()),
        ("named", ("scores", "hidden")),
        ("list", ()),
        ("dict", ("scores", "hidden")),
        ("dataclass", ("scores", "hidden")),
        ("output", ("logits", "hidden_states")),
    ],
)
def test_answers_are_nests_of_arrays(kind, batched, form, names, batch):
    given = batch if batched else batch[0]
    given = torch.from_numpy(given) if kind == "torch" else given
    answer = TorchWorker(Scores(form), batched=batched)(given)
    if form in ("tuple", "named", "list"):
        assert isinstance(answer, tuple)
        assert getattr(answer, "_fields", ()) == names
        scores, hidden = answer
    else:
        assert type(answer) is dict
        assert tuple(answer) == names  # the entry that is None is left out
        scores, hidden = answer.values()
    hidden = hidden[0] if form == "output" else hidden["last"]
    for one, expected in ((scores, given * 2), (hidden, given[..., :2])):
        assert type(one) is type(given)
        assert np.array_equal(one, expected)


@pytest.mark.parametrize(
    "given",
    [
        lambda a, b: (a, b),
        lambda a, b: (a, {"inside": (b,)}),
        lambda a, b: {"left": a, "right": b},
        lambda a, b: {"right": {"inside": (b,)}, "left": a},
    ],
)
@pytest.mark.parametrize("batched", [False, True], ids=["single", "batched"])
def test_a_tuple_is_positional_and_a_dict_keyword_arguments(given, batched, batch):
    left, right = (batch, batch[:, ::-1]) if batched else (batch[0], batch[1])
    answer = TorchWorker(Sum(), batched=batched)(given(left, right))
    assert np.array_equal(answer, left + right)
    mixed = TorchWorker(Sum(), batched=batched)(given(left, torch.from_numpy(right.copy())))
    assert torch.is_tensor(mixed)
    assert np.array_equal(mixed, left + right)


@pytest.mark.parametrize("given", [(), {}, ((), {})], ids=repr)
def test_an_input_without_arrays_is_refused(given):
    with pytest.raises(ValueError, match="coded_input holds no array, got"):
        TorchWorker(Sum())(given)


def test_coded_map_takes_and_gives_nests(workers, rng):
    inputs = {"left": rng.normal(size=(2, 3)), "right": rng.normal(size=(2, 3))}
    call = partial(
        coded_map,
        scheme=ReplicationScheme(2, 4),
        executor=workers.executors,
        wait_for=4,
        timeout=WAIT,
    )
    result = call(TorchWorker(Sum()), inputs)
    np.testing.assert_array_equal(result.outputs, inputs["left"] + inputs["right"])
    result = call(TorchWorker(Scores("output")), inputs["left"])
    assert result.outputs.keys() == {"logits", "hidden_states"}
    np.testing.assert_array_equal(result.outputs["logits"], 2 * inputs["left"])


# ---- devices


@pytest.mark.parametrize("device", DEVICES)
def test_a_model_computes_where_it_lies_and_answers_come_back(device, batch):
    model = small().to(device)
    expected = by_hand(model.cpu(), batch)
    worker = TorchWorker(model.to(device), batched=True)
    for given in (batch, torch.from_numpy(batch), torch.from_numpy(batch).to(device)):
        answer = worker(given)
        assert type(answer) is type(given)
        if torch.is_tensor(given):
            assert answer.device == given.device
            answer = answer.cpu()
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


# ---- what a task costs


def test_a_task_is_the_input_and_little_else():
    """Bytes that are pickled for one worker: the model is not among them."""
    worker = TorchWorker(Large())
    image = np.zeros((3, 224, 224), np.float32)
    assert len(pickle.dumps((worker, image))) < image.nbytes + 600
    stacked = np.zeros((8, 3, 224, 224), np.float32)
    row = torch.from_numpy(stacked[3])  # as coded_map sends one
    assert len(pickle.dumps((worker, row))) < image.nbytes + 800
    # Among torch's processes tensors go through shared memory, and their address is sent.
    assert len(ForkingPickler.dumps((worker, row))) < 1200


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_a_worker_copies_neither_input_nor_answer(kind, batch):
    worker = TorchWorker(torch.nn.Identity(), batched=True)
    arrived = pickle.loads(pickle.dumps(torch.from_numpy(batch) if kind == "torch" else batch))
    answer = worker(arrived)
    assert np.shares_memory(np.asarray(answer), np.asarray(arrived))


def test_an_answer_is_sent_without_the_tensor_that_it_is_a_part_of():
    rows = torch.zeros(1000, 8)
    answer = TorchWorker(Head())(rows)
    assert answer.shape == (8,)
    assert len(pickle.dumps(answer)) < 8 * 4 + 600
    assert len(pickle.dumps(TorchWorker(Head())(rows.numpy()))) < 8 * 4 + 600


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


class Planted:
    """Leaves a sign where it is loaded."""

    def __init__(self, sign):
        self.sign = sign

    def __reduce__(self):
        return touch, (self.sign,)


def path_of(worker):
    return worker._source.origin.path


def give_away(path, monkeypatch):
    """Make a file another user's; where only root may do that, make this process one."""
    other = os.geteuid() + 65534
    if os.geteuid() == 0:
        os.chown(path, other, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: other)


lists_descriptors = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells where a descriptor leads"
)


def open_descriptors(path):
    """The descriptors of this process that lead to a path, or did before it was removed."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            if str(descriptor.readlink()).removesuffix(" (deleted)") == str(path):
                found.append(int(descriptor.name))
    return found


def run(program, folder):
    """What a program prints whose temporary folder is `folder`."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=True,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    return done.stdout.strip()


@contextmanager
def living_owner(folder):
    """A process that holds a model in `folder`, and the path of its file."""
    program = (
        "import sys; from coded import TorchWorker; from tests.support.models import Small\n"
        "worker = TorchWorker(Small()); print(worker._source.origin.path, flush=True)\n"
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    try:
        assert wait([process.stdout], WAIT)
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate(timeout=WAIT)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A temporary folder for models of this process."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def leave(folder):
    """Makes a folder with a model that nobody holds, {} for the number of this machine."""
    machine = path_of(TorchWorker(small())).parent.name.split("-")[2]

    def make(name):
        path = folder / name.format(machine) / "model.pt"
        path.parent.mkdir(0o700)
        path.touch(0o600)
        return path

    return make


def test_the_file_goes_with_the_worker(batch):
    worker = TorchWorker(small())
    path = path_of(worker)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    shipped = pickle.loads(pickle.dumps(worker))
    del shipped
    assert path.exists()
    shipped = pickle.loads(pickle.dumps(worker))
    del worker
    gc.collect()
    assert not path.parent.exists()
    with pytest.raises(FileNotFoundError, match="keep the TorchWorker that wrote it"):
        shipped(batch[0])


def test_the_file_is_removed_at_exit(tmp_path):
    program = (
        "from coded import TorchWorker; from tests.support.models import Small\n"
        "worker = TorchWorker(Small()); print(worker._source.origin.path)"
    )
    path = Path(run(program, tmp_path))
    assert path.parent.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_planted_file_is_not_loaded(tmp_path, workers):
    worker = TorchWorker(small())
    sign = tmp_path / "sign"
    torch.save(Planted(sign), path_of(worker))
    for load in (worker.load, partial(worker, [0.0, 0.0, 0.0])):
        with pytest.raises(PermissionError, match=r"another content than was written, .*; find"):
            workers.executors[0].submit(load).result(WAIT)
    assert not sign.exists()
    torch.load(path_of(worker), weights_only=False)
    assert sign.exists()


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (lambda path, twin: path.symlink_to(twin), "is a symbolic link"),
        (lambda path, _: path.mkdir(), "is a folder"),
        (lambda path, _: os.mkfifo(path), "is not a regular file"),
    ],
    ids=["symlink", "folder", "pipe"],
)
def test_what_is_no_regular_file_is_not_loaded(plant, words, workers, batch):
    worker = TorchWorker(small())
    path = path_of(worker)
    twin = path.rename(path.with_name("twin"))
    plant(path, twin)
    with pytest.raises(PermissionError, match=rf"model's file \S+ {words}, and only .*; find out"):
        workers.executors[0].submit(worker, batch[0]).result(WAIT)
    path.rmdir() if path.is_dir() else path.unlink()
    twin.rename(path)
    assert workers.executors[0].submit(worker, batch[0]).result(WAIT).shape == (2,)


def test_a_file_of_another_user_is_not_loaded(batch, monkeypatch):
    worker = TorchWorker(small())
    give_away(path_of(worker), monkeypatch)
    with pytest.raises(PermissionError, match=r"belongs to user \d+, not to \d+, .*; find out"):
        worker(batch[0])


@lists_descriptors
def test_a_loaded_file_does_not_stay_open(workers, batch):
    worker = TorchWorker(small())
    path = path_of(worker)
    worker(batch[0])
    assert open_descriptors(path) == []
    workers.executors[0].submit(worker, batch[0]).result(WAIT)
    for held in (path, path.parent):
        assert workers.executors[0].submit(open_descriptors, held).result(WAIT) == []


@lists_descriptors
def test_the_lock_goes_with_the_worker_and_to_no_program():
    worker = TorchWorker(small())
    locked = path_of(worker).parent
    (lock,) = open_descriptors(locked)
    assert not os.get_inheritable(lock)
    del worker
    gc.collect()
    assert open_descriptors(locked) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_what_a_killed_owner_left_goes_when_a_model_is_next_written(number, folder):
    with living_owner(folder) as (process, path):
        TorchWorker(small())
        assert path.exists()
        process.send_signal(number)
        assert process.wait(WAIT) == -number
    assert path.exists()
    worker = TorchWorker(small())
    assert list(folder.iterdir()) == [path_of(worker).parent]


def test_a_fork_that_ends_removes_nothing(tmp_path):
    program = (
        "import os, sys; from coded import TorchWorker; from tests.support.models import Small\n"
        "worker, other = TorchWorker(Small()), TorchWorker(Small())\n"
        "if not (child := os.fork()):\n    del other; sys.exit()\n"
        "print(os.waitpid(child, 0)[1])\n"
        "third = TorchWorker(Small())\n"
        "for one in (worker, other, third):\n    one.load()\n"
    )
    assert run(program, tmp_path) == "0"
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_what_dead_owners_left_is_removed(leave):
    dead = leave("coded-model-{}-dead")
    elsewhere = leave("elsewhere")
    on_another_machine = leave("coded-model-00000000-dead")
    unknown = leave("coded-model-{}-filled").with_name("unknown")
    unknown.touch()
    link = dead.parent.with_name(f"{dead.parent.name}-link")
    link.symlink_to(elsewhere.parent)
    file = dead.parent.with_name(f"{dead.parent.name}-file")
    file.touch()
    TorchWorker(small())
    assert not dead.parent.exists()
    assert all(path.exists() for path in (elsewhere, on_another_machine, unknown, file))
    assert link.is_symlink()


def test_what_is_another_users_is_left_alone(leave, monkeypatch):
    path = leave("coded-model-{}-dead")
    give_away(path.parent, monkeypatch)
    with suppress(PermissionError):  # where this process plays the other: its own folder is not its
        TorchWorker(small())
    assert path.exists()


def test_a_temporary_folder_that_cannot_be_listed_is_no_obstacle(folder, batch, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse)
        worker = TorchWorker(small())
    assert worker(batch[0]).shape == (2,)
    assert list(folder.iterdir()) == [path_of(worker).parent]


def test_a_sweep_between_making_and_locking_a_folder_costs_another_folder(folder, monkeypatch):
    make, made = tempfile.mkdtemp, []

    def make_and_sweep(*arguments, **options):
        name = make(*arguments, **options)
        made.append(name)
        if len(made) == 1:
            TorchWorker(small())
            assert not Path(name).exists()
        return name

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_sweep)
    worker = TorchWorker(small())
    worker.load()
    assert len(made) == 3
    assert list(folder.iterdir()) == [path_of(worker).parent] == [Path(made[2])]


def test_a_new_folder_that_another_has_locked_is_left_for_another(folder, monkeypatch):
    make, locks = tempfile.mkdtemp, []

    def make_and_lock(*arguments, **options):
        name = make(*arguments, **options)
        if not locks:
            locks.append(os.open(name, os.O_RDONLY))
            fcntl.flock(locks[0], fcntl.LOCK_EX)
        return name

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_lock)
    worker = TorchWorker(small())
    os.close(locks[0])
    worker.load()
    assert list(folder.iterdir()) == [path_of(worker).parent]


def test_owners_that_come_and_go_at_the_same_time_keep_their_files(folder, batch):
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda row: TorchWorker(small())(row), [batch[0]] * 64, timeout=WAIT)
        assert all(answer.shape == (2,) for answer in answers)
    assert list(folder.iterdir()) == []


def test_without_locks_models_go_with_their_owner_and_nothing_else_goes(folder, batch, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    first = TorchWorker(small())
    second = TorchWorker(small())
    assert np.array_equal(first(batch[0]), second(batch[0]))
    assert len(list(folder.iterdir())) == 2
    del first, second
    gc.collect()
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_locked_is_refused_and_leaves_nothing(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        TorchWorker(small())
    assert list(folder.iterdir()) == []


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


def test_a_module_that_does_not_pickle_is_refused_and_leaves_no_file(folder):
    model = torch.nn.ReLU()
    model.hook = lambda x: x
    with pytest.raises(TypeError, match="pass a function that builds it") as caught:
        TorchWorker(model)
    assert list(folder.iterdir()) == []
    assert caught.value.__cause__ is not None  # kept, and with it all that was being made


def test_answers_that_are_no_tensors_are_told_apart(batch):
    with pytest.raises(TypeError, match=r"must give tensors, .* but gave a str at \['b'\]\[1\]; "):
        TorchWorker(Labelled())(batch[0])
    with pytest.raises(ValueError, match=r"gave shape \(3,\) at \[1\] for a batch of 5; axis 0"):
        TorchWorker(Unbatched(), batched=True)(batch)
    with pytest.raises(ValueError, match=r"Mean gave shape \(\) for a batch of 1"):
        TorchWorker(Mean())(batch[0])
    with pytest.raises(TypeError, match="the function gave None"):
        TorchWorker(make_nothing)(batch[0])


def test_a_model_that_fails_is_the_cause_of_the_calls_failure(batch):
    with ThreadPoolExecutor(1) as pool, pytest.raises(NotEnoughRespondersError) as caught:
        coded_map(TorchWorker(Labelled()), batch[:2], ReplicationScheme(2, 4), pool)
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize("call", [coded_map, CodedModel])
def test_a_bare_module_whose_answers_cannot_come_back_is_refused_at_once(call, batch, workers):
    """Where it would work it is not: in threads, and without gradients in processes too."""
    module, inputs = torch.nn.Linear(3, 2), torch.from_numpy(batch[:2])
    scheme = ReplicationScheme(2, 4)
    operands = (inputs,) if call is coded_map else ()
    with pytest.raises(TypeError, match=r"a torch Module, Linear, .*; pass TorchWorker\(module\)"):
        call(module, *operands, scheme, workers.executors)
    with torch.no_grad():
        expected = module(inputs)
    with ThreadPoolExecutor(1) as pool:
        in_threads = CodedModel(module, scheme, pool, timeout=WAIT)(inputs)
    fixed = module.requires_grad_(requires_grad=False)
    sent = CodedModel(fixed, scheme, workers.executors, timeout=WAIT)(inputs)
    for outputs in (in_threads, sent):
        torch.testing.assert_close(outputs, expected)


def test_repr_names_the_model():
    assert repr(TorchWorker(small())) == "TorchWorker(Small, batched=False, threads=1)"
    assert repr(TorchWorker(make_small, threads=2)).startswith("TorchWorker(make_small, ")
