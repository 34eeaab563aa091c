"""The same codes and errors, to the last bit, whatever counts of threads and instruction set there are."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cfloat as cf
from cfloat._compensate.shares import pieces, sharing
from tests.support import isas

threadpoolctl = pytest.importorskip("threadpoolctl")

# lengths beside multiples of what kernels take, more than a panel of columns, several pieces of rows
CASES = [(40, 150), (200, 777), (70, 1100)]

SCRIPT = """
import hashlib, sys
import numpy as np
import cfloat as cf
for path in sys.argv[1:]:
    with np.load(path) as given:
        w, values = given["w"], given["moments"]
    for threads in (1, 2, 3):
        cf.set_num_threads(threads)
        moments = cf.SecondMoment(values, 5000)
        q, stats = cf.round_compensated(w, "CFloat8_1_4_3", moments, "output")
        print(hashlib.sha256(q.codes.tobytes()).hexdigest(), np.asarray(q.bias), stats.error.hex(),
              stats.nearest_error.hex(), stats.signal.hex())
"""


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moments")
    rng = np.random.default_rng(0)
    made = []
    for rows, columns in CASES:
        mixed = rng.standard_normal((columns + 500, columns)).cumsum(axis=1) + 1
        moments = cf.SecondMoment.of(mixed)
        path = folder / f"{columns}.npz"
        np.savez(path, w=rng.standard_normal((rows, columns)), moments=moments.values)
        made.append(str(path))
    return made


def results(paths, **environment):
    run = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, *paths],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_no_count_of_threads_and_no_instruction_set_changes_a_bit(paths):
    seen = []
    for blas in ("1", "2", "3"):
        seen += results(paths, OPENBLAS_NUM_THREADS=blas, MKL_NUM_THREADS=blas)
    for name in isas.AVAILABLE:
        seen += results(paths, CFLOAT_ISA=name)
    by_case = [set(seen[3 * i : 3 * i + 3]) for i in range(len(seen) // 3)]
    assert len(by_case) == len(CASES) * (3 + len(isas.AVAILABLE))
    for case in range(len(CASES)):
        assert len(set().union(*by_case[case :: len(CASES)])) == 1


def counts():
    """Give BLAS's counts of threads."""
    return {
        each["filepath"]: each["num_threads"]
        for each in threadpoolctl.threadpool_info()
        if each["user_api"] == "blas"
    }


def raise_in_share():
    with sharing() as each:
        seen = each(lambda _: set(counts().values()), range(4))
        raise ZeroDivisionError(seen)


@pytest.mark.quick
def test_blas_has_one_thread_in_shares_and_its_own_after():
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        before = counts()
        with pytest.raises(ZeroDivisionError) as raised:
            raise_in_share()
        assert raised.value.args[0] == [{1}] * 4
        assert counts() == before


@pytest.mark.quick
def test_calls_of_several_threads_come_one_after_the_other():
    rng = np.random.default_rng(1)
    moments = cf.SecondMoment.of(rng.standard_normal((90, 30)).cumsum(axis=1))
    w = rng.standard_normal((200, 30))
    expected = cf.round_compensated(w, "CFloat8_1_4_3", moments)[0].codes
    before = counts()
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda _: cf.round_compensated(w, "CFloat8_1_4_3", moments), range(16))
        )
    for q, _ in found:
        np.testing.assert_array_equal(q.codes, expected)
    assert counts() == before


@pytest.mark.quick
def test_where_blas_cannot_be_held_the_caller_does_all():
    """As where another thread, which is still there, was the first to set a limit."""
    held, leave = threading.Event(), threading.Event()

    def other():
        with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
            held.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(30)
    with sharing() as each:
        names = set(each(lambda _: threading.current_thread().name, range(5)))
        is_held = set(counts().values()) == {1}
    leave.set()
    thread.join()
    assert is_held or names == {threading.current_thread().name}


@pytest.mark.quick
def test_without_threadpoolctl_the_caller_does_all(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    with sharing() as each:
        names = each(lambda _: threading.current_thread().name, list(range(5)))
    assert set(names) == {threading.current_thread().name}


@pytest.mark.quick
@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 384, 513, 4096, 14336])
def test_pieces_are_all_rows_once(length):
    rows = np.arange(length + 7)
    cut = pieces(7, length + 7)
    np.testing.assert_array_equal(
        np.concatenate([rows[each] for each in cut] or [rows[7:]]), rows[7:]
    )
    assert all(0 < each.stop - each.start <= 512 for each in cut)
