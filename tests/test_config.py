"""The configuration: defaults, files, and refused values."""

import json
import tomllib
from typing import Annotated, NamedTuple

import numpy as np
import pytest
from annotated_types import Ge
from hypothesis import given
from hypothesis import strategies as st

from alsim.config import REWARD_PRESETS, Config, ConfigError, RewardConfig, default_toml
from alsim.dynamics import DYNAMICS, Dynamics
from alsim.dynamics.standard import Standard, answer, study

# Copied from the specification.
SIMULATOR_CONFIG = {
    "num_los": 30,
    "num_questions_per_lo": 20,
    "num_contents_per_lo": 6,
    "max_episode_steps": 140,
    "irt": {
        "difficulty_ranges": {"easy": (-2.0, -0.5), "medium": (-0.5, 0.5), "hard": (0.5, 2.0)},
        "discrimination_ranges": {"easy": (0.5, 1.0), "medium": (1.0, 1.5), "hard": (1.5, 2.0)},
        "guessing_range": (0.1, 0.25),
    },
    "content": {
        "effectiveness_by_modality": {
            "video": (0.10, 0.15),
            "PPT": (0.08, 0.12),
            "text": (0.05, 0.08),
            "blog": (0.07, 0.10),
            "article": (0.06, 0.09),
            "handout": (0.05, 0.08),
        }
    },
    "reward_weights": {
        "correctness": 1.0,
        "mastery_gain": 0.5,
        "frustration_penalty": 0.3,
        "post_content_gain": 2.0,
    },
    "termination": {"mastery_threshold": 0.8, "max_frustration": 0.95},
}

# Values in the text or code of the specification (clauses S1, S2, S4 to S6, S8, S9).
ELSEWHERE = {
    "irt": {"response_time_mean": 30.0, "response_time_std": 10.0, "max_response_time": 120.0},
    "content": {
        "duration_by_modality": {
            "video": (15, 25),
            "PPT": (10, 20),
            "text": (5, 10),
            "blog": (8, 15),
            "article": (10, 18),
            "handout": (5, 12),
        },
        "frustration_impact_by_modality": {
            "video": -0.08,
            "PPT": -0.05,
            "text": 0.02,
            "blog": -0.03,
            "article": 0.0,
            "handout": 0.05,
        },
    },
    "learner": {"mastery_alpha": 2.0, "mastery_beta": 5.0, "ability_mean": 0.0, "ability_std": 1.0},
    "dynamics": {
        "name": "standard",
        "learning_rate": 0.05,
        "ability_gain": 0.02,
        "frustration_relief": 0.05,
        "frustration_rise": 0.10,
        "hard_rise": 0.05,
        "hard_below": 0.5,
        "frustration_discount": 0.5,
        "gain_noise": 0.02,
        "response_time_min": 5.0,
    },
    "reward_weights": {"engagement": 0.5, "recall": 0.0},
    "metrics": {"blueprint": (0.2, 0.6, 0.2)},
    "retention": {"delay_hours": 24.0},
    "bank": {"seed": 0},
}

OPTIONAL = [("questions_per_difficulty",), ("sessions",), ("population",), ("classes",), ("curriculum",)]


