"""Time to a trained policy: the stopwatch, tables of known results, the figure, and the loops in short trainings."""

import math
from importlib import import_module

import numpy as np
import pytest

import alsim
from alsim.evaluation.held_out import SELECTION, evaluate
from alsim.policies.network import Network, NetworkPolicy
from alsim.training import DQN, PPO, dqn, ppo
from benchmarks.report import HEADER, markdown
from benchmarks.training_time import __main__ as command
from benchmarks.training_time import by_alsim, clock, contenders, page, results

MACHINE = {"processor": "one", "system": "Linux", "date": "1 May 2026", "load at the start": "0.6", "python": "3.11"}


def result(*returns: list[float], mastery: float = 0.6, preparation: float = 0.1) -> dict:
    """Return results with evaluations after 1, 2 and 4 s; seed k takes 1 + k / 10 of it."""
    return {
        "machine": MACHINE,
        "preparation": preparation,
        "steps": [1000, 2000, 4000],
        "shares": {"environment": 0.04, "update": 0.96, "matrix products alone": 0.5},
        "seeds": {
            str(100 + k): {
                "seconds": [s * (1 + k / 10) for s in (1.0, 2.0, 4.0)],
                "returns": run,
                "mastery": [mastery] * 3,
            }
            for k, run in enumerate(returns)
        },
    }


ONE, OTHER = [90.0, 119.0, 118.0], [100.0, 116.0, 120.0]


def test_the_clock_stops_during_evaluations(monkeypatch):
    now = 0.0
    monkeypatch.setattr(clock, "process_time", lambda: now)

    def evaluate(policy):
        nonlocal now
        now += 100
        return float(policy), 0.5

    watch = clock.Clock([10, 20, 25, 40], evaluate)
    now = 7.0
    watch.start()
    for steps in range(0, 41, 8):
        watch.read(steps, lambda steps=steps: steps)
        now += 1
    assert watch.readings == [(16, 2.0, 16.0, 0.5), (24, 3.0, 24.0, 0.5), (32, 4.0, 32.0, 0.5), (40, 5.0, 40.0, 0.5)]


def test_evaluations_are_due_in_geometric_progression():
    points = clock.evaluation_points(10**6)
    assert points[0] == clock.FIRST and points[-1] == 10**6
    assert all(b / a <= clock.GROWTH + 1e-3 for a, b in zip(points, points[1:], strict=False))
    assert clock.evaluation_points(100) == [100]


def test_a_profile_divides_time_into_parts(monkeypatch):
    now = 0.0
    monkeypatch.setattr(clock, "process_time", lambda: now)

    class Loop:
        def step(self, seconds):
            nonlocal now
            now += seconds
            return "stepped"

    profile, loop = clock.Profile(), Loop()
    profile.watch(loop, "step", "environment")
    with profile.part("training"):
        assert loop.step(1) == loop.step(2) == "stepped"
        now += 9
    assert profile.shares("training") == {"environment": 0.25}


def test_seconds_to_a_level_are_those_of_the_first_evaluation_that_reaches_it():
    found = result(ONE, OTHER)
    assert results.seconds_to(found, 119) == [2.0, 4.4]
    assert results.seconds_to(found, 120) == [math.inf, 4.4]
    assert results.seconds_to(found, 0.6, "mastery") == [1.0, 1.1]
    assert results.speeds(found) == [1000.0, pytest.approx(909.09, abs=0.01)]


def test_medians_are_written_with_their_range():
    assert results.median_and_range([1.0, 2.0, 4.0]) == "2.0 (1.0–4.0)"
    assert results.median_and_range([1.0, 2.0, math.inf]) == "2.0 (1.0–never)"
    assert results.median_and_range([math.inf] * 2) == "never (never–never)"
    assert results.median_and_range([3.0]) == "3.0"


