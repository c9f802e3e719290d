"""Expectations under the normal distribution, against SciPy."""

import numpy as np
from scipy import integrate, special, stats

from alsim.numerics.normal import expected_excess, lower_tail


def test_the_lower_tail_is_that_of_scipy():
    x = np.linspace(0, 40, 40_001)
    assert np.abs(lower_tail(x) - special.ndtr(-x)).max() < 1e-15


def test_the_expected_excess_is_that_of_the_integral():
    for mean, std in [(0.3, 0.1), (-0.02, 0.02), (0.0, 2.0), (-1.0, 0.3), (5.0, 1e-3)]:
        low = max(-mean / std, -9)
        expected = integrate.quad(lambda z, m=mean, s=std: (m + s * z) * stats.norm.pdf(z), low, 9, points=[0])
        assert np.isclose(expected_excess(mean, std), expected[0], rtol=0, atol=1e-9)


def test_the_expected_excess_without_noise_is_the_positive_part():
    means = np.array([-1.0, -0.0, 0.5, 1e300])
    assert expected_excess(means, 0.0).tolist() == [0, 0, 0.5, 1e300]
    assert np.isclose(expected_excess(means[:3], 1e-320), [0, 0, 0.5]).all()  # a subnormal s.d. overflows nothing