def leaves(table, path=()):
    """Yield the path and value of each leaf of nested tables."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), tuple(value) if isinstance(value, list | tuple) else value


def table_of(path, value):
    """Return nested tables with one value."""
    for key in reversed(path):
        value = {key: value}
    return value


DEFAULTS = dict(leaves(Config().to_dict()))


# ── defaults and their file ────────────────────────────────────────────────────────────────


def test_the_defaults_are_the_specification():
    """Every key of SIMULATOR_CONFIG exists with its value, and every other default is stated in the specification."""
    stated = dict(leaves(SIMULATOR_CONFIG)) | dict(leaves(ELSEWHERE))
    assert stated | dict.fromkeys(OPTIONAL) == DEFAULTS


def test_the_specification_itself_is_a_configuration():
    assert Config.read(SIMULATOR_CONFIG) == Config()


def test_the_default_file_has_every_key_and_the_defaults():
    parsed = tomllib.loads(default_toml())
    assert Config.read(parsed) == Config()
    assert {path: value for path, value in DEFAULTS.items() if path not in OPTIONAL} == dict(leaves(parsed))


def commented(first, count):
    """Return the table of `count` commented lines of the default file, from the line `first` on."""
    lines = default_toml().splitlines()
    start = lines.index(first)
    return tomllib.loads("\n".join(line.removeprefix("# ") for line in lines[start : start + count]))


def test_the_default_file_shows_breaks_classes_and_a_population():
    assert Config.read(commented("# [sessions]", 3)).sessions.break_hours == 24
    assert Config.read(commented("# [classes]", 4)).classes.ability_std == 0.5
    population = Config.read(commented("# [[population]]", 8)).population
    assert population.names == ("slow", "able")
    assert population.rows[0].dynamics == {"learning_rate": 0.03}


def test_the_default_file_shows_the_optional_table():
    lines = default_toml().splitlines()
    start = lines.index("# [questions_per_difficulty]")
    table = tomllib.loads("\n".join(line.removeprefix("# ") for line in lines[start : start + 4]))
    assert Config.read(table).split() == Config().split() == (7, 7, 6)


def test_the_default_file_names_every_preset():
    for name in REWARD_PRESETS:
        assert f'"{name}"' in default_toml()


def test_a_file_is_read(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("num_los = 3\n[termination]\nmastery_threshold = 0.5\n")
    assert (
        Config.load(file)
        == Config.read(str(file))
        == Config.read({"num_los": 3, "termination": {"mastery_threshold": 0.5}})
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"num_los = \n", "TOML"),
        (b"num_los = 3\nnum_los = 4\n", "TOML"),
        (b"\xff\xfe", "TOML"),
        (None, "No such file"),
        (b"num_lo = 3\n", "num_lo = 3: unknown key; expected one of num_los, "),
    ],
)
def test_an_error_names_the_file(tmp_path, content, message):
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="mine.toml: ") as caught:
        Config.read(file)
    assert message in str(caught.value)


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read as a TOML file"):
        Config.read(tmp_path)


@pytest.mark.parametrize("source", [3, [], ("num_los", 3), b"mine.toml"])
def test_a_source_of_another_kind_is_refused(source):
    with pytest.raises(ConfigError, match="a Config, a mapping or the path of a TOML file; got"):
        Config.read(source)


def test_reading_a_configuration_returns_it():
    config = Config.read({"num_los": 2})
    assert Config.read(config) is config
    assert Config.read(None) == Config.read({}) == Config()


def test_configurations_are_immutable():
    with pytest.raises(ValueError, match="frozen"):
        Config().num_los = 3
    with pytest.raises(ValueError, match="frozen"):
        Config().irt.response_time_mean = 3.0


# ── refused values ──────────────────────────────────────────────────────────────────────────────

NAN, INF = float("nan"), float("inf")

REFUSED = [
    # path, value, expectation in the message
    (("nonsense",), 3, "unknown key; expected one of num_los, num_questions_per_lo"),
    (("irt", "guesing_range"), 3, "unknown key; expected one of difficulty_ranges, "),
    (("irt", "difficulty_ranges", "Easy"), [0, 1], "unknown key; expected one of easy, medium, hard"),
    (("content", "duration_by_modality", "ppt"), [1, 2], "unknown key; expected one of video, PPT"),
    (("dynamics", "learning_rat"), 0.5, "unknown key; expected one of learning_rate, "),
    (("num_los",), 0, "a number >= 1"),
    (("num_los",), -3, "a number >= 1"),
    (("num_los",), 3641, "a number <= 3640"),
    (("num_los",), 2.5, "an integer"),
    (("num_los",), "3", "an integer"),
    (("num_los",), True, "an integer"),
    (("num_los",), None, "an integer"),
    (("num_los",), [3], "an integer"),
    (("num_los",), NAN, "a finite number"),
    (("num_questions_per_lo",), 2, "a number >= 3"),
    (("num_contents_per_lo",), 5, "a number >= 6"),
    (("max_episode_steps",), 0, "a number >= 1"),
    (("max_episode_steps",), 2**31, f"a number <= {2**31 - 2}"),
    (("irt",), 3, "a table"),
    (("irt",), "x", "expected a table"),
    (("questions_per_difficulty",), True, "expected a table"),
    (("irt", "guessing_range"), "x", "expected a list of numbers"),
    (("irt", "difficulty_ranges", "easy"), [1, -1], "a range [low, high] with low <= high"),
    (("irt", "difficulty_ranges", "easy"), [1], "a range of two numbers"),
    (("irt", "difficulty_ranges", "easy"), [1, 2, 3], "a range of two numbers"),
    (("irt", "difficulty_ranges", "easy"), 1, "a list of numbers"),
    (("irt", "difficulty_ranges", "easy"), [1, "2"], "numbers"),
    (("irt", "difficulty_ranges", "easy"), [False, True], "numbers"),
    (("irt", "discrimination_ranges", "hard"), [2, 1], "low <= high"),
    (("irt", "guessing_range"), [0.3, 0.2], "low <= high"),
    (("irt", "response_time_mean"), 0, "a number > 0"),
    (("irt", "response_time_mean"), NAN, "a finite number"),
    (("irt", "response_time_mean"), INF, "a finite number"),
    (("irt", "response_time_mean"), 1e300, "0, or a number of magnitude 1e-30 to 1e30"),
    (("irt", "response_time_mean"), 1e-60, "0, or a number of magnitude 1e-30 to 1e30"),
    (("irt", "response_time_mean"), "30", "a number"),
    (("irt", "response_time_mean"), b"30", "a number"),
    (("irt", "response_time_mean"), True, "a number"),
    (("irt", "response_time_mean"), np.True_, "a number"),
    (("irt", "response_time_std"), -1, "a number >= 0"),
    (("irt", "max_response_time"), 0.0, "a number > 0"),
    (("content", "duration_by_modality", "video"), [5, 4], "low <= high"),
    (("content", "frustration_impact_by_modality", "text"), 1.5, "a number <= 1"),
    (("content", "frustration_impact_by_modality", "text"), -1.5, "a number >= -1"),
    (("learner", "mastery_alpha"), 0, "a number > 0"),
    (("learner", "ability_std"), -0.1, "a number >= 0"),
    (("learner", "ability_mean"), None, "a number"),
    (("dynamics",), 3, "a registered dynamics: standard"),
    (("dynamics",), None, "a registered dynamics: standard"),
    (("dynamics",), True, "a registered dynamics: standard"),
    (("dynamics",), "other", "a registered dynamics: standard"),
    (("dynamics", "learning_rate"), 1.5, "a number <= 1"),
    (("dynamics", "learning_rate"), NAN, "a finite number"),
    (("dynamics", "learning_rate"), True, "a number"),
    (("dynamics", "learning_rate"), "0.1", "a number"),
    (("dynamics", "learning_rate"), [0.1], "a number"),
    (("dynamics", "gain_noise"), -0.1, "a number >= 0"),
    (("dynamics", "gain_noise"), 1e300, "0, or a number of magnitude 1e-30 to 1e30"),
    (("reward_weights",), "other", "a table, or one of 'specified', 'learning'"),
    (("reward_weights", "correctness"), "learning", "a number"),
    (("reward_weights", "correctness"), -INF, "a finite number"),
    (("termination", "mastery_threshold"), 1.01, "a number <= 1"),
    (("termination", "max_frustration"), -0.01, "a number >= 0"),
    (("metrics", "blueprint"), [0.2, 0.6, 0.3], "shares of Easy, Medium and Hard that sum to 1"),
    (("metrics", "blueprint"), [0.2, 0.4, 0.2, 0.2], "3 numbers"),
    (("bank", "seed"), -1, "a number >= 0"),
    (("bank", "seed"), 2**64, f"a number < {2**64}"),
    (("bank", "seed"), 0.5, "an integer"),
    (("questions_per_difficulty", "medium"), 0, "a number >= 1"),
]


@pytest.mark.parametrize(("path", "value", "expected"), REFUSED)
def test_the_message_names_key_value_and_expectation(path, value, expected):
    with pytest.raises(ConfigError) as caught:
        Config.read(table_of(path, value))
    messages = [part for part in str(caught.value).split("; ") if part.startswith(".".join(path) + " = ")]
    assert messages, str(caught.value)
    assert repr(value) in messages[0]
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "position"),
    [
        (("irt", "guessing_range"), [0.1, 1.0], 1),
        (("irt", "guessing_range"), [-0.1, 0.2], 0),
        (("irt", "discrimination_ranges", "easy"), [0, 1], 0),
        (("irt", "difficulty_ranges", "easy"), [0, NAN], 1),
        (("content", "effectiveness_by_modality", "blog"), [0.5, 1.1], 1),
        (("content", "duration_by_modality", "blog"), [0, 5], 0),
        (("metrics", "blueprint"), [1.2, -0.1, -0.1], 0),
    ],
)
def test_the_message_names_the_entry_of_a_range(path, value, position):
    with pytest.raises(ConfigError, match=rf"{'.'.join(path)}\.{position} = .*expected a "):
        Config.read(table_of(path, value))


def test_the_message_names_every_fault():
    with pytest.raises(ConfigError) as caught:
        Config.read(
            {
                "num_los": 0,
                "irt": {"response_time_std": -1},
                "dynamics": {"hard_rise": 2, "gain_noise": -1},
                "x": 1,
            }
        )
    faults = (
        "num_los = 0",
        "irt.response_time_std = -1",
        "dynamics.hard_rise = 2",
        "dynamics.gain_noise = -1",
        "x = 1",
    )
    for key in faults:
        assert f"{key}: " in str(caught.value)


def test_a_split_has_every_difficulty_and_sums_to_the_questions():
    with pytest.raises(ConfigError, match=r"questions_per_difficulty.hard is missing in {.*}; set it"):
        Config.read({"questions_per_difficulty": {"easy": 10, "medium": 10}})
    with pytest.raises(ConfigError, match=r"questions_per_difficulty = .*'hard': 2.*sum to num_questions_per_lo = 20"):
        Config.read({"questions_per_difficulty": {"easy": 1, "medium": 1, "hard": 2}})
    with pytest.raises(ConfigError, match=r"metrics.blueprint.2 is missing"):
        Config.read({"metrics": {"blueprint": [0.4, 0.6]}})


def test_s2_1_questions_are_split_evenly_or_as_configured():
    assert Config().split() == (7, 7, 6)
    for n, split in ((3, (1, 1, 1)), (4, (2, 1, 1)), (5, (2, 2, 1)), (21, (7, 7, 7))):
        assert Config.read({"num_questions_per_lo": n}).split() == split
    custom = Config.read({"num_questions_per_lo": 6, "questions_per_difficulty": {"easy": 1, "medium": 1, "hard": 4}})
    assert custom.split() == (1, 1, 4)


@pytest.mark.parametrize("value", [3, np.int64(3), 3.0])
def test_integers_of_any_numeric_type_are_accepted(value):
    config = Config.read({"num_los": value, "irt": {"response_time_mean": value}})
    assert type(config.num_los) is int
    assert type(config.irt.response_time_mean) is float


# ── rewards and dynamics ─────────────────────────────────────────────────────────────────────────


def test_s6_3_reward_presets():
    assert Config.read({"reward_weights": "specified"}) == Config()
    learning = Config.read({"reward_weights": "learning"}).reward_weights
    assert learning == RewardConfig(
        correctness=0, mastery_gain=1, frustration_penalty=0, post_content_gain=1, engagement=0
    )


def test_to_dict_replaces_a_preset_by_its_weights(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('reward_weights = "learning"\n')
    assert Config.load(file).to_dict()["reward_weights"]["post_content_gain"] == 1.0


def test_a_dynamics_is_set_by_name_or_parameters_or_both():
    by_name = Config.read({"dynamics": "standard"})
    assert by_name == Config()
    assert isinstance(by_name.dynamics, Standard)
    slow = Config.read({"dynamics": {"learning_rate": 0.01}})
    assert slow.dynamics == Standard(learning_rate=0.01)
    assert slow == Config.read({"dynamics": {"name": "standard", "learning_rate": 0.01}})
    assert slow == Config.read({"dynamics": Standard(learning_rate=0.01)})


def test_parameters_passed_as_an_object_are_checked():
    with pytest.raises(ConfigError, match=r"dynamics\.learning_rate = 2\.0: expected a number <= 1"):
        Config.read({"dynamics": Standard(learning_rate=2.0)})


@pytest.mark.parametrize("name", [3, None, [], ["standard"], {}])
def test_the_name_of_a_dynamics_is_a_registered_string(name):
    with pytest.raises(ConfigError, match="expected a registered dynamics: standard"):
        Config.read({"dynamics": {"name": name}})


class Eager(NamedTuple):
    zeal: Annotated[float, Ge(1)] = 2.0


def test_a_registered_dynamics_defines_its_keys(monkeypatch):
    monkeypatch.setitem(DYNAMICS, "eager", Dynamics("eager", Eager, answer, study))
    config = Config.read({"dynamics": {"name": "eager", "zeal": 3}})
    assert config.dynamics == Eager(3.0)
    assert Config.read({"dynamics": "eager"}).dynamics == Eager()
    assert config.to_dict()["dynamics"] == {"name": "eager", "zeal": 3.0}
    assert Config.read(config.to_dict()) == config
    with pytest.raises(ConfigError, match=r"dynamics\.zeal = 0: expected a number >= 1"):
        Config.read({"dynamics": {"name": "eager", "zeal": 0}})
    with pytest.raises(ConfigError, match=r"dynamics\.learning_rate = 0\.1: unknown key; expected one of zeal"):
        Config.read({"dynamics": {"name": "eager", "learning_rate": 0.1}})


# ── round trips ───────────────────────────────────────────────────────────────────────────────

share = st.floats(0, 1, allow_subnormal=False).filter(lambda x: x == 0 or x > 1e-30)
positive = st.floats(1e-20, 1e20)
shape = st.floats(1e-20, 1e6)
configs = st.fixed_dictionaries(
    {},
    optional={
        "num_los": st.integers(1, 3640),
        "num_questions_per_lo": st.integers(3, 10**6),
        "num_contents_per_lo": st.integers(6, 10**6),
        "max_episode_steps": st.integers(1, 2**31 - 2),
        "irt": st.fixed_dictionaries(
            {}, optional={"response_time_mean": positive, "guessing_range": st.tuples(share, st.just(0.99)).map(sorted)}
        ).filter(lambda t: t.get("guessing_range", [0, 0])[1] < 1),
        "learner": st.fixed_dictionaries({}, optional={"mastery_alpha": shape, "mastery_beta": shape}),
        "dynamics": st.fixed_dictionaries({}, optional={"learning_rate": share, "response_time_min": positive}),
        "reward_weights": st.sampled_from(["specified", "learning", {"correctness": -3}]),
        "termination": st.fixed_dictionaries({}, optional={"mastery_threshold": share, "max_frustration": share}),
        "bank": st.builds(lambda seed: {"seed": seed}, st.integers(0, 2**64 - 1)),
    },
)


@given(configs)
def test_to_dict_reads_back_through_json(tables):
    config = Config.read(tables)
    assert Config.read(json.loads(json.dumps(config.to_dict()))) == config


words = st.text(max_size=4) | st.sampled_from(["name", "standard", "learning", "specified", "easy"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words | st.binary(max_size=2) | st.just(10**400)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(words | st.integers() | st.sampled_from(list({k for path in DEFAULTS for k in path})), inner)
    ),
    max_leaves=8,
)


@pytest.mark.heavy
@given(st.lists(st.tuples(st.sampled_from(sorted(DEFAULTS)), st.integers(0, 3), values), max_size=3), values)
def test_arbitrary_values_are_read_or_refused(changes, extra):
    """Values of any kind at any key raise ConfigError, or are read and read back the same."""
    tables = extra if isinstance(extra, dict) else {}
    for path, cut, value in changes:
        tables = {**tables, **table_of(path[: max(1, len(path) - cut)], value)}
    try:
        config = Config.read(tables)
    except ConfigError as error:
        assert str(error)
    else:
        assert Config.read(config.to_dict()) == config
