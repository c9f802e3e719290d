"""Names of skills and items of responses that a fit predicts: spelling, unknown names, and none that is known."""

import numpy as np
import pytest

from alsim.models import ModelError, Responses, best_lr, bkt, codes_of, irt, pfa, skill_mean

RANDOM = np.random.default_rng(0)
STUDENT = RANDOM.integers(0, 40, 400)
NAME = RANDOM.integers(10, 16, 400)
CORRECT = (RANDOM.random(400) < 0.6).astype(int)
MODELS = (bkt, irt, pfa, best_lr, skill_mean)


def log(spelling, kind="skill"):
    """Return the responses, with the names of the skills or items spelled by a function."""
    names = {"skill": NAME, "item": NAME + 100} if kind == "both" else {kind: NAME}
    return Responses.from_arrays(STUDENT, CORRECT, **{k: list(map(spelling, v.tolist())) for k, v in names.items()})


@pytest.fixture(scope="module", params=MODELS, ids=lambda module: module.__name__.rpartition(".")[2])
def fitted(request):
    return request.param.fit(log(int))


@pytest.mark.heavy
def test_whole_numbers_are_one_name_in_any_spelling(fitted):
    expected = fitted.predict(log(int))
    for spelling in (str, float, "{}.0".format, "{}.".format):
        assert np.array_equal(fitted.predict(log(spelling)), expected)


def test_two_spellings_of_a_whole_number_are_one_name(fitted):
    """The earlier responses to 10.0 are earlier responses to 10."""
    spelled = [f"{name}.0" if k % 2 else f"{name}" for k, name in enumerate(NAME)]
    responses = Responses.from_arrays(STUDENT, CORRECT, skill=spelled)
    assert np.array_equal(fitted.predict(responses), fitted.predict(log(int)))


def test_unknown_names_are_counted(fitted, caplog):
    fitted.predict(log(int))
    assert not caplog.text
    fitted.predict(log(lambda k: f"x{k}" if k > 13 else k))
    assert "2 of 6 " in caplog.text and f"are unknown to the {fitted.model} fit" in caplog.text


def test_responses_without_a_known_name_are_refused(fitted):
    with pytest.raises(ModelError, match="of the responses is known to the fit, such as 'x.*the fit has, for exam"):
        fitted.predict(log("x{}".format))


def test_best_lr_needs_a_known_skill_or_item():
    fit = best_lr.fit(log(int, "both"))
    fit.predict(Responses.from_arrays(STUDENT, CORRECT, skill=[f"x{k}" for k in NAME], item=NAME + 100))
    with pytest.raises(ModelError, match="no skill or item of the responses is known"):
        fit.predict(log("x{}".format, "both"))


@pytest.mark.heavy
def test_abilities_need_a_known_item():
    fit = irt.fit(log(int, "item"))
    assert (fit.scores(log("{}.0".format, "item")).theta == fit.scores(log(int, "item")).theta).all()
    with pytest.raises(ModelError, match="no item of the responses is known to the fit"):
        fit.scores(log("x{}".format, "item"))


def test_codes_of_other_spellings():
    known = np.array(["10", "11.0", "1.5", "a.0"])
    names = np.array(["10.0", "11", "1.50", "a", "10", "-0"])
    assert codes_of(names, known).tolist() == [0, 1, -1, -1, 0, -1]
