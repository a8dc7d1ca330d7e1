"""Ray as an executor of `concurrent.futures`: a dead worker loses one task, a cancel is real."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, InvalidStateError, wait
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, Self, TypeVar

from coded.extras import needing

with needing("RayExecutor needs", "ray", extra="ray"):
    import ray
    from ray.exceptions import RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

P = ParamSpec("P")
T = TypeVar("T")

# A lambda travels by value, so that workers need not have this package. One for all functions:
# Ray never forgets a remote function, and pickles it once, blind to what changes in it.
_CALL = ray.remote(lambda fn, /, *args, **kwargs: fn(*args, **kwargs))


class RayExecutor(Executor):
    """Run tasks on a Ray cluster that the program is connected to.

    A task whose worker dies fails with ``ray.exceptions.WorkerCrashedError``, and is not run
    again as Ray would by default: for `coded_map` it is one missing answer. Cancelling a future
    cancels its task: a queued one never runs, and a running one is interrupted at its next line
    of Python (sleeping or in native code: when that returns), which frees its place. What happens
    to be running on a frozen worker cannot be cancelled, and holds its place for ever.

    Arrays reach tasks and caller without a copy, from shared memory, and read-only: a task that
    changes its input in place must copy it. A large model is sent once, by ``ray.put``, not with
    each task (see the examples). Tasks are pickled by value where they are defined in the main
    program, otherwise the workers must be able to import them. An argument that is an
    ``ObjectRef`` arrives as the object, as usual in Ray.

    The cluster is the caller's: `shutdown` ends this executor, not Ray. After ``ray.shutdown()``
    the futures of tasks under way never end: a call that waits for them needs its timeout. One
    executor serves many threads. Answers are unpickled here: workers are trusted code.

    Parameters
    ----------
    force : bool, optional
        Whether cancelling a running task kills its worker's process, as ``ray.cancel`` with
        ``force=True`` does. That frees the place also from native code, but starting
        another process takes a second or two.
    **options
        Options of Ray's remote functions, as ``num_cpus``, ``num_gpus``, ``resources``,
        ``runtime_env`` or ``scheduling_strategy``. ``max_retries`` is 0 unless given.

    Raises
    ------
    TypeError
        If `force` is not a bool.
    ValueError
        If Ray knows no such option or value, or for ``num_returns``: a task has one answer.
    RuntimeError
        If Ray is not initialised.

    References
    ----------
    Ray, "Fault tolerance: task", https://docs.ray.io/en/latest/ray-core/fault_tolerance/tasks.html

    Examples
    --------
    One executor for the whole cluster; Ray decides where tasks run:

        ray.init("auto")
        result = coded_map(f, inputs, scheme, RayExecutor(), timeout=10.0)

    One a node, so that copies of an input do not die together:

        result = coded_map(f, inputs, scheme, RayExecutor.for_nodes(), timeout=10.0)

    A model that is sent to each node once and unpickled once in each process:

        @functools.lru_cache(maxsize=1)
        def load(reference):
            return ray.get(reference)

        def predict(reference, image):
            return load(reference)(image)

        f = functools.partial(predict, ray.put(model))
    """

    def __init__(self, *, force: bool = False, **options: Any) -> None:
        if not isinstance(force, bool):
            raise TypeError(f"force must be True or False, got {force!r}")
        if "num_returns" in options:
            raise ValueError(
                f"num_returns = {options['num_returns']!r} is not allowed, for a future has one "
                "result; return a tuple"
            )
        _require_ray()
        self._force = force
        self._name = options.pop("name", None)
        self._options = {"max_retries": 0, **options}
        _CALL.options(**self._options)  # Ray refuses here what it does not know
        self._there = ray.put(None)  # see _cancel_task
        self._lock = threading.Lock()
        self._closed = False
        self._open: set[Future[Any]] = set()

    @classmethod
    def for_nodes(cls, *, force: bool = False, **options: Any) -> list[Self]:
        """Make one executor for each living node that has the resources of a task.

        Tasks are bound to their node: when it dies they fail, and do not move elsewhere. A
        later call of this method leaves dead nodes out.

        Parameters
        ----------
        force, **options
            As for the constructor, without ``scheduling_strategy``.

        Returns
        -------
        list of RayExecutor

        Raises
        ------
        TypeError, ValueError
            As the constructor.
        RuntimeError
            If Ray is not initialised, or no node has the resources that a task asks for.
        """
        _require_ray()
        needs = {
            "CPU": options.get("num_cpus", 1),
            "GPU": options.get("num_gpus", 0),
            **options.get("resources", {}),
        }
        nodes = [
            node["NodeID"]
            for node in ray.nodes()
            if node["Alive"] and all(node["Resources"].get(key, 0) >= needs[key] for key in needs)
        ]
        if not nodes:
            raise RuntimeError(
                f"no living node of the Ray cluster has {needs}, which each task asks for; ask "
                "for less, or start nodes that have it by ray start"
            )
        pins = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
        return [cls(force=force, scheduling_strategy=pin, **options) for pin in pins]

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a task; RuntimeError after `shutdown`, and where Ray is no longer initialised."""
        _require_ray()
        answer: Future[T] = Future()
        name = self._name or getattr(fn, "__qualname__", type(fn).__name__)
        task = _CALL.options(name=name, **self._options)
        with self._lock:
            if self._closed:
                raise RuntimeError("this RayExecutor was shut down; make another one")
            reference = task.remote(fn, *args, **kwargs)
            self._open.add(answer)
        answer.add_done_callback(self._open.discard)
        answer.add_done_callback(partial(_cancel_task, reference, self._there, self._force))
        reference.future().add_done_callback(partial(_pass_on, answer))
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 (as Executor)
        """Refuse further tasks; the cluster stays.

        Parameters
        ----------
        wait : bool, optional
            Whether to wait until all tasks have ended, which with a frozen worker they never do.
        cancel_futures : bool, optional
            Whether to cancel all tasks that have not ended, running ones too.
        """
        with self._lock:
            self._closed = True
        answers = list(self._open)
        if cancel_futures:
            for answer in answers:
                answer.cancel()
        if wait:
            _wait(answers)


_wait = wait  # `shutdown` has an argument of that name, by its contract


def _require_ray() -> None:
    if not ray.is_initialized():
        raise RuntimeError(
            "Ray is not initialised in this process; call ray.init() for this machine, or "
            'ray.init("auto") or ray.init("HOST:6379") for a cluster that is running'
        )


def _pass_on(answer: Future[T], done: Future[T]) -> None:
    """Give the caller's future what Ray's has; runs in a thread of Ray."""
    error = done.exception()
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error.cause.__cause__ = error  # as of stdlib pools: the task's own error, caused by its
        error = error.cause  # traceback in the worker
    with suppress(InvalidStateError):  # cancelled meanwhile
        if error is None:
            answer.set_result(done.result())
        else:
            answer.set_exception(error)


def _cancel_task(
    reference: ray.ObjectRef[Any],
    there: ray.ObjectRef[None],
    force: bool,  # noqa: FBT001 (of a partial)
    answer: Future[Any],
) -> None:
    """Cancel the task of a cancelled future.

    In the thread in which Ray takes answers, where it calls back for an object that is there:
    Ray (2.60) aborts the whole process if another thread cancels a task at the very moment at
    which its answer comes ("Tried to complete task that was not pending").
    """
    if not answer.cancelled():
        return
    answer.set_running_or_notify_cancel()  # wakes those who wait for it
    if ray.is_initialized():  # else the task is gone with the cluster
        there.future().add_done_callback(lambda _: ray.cancel(reference, force=force))
