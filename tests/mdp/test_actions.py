"""Actions: `encode_action` and `decode_action`, for scalars and arrays, and their errors."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest

import alsim
from alsim import DecodedAction, decode_action, encode_action
from alsim.mdp.actions import action_meanings, num_actions
from alsim.types import DIFFICULTIES, MODALITIES


@pytest.mark.parametrize("num_los", [1, 2, 30, 40])
def test_encode_and_decode_are_inverse_for_every_action(num_los):
    actions = np.arange(num_actions(num_los))
    decoded = decode_action(actions, num_los)
    assert np.array_equal(encode_action(*decoded, num_los), actions)
    for action in actions.tolist():
        one = decode_action(action, num_los)
        assert one == tuple(column[action] for column in decoded)
        assert list(map(type, one)) == [str, int, str]
        again = encode_action(*one, num_los)
        assert again == action and type(again) is int


def test_decode_agrees_with_the_environment():
    env = alsim.AdaptiveLearningEnv({"num_los": 3})
    for action, meaning in enumerate(action_meanings(3)):
        kind, lo, level = decode_action(action, 3)
        assert env.decode_action(action) == meaning
        assert meaning["type"] == kind and meaning["lo"] == lo
        words = DIFFICULTIES if kind == "question" else MODALITIES
        assert words[meaning["difficulty" if kind == "question" else "modality"]] == level


def test_the_number_of_a_content_depends_on_the_number_of_learning_outcomes():
    assert encode_action("content", 0, "video", 30) == 90
    assert encode_action("content", 0, "video", 40) == 120
    assert decode_action(90, 40) == DecodedAction("question", 30, "Easy")


def test_an_encoded_action_shows_the_item_it_names():
    env = alsim.AdaptiveLearningEnv({"num_los": 40})
    env.reset(seed=0)
    result = env.step(encode_action("question", 39, "Hard", 40))[4]["result"]
    assert (result["type"], result["lo"], result["difficulty"]) == ("question", 39, 2)


def test_arguments_are_broadcast():
    assert encode_action("question", [0, 1, 2], "Hard", 30).tolist() == [2, 5, 8]
    assert encode_action("content", 1, ["video", "handout"], 30).tolist() == [96, 101]
    assert encode_action(["question", "content"], 0, ["Easy", "PPT"], 30).tolist() == [0, 91]
    table = encode_action("question", np.arange(4)[:, np.newaxis], np.arange(3), 4)
    assert np.array_equal(table, np.arange(12).reshape(4, 3))
    assert decode_action(table, 4).level.shape == (4, 3)


def test_results_are_int64_or_int():
    assert encode_action("content", np.int8(3), np.uint8(1), np.int32(30)) == 109
    assert type(encode_action("content", np.array(3), "PPT", 30)) is int
    assert encode_action("content", np.arange(3, dtype=np.uint64), "PPT", 30).dtype == np.int64
    assert encode_action("question", [], "Easy", 30).shape == (0,)
    assert decode_action([], 30).level.shape == (0,)


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_columns_of_data_frames_are_accepted(library):
    frame = library.DataFrame({"kind": ["question", "content"], "lo": [4, 5], "level": ["Hard", "text"]})
    actions = encode_action(frame["kind"], frame["lo"], frame["level"], 30)
    assert actions.tolist() == [14, 122]
    assert decode_action(library.Series(actions), 30).level.tolist() == ["Hard", "text"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("quiz", 0, "Easy", 30), "kind must be one of 'question', 'content'; got 'quiz'"),
        ((0, 0, "Easy", 30), "kind must be one of 'question', 'content'; got 0"),
        (("question", 30, "Easy", 30), "lo must be an integer in [0, 30); got 30"),
        (("question", [0, -1], "Easy", 30), "lo must be an integer in [0, 30); got -1"),
        (("question", 1.0, "Easy", 30), "lo must be an integer in [0, 30); got 1.0"),
        (("question", "3", "Easy", 30), "lo must be an integer in [0, 30); got '3'"),
        (("question", None, "Easy", 30), "lo must be an integer in [0, 30); got None"),
        (("question", True, "Easy", 30), "lo must be an integer in [0, 30); got True"),
        (("question", 2**70, "Easy", 30), f"lo must be an integer in [0, 30); got {2**70}"),
        (
            ("question", 0, "video", 30),
            "the level of a question must be one of 'Easy', 'Medium', 'Hard' or an index in [0, 3); got 'video'",
        ),
        (
            ("content", 0, "Video", 30),
            "the level of a content must be one of 'video', 'PPT', 'text', 'blog', 'article', 'handout' or an index in "
            "[0, 6); got 'Video'",
        ),
        (("content", 0, 6, 30), "[0, 6); got 6"),
        (("question", 0, [0, 1.5], 30), "[0, 3); got 0.0"),
        (("question", 0, None, 30), "[0, 3); got 'None'"),
        (("question", [0, None], 0, 30), "lo must be an integer in [0, 30); got None"),
        (("question", [0, 2**70], 0, 30), f"lo must be an integer in [0, 30); got {2**70}"),
        ((["question", "content"], 0, "Easy", 30), "the level of a content must be one of"),
        (
            ("question", [0, 1], ["Easy"] * 3, 30),
            "kind, lo and level must be scalars or arrays of shapes that broadcast; got the shapes (), (2,), (3,)",
        ),
        (("question", 0, "Easy", 0), "num_los must be at least 1; got 0"),
        (("question", 0, "Easy", 30.0), "num_los must be an integer, the number of learning outcomes; got 30.0"),
    ],
)
def test_invalid_arguments_of_encode_raise_one_sentence(arguments, message):
    with pytest.raises(alsim.AlsimError, match=re.escape(message) + "$" * (message[-1] != "f")):
        encode_action(*arguments)


@pytest.mark.parametrize("action", [-1, 27, 1.5, "0", None, [0, 27]])
def test_invalid_actions_raise_one_sentence(action):
    with pytest.raises(alsim.AlsimError, match=r"^an action for 3 LOs must be an integer in \[0, 27\); got "):
        decode_action(action, 3)


RAGGED = [[1, 2], [3]]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: decode_action(RAGGED, 3), "an action for 3 LOs"),
        (lambda: encode_action("question", RAGGED, "Easy", 3), "lo"),
        (lambda: encode_action("question", 0, RAGGED, 3), "level"),
        (lambda: encode_action([["question"], []], 0, 0, 3), "kind"),
        (lambda: decode_action(np.array(RAGGED, object), 4), "an action for 4 LOs"),
    ],
)
def test_lists_of_different_lengths_raise_one_sentence(call, name):
    with pytest.raises(alsim.AlsimError, match=f"^{name} must be a scalar or an array; got lists of different lengths"):
        call()
