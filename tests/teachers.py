"""Views, draws and simulated answers for tests of teaching policies with memory."""

import numpy as np

from alsim.mdp.actions import split_actions
from alsim.policies import PolicyDraws, Transitions, View, memory


def view_of(lanes, num_los, active=None, mask=None, clock=None):
    """Return a view of N lanes that holds responses; the policies under test read neither observation nor history."""
    view = View(
        observation=np.full((lanes, 2 * num_los + 2), 0.5, np.float32),
        kind="responses",
        num_los=num_los,
        active=np.ones(lanes, np.bool_) if active is None else active,
        last_seconds=np.zeros(lanes, np.float32),
        clock=clock,
    )
    if mask is not None:
        object.__setattr__(view, "mask", mask)
    return view


def draws_of(words):
    """Return draws whose blocks all hold the same words, (N, 4)."""
    return PolicyDraws(lambda block: np.asarray(words, np.uint32))


def transitions_of(view, actions, correct, items=None, active=None, clock=None):
    """Return the transitions of N lanes after these actions; `correct` counts for questions only."""
    asks = split_actions(np.asarray(actions), view.num_los)[0]
    n = view.num_lanes
    return Transitions(
        observation=view.observation,
        next_observation=view.observation,
        kind=view.kind,
        num_los=view.num_los,
        actions=np.asarray(actions, np.int64),
        propensities=np.ones(n),
        items=np.asarray(actions if items is None else items, np.int32),
        correct=np.where(asks, correct, -1).astype(np.int8),
        seconds=np.where(asks, 30, np.nan).astype(np.float32),
        rewards=np.zeros(n, np.float32),
        active=view.active if active is None else active,
        ended=np.zeros(n, np.bool_),
        last_seconds=np.zeros(n, np.float32),
        clock=clock,
    )


class Play:
    """An episode of N lanes, whose words, answers and masks are functions of the lane only.

    lanes  (N,) numbers of the lanes, which choose their random numbers
    ends   step at which the episode of a lane ends, by number of the lane; later rows hold random actions
    timed  whether there is a clock: up to 6 minutes per interaction, and breaks of up to 4 days in half of the lanes
    """

    def __init__(self, policy, num_los, lanes, steps, *, masked=False, ends=None, seed=0, timed=False):
        self.policy, self.num_los, self.lanes, self.steps = policy, num_los, np.asarray(lanes), steps
        self.masked, self.ends, self.seed, self.timed = masked, ends or {}, seed, timed

    def __iter__(self):
        """Yield (step, view, state, actions, propensities, correct) before the policy learns from the step."""
        policy, lanes = self.policy, self.lanes
        state, clock = memory.start(policy, len(lanes)), np.zeros(len(lanes)) if self.timed else None
        for step in range(self.steps):
            streams = [np.random.default_rng([self.seed, step, lane]) for lane in lanes]
            words = np.array([stream.integers(0, 2**32, 4, dtype=np.uint32) for stream in streams])
            correct = np.array([stream.random() < 0.7 for stream in streams])
            actions_of_mask = 9 * self.num_los
            masks = np.array([stream.random(actions_of_mask) < 0.3 for stream in streams])
            masks[:, -1] = True
            active = np.array([step < self.ends.get(int(lane), self.steps) for lane in lanes])
            view = view_of(len(lanes), self.num_los, active, masks if self.masked else None, clock)
            actions, propensities = policy.act(view, state, draws_of(words))
            yield step, view, state, actions, propensities, correct
            chosen = np.where(active, actions, words[:, 0] % actions_of_mask)
            if self.timed:
                breaks = [
                    stream.random() * 96 * (stream.random() < 0.2) * (lane % 2)
                    for stream, lane in zip(streams, lanes, strict=True)
                ]
                clock = clock + [stream.random() / 10 for stream in streams] + breaks
            state = memory.learn(policy, state, transitions_of(view, chosen, correct, clock=clock))


def snapshot(policy, num_los, lanes, steps, **options):
    """Return the actions, propensities and probabilities (T, N, ...) of an episode, see `Play`."""
    rows = []
    for _, view, state, actions, propensities, _ in Play(policy, num_los, lanes, steps, **options):
        rows.append((actions, propensities, policy.probabilities(view, state)))
    return [np.stack(column) for column in zip(*rows, strict=True)]
