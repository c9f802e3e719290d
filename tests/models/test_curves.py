"""Item response functions: compared with 50-digit arithmetic and with each other, and at extreme arguments."""

from decimal import Decimal, getcontext

import numpy as np
import pytest

from alsim import AlsimError
from alsim.dynamics.irt import p_correct
from alsim.jit.compile import kernel
from alsim.models import irt
from alsim.models.irt.curves import curve, curves, item_information

getcontext().prec = 50
BANK = irt.ItemParameters([1.2, 0.4, -0.7, 30.0], [0.0, 2.5, -1.0, 0.3], [0.0, 0.2, 0.1, 0.25], [1.0, 0.9, 1.0, 0.97])


def in_fifty_digits(theta, a, b, c, d):
    """Return P, P' and the information, computed from their definitions."""
    theta, a, b, c, d = map(Decimal, (theta, a, b, c, d))
    s = 1 / (1 + (-a * (theta - b)).exp())
    p, rise = c + (d - c) * s, a * (d - c) * s * (1 - s)
    return p, rise, rise**2 / (p * (1 - p))


def relative(got, exact):
    return abs(float((Decimal(float(got)) - exact) / exact)) if exact else abs(float(got))


@pytest.mark.parametrize("theta", [-4.0, -0.3, 0.0, 1.7, 12.0])
def test_curves_match_their_formulas_in_fifty_digits(theta):
    """1e-13: |a (theta - b)| is at most 390, half an ulp of which is 3e-14 of its exponential."""
    for i in range(len(BANK)):
        p, rise, info = in_fifty_digits(theta, *(column[i] for column in BANK.columns))
        assert relative(irt.probability(theta, BANK)[i], p) < 1e-13
        assert relative(irt.slope(theta, BANK)[i], rise) < 1e-13
        assert relative(irt.information(theta, BANK)[i], info) < 1e-13


def test_the_second_derivative_is_the_derivative_of_the_slope():
    theta, h = np.linspace(-3, 3, 61)[:, None], 1e-5
    curvature = curves(theta, *BANK.columns)[3]
    rise = (irt.slope(theta[:, 0] + h, BANK) - irt.slope(theta[:, 0] - h, BANK)) / (2 * h)
    # The difference quotient is off by h^2 / 6 times the fourth derivative of P, at most a^4 / 8: 2e-6 for a = 30.
    assert np.abs(curvature - rise).max() < 1e-5


def test_extreme_abilities_neither_overflow_nor_give_nan():
    far = np.array([-1e300, -1e6, 1e6, 1e300])
    for value, expected in ((irt.probability(far, BANK)[:, 0], [0, 0, 1, 1]), (irt.slope(far, BANK)[:, 0], 0)):
        assert np.allclose(value, expected, rtol=0, atol=1e-300)
    info = irt.information(far, BANK)
    assert ((info >= 0) & (info < 1e-200)).all()
    assert irt.standard_error(0.0, irt.ItemParameters([0.0], [0.0])) == np.inf


def test_objects_with_item_parameters_are_accepted():
    items = irt.ItemParameters([1.0, -0.5, 2.0], [0.0, 1.0, -1.0], names=["x", "y", "z"])
    source = irt.CalibratedItems(items, ("",) * 3, ("",) * 3, ((),) * 3)
    for function in (irt.probability, irt.slope, irt.information, irt.test_information, irt.standard_error):
        assert np.array_equal(function(0.5, source), function(0.5, items.take([0, 2])))  # a > 0
        with pytest.raises(AlsimError, match="items must be ItemParameters, a fitted .*; got list"):
            function(0.5, [1.0])


def test_test_information_is_the_sum_of_item_information():
    theta = np.array([[-1.0, 0.0, 1.0], [0.5, 2.0, 3.0]])
    total = irt.test_information(theta, BANK)
    assert total.shape == (2, 3)
    assert np.allclose(total, sum(irt.information(theta, BANK.take([i]))[..., 0] for i in range(4)), rtol=1e-15)
    assert np.allclose(irt.standard_error(theta, BANK), total**-0.5, rtol=1e-15)


@kernel
def scalar_by_scalar(theta, a, b, c, d, out):
    for i in range(len(a)):
        p, q, rise, curvature = curve(theta, a[i], b[i], c[i], d[i])
        out[i, 0] = p
        out[i, 1] = q
        out[i, 2] = rise
        out[i, 3] = curvature
        out[i, 4] = item_information(p, q, rise)


def test_a_compiled_loop_equals_the_array_functions():
    out = np.empty((4, 5))
    scalar_by_scalar(0.7, *BANK.columns, out)
    p = irt.probability(0.7, BANK)
    # Each is a few operations and one exponential, which libraries round differently by an ulp.
    assert np.allclose(out[:, 0], p, rtol=1e-14)
    assert np.allclose(out[:, 1], 1 - p, rtol=1e-14)
    assert np.allclose(out[:, 2], irt.slope(0.7, BANK), rtol=1e-14)
    assert np.allclose(out[:, 4], irt.information(0.7, BANK), rtol=1e-14)


def test_the_curve_equals_that_of_simulated_learners():
    bank = irt.ItemParameters([1.5], [0.25], [0.2])
    for theta in (-2.0, 0.0, 1.25):
        single = p_correct(*(np.float32(x) for x in (theta, 1.5, 0.25, 0.2)))
        assert abs(irt.probability(theta, bank)[0] / float(single) - 1) < 1e-6  # the error that p_correct documents


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1.0, np.nan], [0, 0]), "a of item 1 is nan; expected finite"),
        (([1.0, 1.0], [0, np.inf]), "b of item 1 is inf"),
        (([1.0], [0], [1.0]), r"c of item 0 is 1.0; expected in \[0, 1\)"),
        (([1.0], [0], [-0.1]), "c of item 0"),
        (([1.0], [0], [0.3], [0.3]), "d of item 0 is 0.3; expected above c"),
        (([1.0], [0], [0.3], [1.1]), "d of item 0"),
        (([1.0], [0], [0.3], [np.nan]), "d of item 0"),
        (([1.0, 2.0], [0, 0, 0]), "one number per item"),
        ((["easy"], [0]), "one number per item"),
        (([[1.0]], [0]), r"got \(1, 1\)"),
        (([], []), r"got \(0,\)"),
    ],
)
def test_invalid_item_parameters_are_refused(columns, message):
    with pytest.raises(AlsimError, match=message):
        irt.ItemParameters(*columns)


def test_item_parameters_copy_their_arguments():
    a = np.array([1.0, 2.0])
    items = irt.ItemParameters(a, 0.0)
    a[0] = 5
    assert items.a.tolist() == [1, 2]
    assert items.take([1]).a.tolist() == [2]
    assert items.take(np.array([False, True])).a.tolist() == [2]
    assert repr(items) == "<ItemParameters: 2 items>"
    for bad in ([2], [-1], [0.5], [True]):
        with pytest.raises(AlsimError):
            items.take(bad)


@pytest.mark.parametrize("theta", [np.nan, [0.0, np.inf], "able", [None]])
def test_abilities_that_are_not_finite_numbers_are_refused(theta):
    with pytest.raises(AlsimError, match="theta must contain only"):
        irt.probability(theta, BANK)
