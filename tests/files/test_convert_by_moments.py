"""Checkpoints converted by the second moments of what their weights are multiplied with."""

import json
import os
import signal
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from commands import main_refused, names_in
from fp8_files import load_file as load_fp8
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._cli import main
from cfloat._compensate.second_moments import row_moment
from cfloat._files import compensating
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.fp8 import EXPORTED, reachable
from cfloat._files.moments import Moments
from cfloat._files.plan_file import TensorChoice
from cfloat._report.sensitivity import Sensitivity

pytestmark = pytest.mark.quick

RNG = np.random.default_rng(0)
FMT = cf.CFloat8_1_4_3


def correlated(n, axis=1):
    """Moments of inputs that are as correlated as a model's, and of unlike sizes."""
    x = RNG.standard_normal((3 * n, n)) @ RNG.standard_normal((n, n)) * np.exp(RNG.normal(size=n))
    return cf.SecondMoment.of(x, axis)


UP, CONV, T, EMBED, NORM = (
    "l.mlp.up_proj.weight", "conv.weight", "c_fc.weight", "embed.weight", "norm.weight",
)  # fmt: skip
WEIGHTS = {
    UP: RNG.standard_normal((40, 24)) * np.exp(RNG.normal(size=(40, 1))),
    CONV: RNG.standard_normal((12, 4, 3, 3)),
    T: RNG.standard_normal((24, 20)),  # as Conv1D has it
    EMBED: RNG.standard_normal((30, 8)),
    NORM: RNG.standard_normal(24),
}
MOMENTS = {
    UP: (correlated(24),),
    CONV: (correlated(36),),
    T: (correlated(24, axis=0),),
    EMBED: (row_moment([0, 1, 1, 7], 30),),
}
COMPENSATED = (UP, CONV, T)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.safetensors"
    save_file({name: w.astype(np.float32) for name, w in WEIGHTS.items()}, path)
    return path


