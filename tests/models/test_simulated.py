"""The pages on comparing student models and on simulated logs have the measured figures, which are reproducible."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from alsim.models import Responses, bkt, irt
from benchmarks import simulated_logs, student_models
from benchmarks.table import between_marks

DOCS = Path(__file__).parents[2] / "docs" / "models"


def test_the_comparison_page_has_the_measured_figures():
    saved = json.loads(student_models.MEASURED.read_text(encoding="utf-8"))
    page = (DOCS / "comparison.md").read_text(encoding="utf-8")
    assert page == between_marks(page, student_models.written(saved))
    assert set(saved["logs"]) == {student_models.ASSIST, student_models.QUESTIONS, student_models.CONCEPTS}
    assert {model for models in saved["logs"].values() for model in models} <= set(student_models.CONTENDERS)


def test_the_page_on_simulated_logs_has_the_measured_figures():
    saved = json.loads(simulated_logs.MEASURED.read_text(encoding="utf-8"))
    text = " ".join((DOCS / "simulated-logs.md").read_text(encoding="utf-8").split())
    irt_, text_of = saved["irt"], simulated_logs.formatted
    for sentence in (
        f"{saved['responses']:,} answers of {saved['learners']:,} learners, with one episode each",
        f"a bank of {simulated_logs.OUTCOMES} learning outcomes and {saved['items']} questions",
        f"correlation of estimated and true b is {text_of(irt_['correlation'])}",
        f"mean ability over all answers is {text_of(irt_['mean_ability'])} logits",
        f"the mean difference of estimated and true b is {text_of(irt_['shift'])} logits",
        f"The root-mean-square error is {text_of(irt_['rmse'])} logits, and "
        f"{text_of(irt_['rmse_without_shift'])} logits after this difference is removed",
        f"a line through the points has slope {text_of(irt_['slope'])}",
        f"DKT was fitted to the first {simulated_logs.TRAINING:,} learners",
        f"the mean true mastery is {text_of(saved['mastery_where_known'])}; "
        f"over all answers it is {text_of(saved['mastery_of_all'])}",
    ):
        assert sentence in text
    for model, name in (("bkt", "BKT's P(known)"), ("dkt", "DKT's P(correct)")):
        found = {key: text_of(value) for key, value in saved[model].items()}
        assert f"| {name} | {found['mastery']} | {found['ability']} |" in text
        exchanged = f"{found['mastery_shuffled']} | {found['ability_shuffled']} |"
        assert re.search(rf"{re.escape(name)}[^\n]*?exchanged among learners \| {re.escape(exchanged)}", text)


@pytest.fixture(scope="module")
def truth():
    return simulated_logs.simulate(600, seed=1)


@pytest.mark.compiled
@pytest.mark.versionless
def test_the_truth_belongs_to_its_responses(truth):
    """Ability rises by 0.02 with each correct answer, and harder questions have lower shares of correct answers."""
    responses = truth.responses
    assert len(truth.mastery) == len(truth.ability) == len(responses)
    assert ((truth.mastery >= 0) & (truth.mastery <= 1)).all()
    right = np.concatenate([[0], responses.correct[:-1]])
    same = np.concatenate([[False], responses.student[1:] == responses.student[:-1]])
    assert np.diff(truth.ability)[same[1:]] == pytest.approx(0.02 * right[1:][same[1:]], abs=1e-6)
    share = np.bincount(responses.item, responses.correct) / np.bincount(responses.item)
    assert np.corrcoef(share, truth.difficulty)[0, 1] < -0.8


@pytest.mark.compiled
@pytest.mark.versionless
def test_irt_recovers_difficulty_and_bkt_recovers_ability_but_not_mastery(truth):
    """Seed 1, 600 learners, 17,000 answers.

    The answers of a learner are dependent, so a correlation has a standard error of at most 1 / sqrt(600) = .04. The
    tested differences are 5 standard errors, a false-alarm probability below 1e-6.
    """
    recovered = simulated_logs.recovered(irt.fit(truth.responses, "3pl"), truth)
    assert recovered["correlation"] > 0.9 and recovered["shift"] < 0
    found = simulated_logs.correlations(simulated_logs.known(bkt.fit(truth.responses), truth.responses), truth)
    assert abs(found["mastery"] - found["mastery_shuffled"]) < 0.2
    assert found["ability"] > found["mastery"] and found["ability"] > found["ability_shuffled"] + 0.2


def test_estimates_are_exchanged_within_skill_and_opportunity():
    rng = np.random.default_rng(0)
    responses = Responses.from_arrays(rng.integers(0, 20, 300), rng.integers(0, 2, 300), skill=rng.integers(0, 3, 300))
    group = simulated_logs.opportunity(responses) * 3 + responses.skill
    estimate = rng.random(300)
    exchanged = simulated_logs.shuffled(estimate, responses)
    assert (exchanged != estimate).any()
    for g in np.unique(group):
        assert sorted(exchanged[group == g]) == sorted(estimate[group == g])
