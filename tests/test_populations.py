"""Populations: rows, shares, tables, starting distributions, and bad input (clauses S12.1 and S12.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import philox4x32
from scipy import stats

import alsim
from alsim.config import Config, ConfigError, Population, PopulationError
from alsim.dynamics.bkt import Bkt
from alsim.jit.compile import COMPILED

TWO = [
    {"share": 0.3, "name": "slow", "dynamics": {"learning_rate": 0.02}},
    {"share": 0.7, "learner": {"ability_mean": 1}},
]
ROW = 8
"""Purpose of the random number of a learner's row (S11.1)."""


def environment(population: Any, lanes: int = 200, **others: Any) -> Any:
    env = alsim.AdaptiveLearningVectorEnv(lanes, config={"num_los": 4, "population": population, **others})
    env.reset(seed=9)
    return env


def test_the_row_of_a_learner_is_that_of_its_word() -> None:
    """By the definition: the first row whose cumulated share is above the first word of the counter, over 2**32."""
    population, seed = Population(TWO), 2**40 + 5
    learners = [0, 1, 2, 17, 2**31, 2**32 - 1]
    words = [philox4x32((0, 0, learner, ROW), (seed % 2**32, seed >> 32))[0] for learner in learners]
    assert population.rows_of(seed, learners).tolist() == [int(word / 2**32 >= 0.3) for word in words]


@pytest.mark.parametrize("learners", [[-1], [2**32], [0.5]])
def test_rows_of_invalid_learners_and_seeds_are_refused(learners: list[Any]) -> None:
    with pytest.raises(PopulationError, match="learners must be integers"):
        Population(TWO).rows_of(0, learners)
    with pytest.raises(PopulationError, match="seed must be an integer"):
        Population(TWO).rows_of(learners[0] * 2**32, [0])


@pytest.mark.ci
def test_learners_keep_their_row_in_every_episode_and_batch() -> None:
    env = environment(TWO)
    rows = env.truth()["population_row"]
    assert rows.tolist() == Population(TWO).rows_of(9, np.arange(200)).tolist()
    for _ in range(3):
        env.reset()
        assert env.truth()["population_row"].tolist() == rows.tolist()
    few = environment(TWO, lanes=7)
    assert few.truth()["population_row"].tolist() == rows[:7].tolist()


@pytest.mark.skipif(not COMPILED, reason="many learners")
def test_shares_are_those_of_the_rows() -> None:
    """1e6 learners and three rows; the chi-squared test has a false-alarm probability of 1e-6."""
    shares = [0.2, 0.05, 0.75]
    rows = Population([{"share": share} for share in shares]).rows_of(1, np.arange(10**6))
    assert stats.chisquare(np.bincount(rows), 1e6 * np.array(shares)).pvalue > 1e-6


def test_rows_with_share_0_are_never_drawn() -> None:
    shares = [0.0, 0.5, 0.0, 0.5, 0.0]
    rows = Population([{"share": share} for share in shares]).rows_of(1, np.arange(10**4))
    assert np.unique(rows).tolist() == [1, 3]


@pytest.mark.ci
def test_parameters_of_a_row_replace_those_of_the_configuration() -> None:
    """With gain 0 in one row and 1 in the other, a correct answer leaves mastery as it is, or makes it 1."""
    rows = [{"share": 0.5, "dynamics": {"learning_rate": rate}} for rate in (0.0, 1.0)]
    env = environment(rows, lanes=400)
    before = env.truth()
    env.step(np.zeros(400, np.int64))
    after = env.truth()["mastery"][:, 0]
    correct = env.truth()["ability"] > before["ability"]
    row = before["population_row"]
    assert correct[row == 0].any() and correct[row == 1].any()
    assert (after[correct & (row == 1)] == 1).all()
    assert np.array_equal(after[row == 0], before["mastery"][row == 0, 0])


@pytest.mark.ci
@pytest.mark.skipif(not COMPILED, reason="many learners")
def test_starting_distributions_are_those_of_the_row() -> None:
    """Kolmogorov-Smirnov tests with a false-alarm probability of 1e-6 each."""
    rows = [
        {
            "share": 0.5,
            "learner": {"mastery_alpha": 0.5, "mastery_beta": 3.0, "ability_mean": -1.0, "ability_std": 2.0},
        },
        {"share": 0.5, "learner": {"mastery_alpha": 6.0, "mastery_beta": 1.5}},
    ]
    truth = environment(rows, lanes=20_000).truth()
    for row, beta, normal in ((0, (0.5, 3.0), (-1.0, 2.0)), (1, (6.0, 1.5), (0.0, 1.0))):
        own = truth["population_row"] == row
        assert stats.kstest(truth["mastery"][own, 0].astype(float), "beta", beta).pvalue > 1e-6
        assert stats.kstest(truth["ability"][own].astype(float), "norm", normal).pvalue > 1e-6


