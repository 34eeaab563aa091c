"""`round_to` and `encode` under `torch.vmap`: the rows of a tensor, and their random words."""

import importlib

import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
if not hasattr(torch.library, "register_vmap"):
    pytest.skip("this PyTorch has no register_vmap", allow_module_level=True)

FMT = cf.CFloat8_1_4_3
each = pytest.mark.parametrize("function", [ct.round_to, ct.encode])


@each
def test_different_rows_are_those_of_a_whole_tensor(function):
    x = torch.full((4, 50), 0.3)
    how = {"rounding": "stochastic", "seed": 1, "offset": 7}
    rows = torch.vmap(lambda row: function(row, FMT, **how), randomness="different")(x)
    assert torch.equal(rows, function(x, FMT, **how))
    assert not torch.equal(rows[0], rows[1])
    # rows along another axis, and rows of rows
    other = torch.vmap(lambda row: function(row, FMT, **how), in_dims=1, randomness="different")
    assert torch.equal(other(x.T.contiguous()), rows)
    nested = torch.vmap(
        torch.vmap(lambda row: function(row, FMT, **how), randomness="different"),
        randomness="different",
    )
    assert torch.equal(nested(x.reshape(2, 2, 50)).reshape(4, 50), rows)


@each
def test_the_same_words_for_each_row(function):
    x, how = torch.full((4, 50), 0.3), {"rounding": "stochastic", "seed": 1}
    rows = torch.vmap(lambda row: function(row, FMT, **how), randomness="same")(x)
    assert torch.equal(rows, function(x[0], FMT, **how).expand(4, 50))


@each
def test_one_of_the_two_must_be_asked_for(function):
    x = torch.full((4, 50), 0.3)
    for seed in (1, torch.tensor(1)):
        with pytest.raises(cf.ArgumentValueError, match="randomness='different' or 'same'"):
            torch.vmap(lambda row, s=seed: function(row, FMT, rounding="stochastic", seed=s))(x)
    with pytest.raises(RuntimeError, match="random"):  # PyTorch's own, which draws the seed
        torch.vmap(lambda row: function(row, FMT, rounding="stochastic"))(x)


@each
def test_a_seed_a_row_is_a_stream_a_row(function):
    x, seeds = torch.full((3, 50), 0.3), torch.tensor([5, 6, 5])
    rows = torch.vmap(lambda row, seed: function(row, FMT, rounding="stochastic", seed=seed))(
        x, seeds
    )
    for row, values, seed in zip(rows, x, seeds.tolist(), strict=True):
        assert torch.equal(row, function(values, FMT, rounding="stochastic", seed=seed))
    drawn = torch.vmap(
        lambda row: function(row, FMT, rounding="stochastic"), randomness="different"
    )(x)
    assert not torch.equal(drawn[0], drawn[1])


@each
def test_biases_by_row(function):
    x, biases = torch.randn(4, 3, 5), torch.tensor([3, 7, 9, 12])
    expected = function(x, FMT, biases.reshape(4, 1, 1))
    assert torch.equal(torch.vmap(lambda row, b: function(row, FMT, b))(x, biases), expected)
    one = torch.vmap(lambda b: function(x[0], FMT, b))(biases)
    assert torch.equal(one, torch.stack([function(x[0], FMT, int(b)) for b in biases]))
    wide = torch.vmap(lambda row, b: function(row, FMT, b))(
        x[:, 0, 0], biases.reshape(4, 1).expand(4, 2)
    )
    assert torch.equal(wide, function(x[:, :1, 0].expand(4, 2), FMT, biases.reshape(4, 1)))


def rounder(**how):
    return ct.Rounder(FMT, bias=7, rounding="stochastic", seed=1, **how)


@pytest.mark.parametrize("chunk_size", [None, 1, 3])
def test_a_rounder_takes_no_word_twice(chunk_size):
    """The next tensor's words follow those of all rows, however many are done at a time."""
    x = torch.full((4, 50), 0.3)
    by_rows, whole = rounder(), rounder()
    rows = torch.vmap(by_rows, randomness="different", chunk_size=chunk_size)
    for _ in range(2):
        assert torch.equal(rows(x), whole(x))
    assert by_rows.stream.tolist() == whole.stream.tolist() == [1, 400]


def test_a_rounder_under_vmap_of_vmap_and_the_same_words():
    x = torch.full((2, 3, 50), 0.3)
    by_rows, whole = rounder(), rounder()
    twice = torch.vmap(torch.vmap(by_rows, randomness="different"), randomness="different")
    assert torch.equal(twice(x), whole(x))
    assert torch.equal(twice(x), whole(x))
    same, one = torch.vmap(by_rows, randomness="same"), whole(x[0, 0])
    assert torch.equal(same(x[0]), one.expand(3, 50))
    assert by_rows.stream.tolist() == whole.stream.tolist()
    # what is not of the rows is rounded once
    weight = torch.full((50,), 0.3)
    rows = torch.vmap(lambda row: row * by_rows(weight), randomness="different")(x[0])
    assert torch.equal(rows, x[0] * whole(weight))
    assert by_rows.stream.tolist() == whole.stream.tolist()


def test_a_rounder_does_not_learn_of_rows():
    learning = ct.Rounder(FMT)
    for transformed in (
        torch.vmap(learning),
        torch.vmap(torch.func.grad(lambda x: learning(x).sum())),
    ):
        with pytest.raises(cf.ArgumentValueError, match=r"rows of torch\.vmap; it learns of whole"):
            transformed(torch.ones(4, 5))
    assert not learning.is_learnt
    learning(torch.ones(4, 5))
    x = torch.randn(4, 5)
    assert torch.equal(torch.vmap(learning.eval())(x), learning(x))