def test_the_table_has_one_row_per_contender():
    found = {"alsim": result(ONE, OTHER), "jax": result(ONE, preparation=5.2), "alsim-learning": result(ONE)}
    assert page.table(found).splitlines()[2:] == [
        "| alsim, defaults of PPO, 2 seeds | 950 | 2.1 (2.0–2.2) | 3.2 (2.0–4.4) | 119.0 (118.0–120.0) "
        "| update 96 %, environment 4 %; matrix products alone 50 % |",
        "| JAX, alsim's defaults (+ 5 s to compile), 1 seed | 1,000 | 2.0 | 2.0 | 118.0 "
        "| update 96 %, environment 4 %; matrix products alone 50 % |",
    ]


def test_alsim_is_compared_with_its_targets():
    found = {"alsim": result(ONE, OTHER), "alsim-learning": result(ONE, OTHER, mastery=0.619)}
    assert markdown(HEADER, list(page.targets(found))).splitlines()[2:] == [
        "| alsim, defaults of PPO: CPU s to a return of 119 | 3.2 s (2.0–4.4) | ≤ 2 s | **no** | median of 2 seeds |",
        "| alsim, defaults of PPO: trainings that end with a return of at least 118 | 2 | ≥ 2 | yes "
        "| returns 119.0 (118.0–120.0) |",
        "| alsim, defaults of DQN: CPU s to a return of 119 | – | ≤ 10 |  | not measured |",
        "| alsim, reward `learning`: CPU s to a final mastery of 0.62 | never | ≤ 10 s | **no** | 0 of 2 do |",
    ]


def test_results_are_saved_with_one_line_per_seed(tmp_path):
    found, path = {"alsim": result(ONE, OTHER), "jax": result(ONE)}, tmp_path / "times.json"
    results.save(found, path)
    assert results.read(path) == found
    assert sum("returns" in line for line in path.read_text(encoding="utf-8").splitlines()) == 3
    assert results.read(tmp_path / "missing.json") == {}


def test_new_results_replace_old_ones_in_the_order_of_the_table():
    old, new = {"sb3": result(ONE), "alsim": result(ONE)}, {"alsim": result(OTHER), "jax": result(ONE)}
    found = command.merged(old, new)
    assert [*found] == ["alsim", "jax", "sb3"] and found["alsim"] == result(OTHER)


def test_both_pages_and_the_figure_are_updated(tmp_path):
    files = [tmp_path / name for name in ("page.md", "claims.md", "figure.png")]
    for file in files[:2]:
        file.write_text("before\n<!-- training-time: begin -->\nold\n<!-- training-time: end -->\nafter\n", "utf-8")
    page.render(*files)
    found = results.read()
    texts = [file.read_text(encoding="utf-8") for file in files[:2]]
    assert all(page.table(found) in text and page.described(found) in text and "old" not in text for text in texts)
    assert HEADER[2] in texts[1] and HEADER[2] not in texts[0].split()
    assert files[2].read_bytes()[1:4] == b"PNG"
    assert page.section(found).count("<!--") == 2


def test_the_figure_has_a_line_with_a_band_for_each_drawn_contender():
    drawn = {name: result(ONE, OTHER) for name, one in contenders.CONTENDERS.items() if one.is_drawn}
    (axes,) = page.draw({**drawn, "torch": result(ONE, OTHER)}).axes
    assert drawn.keys() == page.COLOURS.keys()
    assert len(axes.collections) == len(drawn)
    lines = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert [*lines[0].get_xdata()] == pytest.approx([1.05, 2.1, 4.2])
    assert [*lines[0].get_ydata()] == [95.0, 117.5, 119.0]


def test_contenders_with_common_settings_have_the_same():
    for name, contender in contenders.CONTENDERS.items():
        assert contender.part in contenders.PARTS
        if name.endswith("-common"):
            assert contender.settings == PPO(**contenders.COMMON)
    assert [*command.chosen(["jax"], [])] == ["jax", "jax-common"]
    assert [*command.chosen([], ["sb3"])] == ["sb3"]


SHORT = {"num_envs": 8, "n_steps": 4, "minibatches": 2, "steps": 96, "net_arch": (8,)}
SMALL = alsim.Config(num_los=2)


