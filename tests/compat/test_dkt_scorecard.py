"""The scorecard of DKT, with PyTorch installed."""

import torch

from alsim.evaluation.scorecards import scorecard

torch.set_num_threads(1)


def test_the_scorecard_of_dkt():
    """60 learners, one log, seed 0: three kinds of learners, no parameters, no leak, and the same numbers again."""
    card = scorecard("dkt", num_learners=60)
    assert [one.world for one in card.sections] == ["constant-ability", "bkt", "standard"]
    assert card.own.logs == 1 and card.own.parameters is None and card.misfit is None
    assert card.leaks == () and card.canary.future_change < 1e-6
    assert all(one.excess.mean < 3.3 * one.excess.se for one in card.sections)
    assert card.to_dict() == scorecard("dkt", num_learners=60).to_dict()
