"""Tests of two arms: difference and relative lift of their means, of one experiment or of many at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.experiments.moments import Moments
from alsim.types import Doubles, short_repr
from alsim.utils.optional import require


@short_repr
class ArmMeans(NamedTuple):
    """Means of two arms with the covariance matrix of their errors; arrays (...,) for many experiments."""

    control: Doubles
    treatment: Doubles
    control_variance: Doubles
    """Squared standard error of the control mean."""
    treatment_variance: Doubles
    covariance: Doubles
    """Covariance of the errors of the means; 0 for arms of different students."""
    df: Doubles
    """Degrees of freedom of the variance of the difference; infinite for a normal distribution."""
    constant_p: Doubles
    """p-value of a difference other than 0 if its standard error is 0, see `constant_p`."""


@short_repr
class Effect(NamedTuple):
    """Tested effect; arrays (...,) for many experiments."""

    value: Doubles
    se: Doubles
    df: Doubles
    low: Doubles
    """Lower end of the confidence interval."""
    high: Doubles
    p: Doubles
    """Two-sided p-value of no effect."""


def independent_arms(control: Moments, treatment: Moments) -> ArmMeans:
    """Return the means of arms of independent values, with Welch's degrees of freedom.

        df = (v_c + v_t)^2 / (v_c^2 / (n_c - 1) + v_t^2 / (n_t - 1)),  v = variance / n

    control, treatment  moments (...,) with n >= 2

    If no value varies, df is n_c + n_t - 2.
    Source: Welch (1947), Biometrika 34, 28-35; Satterthwaite (1946), Biometrics Bulletin 2, 110-114.
    """
    v_c, v_t = control.squared_error, treatment.squared_error
    df = welch_df(np.stack([v_c, v_t]), np.stack([control.n - 1, treatment.n - 1]))
    rare = constant_p(control.n, treatment.n)
    return ArmMeans(control.mean, treatment.mean, v_c, v_t, np.zeros_like(v_c), df, rare)


def welch_df(variances: Doubles, dfs: Doubles) -> Doubles:
    """Return the degrees of freedom of a sum of estimated variances (K, ...) with `dfs` (K, ...) each."""
    total = variances.sum(axis=0)
    share = np.divide(variances, total, out=np.ones_like(variances), where=total > 0)
    return np.asarray(np.where(total > 0, 1 / (share**2 / dfs).sum(axis=0), dfs.sum(axis=0)))


def constant_p(control: Any, treatment: Any) -> Doubles:
    """Return the p-value of two constant but different samples, for which the t test is undefined.

    It is that of the permutation test: of all assignments of the values to the arms, this one differs most, and so does
    its mirror image if the arms have the same size.

    control, treatment  sizes of the samples (...,)
    """
    special = require("scipy.special", "evaluation", "a test of arms")
    return np.asarray((1.0 + (control == treatment)) / special.binom(control + treatment, control))


def difference(arms: ArmMeans, confidence: float = CONFIDENCE) -> Effect:
    """Test the difference of the means, treatment - control.

        difference ± t(df) sqrt(v_c + v_t - 2 cov)

    arms        means (...,)
    confidence  level of the intervals, in (0, 1)

    Returns an Effect (...,). If the standard error is 0, p is 1 for no difference, and `constant_p` for others.
    """
    variance = arms.control_variance + arms.treatment_variance - 2 * arms.covariance
    return tested(arms.treatment - arms.control, variance, arms, confidence)


def lift(arms: ArmMeans, confidence: float = CONFIDENCE) -> Effect:
    """Test the relative lift (treatment - control) / control by the delta method.

        se^2 = (v_t + r^2 v_c - 2 r cov) / control^2,  r = treatment / control

    Arguments and result are those of `difference`. The result is NaN where the control mean is 0.
    Source: Deng, Knoblich & Lu (2018), KDD, 233-242; degrees of freedom as in gbstats 0.8.
    """
    base = np.where(arms.control == 0, np.nan, arms.control)
    r = arms.treatment / base
    variance = (arms.treatment_variance + r**2 * arms.control_variance - 2 * r * arms.covariance) / base**2
    return tested((arms.treatment - arms.control) / base, variance, arms, confidence)


def tested(value: Doubles, variance: Doubles, arms: ArmMeans, confidence: float) -> Effect:
    """Return the test of an effect (...,) with a squared standard error and the degrees of freedom of `arms`."""
    special = require("scipy.special", "evaluation", "a test of arms")
    se = np.sqrt(np.maximum(variance, 0.0))
    half = special.stdtrit(arms.df, (1 + confidence) / 2) * se
    t = np.divide(value, se, out=np.zeros_like(se), where=se > 0)
    varying = np.asarray(2 * special.stdtr(arms.df, -np.abs(t)))
    p = np.where(se == 0, np.where(value == 0, 1.0, arms.constant_p), np.where(np.isnan(se), np.nan, varying))
    return Effect(value, se, arms.df, value - half, value + half, p)


__all__ = ["ArmMeans", "Effect", "constant_p", "difference", "independent_arms", "lift", "tested", "welch_df"]
