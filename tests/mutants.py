"""Break the code in many places, one at a time in a copy, and see that tests fail.

`python -m tests.mutants` tries all, in less than ten minutes on two cores. A mutant that lives
is a hole in the tests: write the test that is missing.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
TEST_SECONDS = 90  # for one test, beyond which it counts as failed
RUN_SECONDS = 420  # for all tests of one mutant, beyond which nothing is known of it

KILLED, LIVED, GONE, UNKNOWN = "killed", "lived", "no longer applies", "nothing known"
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?::.*?)(?: - .*)?$", re.MULTILINE)
_STUCK = re.compile(r"in (test_\w+)\b")


@dataclass(frozen=True)
class Mutant:
    """A fault: in a file, a text that occurs once, what stands there instead, and who notices."""

    file: str
    before: str
    after: str
    tests: str  # files or node ids, as pytest takes them


MUTANTS = (
    # --- fastspline's kernels
    Mutant(
        "fastspline/_kernels/append.py",
        "SETTLED = 2.0**-50",
        "SETTLED = 2.0**-40",
        "tests/fastspline/test_stream.py::test_knots_that_lie_close_before_far_ones_miss_no_change",
    ),
    Mutant(
        "fastspline/_kernels/append.py",
        "SETTLED * ranges[j]:",
        "SETTLED * ranges[0]:",
        "tests/fastspline/test_stream.py::test_knots_that_lie_close_before_far_ones_miss_no_change",
    ),
    Mutant(
        "fastspline/_kernels/posterior.py",
        "            u, v = 0.0, h[k]\n",
        "            u, v = h[k], 0.0\n",
        "tests/fastspline/test_inference.py::test_std_of_other_ends",
    ),
    Mutant(
        "fastspline/_kernels/reinsch_steps.py",
        "if k > 1:",
        "if k > 2:",
        "tests/fastspline/kernels/test_sweep.py::test_equals_the_plain_loops",
    ),
    Mutant(
        "fastspline/_kernels/scores.py",
        "(er if i > 1 else 0.0)",
        "(er if i > 0 else 0.0)",
        "tests/fastspline/test_selection.py::test_scores_are_exact",
    ),
    Mutant(
        "fastspline/_kernels/scores.py",
        "OF_FEW * squared / rest**2",
        "OF_FEW * squared / rest",
        "tests/fastspline/test_selection.py::test_scores_are_exact",
    ),
    Mutant(
        "fastspline/_kernels/spline_lanes.py",
        "shares[line, p] += 1.0 / weights[p]",
        "shares[line, p] += 1.0 / weights[order[line, p]]",
        "tests/fastspline/test_bundle.py",
    ),
    # --- its solvers
    Mutant(
        "fastspline/_solvers/choice.py",
        "weights, circle = np.roll(weights, 1), ",
        "weights, circle = weights, ",
        "tests/fastspline/test_boundary.py::test_periodic_with_weights_of_zero",
    ),
    Mutant(
        "fastspline/_kernels/seam.py",
        "alone - of_state",
        "alone",
        "tests/fastspline/test_boundary.py::test_leverages_and_residuals",
    ),
    Mutant(
        "fastspline/_solvers/periodic.py",
        "        bar[0] += bar[-1]\n",
        "",
        "tests/fastspline/test_boundary.py::test_adjoint_is_the_transpose",
    ),
    # --- its public objects
    Mutant(
        "fastspline/_fit.py",
        "(1.0 - share) + share * complement[row]",
        "(1.0 - share) + complement[row]",
        "tests/fastspline/test_inference.py::test_loo_of_repeats_by_leaving_out",
    ),
    Mutant(
        "fastspline/_gradient.py",
        "push = eta.rest if loads.moving else -eta.force",
        "push = -eta.force",
        "tests/fastspline/test_gradient.py::test_natural",
    ),
    Mutant(
        "fastspline/_gradient.py",
        "of_lam = -eta.energy * gaps.rough_top / c",
        "of_lam = -eta.energy / c",
        "tests/fastspline/test_gradient.py::test_boundaries_and_roughness",
    ),
    Mutant(
        "fastspline/_score.py",
        "np.float64(own.size - 2)",
        "np.float64(y.shape[0] - 2)",
        "tests/fastspline/test_oneshot.py::test_merged_knots_fit_as_raw_rows_do",
    ),
    Mutant(
        "fastspline/_score.py",
        "log_variance + log_det + 2.0 * np.log(gaps.unit)",
        "log_variance + log_det + np.log(gaps.unit)",
        "tests/fastspline/test_selection.py::test_scores_are_exact",
    ),
    Mutant(
        "fastspline/_search.py",
        "table[:, j].copy()",
        "table[:, 0].copy()",
        "tests/fastspline/test_selection.py::test_general_search_finds_the_same",
    ),
    Mutant(
        "fastspline/_posterior.py",
        "stdtrit(noise.freedom, 0.5 + level / 2.0)",
        "stdtrit(noise.freedom, level)",
        "tests/fastspline/test_inference.py::test_interval_is_centre_and_quantile",
    ),
    Mutant(
        "fastspline/_solvers/periodic.py",
        "- 2.0 * (rest @ self._covariance)",
        "- (rest @ self._covariance)",
        "tests/fastspline/test_inference.py::test_the_trace_of_the_squared_rest_is_that_of_dense_algebra",
    ),
    Mutant(
        "fastspline/_stream.py",
        "np.array(part) if isinstance(part, np.ndarray) else part",
        "part",
        "tests/fastspline/test_stream.py::test_copies_go_on_by_themselves",
    ),
    Mutant(
        "fastspline/bundle.py",
        "places, order, own, smoothing, noise, there",
        "places, order, own, noise, smoothing, there",
        "tests/fastspline/test_bundle.py",
    ),
    # --- its arrays, threads and memory
    Mutant(
        "fastspline/arrays.py",
        "        and not np.may_share_memory(target, array)\n",
        "",
        "tests/fastspline/test_arrays.py::test_out_that_overlaps_is_refused_or_right",
    ),
    Mutant(
        "fastspline/_threads.py",
        "        pending.clear()\n        _wait_for(others)",
        "        pending.clear()",
        "tests/fastspline/test_threads.py::test_an_exception_leaves_no_thread_at_work",
    ),
    Mutant(
        "fastspline/_threads.py",
        "free = usable - 1 - sum",
        "free = usable - sum",
        "tests/fastspline/test_threads.py::test_callers_that_work_alone_take_a_processor_each",
    ),
    Mutant(
        "fastspline/_memory.py",
        "if size + 128 <= block[0].size",
        "if size <= block[0].size",
        "tests/fastspline/test_memory.py",
    ),
    # --- coded: places, nearness, maps, algebra, estimation
    Mutant(
        "coded/places/copies.py",
        "(losses[count + 1] * errors[k], count + 1, k)",
        "(losses[count] * errors[k], count + 1, k)",
        "tests/coded/places/test_points.py",
    ),
    Mutant(
        "coded/nearness/distances.py",
        "_CLOSE = 1e-5",
        "_CLOSE = 1e-15",
        "tests/coded/nearness/test_distances.py",
    ),
    Mutant(
        "coded/maps/copies.py",
        "axis=0, dtype=sums_dtype)",
        "axis=0)",
        "tests/coded/maps/test_arrays.py",
    ),
    Mutant(
        "coded/algebra/consistency.py",
        "_ROUNDINGS = 1000.0",
        "_ROUNDINGS = 1e9",
        "tests/coded/algebra/test_consistency.py",
    ),
    Mutant(
        "coded/algebra/reed_solomon.py",
        "        remaining -= int(np.count_nonzero(wrong))\n",
        "",
        "tests/coded/algebra/test_reed_solomon.py",
    ),
    Mutant(
        "coded/estimation/answer_memory.py",
        "        with self._lock:\n            self._pairs = None",
        "        self._pairs = None",
        "tests/coded/estimation/test_answer_memory.py",
    ),
    Mutant(
        "coded/estimation/answer_memory.py",
        "pairs[0].copy(), pairs[1].copy()",
        "pairs",
        "tests/coded/estimation/test_answer_memory.py",
    ),
    Mutant(
        "coded/estimation/cross_validation.py",
        "(rest**2).sum(axis=1)) + within",
        "(rest**2).sum(axis=1))",
        "tests/coded/schemes/test_spline.py::test_noisy_answers_are_smoothed_by_the_lam_that_they_choose",
    ),
    # --- its schemes
    Mutant(
        "coded/schemes/berrut.py",
        "left_out_lengths(nodes) ** 2",
        "left_out_lengths(nodes)",
        "tests/coded/schemes/test_berrut.py",
    ),
    Mutant(
        "coded/schemes/decoders.py",
        "                self._kept.move_to_end(responders)\n",
        "",
        "tests/coded/schemes/test_decoders.py",
    ),
    Mutant(
        "coded/schemes/field_lagrange.py",
        "self._plan(honest).matrix",
        "plan.matrix[:, is_honest]",
        "tests/coded/schemes/test_field_lagrange.py",
    ),
    Mutant(
        "coded/schemes/mds.py",
        "max(amplification(decoder), 1.0) if lost.size else 1.0",
        "1.0",
        "tests/coded/schemes/test_mds.py",
    ),
    Mutant(
        "coded/schemes/parity.py",
        "np.eye(len(lost))) * scale\n",
        "np.eye(len(lost)))\n",
        "tests/coded/schemes/test_parity.py",
    ),
    # --- its runtime
    Mutant(
        "coded/runtime/agreement.py",
        "for group in self._by_kind.values()) > 1",
        "for group in self._by_kind.values()) > 2",
        "tests/coded/runtime/test_call.py",
    ),
    Mutant(
        "coded/runtime/attempts.py",
        "        self.question.end()\n",
        "",
        "tests/coded/runtime/test_lateness.py",
    ),
    Mutant(
        "coded/runtime/asking_again.py",
        "int(goal.exact is not None) if retries is None",
        "0 if retries is None",
        "tests/coded/runtime/test_asking_again.py",
    ),
    Mutant(
        "coded/runtime/asking_again.py",
        "self._share is not None and not self._share.spend()",
        "self._share is None",
        "tests/coded/runtime/test_asking_again.py",
    ),
    Mutant(
        "coded/runtime/exact_goal.py",
        "merged[rows[mask]] = True",
        "merged[:] = True",
        "tests/coded/runtime/test_asking_again.py",
    ),
    Mutant(
        "coded/runtime/latencies.py",
        "if len(seconds) < _FEWEST:",
        "if not seconds:",
        "tests/coded/runtime/test_asking_again.py",
    ),
    Mutant(
        "coded/runtime/call.py",
        "min(self._began + _RECALL, (self._began + deadline) / 2.0)",
        "self._began + _RECALL",
        "tests/coded/runtime/test_call.py",
    ),
    Mutant(
        "coded/runtime/lateness.py",
        "            if has_answer and turn > self._last_answered:\n",
        "            if has_answer:\n",
        "tests/coded/runtime/test_tasks.py",
    ),
    Mutant(
        "coded/runtime/model.py",
        "np.lexsort((~exact if",
        "np.lexsort((exact if",
        "tests/coded/runtime/test_model.py",
    ),
    Mutant(
        "coded/runtime/request.py",
        "return list(executor)",
        "return executor",
        "tests/coded/runtime/test_call.py",
    ),
    # --- its workers
    Mutant(
        "coded/workers/messages.py",
        "there = min(self._filled, end) - start",
        "there = self._filled - start",
        "tests/coded/workers/test_messages.py",
    ),
    Mutant(
        "coded/workers/supervisor.py",
        "                if task.moves < _TRIES:\n",
        "                if task.moves <= _TRIES:\n",
        "tests/coded/workers/test_supervisor.py::test_a_task_that_no_process_comes_to_fails_in_the_end",
    ),
    Mutant(
        "coded/workers/worker_loop.py",
        "            if os.getpid() != me:",
        "            if not me:",
        "tests/coded/workers/test_supervisor.py::test_a_fork_that_returns_from_the_task_does_not_answer",
    ),
    # --- evaluation, comparison, latency
    Mutant(
        "coded/evaluation/metrics.py",
        "draws.std(ddof=1)",
        "draws.std()",
        "tests/coded/evaluation/test_metrics.py",
    ),
    Mutant(
        "coded/evaluation/simulation.py",
        "part, restore = evaluate(fn, coded_inputs[workers])",
        "part, restore = evaluate(fn, coded_inputs[: len(workers)])",
        "tests/coded/evaluation/test_simulation.py",
    ),
    Mutant(
        "coded/comparison/panels.py",
        "promised = min(n_workers - (row.needs or n_workers), unsure[0] - 1)",
        "promised = n_workers - (row.needs or n_workers)",
        "tests/coded/comparison/test_panels.py",
    ),
    Mutant(
        "coded/latency/policies.py",
        "cluster.pick_servers(1, but=[request.copies[0].server])",
        "cluster.pick_servers(1)",
        "tests/coded/latency/test_policies.py",
    ),
    # --- digits, demo, command line
    Mutant(
        "coded/digits/images.py",
        "np.random.default_rng(rng).permutation(table)",
        "np.random.default_rng().permutation(table)",
        "tests/coded/demo/test_demo.py::test_digits_are_shuffled_by_the_seed",
    ),
    Mutant(
        "coded/demo/choices.py",
        "(3 * self.workers + 3) // 4",
        "(3 * self.workers) // 4",
        "tests/coded/demo/test_demo.py::test_estimating_strategies_wait_for_three_quarters_of_the_workers_unless_told",
    ),
    Mutant(
        "coded/command_line/tables.py",
        "not math.isfinite(value)",
        "math.isinf(value)",
        "tests/coded/comparison/test_comparison.py::test_numbers_that_there_are_none_of_are_null_in_the_file",
    ),
    # --- bench
    Mutant(
        "bench/stale.py",
        "home or (inside if path_of(inside) else node.module)",
        "inside if path_of(inside) else node.module",
        "tests/bench/test_records.py",
    ),
    # --- products, gradients, layers, private learning
    Mutant(
        "coded/workers/placed.py",
        "elif isinstance(inner.result(), Missing) and with_share is not None:",
        "elif False:",
        "tests/coded/workers/test_placed.py",
    ),
    Mutant(
        "coded/products/checksums.py",
        "if max(missed) > 1.0:",
        "if max(missed) > 1e6:",
        "tests/coded/products/test_contract.py",
    ),
    Mutant(
        "coded/products/residues.py",
        "count = -(-_UNSEEN_BITS // (prime.bit_length() - 1))",
        "count = 1",
        "tests/coded/products/test_field.py",
    ),
    Mutant(
        "coded/products/khatri_rao.py",
        "return drawn[int(np.argmin(worst))]",
        "return drawn[int(np.argmax(worst))]",
        "tests/coded/products/test_families.py",
    ),
    Mutant(
        "coded/products/matmul_job.py",
        "return self._code.can_decode(responders, dtype=self._dtype)",
        "return self._code.can_decode(responders)",
        "tests/coded/products/test_coded_matmul.py",
    ),
    Mutant(
        "coded/products/matmul_job.py",
        "short, array = array, np.zeros(",
        "short, array = array, np.ones(",
        "tests/coded/products/test_convolutional.py",
    ),
    Mutant(
        "coded/products/blocks.py",
        "    is_given[:, 0] = True\n",
        "",
        "tests/coded/products/test_coded_sketch.py",
    ),
    Mutant(
        "coded/products/field.py",
        "        return balanced(super().decode(answers, responders), self._prime)",
        "        return super().decode(answers, responders)",
        "tests/coded/products/test_field.py",
    ),
    Mutant(
        "coded/products/residues.py",
        "residues: IntArray = reduced(array, prime)",
        "residues: IntArray = array",
        "tests/coded/products/test_field.py",
    ),
    Mutant(
        "coded/products/convolutional.py",
        "shifted[t, place + i * t, i, place]",
        "shifted[t, place + i * (spare - 1 - t), i, place]",
        "tests/coded/products/test_convolutional.py",
    ),
    Mutant(
        "coded/products/oversketch.py",
        "np.random.default_rng((self._seed, worker))",
        "np.random.default_rng(self._seed)",
        "tests/coded/products/test_oversketch.py",
    ),
    Mutant(
        "coded/products/coded_matmul.py",
        "return replace(result, exact=completed.exact)",
        "return replace(result, exact=np.ones((), np.bool_))",
        "tests/coded/products/test_oversketch.py",
    ),
    # --- what would betray secrets
    Mutant(
        "coded/secure/residue_code.py",
        "mixed = [self._mix(encoder, blocks, rng) for encoder, blocks in pairs]",
        "mixed = [self._mix(encoder, blocks, np.random.default_rng(0)) "
        "for encoder, blocks in pairs]",
        "tests/coded/secure/test_contract.py",
    ),
    Mutant(
        "coded/secure/residue_code.py",
        "return bool(maximal_minors(masks, prime).all())",
        "return True",
        "tests/coded/secure/test_families.py",
    ),
    Mutant(
        "coded/secure/dft.py",
        "degrees = [*range(p), *range(p + t, p + 2 * t)]",
        "degrees = [*range(p), *range(p, p + t)]",
        "tests/coded/secure/test_contract.py",
    ),
    Mutant(
        "coded/secure/private_library.py",
        "return np.insert(others, index, points[: self.n_workers], axis=1)",
        "return np.insert(others, 0, points[: self.n_workers], axis=1)",
        "tests/coded/secure/test_private_library.py",
    ),
    Mutant(
        "coded/secure/private_library.py",
        "chosen: dict[int, None] = {0: None}",
        "chosen: dict[int, None] = {-1: None}",
        "tests/coded/secure/test_private_library.py",
    ),
    Mutant(
        "coded/secure/secure_matmul.py",
        "if len(shares) > 1 and most > n_colluders:",
        "if len(shares) > 1 and most > n_colluders + n_workers:",
        "tests/coded/secure/test_secure_matmul.py",
    ),
    Mutant(
        "coded/secure/secure_matmul.py",
        "terms = Terms(wait_for=wait_for, timeout=timeout, retries=0, on_answer=on_answer)",
        "terms = Terms(wait_for=wait_for, timeout=timeout, retries=1, on_answer=on_answer)",
        "tests/coded/secure/test_secure_matmul.py",
    ),
    Mutant(
        "coded/secure/analog.py",
        "gaussian_masks(shape, self._mask_std, rng)",
        "gaussian_masks(shape, self._mask_std / 2.0, rng)",
        "tests/coded/secure/test_analog.py",
    ),
    Mutant(
        "coded/secure/operands.py",
        "largest = min(by_rows, by_columns)",
        "largest = min(by_rows, by_columns, headroom)",
        "tests/coded/secure/test_contract.py",
    ),
    Mutant(
        "coded/gradients/gradient_code.py",
        "return self.amplification(responders) <= largest_amplification(np.dtype(dtype))",
        "return bool(np.isfinite(self.amplification(responders)))",
        "tests/coded/gradients/test_gradient_code.py",
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant, and by which test."""

    mutant: Mutant
    verdict: str
    detail: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        change = " ".join(self.mutant.after.split()) or "(removed)"
        return (
            f"{self.verdict}  {self.mutant.file}  {change}  {self.detail}  ({self.seconds:.0f} s)"
        )