def test_tables_equal_the_rows(tmp_path: Path) -> None:
    csv = tmp_path / "population.csv"
    csv.write_text("share,name,dynamics.learning_rate,learner.ability_mean\n0.3,slow,0.02,\n0.7,,,1\n")
    parquet = tmp_path / "population.parquet"
    columns = {
        "share": [0.3, 0.7],
        "name": ["slow", ""],
        "dynamics.learning_rate": [0.02, None],
        "learner.ability_mean": [None, 1.0],
    }
    pyarrow.parquet.write_table(pa.table(columns), parquet)
    toml = tmp_path / "config.toml"
    toml.write_text('population = "population.csv"\n')
    expected = Population(TWO)
    for source in (csv, str(parquet)):
        assert Population.read(source) == expected
    assert Config.load(toml).population == expected
    assert Config.read(Config.load(toml).to_dict()).population == expected


@pytest.mark.ci
def test_rows_and_names_are_in_the_episodes(tmp_path: Path) -> None:
    config = {"num_los": 4, "max_episode_steps": 10, "population": TWO}
    run = alsim.rollout("uniform", num_learners=30, seed=2, config=config, episodes_per_learner=2)
    frame = run.to_pandas("episodes")
    assert frame.population_row.tolist() == Population(TWO).rows_of(2, run.learner_id).tolist()
    assert frame.population_name.tolist() == [("slow", "1")[row] for row in frame.population_row]
    dataset = alsim.generate_dataset(
        30, policy="uniform", seed=2, config=config, episodes_per_learner=2, out=tmp_path / "d"
    )
    assert dataset.to_pandas("episodes").population_name.tolist() == frame.population_name.tolist()
    alone = alsim.rollout("uniform", num_learners=3, seed=2, config={"num_los": 4, "max_episode_steps": 10})
    assert alone.to_pandas("episodes").population_name.tolist() == ["all"] * 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "must be a list of at least one row"),
        ([{"share": 0.5}], "shares of a population must sum to 1; got 0.5"),
        ([{"share": 1.5}, {"share": -0.5}], "row 0 of the population: share = 1.5: expected a number <= 1"),
        ([{"share": float("nan")}], "share = nan: expected a finite number"),
        ([{"name": "a"}], "row 0 of the population: share is missing"),
        ([{"share": "1"}], "share = '1': expected a number"),
        ([{"share": 1, "lerner": {}}], "unknown key; .* did you mean 'learner'"),
        ([{"share": 1, "dynamics": {"speed": 1}}], "row 0 of the population: dynamics.speed = 1: unknown key"),
        ([{"share": 1, "dynamics": {"learning_rate": 2}}], "dynamics.learning_rate = 2: expected a number <= 1"),
        ([{"share": 1, "learner": {"ability_std": -1}}], "learner.ability_std = -1: expected a number >= 0"),
        ([{"share": 1, "name": 3}], "row 0 of the population: name = 3: expected a string"),
        ([{"share": 1, "dynamics": "bkt"}], "row 0 of the population: dynamics = 'bkt': expected a table"),
        ([{"share": 1, "dynamics": {"name": "bkt"}}], "row 0 of the population: a row cannot choose a dynamics"),
        ([{"share": 1, "dynamics": {"learning_rate": "0.1"}}], "dynamics.learning_rate = '0.1': expected a number"),
        ([{"share": 1, "learner": {"ability_mean": True}}], "learner.ability_mean = True: expected a number"),
        ([{"share": 0.5, "name": "a"}] * 2, "names of a population's rows must differ; got 'a' twice"),
        ([3], "row 0 of the population must be a table"),
        (3, "must be a list of at least one row"),
        ("none.csv", "none.csv: there is no such file"),
    ],
)
def test_invalid_populations_are_one_sentence(rows: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        Config.read({"population": rows})
    assert "\n" not in str(raised.value)


def test_invalid_tables_name_file_row_and_column(tmp_path: Path) -> None:
    for text, message in (
        ("name\na\n", "there is no column share; the columns are name"),
        ("share,learning_rate\n1,0.5\n", "unknown column 'learning_rate'; expected share, name, dynamics.PARAMETER"),
        ("share,dynamics.learning_rate\n1,nan\n", "line 2, column dynamics.learning_rate: 'nan'; expected a number"),
        ("share\n\n", "p.csv: there is no row below the header"),
        ("share\n0.4\n0.4\n", "p.csv: the shares of a population must sum to 1; got 0.8"),
        ("share,name\n0.5,a\nx,b\n", "line 3, column share: 'x'; expected a number"),
    ):
        file = tmp_path / "p.csv"
        file.write_text(text)
        with pytest.raises(PopulationError, match=message) as raised:
            Population.read(file)
        assert "\n" not in str(raised.value)


@pytest.mark.ci
def test_parameters_of_rows_may_be_words_and_numbers_of_numpy() -> None:
    """Under bkt, p_guess = "item" is the guessing parameter of the item; one row and two rows."""
    item = {"p_guess": "item", "p_init": np.float32(0)}
    for rows in (
        [{"share": 1, "dynamics": item}],
        [{"share": np.float32(share), "dynamics": item} for share in (1, 0)],
    ):
        config = Config.read({"num_los": 2, "dynamics": "bkt", "population": rows})
        assert Config.read(config.to_dict()) == config
        env = alsim.AdaptiveLearningVectorEnv(2, config=config)
        env.reset(seed=0)
        np.testing.assert_array_equal(env.truth([0, 1])["chance"], [env.bank.questions.irt_c[:2]] * 2)


def test_rows_override_parameters_of_the_dynamics_that_the_argument_chooses(tmp_path: Path) -> None:
    """As a mapping and as a file; the rows are those of another dynamics than the one of the configuration."""
    (tmp_path / "c.toml").write_text("num_los = 2\n[[population]]\nshare = 1\ndynamics = {p_learn = 0.3}\n")
    table = {"num_los": 2, "population": [{"share": 1, "dynamics": {"p_learn": 0.3}}]}
    for config in (table, tmp_path / "c.toml"):
        env = alsim.AdaptiveLearningVectorEnv(2, config=config, dynamics="bkt")
        assert env.config.overrides("dynamics") == [{"p_learn": 0.3}] and type(env.config.dynamics) is Bkt
        with pytest.raises(ConfigError, match=r"row 0 of the population: dynamics.p_learn = 0.3: unknown key"):
            alsim.AdaptiveLearningVectorEnv(2, config=config)
    with pytest.raises(ConfigError, match=r"c.toml: row 0 of the population: dynamics.p_learn = 0.3: unknown key"):
        alsim.AdaptiveLearningVectorEnv(2, config=tmp_path / "c.toml", dynamics="linked")
    assert Config.read({"dynamics": "prerequisites"}, dynamics="standard") == Config()


def test_a_word_is_not_a_number_in_tables() -> None:
    """The number that stands for it in the rules is a number of the parameters alone."""
    expected = r"p_guess = -1: expected a number >= 0.0, or 'item'"
    for table in (
        {"dynamics": {"name": "bkt", "p_guess": -1}},
        {"dynamics": "bkt", "population": [{"share": 1, "dynamics": {"p_guess": -1}}]},
    ):
        with pytest.raises(ConfigError, match=expected):
            Config.read(table)
    assert Config.read({"dynamics": Bkt(p_guess=-1.0)}).to_dict()["dynamics"]["p_guess"] == "item"


numbers = st.floats(0.0, 1.0, allow_subnormal=False)


@pytest.mark.heavy
@given(st.lists(st.tuples(st.integers(0, 5), st.none() | numbers, st.none() | numbers), min_size=1, max_size=50))
def test_random_populations_are_read_written_and_drawn(drawn: list[tuple[int, Any, Any]]) -> None:
    weights = [weight for weight, _, _ in drawn]
    if sum(weights) == 0:
        weights[0] = 1
    rows: list[dict[str, Any]] = []
    for weight, (_, rate, mean) in zip(weights, drawn, strict=True):
        dynamics = {} if rate is None else {"learning_rate": max(rate, 1e-6)}
        learner = {} if mean is None else {"ability_mean": max(mean, 1e-6)}
        rows.append({"share": weight / sum(weights), "dynamics": dynamics, "learner": learner})
    config = Config.read({"population": rows})
    assert Config.read(config.to_dict()) == config
    found = config.population.rows_of(3, np.arange(500))
    assert all(weights[row] > 0 for row in found)
    thresholds = config.population.thresholds
    assert thresholds[-1] == 2**32 and (np.diff(thresholds.astype(float)) >= 0).all()


@pytest.mark.heavy
def test_episodes_of_one_learner_depend_on_each_other_through_its_row() -> None:
    """Clause S12.2: with several rows, the variance of the means of four episodes is far above a quarter of theirs."""
    rows = [{"share": 0.5, "learner": {"mastery_alpha": alpha}} for alpha in (1.0, 5.0)]
    ratios = []
    for population in (None, rows):
        config = {"num_los": 4, "max_episode_steps": 30, "population": population}
        metrics = alsim.rollout("uniform", num_learners=100, episodes_per_learner=4, seed=0, config=config).metrics
        episodes = metrics.final_mastery.reshape(100, 4)
        ratios.append(4 * episodes.mean(axis=1).var(ddof=1) / episodes.var(axis=1, ddof=1).mean())
    limit = stats.f.isf(1e-6, 99, 300)  # of the ratio for independent episodes, with a false alarm of 1e-6
    assert ratios[0] < limit < ratios[1]
