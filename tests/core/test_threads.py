"""Threads: their number, that no result depends on it, and that neither callers nor fork disturb them."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import exact
import numpy as np
import pytest

import cfloat as cf

THREADS = (1, 2, 3, 7)
MANY = 2**20 + 12_345  # enough for seven threads, and no multiple of anything
MODES = cf.ROUNDING_MODES

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(autouse=True)
def default_afterwards():
    yield
    cf.set_num_threads(None)


def python(program, *options, **environment):
    """Run a program in a new process, with the threads that the environment says."""
    clean = {name: value for name, value in os.environ.items() if name != "CFLOAT_NUM_THREADS"}
    return subprocess.run(
        [sys.executable, "-P", "-W", "ignore::DeprecationWarning", *options, "-c", program],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def available_cpus():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def test_set_and_get():
    for n in (1, 2, 7, 256, np.int8(3), np.uint64(4)):
        cf.set_num_threads(n)
        assert cf.get_num_threads() == n
        assert type(cf.get_num_threads()) is int


@pytest.mark.parametrize("n", [0, -1, 257, 2**40])
def test_a_number_out_of_range(n):
    cf.set_num_threads(5)
    with pytest.raises(cf.ArgumentValueError) as caught:
        cf.set_num_threads(n)
    assert str(caught.value) == f"n is {n}; it takes an integer from 1 to 256"
    assert cf.get_num_threads() == 5


@pytest.mark.parametrize("n", [True, 1.0, "2", [1], np.float32(2)])
def test_no_number(n):
    cf.set_num_threads(5)
    with pytest.raises(cf.ArgumentTypeError) as caught:
        cf.set_num_threads(n)
    assert str(caught.value) == f"n is {n!r}; it takes an integer"
    assert cf.get_num_threads() == 5


PRINT = "import cfloat as cf; print(cf.get_num_threads())"


def test_the_default_is_the_cpus_that_this_process_may_use():
    result = python(PRINT)
    assert (result.stdout, result.stderr) == (f"{min(available_cpus(), 256)}\n", "")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_the_default_is_not_the_cpus_of_the_machine():
    one = min(os.sched_getaffinity(0))
    assert python(f"import os; os.sched_setaffinity(0, [{one}]); {PRINT}").stdout == "1\n"


@pytest.mark.parametrize("given", ["1", "3", "256"])
def test_the_environment_variable(given):
    assert python(PRINT, CFLOAT_NUM_THREADS=given).stdout == f"{given}\n"
    # set_num_threads has the last word, and None goes back to it
    program = "import cfloat as cf; cf.set_num_threads(9); a = cf.get_num_threads(); cf.set_num_threads(None)"
    result = python(f"{program}; print(a, cf.get_num_threads())", CFLOAT_NUM_THREADS=given)
    assert result.stdout == f"9 {given}\n"


def test_an_empty_environment_variable_is_none():
    assert python(PRINT, CFLOAT_NUM_THREADS="").stdout == f"{min(available_cpus(), 256)}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "call"),
    [
        *(
            (given, "get_num_threads()")
            for given in ("0", "-2", "257", "two", "1.5", "1e2", " ", "2,3")
        ),
        ("0", "set_num_threads(None)"),
        ("0", "encode([1.0, 2.0], cf.CFloat8_1_4_3)"),
        ("two", "decode([1, 2], cf.CFloat8_1_4_3)"),
    ],
)
def test_a_wrong_environment_variable(given, call):
    result = python(f"import cfloat as cf; cf.{call}", CFLOAT_NUM_THREADS=given)
    assert result.returncode != 0
    assert result.stderr.splitlines()[-1] == (
        "cfloat.ArgumentValueError: "
        f"CFLOAT_NUM_THREADS is {given!r}; it takes an integer from 1 to 256"
    )


def test_a_wrong_environment_variable_on_the_command_line(tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3))
    result = subprocess.run(
        [sys.executable, "-P", "-m", "cfloat", "report", str(tmp_path / "x.npy")],
        env=os.environ | {"CFLOAT_NUM_THREADS": "two"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "CFLOAT_NUM_THREADS is 'two'; it takes an integer from 1 to 256" in line


# Results.


def elements(dtype, size=MANY, seed=1):
    """Numbers of which some raise each flag, here and there, and some are any bits."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(size) * 2.0 ** rng.integers(-14, 10, size)
    dtype = np.dtype(dtype)
    x = x.astype(dtype)
    places = rng.integers(0, size, size // 50)
    bits = rng.integers(0, 2 ** (8 * dtype.itemsize) - 1, places.size, np.uint64, endpoint=True)
    x[places] = bits.astype(f"u{dtype.itemsize}").view(dtype)
    return x


def by_threads(n, operation, *arguments, **options):
    cf.set_num_threads(n)
    with cf.record_flags() as flags:
        result = operation(*arguments, **options)
    return result, flags


def assert_same_with_any_number(operation, *arguments, **options):
    """Assert that results and flags are those of one thread; return them."""
    expected, expected_flags = by_threads(1, operation, *arguments, **options)
    for n in THREADS[1:]:
        actual, flags = by_threads(n, operation, *arguments, **options)
        exact.assert_same(actual, expected)
        assert flags == expected_flags
    return expected, expected_flags


every_mode = pytest.mark.parametrize("mode", MODES)


@every_mode
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_contiguous(mode, dtype):
    x = elements(dtype)
    for operation, fmt in ((cf.encode, cf.CFloat8_1_4_3), (cf.round_to, cf.CFloat16_SHP)):
        _, flags = assert_same_with_any_number(operation, x, fmt, rounding=mode, seed=4, offset=3)
        assert all(getattr(flags, name) > 0 for name in exact.FLAGS)  # none was left untested


def test_on_each_instruction_set(isa):
    x = elements("float32")
    for mode in ("ties_to_even", "stochastic"):
        codes, _ = assert_same_with_any_number(
            cf.encode, x, cf.CFloat8_1_5_2, rounding=mode, seed=1, offset=2
        )
    assert_same_with_any_number(cf.decode, codes, cf.CFloat8_1_5_2)


@pytest.mark.parametrize("dtype", exact.FLOATS, ids=str)
def test_decode(dtype):
    for fmt in (cf.CFloat8_1_5_2, cf.CFloat16_UHP, cf.float8_e5m2):
        codes = np.random.default_rng(3).integers(0, 2**fmt.bits, MANY).astype(fmt.storage_dtype)
        assert_same_with_any_number(cf.decode, codes, fmt, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float16", "int16", "uint8", ">f4", ">f8"])
def test_other_sources(dtype):
    x = np.random.default_rng(2).integers(0, 120, MANY).astype(dtype)
    assert_same_with_any_number(cf.encode, x, cf.CFloat8_1_4_3, rounding="stochastic", seed=4)


ROWS, COLUMNS = 1019, 1021  # for seven threads as well; no share is a number of rows


def layouts(x):
    """The same elements as arrays of other layouts, from contiguous ones of one axis."""
    table = x[: ROWS * COLUMNS].reshape(ROWS, COLUMNS)
    wide = np.zeros((ROWS, 2 * COLUMNS), x.dtype)
    wide[:, 1::2] = table
    return {
        "strided": np.repeat(x[: ROWS * COLUMNS], 2)[::2],
        "backwards": table[::-1, ::-1],
        "transposed": table.T,
        "columns": wide[:, 1::2],
        "rows": wide[::2, :],
        "three axes": x[: 97 * 101 * 103].reshape(97, 101, 103).transpose(1, 0, 2),
        "repeated": np.broadcast_to(x[:COLUMNS], (ROWS, COLUMNS)),
        "fortran": np.asfortranarray(table),
    }


LAYOUTS = list(layouts(np.zeros(MANY, np.uint8)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    x = layouts(elements("float32"))[layout]
    contiguous = np.ascontiguousarray(x)
    for operation, mode in ((cf.encode, "stochastic"), (cf.round_to, "ties_to_even")):
        result, flags = assert_same_with_any_number(
            operation, x, cf.CFloat8_1_4_3, rounding=mode, seed=9, offset=1
        )
        expected, expected_flags = by_threads(
            1, operation, contiguous, cf.CFloat8_1_4_3, rounding=mode, seed=9, offset=1
        )
        exact.assert_same(result, expected)
        assert flags == expected_flags
    codes = layouts(np.resize(np.arange(256, dtype=np.uint8), MANY))[layout]
    assert_same_with_any_number(cf.decode, codes, cf.CFloat8_1_5_2)


@pytest.mark.parametrize("layout", ["strided", "backwards", "transposed", "columns"])
def test_layouts_of_the_result(layout):
    x = np.ascontiguousarray(layouts(elements("float32"))[layout])
    expected, _ = by_threads(1, cf.encode, x, cf.CFloat8_1_4_3, rounding="stochastic", seed=9)
    for n in THREADS:
        out = layouts(np.zeros(MANY, np.uint8))[layout]
        by_threads(n, cf.encode, x, cf.CFloat8_1_4_3, rounding="stochastic", seed=9, out=out)
        exact.assert_same(out, expected)


# Shapes of operands of some 2**20 elements, and of the biases that go with them.
BIASES = [
    ((ROWS, COLUMNS), (ROWS, 1)),
    ((ROWS, COLUMNS), (COLUMNS,)),
    ((ROWS, COLUMNS), (ROWS, COLUMNS)),
    ((517, 64, 33), (517, 64, 1)),  # blocks of 33
    ((2**20 // 32 + 1, 32), (2**20 // 32 + 1, 1)),  # blocks of 32
    ((9, 8, 128, 128), (9, 1, 128, 1)),
    ((3, 350_001), (3, 1)),
    ((350_001, 3), (350_001, 1)),
    ((COLUMNS,), (ROWS, COLUMNS)),
    ((1,), (MANY,)),
]


@pytest.mark.parametrize(("shape", "bias_shape"), BIASES, ids=str)
def test_biases(shape, bias_shape):
    x = elements("float32", int(np.prod(shape))).reshape(shape)
    biases = np.random.default_rng(5).integers(0, 40, bias_shape)
    for operation, mode in ((cf.encode, "stochastic"), (cf.round_to, "toward_negative")):
        result, _ = assert_same_with_any_number(
            operation, x, cf.CFloat8_1_5_2, biases, rounding=mode, seed=6, offset=5
        )
    # all at one bias is known from above: picked out, it is right where it is right everywhere
    spread = np.broadcast_to(biases, result.shape)
    whole = np.broadcast_to(x, result.shape)
    for bias in (0, 17, 39):
        one = cf.round_to(whole, cf.CFloat8_1_5_2, bias, rounding=mode)
        exact.assert_same(result[spread == bias], one[spread == bias])
    codes = np.random.default_rng(6).integers(0, 256, shape).astype(np.uint8)
    assert_same_with_any_number(cf.decode, codes, cf.CFloat8_1_5_2, biases)


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_in_place(mode, dtype):
    """Results as large as the operands; and smaller ones, which reach into what others have yet to read."""
    x = elements(dtype)
    biases = np.random.default_rng(5).integers(0, 40, (ROWS, 1))
    for operation, fmt, out_dtype in (
        (cf.round_to, cf.CFloat8_1_4_3, x.dtype),
        (cf.round_to, cf.CFloat8_1_4_3, np.dtype(np.float32)),
        (cf.encode, cf.CFloat8_1_4_3, np.dtype(np.uint8)),
        (cf.encode, cf.CFloat16_SHP, np.dtype(np.uint16)),
    ):
        for bias in (None, biases):
            operand = x if bias is None else x[: ROWS * COLUMNS].reshape(ROWS, COLUMNS)
            options = {"rounding": mode, "seed": 8}
            cf.set_num_threads(1)
            expected = operation(
                operand, fmt, bias, out=np.empty(operand.shape, out_dtype), **options
            )
            for n in (1, 3, 7):
                memory = operand.copy()
                out = memory.reshape(-1).view(out_dtype)[: operand.size].reshape(operand.shape)
                by_threads(n, operation, memory, fmt, bias, out=out, **options)
                exact.assert_same(out, expected)


@pytest.mark.parametrize("shift", [1, 4, 4096, 2**19])
def test_a_result_over_a_part_of_the_operand(shift):
    x = elements("float32")
    expected = cf.encode(x, cf.CFloat8_1_4_3)
    for n in (2, 7):
        memory = np.zeros(4 * x.size + shift, np.uint8)
        for start, out_start in ((0, shift), (shift, 0)):
            operand = memory[start : start + x.nbytes].view(np.float32)
            operand[...] = x
            out = memory[out_start : out_start + x.size]
            by_threads(n, cf.encode, operand, cf.CFloat8_1_4_3, out=out)
            exact.assert_same(out, expected)


def test_random_bits():
    x = elements("float32").reshape(-1)[: ROWS * COLUMNS].reshape(ROWS, COLUMNS)
    words = np.random.default_rng(8).integers(0, 2**8, (ROWS, COLUMNS))
    for variant in "ABC":
        assert_same_with_any_number(
            cf.encode, x, cf.CFloat8_1_4_3, rounding="stochastic", random_bits=words, stochastic_bits=8,
            stochastic_variant=variant,
        )  # fmt: skip
        assert_same_with_any_number(
            cf.encode, x.T, cf.CFloat8_1_4_3, rounding="stochastic", seed=3, offset=2, stochastic_bits=8,
            stochastic_variant=variant,
        )  # fmt: skip


@pytest.mark.parametrize(
    "size",
    [
        2**16,
        2**17 - 1,
        2**17,
        2**17 + 1,
        2**18 - 1,
        2**18,
        2**18 + 1,
        2**18 + 1025,
        3 * 2**17 - 1,
        3 * 2**17,
    ],
)
def test_sizes_at_which_one_thread_more_is_worth_it(size):
    x = elements("float32", size)
    for n in (2, 3):
        for operation in (cf.encode, cf.round_to):
            one, one_flags = by_threads(
                1, operation, x, cf.CFloat8_1_4_3, rounding="stochastic", seed=1
            )
            got, flags = by_threads(
                n, operation, x, cf.CFloat8_1_4_3, rounding="stochastic", seed=1
            )
            exact.assert_same(got, one)
            assert flags == one_flags


def test_calls_from_several_threads_at_once():
    """Each caller gets its own results and flags, while others convert with threads of their own."""
    cf.set_num_threads(3)
    operands = [elements("float32", 2**19 + i, seed=i) for i in range(5)]
    biases = [np.arange(x.size) % 20 + i for i, x in enumerate(operands)]

    def convert(i):
        with cf.record_flags() as flags:
            codes = cf.encode(operands[i], cf.CFloat8_1_4_3, i, rounding="stochastic", seed=i)
            values = cf.round_to(operands[i], cf.CFloat8_1_5_2, biases[i])
        return codes, values, flags

    expected = [convert(i) for i in range(5)]
    found = [[] for _ in range(5)]
    start = threading.Barrier(5)

    def repeat(i):
        start.wait()
        found[i].extend(convert(i) for _ in range(4))

    callers = [threading.Thread(target=repeat, args=(i,)) for i in range(5)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for i in range(5):
        assert len(found[i]) == 4
        for codes, values, flags in found[i]:
            exact.assert_same(codes, expected[i][0])
            exact.assert_same(values, expected[i][1])
            assert flags == expected[i][2]


def test_executors_of_many_threads():
    """More callers than CPUs, in products and conversions, of which one at a time has the pool."""
    cf.set_num_threads(4)
    x = elements("float32", 2**18)
    a = cf.asarray(elements("float32", 256 * 256).reshape(256, 256), cf.CFloat8_1_4_3)

    def compute(i):
        if i % 2:
            return cf.encode(x, cf.CFloat8_1_4_3, rounding="stochastic", seed=3)
        return cf.matmul(a, a, accumulate="exact" if i % 4 else "float32")

    cf.set_num_threads(1)
    expected = [compute(i) for i in range(4)]
    cf.set_num_threads(4)
    with ThreadPoolExecutor(12) as executor:
        for i, found in enumerate(executor.map(compute, range(120))):
            exact.assert_same(found, expected[i % 4])


@pytest.mark.slow
def test_the_number_may_change_while_others_convert():
    x = elements("float32", 2**19)
    expected = cf.encode(x, cf.CFloat8_1_4_3)
    stop = threading.Event()

    def change():
        while not stop.is_set():
            for n in THREADS:
                cf.set_num_threads(n)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(20):
            exact.assert_same(cf.encode(x, cf.CFloat8_1_4_3), expected)
    finally:
        stop.set()
        changing.join()


needs_proc = pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="this system does not list threads in /proc"
)

COUNTING = """
import os, time
import numpy as np
import cfloat as cf

x = np.ones(2**20, np.float32)

def count():
    return len(os.listdir("/proc/self/task"))

before = count()
"""


@needs_proc
def test_workers_last_and_are_no_more_than_needed():
    program = """
found = []
for n in (1, 3, 2, 3, 5, 1, 4):
    cf.set_num_threads(n)
    for _ in range(20):
        cf.encode(x, cf.CFloat8_1_4_3)
    found.append(count() - before)
print(found)
"""
    result = python(COUNTING + program)
    assert (result.stdout, result.stderr) == ("[0, 2, 2, 2, 4, 4, 4]\n", "")


@needs_proc
def test_workers_sleep_between_calls():
    """After the last call no CPU time goes by but that of the main thread, which sleeps."""
    program = """
cf.set_num_threads(4)
cf.encode(x, cf.CFloat8_1_4_3)
time.sleep(0.1)
used = time.process_time()
time.sleep(1)
print(time.process_time() - used < 0.1, count() - before)
"""
    result = python(COUNTING + program)
    assert (result.stdout, result.stderr) == ("True 3\n", "")


@needs_proc
def test_threads_that_cannot_be_started():
    """The caller does all, where no memory for a stack is left."""
    program = """
import resource

expected = cf.encode(x, cf.CFloat8_1_4_3)
out, same = np.empty_like(expected), np.empty(expected.shape, bool)
cf.set_num_threads(6)
before = count()
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**18, resource.RLIM_INFINITY))
for _ in range(200):
    out[:] = 0
    cf.encode(x, cf.CFloat8_1_4_3, out=out)
    assert np.equal(out, expected, out=same).all()
started = count() - before
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for _ in range(200):
    cf.encode(x, cf.CFloat8_1_4_3, out=out)
print(started, count() - before)
"""
    result = python(COUNTING + "cf.set_num_threads(1)\n" + program)
    assert (result.stdout, result.stderr) == ("0 5\n", "")


# signals, and the end of a process

SIGNALS = """
import signal, threading, time
import numpy as np
import cfloat as cf

cf.set_num_threads(4)
x = np.random.default_rng(1).standard_normal(2**20, dtype=np.float32)
expected = cf.encode(x, cf.CFloat8_1_4_3)
where = []
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_handlers_of_signals_run_while_others_work():
    """A timer's signals arrive in the main thread, also while it works, and disturb no result."""
    program = """
signal.signal(signal.SIGALRM, lambda *_: where.append(threading.current_thread()))
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
end = time.monotonic() + 1
while time.monotonic() < end or len(where) < 20:
    assert (cf.encode(x, cf.CFloat8_1_4_3) == expected).all()
signal.setitimer(signal.ITIMER_REAL, 0)
# a wait is cut short, although other threads sleep that could have taken the signal
for _ in range(50):
    cf.encode(x, cf.CFloat8_1_4_3)
    seen = len(where)
    signal.setitimer(signal.ITIMER_REAL, 0.002)
    begun = time.monotonic()
    while len(where) == seen:
        signal.pause()
    signal.setitimer(signal.ITIMER_REAL, 0)
print(set(where) == {threading.main_thread()})
"""
    result = python(SIGNALS + program)
    assert (result.returncode, result.stdout, result.stderr) == (0, "True\n", "")


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no such signals")
def test_an_interrupt_ends_a_long_loop():
    # a shell that starts the tests in the background has SIGINT ignored
    program = """
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while True:
        cf.encode(x, cf.CFloat8_1_4_3)
except KeyboardInterrupt:
    assert (cf.encode(x, cf.CFloat8_1_4_3) == expected).all()
    print("interrupted")
"""
    result = python("import os\n" + SIGNALS + program)
    assert (result.returncode, result.stdout, result.stderr) == (0, "interrupted\n", "")


@pytest.mark.parametrize("leave", ["", "sys.exit(0)", "os._exit(0)"])
def test_the_process_ends_while_others_work(leave):
    """Daemon threads are in calls, and others have been."""
    program = f"""
import os, sys
def convert():
    while True:
        cf.encode(x, cf.CFloat8_1_4_3)
for _ in range(3):
    threading.Thread(target=convert, daemon=True).start()
time.sleep(0.3)
assert (cf.encode(x, cf.CFloat8_1_4_3) == expected).all()
print("done", flush=True)
{leave}
"""
    for _ in range(3):
        result = python(SIGNALS + program)
        assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


@needs_fork
def test_a_child_ends_that_has_used_the_pool_or_not():
    """What is registered to be done at exit finds none of the parent's threads, and does not wait."""
    program = """
import atexit, os, sys
for uses in (False, True, False):
    child = os.fork()
    if child == 0:
        atexit.register(lambda: os.write(1, b"child\\n"))
        if uses:
            assert (cf.encode(x, cf.CFloat8_1_4_3) == expected).all()
            atexit.register(lambda: cf.encode(x, cf.CFloat8_1_4_3))
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print("parent")
"""
    result = python(SIGNALS + program)
    assert (result.returncode, result.stdout, result.stderr) == (0, "child\n" * 3 + "parent\n", "")


LIBRARY = """
#include "cpu/threads.h"

int work(int threads);

static void task(void *context, int index) {
  volatile int *sums = context;
  for (int i = 0; i < 20000; ++i) sums[index] = sums[index] + 1;
}

int work(int threads) {
  int sums[256] = {0}, sum = 0;
  cf_run_threads(threads, task, sums);
  for (int i = 0; i < 256; ++i) sum += sums[i];
  return sum;
}
"""


@needs_proc
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_library_that_is_unloaded(tmp_path):
    """Its threads end before its code goes; loaded again, it has others."""
    csrc = Path(__file__).parents[2] / "csrc"
    (tmp_path / "work.c").write_text(LIBRARY)
    library = tmp_path / "work.so"
    sources = [tmp_path / "work.c", csrc / "cpu/threads.c", csrc / "cpu/float_modes.c"]
    options = ["-std=c11", "-O1", "-fPIC", "-shared", "-pthread", f"-I{csrc}"]
    subprocess.run(["cc", *options, *sources, "-o", library, "-lm"], check=True)
    program = f"""
import ctypes, os, _ctypes

path = {str(library)!r}

def count():
    return len(os.listdir("/proc/self/task"))

def is_mapped():
    with open("/proc/self/maps") as file:
        return path in file.read()

found = set()
before = count()
for i in range(30):
    work = ctypes.CDLL(path)
    sums = [work.work(2 + (i + j) % 4) for j in range(i % 5)]
    assert sums == [20000 * (2 + (i + j) % 4) for j in range(i % 5)], sums
    more = count() - before
    _ctypes.dlclose(work._handle)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    found.add((more > 0, count() - before, is_mapped()))
print(sorted(found))
"""
    result = python(program)
    expected = "[(False, 0, False), (True, 0, False)]\n"
    assert (result.returncode, result.stdout, result.stderr) == (0, expected, "")


# fork

FORK = """
import hashlib, os, sys, threading
import numpy as np
import cfloat as cf

cf.set_num_threads(4)
x = (np.random.default_rng(1).standard_normal(2**19 + 77) * 30).astype(np.float32)

def digest(_=None):
    with cf.record_flags() as flags:
        codes = cf.encode(x, cf.CFloat8_1_4_3, rounding="stochastic", seed=5)
        values = cf.decode(codes, cf.CFloat8_1_4_3)
        again = cf.round_to(x[::2], cf.CFloat8_1_5_2, np.arange(x.size)[::2] % 30)
    parts = (codes, values, again)
    return [hashlib.sha256(part.tobytes()).hexdigest() for part in parts], repr(flags)

def in_child(work=digest):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, repr(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return text
"""


def run_forking(program):
    result = python(FORK + program)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "the same\n"


@needs_fork
def test_fork():
    """Before any call with threads, after one, and from a child."""
    run_forking("""
before = in_child()
here = repr(digest())
after = in_child()
grandchild = in_child(lambda: in_child())
print("the same" if before == after == eval(grandchild) == here else (before, here, after, grandchild))
""")


@needs_fork
def test_fork_while_another_thread_converts():
    run_forking("""
here = repr(digest())
stop = threading.Event()

def convert():
    while not stop.is_set():
        cf.encode(x, cf.CFloat8_1_4_3)

other = threading.Thread(target=convert)
other.start()
found = {in_child() for _ in range(8)}
stop.set()
other.join()
print("the same" if found == {here} else (found, here))
""")


@needs_fork
def test_multiprocessing_by_fork():
    run_forking("""
import multiprocessing

here = digest()
with multiprocessing.get_context("fork").Pool(3) as pool:
    found = pool.map(digest, range(6))
print("the same" if found == 6 * [here] and digest() == here else (found, here))
""")


@needs_fork
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_multiprocessing_otherwise(method, tmp_path):
    """Workers of both kinds, one of them forked from a server that has loaded the package."""
    (tmp_path / "digests.py").write_text(FORK)
    (tmp_path / "main.py").write_text(
        f"""
import multiprocessing
from digests import digest

if __name__ == "__main__":
    here = digest()
    context = multiprocessing.get_context({method!r})
    if {method!r} == "forkserver":
        context.set_forkserver_preload(["digests"])
    with context.Pool(2) as pool:
        found = pool.map(digest, range(4))
    print("the same" if found == 4 * [here] and digest() == here else (found, here))
"""
    )
    result = subprocess.run(
        [sys.executable, tmp_path / "main.py"], capture_output=True, text=True, timeout=300
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "the same\n", "")


@needs_fork
def test_the_number_of_threads_is_inherited():
    result = python(FORK + "print(in_child(cf.get_num_threads), end='')")
    assert (result.stdout, result.stderr) == ("4", "")
