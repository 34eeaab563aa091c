"""Moments of a weight that is used in several ways."""

import numpy as np
import pytest

from cfloat import SecondMoment
from cfloat._compensate.uses import moment_of_uses, why_all_nearest

pytestmark = pytest.mark.quick

X = np.random.default_rng(0).standard_normal((40, 6))


def test_one_use_is_its_own() -> None:
    moment = SecondMoment.of(X)
    assert moment_of_uses([moment]) == (moment, "")


@pytest.mark.parametrize("axis", [0, 1])
def test_several_are_those_of_all_inputs(axis: int) -> None:
    joined, reason = moment_of_uses(
        [
            SecondMoment.of(X[:7], axis),
            SecondMoment.of(X[7:30], axis),
            SecondMoment.of(X[30:], axis),
        ]
    )
    assert joined is not None
    assert (joined.count, joined.axis, reason) == (40, axis, "")
    np.testing.assert_allclose(joined.values, X.T @ X / 40, rtol=1e-12, atol=1e-15)


def test_embeddings_are_rounded_to_nearest() -> None:
    rows = SecondMoment(np.full(9, 1 / 9), 5, 0)
    assert moment_of_uses([rows]) == (None, "an embedding")
    both = moment_of_uses([SecondMoment.of(X), rows])
    assert both == (None, "an embedding and a matrix of products")


@pytest.mark.parametrize("other", [SecondMoment.of(X[:, :3]), SecondMoment.of(X, 0)])
def test_others_do_not_fit_together(other: SecondMoment) -> None:
    assert moment_of_uses([SecondMoment.of(X), other])[0] is None


@pytest.mark.parametrize(("axis", "outputs"), [(1, 4), (0, 6)])
def test_why_every_row_is_to_nearest(axis: int, outputs: int) -> None:
    moment = SecondMoment.of(X[:, :4], axis)
    shape = (4, 2, 2) if axis == 1 else (4, 6)
    assert why_all_nearest(moment, shape, outputs - 1, ("a note",)) == ""
    assert why_all_nearest(moment, shape, outputs, ()) == "nowhere better than to nearest"
    notes = ("few inputs", "no factor: rounded to nearest")
    assert why_all_nearest(moment, shape, outputs, notes) == "few inputs; no factor"