def loss(w, made, moment):
    """The mean square of the outputs' errors, written out."""
    error = np.asarray(made, np.float64) - np.asarray(w, np.float64)
    rows = error.T if moment.axis == 0 else error.reshape(len(error), -1)
    return sum(row @ moment.values @ row for row in rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize(
    "plan",
    [
        Plan(FMT),
        Plan(FMT, bias="mse"),
        Plan(FMT, bias=9),
        Plan(cf.CFloat8_1_5_2, bias="default"),
        Plan("CFloat8_1_5_2", bias="percentile", axis=0),
        Plan(cf.float8_e5m2, bias="mse", axis=-1),
        Plan(FMT, bias="mx", block=16),
        Plan(FMT, bias="mse", block=5),
        Plan(FMT, bias="mse", block=8, axis="reduction"),
        Plan(FMT, bias="max", block=8, axis=0),
    ],
    ids=lambda plan: f"{plan.format}-{plan.bias}-{plan.axis}-{plan.block}",
)
def test_weights_are_as_round_compensated_has_them(tmp_path, plan, dtype):
    source, plain, out = (tmp_path / f"{name}.safetensors" for name in ("in", "plain", "out"))
    weights = {name: w.astype(dtype) for name, w in WEIGHTS.items()}
    save_file(weights, source)
    convert(source, plain, plan)
    summary = convert(source, out, plan, moments=MOMENTS)
    nearest, made = cf.load(plain), cf.load(out)
    for name in WEIGHTS:
        np.testing.assert_array_equal(nearest[name].bias, made[name].bias)
        assert (nearest[name].axis, nearest[name].block) == (made[name].axis, made[name].block)
        if name not in COMPENSATED:
            np.testing.assert_array_equal(nearest[name].codes, made[name].codes)
            continue
        # the biases of each element, so that nothing here depends on how they lie
        full = nearest[name]._biases.full(WEIGHTS[name].shape)
        w = weights[name].astype(np.float64)
        q, stats = cf.round_compensated(w, plan.checked().format, MOMENTS[name][0], full)
        np.testing.assert_array_equal(made[name].codes, q.codes)
        found = summary.compensated[name]
        assert found == (stats.nearest_sqnr_db, stats.sqnr_db)
        before, after = (loss(w, x[name], MOMENTS[name][0]) for x in (nearest, made))
        assert after < before
        assert found.db - found.nearest_db == pytest.approx(10 * np.log10(before / after), 1e-6)
    assert set(summary.compensated) == set(COMPENSATED)
    assert summary.to_nearest == {
        EMBED: "an embedding", NORM: "no moments, of one axis or none"
    }  # fmt: skip


@pytest.mark.parametrize(
    "how", [{}, {"axis": 0}, {"dynamic": True}, {"block": (16, 10)}, {"bias": "mse"}, {"bias": 8}],
    ids=str,
)  # fmt: skip
def test_an_export_is_of_values_that_readers_have(tmp_path, source, how):
    plain, out = tmp_path / "plain.safetensors", tmp_path / "out.safetensors"
    plan = Plan(export=True, include=["*.up_proj.*"], **how)
    convert(source, plain, plan)
    summary = convert(source, out, plan, moments={UP: MOMENTS[UP]})
    assert (summary.recoded, summary.changed) == (0, 0)
    assert list(summary.compensated) == [UP]
    nearest, stored = load_fp8(plain), load_fp8(out)
    np.testing.assert_array_equal(nearest[UP + "_scale"], stored[UP + "_scale"])
    assert np.isfinite(stored[UP].astype(np.float32)).all()
    # what another reader computes, as this one and as without blocks
    rows, columns = how.get("block", (1, 24))
    scales = stored[UP + "_scale"].reshape(-1, len(stored[UP + "_scale"].T))
    full = np.repeat(np.repeat(scales, rows, 0), columns, 1)[:40, :24]
    values = stored[UP].astype(np.float64) * full
    np.testing.assert_array_equal(values, cf.load(out)[UP])
    bias = np.broadcast_to(7 - np.log2(full), (40, 24)).astype(int)
    w = WEIGHTS[UP].astype(np.float32)
    q, _ = cf.round_compensated(w, reachable(EXPORTED), MOMENTS[UP][0], bias)
    np.testing.assert_array_equal(values, q)
    assert loss(w, values, MOMENTS[UP][0]) < loss(w, cf.load(plain)[UP], MOMENTS[UP][0])


@pytest.mark.parametrize("export", [False, True])
def test_rows_that_are_not_finite_are_as_without_moments(tmp_path, export):
    source, plain, out = (tmp_path / f"{name}.safetensors" for name in ("in", "plain", "out"))
    w = WEIGHTS[UP].astype(np.float32)
    w[3, 4], w[5, 6], w[5, 7] = np.nan, np.inf, -np.inf
    save_file({UP: w}, source)
    plan = Plan(None if export else FMT, export=export, bias="mse", axis=0)
    first = convert(source, plain, plan)
    summary = convert(source, out, plan, moments={UP: MOMENTS[UP]})
    nearest, made = cf.load(plain)[UP], cf.load(out)[UP]
    np.testing.assert_array_equal(made.codes[[3, 5]], nearest.codes[[3, 5]])
    assert (made.codes != nearest.codes).any()
    assert (summary.flags, summary.recoded) == (first.flags, first.recoded)
    assert summary.flags.invalid == 1
    assert "2 of 40 rows are not finite" in summary.to_text()
    if export:
        assert summary.changed
        with pytest.raises(cf.FileError, match="the 8-bit float does not have"):
            convert(source, out, Plan(export=True, axis=0, strict=True), moments=MOMENTS)


@pytest.mark.parametrize(
    "how", [{}, {"axis": 0}, {"block": 6}, {"block": 6, "axis": "reduction"}], ids=str
)
@pytest.mark.parametrize("export", [False, True])
def test_biases_of_the_least_error_of_outputs(tmp_path, how, export):
    source, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    if export and "block" in how:
        pytest.skip("an export has none such")
    # at the least squared error some large ones are cut off, and these may be what outputs are made of
    w = WEIGHTS[UP].astype(np.float32)
    save_file({UP: w, EMBED: WEIGHTS[EMBED].astype(np.float32)}, source)
    plan = Plan(None if export else FMT, export=export, bias="output", **how)
    summary = convert(source, out, plan, moments={UP: MOMENTS[UP]})
    fmt = reachable(EXPORTED) if export else FMT
    own = {"block": 6} if "block" in how else how  # along the last axis, that is
    q, stats = cf.round_compensated(
        w, fmt, MOMENTS[UP][0], "output", axis=own.get("axis"), block=how.get("block")
    )
    made = cf.load(out)
    np.testing.assert_array_equal(made[UP].bias, q.bias)
    np.testing.assert_array_equal(made[UP], q)
    assert summary.compensated[UP].db == stats.sqnr_db
    if not export:
        other = cf.asarray(WEIGHTS[EMBED].astype(np.float32), FMT, "mse", **own)
        np.testing.assert_array_equal(made[EMBED].codes, other.codes)
        np.testing.assert_array_equal(made[EMBED].bias, other.bias)


def test_a_plan_of_each_tensor(tmp_path, source):
    out = tmp_path / "out.safetensors"
    tensors = {name: TensorChoice(None) for name in WEIGHTS}
    tensors[UP] = TensorChoice(cf.CFloat8_1_5_2, axis=0)
    tensors[CONV] = TensorChoice(FMT, axis=(1, 2, 3), block=9)
    summary = convert(source, out, Plan(tensors=tensors), moments=MOMENTS)
    assert set(summary.compensated) == {UP, CONV}
    made = cf.load(out)
    for name, fmt, how in (
        (UP, cf.CFloat8_1_5_2, {"axis": 0}), (CONV, FMT, {"axis": (1, 2, 3), "block": 9})
    ):  # fmt: skip
        w = WEIGHTS[name].astype(np.float32)
        q, _ = cf.round_compensated(w, fmt, MOMENTS[name][0], "mse", **how)
        np.testing.assert_array_equal(made[name].codes, q.codes)
        np.testing.assert_array_equal(made[name].bias, q.bias)
    exported = {
        name: TensorChoice.in_export(None) for name in WEIGHTS
    } | {UP: TensorChoice(EXPORTED, is_exported=True)}  # fmt: skip
    summary = convert(source, out, Plan(tensors=exported), moments=MOMENTS)
    assert set(summary.compensated) == {UP}


def test_what_has_no_moments_that_help(tmp_path, source):
    out = tmp_path / "out.safetensors"
    moments = {
        UP: (cf.SecondMoment(np.zeros((24, 24)), 5),),
        T: (MOMENTS[T][0], row_moment([0, 3], 24)),
    }
    summary = convert(source, out, Plan(FMT), moments=moments)
    assert not summary.compensated
    assert summary.to_dict()["gained_db"] is None
    assert "compensated" not in summary.to_text()
    reasons = {name: summary.to_nearest[name] for name in (UP, T, CONV)}
    assert reasons[T] == "an embedding and a matrix of products"
    assert "moments are 0, or have no factor" in reasons[UP]
    assert reasons[CONV] == "no moments"
    assert "; conv.weight, embed.weight: no moments; " in summary.to_text()


def test_several_uses_are_joined(tmp_path, source):
    out = tmp_path / "out.safetensors"
    x = RNG.standard_normal((90, 24)) @ RNG.standard_normal((24, 24))
    parts = cf.SecondMoment.of(x[:40]), cf.SecondMoment.of(x[40:])
    convert(source, out, Plan(FMT), moments={UP: parts})
    w = WEIGHTS[UP].astype(np.float32)
    q, _ = cf.round_compensated(w, FMT, cf.SecondMoment.of(x), "max")
    np.testing.assert_array_equal(cf.load(out)[UP].codes, q.codes)


def test_moments_under_another_name_of_a_tensor(tmp_path):
    source, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({"head": WEIGHTS[UP]}, source, metadata={"lm.head": "head"})
    summary = convert(source, out, Plan(FMT), moments={"lm.head": MOMENTS[UP], "other": MOMENTS[T]})
    assert list(summary.compensated) == ["head"]
    assert summary.notes == ["moments not used: other: the checkpoint has no such tensor"]
    # and under both: it is all of that what it is used for
    both = {"head": MOMENTS[UP], "lm.head": (row_moment([1], 40),)}
    summary = convert(source, out, Plan(FMT), moments=both)
    assert summary.to_nearest == {"head": "an embedding and a matrix of products"}
    # the same ones under both are not two uses
    two = Moments(cf.load(source), {"head": MOMENTS[UP], "lm.head": MOMENTS[UP]})
    assert two.uses_of("head") == two.uses_of("lm.head") == MOMENTS[UP]


def test_what_is_refused(tmp_path, source):
    out = tmp_path / "out.safetensors"
    cases = [
        (Plan(FMT), {UP: MOMENTS[CONV]}, f"'{UP}': moments of 36 inputs"),
        (Plan(FMT), {NORM: MOMENTS[UP]}, f"'{NORM}': moments of 24 inputs"),
        (Plan(FMT), {"l.up": MOMENTS[UP]}, "the moments are of 'l.up', and so on, which the check"),
        (Plan(FMT), {}, "the moments are of no tensor"),
        (Plan(FMT), [], r"moments is \[\]; it takes a mapping"),
        (Plan(FMT), {UP: (np.eye(24),)}, r"moments\['l.mlp.up_proj.weight'\] has an array"),
        (Plan(FMT), {UP: MOMENTS[UP][0]}, rf"moments\['{UP}'\] is SecondMoment"),
        (Plan(FMT, bias="output"), None, "bias is 'output', which takes moments"),
        (Plan(export=True, bias="output", block=(8, 8)), MOMENTS, "one scale a tensor or a row"),
        (Plan(to="float32"), MOMENTS, "there is none in converting back"),
        (Plan(FMT, rounding="to_odd"), MOMENTS, "with moments it takes 'ties_to_even'"),
        (Plan(FMT, rounding="stochastic"), MOMENTS, "with moments it takes 'ties_to_even'"),
    ]
    for plan, moments, message in cases:
        with pytest.raises(
            (cf.FileError, cf.ArgumentTypeError, cf.ArgumentValueError), match=message
        ):
            convert(source, out, plan, moments=moments)
    with pytest.raises(cf.ArgumentValueError, match="the workers of a cluster"):
        convert(source, out, Plan(FMT), moments=MOMENTS, runner=lambda *_: {})
    assert names_in(tmp_path) == ["in.safetensors"]


def test_codes_are_not_rounded_anew(tmp_path):
    source, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    other = "m.mlp.up_proj.weight"
    codes = cf.asarray(WEIGHTS[UP], EXPORTED, "mse")
    cf.save(source, {UP: codes, other: WEIGHTS[UP]})
    summary = convert(source, out, Plan(export=True), moments={UP: MOMENTS[UP], other: MOMENTS[UP]})
    assert list(summary.compensated) == [other]
    assert f"moments not used: {UP}: codes already, which are not rounded anew" in summary.notes
    np.testing.assert_array_equal(load_fp8(out)[UP].view(np.uint8), codes.codes)


def test_the_same_bytes_for_any_number_of_threads(tmp_path):
    """More than a piece, so that several threads would share it."""
    source = tmp_path / "in.safetensors"
    w = RNG.standard_normal((4500, 130)).astype(np.float32)
    save_file({UP: w, "m.mlp.up_proj.weight": w.T.copy()}, source)
    moments = {UP: (correlated(130),)}
    before = cf.get_num_threads()
    for how in ({"format": FMT, "bias": "mse", "axis": 0}, {"export": True}):
        made = []
        for count in (1, 2):
            cf.set_num_threads(count)
            try:
                out = tmp_path / f"{count}.safetensors"
                assert convert(source, out, Plan(**how), moments=moments).compensated
            finally:
                cf.set_num_threads(before)
            made.append(out.read_bytes())
        assert made[0] == made[1]


def test_progress_comes_to_all_there_is(tmp_path, source):
    told = []
    convert(
        source, tmp_path / "out.safetensors", Plan(FMT, bias="mse", block=8),
        lambda done, total: told.append((done, total)), moments=MOMENTS,
    )  # fmt: skip
    total = sum(4 * w.size for w in WEIGHTS.values())
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (pytest.approx(total), total)
    assert len(told) >= len(WEIGHTS)


def test_the_command(tmp_path, source, capsys):
    file, out = tmp_path / "moments.safetensors", tmp_path / "out.safetensors"
    Sensitivity(MOMENTS, notes=("attention: not measured",)).save(file)
    arguments = ["convert", source, out, "--format", "CFloat8_1_4_3", "--moments", file]
    assert main.main([*map(str, arguments)]) in (0, None)
    text = capsys.readouterr().out
    expected = convert(source, tmp_path / "e.safetensors", Plan(FMT), moments=MOMENTS)
    assert out.read_bytes() == (tmp_path / "e.safetensors").read_bytes()
    gains = [each.db - each.nearest_db for each in expected.compensated.values()]
    assert (
        f"3 tensors compensated, by moments {np.median(gains):.1f} dB better in the median, "
        f"{min(gains):.1f} at least\n" in text
    )
    assert "to nearest: embed.weight: an embedding; norm.weight: no moments, of one axis" in text
    assert text.endswith("attention: not measured\n")
    main.main([*map(str, arguments), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["gained_db"] == {"median": np.median(gains), "least": min(gains)}
    assert set(said["compensated"]) == set(COMPENSATED)
    assert set(said["compensated"][UP]) == {"nearest_db", "db"}
    assert set(said["to_nearest"]) == {EMBED, NORM}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--to", "float32"], "--moments does not go with --to"),
        (["--format", "CFloat8_1_4_3", "--scheduler", "x:1"], "does not go with --scheduler"),
        (["--format", "CFloat8_1_4_3", "--rounding", "to_odd"], "--rounding ties_to_even, not with to_odd"),
    ],
)  # fmt: skip
def test_what_the_command_refuses(tmp_path, source, capsys, more, message):
    # before the file is read: there is none
    out = tmp_path / "out.safetensors"
    file = tmp_path / "moments.safetensors"
    assert message in main_refused(capsys, "convert", source, out, *more, "--moments", file)
    assert names_in(tmp_path) == ["in.safetensors"]


def test_a_file_that_is_no_file_of_moments(tmp_path, source, capsys):
    out, how = tmp_path / "out.safetensors", ("--format", "CFloat8_1_4_3", "--moments")
    missing = main_refused(capsys, "convert", source, out, *how, tmp_path / "no.safetensors")
    assert "no.safetensors: No such file" in missing
    assert "no file of second moments" in main_refused(capsys, "convert", source, out, *how, source)
    file = tmp_path / "moments.safetensors"
    Sensitivity(MOMENTS).save(file)
    refusal = main_refused(capsys, "convert", source, file, *how, file)
    assert "would overwrite what is to be read" in refusal
    assert names_in(tmp_path) == ["in.safetensors", "moments.safetensors"]
    # as a file of the folder that is written into, and under another name of it
    (tmp_path / "out").mkdir()
    kept = file.rename(tmp_path / "out" / "model.safetensors")
    file.symlink_to(kept)
    for given in (kept, file):
        refusal = main_refused(capsys, "convert", source, tmp_path / "out", *how, given)
        assert "would overwrite what is to be read" in refusal
    assert set(Sensitivity.load(kept).moments) == set(MOMENTS)


def test_outputs_beyond_float64_have_no_gain(tmp_path, source):
    huge = {UP: (cf.SecondMoment(np.full((24, 24), 1e308), 100),)}
    summary = convert(source, tmp_path / "out.safetensors", Plan(FMT), moments=huge)
    assert list(summary.compensated) == [UP]
    assert summary.gains_db == []
    said = "1 tensor compensated; of 1 outputs are beyond float64, and gains not known"
    assert said in summary.to_text().splitlines()
    assert summary.to_dict()["gained_db"] is None
    moments = huge | {CONV: MOMENTS[CONV]}
    summary = convert(source, tmp_path / "out.safetensors", Plan(FMT), moments=moments)
    text = summary.to_text()
    assert "2 tensors compensated, by moments " in text
    assert "nan" not in text
    json.dumps(summary.to_dict(), allow_nan=False)


class Cut(BaseException):
    """What ends a process."""


def cut_after(count):
    """Progress that ends it all when so much is done."""
    told = []

    def progress(done, total):
        told.append(done)
        if len(told) == count:
            raise Cut

    return progress


RESUMED = {
    "tensor": Plan(FMT),
    "blocks": Plan(FMT, bias="mse", block=8, axis="reduction"),
    "output": Plan("CFloat8_1_5_2", bias="output", axis=0),
    "tiles": Plan(export=True, bias="mse", block=(16, 10), include=["*_proj.weight"]),
}


@pytest.mark.parametrize("plan", RESUMED.values(), ids=RESUMED)
def test_a_run_that_was_cut_goes_on(tmp_path, plan, monkeypatch):
    source, whole, out = (tmp_path / f"{name}.safetensors" for name in ("in", "whole", "out"))
    weights = {UP: WEIGHTS[UP], "m.mlp.down_proj.weight": WEIGHTS[UP][::-1].copy()}
    if not plan.export:
        weights |= {CONV: WEIGHTS[CONV], T: WEIGHTS[T]}
    moments = {name: MOMENTS.get(name, MOMENTS[UP]) for name in weights}
    save_file({name: w.astype(np.float32) for name, w in weights.items()}, source)
    expected = convert(source, whole, plan, moments=moments)
    folder = tmp_path / "partial"
    with pytest.raises(Cut):
        convert(source, out, plan, cut_after(1), moments=moments, resume=folder)
    assert not out.exists()
    assert len(names_in(folder)) == 1
    calls = []
    rounded = compensating.round_compensated

    def counted(*arguments, **options):
        calls.append(arguments)
        return rounded(*arguments, **options)

    monkeypatch.setattr(compensating, "round_compensated", counted)
    summary = convert(source, out, plan, moments=moments, resume=folder)
    assert len(calls) == len(weights) - 1
    assert out.read_bytes() == whole.read_bytes()
    assert not folder.exists()
    assert summary.compensated == expected.compensated
    assert summary.notes == [*expected.notes, "1 tensor was rounded before"]


def test_what_is_kept_is_of_nothing_else(tmp_path, monkeypatch):
    """Another weight, other moments, another format or bias: each is rounded anew."""
    source, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    folder = tmp_path / "partial"
    w = WEIGHTS[UP].astype(np.float32)
    moment = MOMENTS[UP][0]
    save_file({UP: w}, source)
    with pytest.raises(Cut):
        convert(source, out, Plan(FMT), cut_after(1), moments={UP: (moment,)}, resume=folder)
    (kept,) = folder.iterdir()
    changed = w.copy()
    changed[0, 0] += 1
    more = cf.SecondMoment(moment.values * 2, moment.count)
    for weight, used, plan in (
        (changed, moment, Plan(FMT)),
        (w, more, Plan(FMT)),
        (w, moment, Plan(FMT, bias="mse")),
        (w, moment, Plan(FMT, axis=0)),
        (w, moment, Plan(FMT.replace(subnormals="ieee"))),
    ):
        save_file({UP: weight}, source)
        summary = convert(source, out, plan, moments={UP: (used,)}, resume=folder)
        # that of the first run is not this one's, which leaves it
        assert summary.notes == [f"{folder} has other files in it, and stays"]
        assert list(folder.iterdir()) == [kept]
    # and damage is told
    save_file({UP: w}, source)
    raw = bytearray(kept.read_bytes())
    raw[-1] ^= 1
    kept.write_bytes(raw)
    with pytest.raises(cf.FileError, match=f"{kept.name}: not what a conversion leaves.*checksum"):
        convert(source, out, Plan(FMT), moments={UP: (moment,)}, resume=folder)


def test_what_resume_is_refused_for(tmp_path, source, capsys):
    out, folder = tmp_path / "out.safetensors", tmp_path / "partial"
    with pytest.raises(cf.ArgumentValueError, match="there are none"):
        convert(source, out, Plan(FMT), resume=folder)
    for wrong, message in (
        (source, "in.safetensors: Not a directory|own files"),
        (tmp_path, "resume takes another folder"),
        (tmp_path / "a" / "b", "No such file"),
        ("", "not a file name"),
    ):
        with pytest.raises(cf.FileError, match=message):
            convert(source, out, Plan(FMT), moments=MOMENTS, resume=wrong)
    (tmp_path / "model").mkdir()
    source.replace(tmp_path / "model" / "model.safetensors")
    with pytest.raises(cf.FileError, match="resume takes another folder"):
        convert(
            tmp_path / "model", tmp_path / "small", Plan(FMT),
            moments=MOMENTS, resume=tmp_path / "model" / "partial",
        )  # fmt: skip
    (tmp_path / "model" / "model.safetensors").replace(source)
    (tmp_path / "model").rmdir()
    # one that is refused leaves no folder
    with pytest.raises(cf.ArgumentValueError, match="36 inputs"):
        convert(source, out, Plan(FMT), moments={UP: MOMENTS[CONV]}, resume=folder)
    arguments = ("convert", source, out, "--format", "CFloat8_1_4_3", "--resume", folder)
    assert "--resume goes with --moments" in main_refused(capsys, *arguments)
    assert names_in(tmp_path) == ["in.safetensors"]


KILLED = """
import os, signal, sys
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._report.sensitivity import Sensitivity
source, out, file, folder = sys.argv[1:]
def progress(done, total):
    os.kill(os.getpid(), signal.SIGKILL)
convert(source, out, Plan("CFloat8_1_4_3"), progress, moments=Sensitivity.load(file).moments, resume=folder)
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_a_process_that_was_killed_leaves_what_it_did(tmp_path, source):
    file, out, folder = (
        tmp_path / "m.safetensors",
        tmp_path / "out.safetensors",
        tmp_path / "partial",
    )
    Sensitivity(MOMENTS).save(file)
    run = subprocess.run(
        [sys.executable, "-P", "-c", KILLED, source, out, file, folder],
        capture_output=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    (kept,) = names_in(folder)
    assert kept.endswith(".safetensors")
    assert not kept.startswith(".")
    assert not out.exists()
    summary = convert(source, out, Plan(FMT), moments=MOMENTS, resume=folder)
    assert summary.notes == ["1 tensor was rounded before"]
    whole = tmp_path / "whole.safetensors"
    convert(source, whole, Plan(FMT), moments=MOMENTS)
    assert out.read_bytes() == whole.read_bytes()


def test_the_command_resumes(tmp_path, source, capsys):
    file, out, folder = (
        tmp_path / "m.safetensors",
        tmp_path / "out.safetensors",
        tmp_path / "partial",
    )
    Sensitivity(MOMENTS).save(file)
    with pytest.raises(Cut):
        convert(source, out, Plan(FMT), cut_after(2), moments=MOMENTS, resume=folder)
    how = ["--format", "CFloat8_1_4_3", "--moments", file, "--resume", folder]
    main.main([*map(str, ["convert", source, out, *how])])
    assert "2 tensors were rounded before\n" in capsys.readouterr().out
    assert not folder.exists()


def test_a_link_to_the_folder_of_resume_stays(tmp_path, source):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    out = tmp_path / "out.safetensors"
    summary = convert(source, out, Plan(FMT), moments=MOMENTS, resume=link)
    assert summary.notes == [f"{link} stays: Not a directory"]
    assert names_in(tmp_path / "real") == []