@pytest.mark.ci
@pytest.mark.parametrize(("settings", "train"), [(PPO(**SHORT), ppo), (DQN(**SHORT), dqn)])
def test_trainings_of_alsim_are_read_before_each_rollout_and_at_the_end(settings, train):
    policies = []
    watch = clock.Clock([32, 64, 96], lambda policy: policies.append(policy) or (0.0, 0.0))
    by_alsim.train(settings, 3, SMALL, watch)
    assert [reading.steps for reading in watch.readings] == [32, 64, 96]
    seconds = [reading.seconds for reading in watch.readings]
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert policies[-1].digest == train(SMALL, seed=3, hyperparameters=settings).policy.digest
    assert policies[-2].acting == policies[-1].acting and policies[-2].epsilon == policies[-1].epsilon


@pytest.mark.ci
def test_shares_of_alsim_are_parts_of_the_whole(monkeypatch):
    monkeypatch.setattr(by_alsim, "ROLLOUTS", 3)
    shares = by_alsim.shares(PPO(**SHORT), SMALL)
    products = shares.pop("matrix products alone")
    assert min(shares.values()) > 0 and sum(shares.values()) <= 1 and products > 0  # the rest is the first reset


@pytest.mark.ci
@pytest.mark.compiled
def test_a_policy_that_repeats_one_question_earns_the_return_that_the_page_states():
    biases = np.zeros(270, np.float32)
    biases[3 * 28] = 1
    policy = NetworkPolicy(Network([(np.zeros((32, 270), np.float32), biases)]), acting="epsilon", epsilon=0.02)
    config = alsim.Config()
    found = evaluate(policy, SELECTION, config, alsim.sample_bank(config), observation="mastery")
    assert f"{found['cumulative_reward']['mean']:.1f}" == "119.0"
    assert "question about outcome 28, except for 2 % random actions, earns 119.0" in page.PAGE.read_text("utf-8")


@pytest.fixture(scope="module")
def by_jax():
    pytest.importorskip("jax")
    return import_module("benchmarks.training_time.by_jax")


def test_new_learners_of_jax_have_the_specified_distribution(by_jax):
    """4000 * 30 draws of Beta(2, 5): the mean is 2/7, the variance 10/392; six standard errors are 0.003 and 0.0006."""
    import jax

    learners = by_jax.new_learners(jax.random.key(0), 4000, 30)
    assert np.mean(learners.mastery) == pytest.approx(2 / 7, abs=0.003)
    assert np.var(learners.mastery) == pytest.approx(10 / 392, abs=0.0006)
    assert np.std(learners.ability) == pytest.approx(1, abs=6 / 8000**0.5)


def test_jax_draws_actions_with_their_probabilities(by_jax):
    """20,000 draws of three actions: six standard errors are at most 0.022."""
    import jax.numpy as jnp
    from jax import random

    odds = np.array([0.2, 0.5, 0.3], np.float32)
    actions = by_jax.sample(random.key(1), jnp.tile(jnp.log(odds), (20_000, 1)))
    assert np.bincount(actions, minlength=3) / 20_000 == pytest.approx(odds, abs=0.022)


def test_the_policy_of_jax_has_the_outputs_of_its_network(by_jax):
    import jax

    state = by_jax._initial(PPO(**SHORT), alsim.Config(), 0)
    rows = np.asarray(by_jax.observe(state.learners))
    outputs = by_jax._policy(state).network.forward(rows)
    log_probs, _ = by_jax.forward(state.parameters, rows)
    assert np.asarray(jax.nn.log_softmax(outputs)) == pytest.approx(np.asarray(log_probs), abs=1e-5)


def test_trainings_in_jax_are_read_at_the_points(by_jax):
    watch = clock.Clock([32, 90, 96], lambda policy: (0.0, 0.0))
    by_jax.train(PPO(**SHORT), 3, alsim.Config(), watch)
    assert [reading.steps for reading in watch.readings] == [32, 96]