def copy_tracked(root: Path, folder: Path) -> None:
    """Copy the files that git knows, as they are now."""
    command = ["git", "ls-files", "-z"]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=60)
    for name in done.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)


@contextmanager
def broken(mutant: Mutant, folder: Path) -> Iterator[bool]:
    """Apply a mutant to its file for a while; False where its place is not found once."""
    path = folder / mutant.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    applies = text.count(mutant.before) == 1
    if applies:
        path.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")
    try:
        yield applies
    finally:
        if applies:
            path.write_text(text, encoding="utf-8")


def run_tests(tests: str, folder: Path, cache: Path) -> tuple[int | None, str]:
    """Give pytest's exit code, None where the time was up, and what it printed."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n0"]
    command += [f"--timeout={TEST_SECONDS}", "--timeout-method=thread", *tests.split()]
    # No bytecode, which goes by times and sizes of sources; the same examples each time.
    settings = {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(cache), "CI": "true"}
    environment = {**os.environ, **settings, "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(RUN_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        printed.seek(0)
        return code, printed.read()


def judge(code: int | None, printed: str) -> tuple[str, str]:
    """Give verdict and detail: only a test that failed is a kill, no error of import or usage."""
    failed = _FAILED.search(printed)
    if code == 1 and failed:
        return KILLED, failed[1]
    if code == 1 and "+ Timeout +" in printed:
        stuck = _STUCK.search(printed)
        return KILLED, f"{stuck[1] if stuck else 'a test'} took over {TEST_SECONDS} s"
    if code == 0:
        return LIVED, "all passed"
    last = printed.strip().splitlines()[-1:] or ["nothing printed"]
    return UNKNOWN, f"time is up: {last[0]}" if code is None else f"exit code {code}: {last[0]}"


def try_all(mutants: Sequence[Mutant], root: Path) -> Iterator[Outcome]:
    """Try each mutant in a copy of the tree at `root`, which stays as it is."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        folder, caches = Path(place, "tree"), Path(place, "compiled")
        copy_tracked(root, folder)
        for i, mutant in enumerate(mutants):
            start = perf_counter()
            with broken(mutant, folder) as applies:
                if not applies:
                    yield Outcome(mutant, GONE, "its text is not there once")
                    continue
                # What is compiled holds the kernels that it calls, whose changes it does not see.
                is_compiled = "njit" in (folder / mutant.file).read_text(encoding="utf-8")
                cache = caches / (str(i) if is_compiled else "shared")
                verdict, detail = judge(*run_tests(mutant.tests, folder, cache))
            yield Outcome(mutant, verdict, detail, perf_counter() - start)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="files whose path holds a NAME")
    parser.add_argument("--list", action="store_true", help="print the mutants, and run nothing")
    options = parser.parse_args(arguments)
    chosen = [
        mutant
        for mutant in MUTANTS
        if options.only is None or any(name in mutant.file for name in options.only)
    ]
    if not chosen:
        parser.error(f"no mutant is in a file named {' or '.join(options.only)}")
    if options.list:
        for mutant in chosen:
            sys.stdout.write(f"{mutant.file}: {mutant.tests}\n")
        return 0
    start, verdicts = perf_counter(), []
    for outcome in try_all(chosen, root):
        verdicts.append(outcome.verdict)
        sys.stdout.write(f"{outcome}\n")
        sys.stdout.flush()
    killed = verdicts.count(KILLED)
    seconds = perf_counter() - start
    sys.stdout.write(f"{killed} of {len(verdicts)} killed in {seconds:.0f} s\n")
    return 0 if killed == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
