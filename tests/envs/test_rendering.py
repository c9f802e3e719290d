"""Rendering: text panels and pictures of the single and the vector environment."""

import pickle
import re
import subprocess
import sys
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from vector_envs import DISABLED, NEXT_STEP, SAME_STEP, SHORT, batches, make, play, same, same_calls

from alsim import AdaptiveLearningEnv, AdaptiveLearningVectorEnv
from alsim.envs.rendering import canvas, dashboard
from alsim.envs.rendering.ansi import MAX_LISTED, panel
from alsim.envs.rendering.dashboard import draw
from alsim.envs.rendering.recorder import FIRST_CAPACITY
from alsim.envs.rendering.renderer import MANY_LANES, RENDER_MODES
from alsim.utils.optional import MissingExtra
from benchmarks import rendered_frame

pytestmark = pytest.mark.gymnasium

ID = "alsim/AdaptiveLearning-v0"
HARD, VIDEO = 2, 12
"""Actions about outcome 0 of 4: a Hard question, and a video."""

LONG = {"num_los": 4, "max_episode_steps": 700, "termination": {"mastery_threshold": 1.0, "max_frustration": 1.0}}


def single(mode: str | None = "ansi", *, seed: int = 0, actions: Any = (), **arguments: Any) -> AdaptiveLearningEnv:
    """Return a single environment after these actions."""
    env = AdaptiveLearningEnv(**{"config": SHORT, "render_mode": mode, **arguments})
    env.reset(seed=seed)
    for action in actions:
        env.step(action)
    return env


def text(env: Any) -> str:
    """Return the text panel of a single environment."""
    rendered = env.render()
    assert isinstance(rendered, str)
    return rendered


def frames(env: Any) -> Any:
    """Return the frames of an environment as data."""
    return env._renderer.frames()


# ── modes ──


@pytest.mark.parametrize("kind", [AdaptiveLearningEnv, AdaptiveLearningVectorEnv])
def test_metadata_lists_the_modes(kind: Any) -> None:
    assert kind.metadata["render_modes"] == ["ansi", "rgb_array"]
    assert kind.metadata["render_fps"] == 4
    assert kind(render_mode="ansi").render_mode == "ansi"
    assert kind().render_mode is None


@pytest.mark.parametrize("kind", [AdaptiveLearningEnv, AdaptiveLearningVectorEnv])
@pytest.mark.parametrize("mode", ["human", "rgb_array_list", "", 3, ["ansi"]])
def test_unknown_modes_are_refused(kind: Any, mode: Any) -> None:
    words = f"render_mode must be None or one of 'ansi', 'rgb_array'; got {mode!r}: for a window, gymnasium.make("
    with pytest.raises(ValueError, match=re.escape(words)):
        kind(render_mode=mode)


@pytest.mark.parametrize("mode", RENDER_MODES)
def test_render_needs_a_reset(mode: str) -> None:
    for env in (AdaptiveLearningEnv(render_mode=mode), AdaptiveLearningVectorEnv(3, render_mode=mode)):
        with pytest.raises(ResetNeeded, match=re.escape("call reset() before render()")):
            env.render()


@pytest.mark.parametrize(("kind", "maker"), [(AdaptiveLearningEnv, "make"), (AdaptiveLearningVectorEnv, "make_vec")])
def test_without_a_mode_render_warns_and_returns_none(kind: Any, maker: str) -> None:
    env = kind()
    env.reset(seed=0)
    words = f'render() returns None, because the environment has no render mode: create it with gymnasium.{maker}("'
    with pytest.warns(UserWarning, match=re.escape(words)):
        assert env.render() is None


@pytest.mark.parametrize("mode", RENDER_MODES)
@pytest.mark.parametrize("observation", ["mastery", "responses"])
def test_gymnasium_checks_the_modes(mode: str, observation: str) -> None:
    check_env(gymnasium.make(ID, config=SHORT, observation=observation, render_mode=mode).unwrapped)


def test_make_collects_frames_in_lists() -> None:
    for mode in RENDER_MODES:
        env = gymnasium.make(ID, config=SHORT, render_mode=f"{mode}_list")
        env.reset(seed=0)
        env.step(0)
        collected: Any = env.render()
        assert len(collected) == 2
        assert not np.array_equal(*collected)


@pytest.mark.parametrize("mode", RENDER_MODES)
@pytest.mark.parametrize("autoreset", [NEXT_STEP, SAME_STEP, DISABLED])
def test_rendering_changes_no_result(mode: str, autoreset: Any) -> None:
    actions = batches(3, 40)
    plain = play(make(3, autoreset_mode=autoreset), actions)
    rendering = make(3, autoreset_mode=autoreset, render_mode=mode)
    rendering.reset(seed=0)
    rendering.render()
    same_calls(plain, play(rendering, actions))


# ── text panels ──


def test_panel_of_a_question() -> None:
    expected = """
seed 3, learner 0, episode 0                                        step 1 of 14
--------------------------------------------------------------------------------
last          Hard question, LO 0: wrong after 18.6 s (q16)
              mastery +0.000, reward -0.045
frustration   [######..............|...................] 0.15, limit 0.50
mean mastery  [################|.......................] 0.41, limit 0.40
return        -0.05                                ability -2.14 logits (latent)

mastery by learning outcome (LO)                          observed by the policy
>  0 [##.....] 0.25    1 [###....] 0.47    2 [##.....] 0.29    3 [####...] 0.63

end of the episode: mastery_achieved
"""
    assert text(single(seed=3, actions=[HARD])) == expected.strip("\n")


def test_panel_of_a_content() -> None:
    env = single(actions=[VIDEO])
    result = env.episode_log[-1]["result"]
    minutes = env.contents[int(frames(env)[0].last.item[1:])]["duration"]
    assert f"last          video, LO 0: {minutes:.0f} min (c0)" in text(env)
    assert f"mastery {result['mastery_gain']:+.3f}, reward {env.episode_log[-1]['reward']:+.3f}" in text(env)


def test_panel_before_the_first_interaction() -> None:
    assert "last          none yet" in text(single())
    assert "step 0 of 14" in text(single())


def test_panel_counts_wrong_answers_in_a_row() -> None:
    env = single(seed=3, actions=[HARD] * 4, config=LONG)
    streak = env.learner_state["fail_streak"]
    assert streak >= 2
    assert f", {streak} wrong answers in a row" in text(env)


@pytest.mark.heavy
@pytest.mark.parametrize("num_los", [1, 4, 30, 100, 121, 1000])
@pytest.mark.parametrize("observation", ["mastery", "responses"])
def test_panels_fit_80_columns_of_ascii(num_los: int, observation: str) -> None:
    env = AdaptiveLearningVectorEnv(
        3, config={"num_los": num_los}, observation=observation, render_mode="ansi", autoreset_mode=SAME_STEP
    )
    env.reset(seed=2**64 - 1, options={"learner": 2**32 - 3})
    for batch in batches(3, 30, num_actions=9 * num_los):
        env.step(batch)
        for rendered in env.render() or ():
            assert isinstance(rendered, str)
            assert rendered.isascii()
            assert max(map(len, rendered.splitlines())) <= 80
            assert len(rendered.splitlines()) <= 45


def test_panel_lists_every_outcome_and_counts_many() -> None:
    listed = text(single(config={"num_los": 30}))
    assert re.findall(r"(\d+) \[[#.]{7}\] \d\.\d\d", listed) == [
        str(8 * (k % 4) + k // 4) for k in range(32) if 8 * (k % 4) + k // 4 < 30
    ]
    env = single(config={"num_los": 200}, actions=[3 * 150])
    counts = [int(count) for count in re.findall(r"(\d+) LOs", text(env))]
    assert sum(counts) == 200
    mastery = env.learner_state["mastery"]
    assert counts[2] == np.count_nonzero((mastery >= np.float32(0.2)) & (mastery < np.float32(0.3)))
    assert f"LO 150 has mastery {mastery[150]:.2f}" in text(env)


def test_frames_show_hidden_mastery() -> None:
    env = single(observation="responses", actions=[0])
    assert "hidden from the policy" in text(env)
    assert np.array_equal(frames(env)[0].mastery, env.learner_state["mastery"])
    assert not np.array_equal(draw(frames(env)[0]), draw(frames(single(actions=[0]))[0]))


def test_unusual_names_are_shown() -> None:
    bank = make_named_bank(["Brüche und Prozente — Grundlagen " * 4, "分数", "c", "d"])
    env = single("rgb_array", bank=bank, config={}, actions=[0, 3])
    assert env.render() is not None
    assert all(len(line) <= 80 for line in panel(frames(env)[0]).splitlines())


@pytest.mark.parametrize("item", ["q\x1b[31m日0", "line\nbreak", "é\u202e\ud800", "i" * 5000])
def test_item_ids_cannot_control_the_terminal(item: str) -> None:
    (frame,) = frames(single(actions=[HARD]))
    shown = panel(frame._replace(last=frame.last._replace(item=item)))
    assert shown.isascii()
    assert "".join(shown.split("\n")).isprintable()
    lines = shown.splitlines()
    assert len(lines) == len(panel(frame).splitlines())
    assert max(map(len, lines)) <= 80
    escaped = item.encode("unicode_escape").decode()
    assert f"({escaped})" in shown or lines[2].endswith("...")


HUGE: dict[str, Any] = {"lane": 100, "seed": 2**64 - 1, "learner": 2**31 + 100, "episode": 6}


@pytest.mark.parametrize("names", [HUGE, {**HUGE, "lane": 10**9, "learner": 2**32 - 1, "episode": 2**32 - 1}])
def test_long_names_and_the_step_are_separated(names: dict[str, Any]) -> None:
    (frame,) = frames(single())
    first = panel(frame._replace(**names, step=17, max_steps=300)).splitlines()[0]
    assert len(first) == 80
    assert first.startswith(f"lane {names['lane']}: seed 18446744073709551615, learner ")
    assert re.search(r" step 17 of 300$", first)


@pytest.mark.ci
def test_texts_of_pictures_do_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """With long names of outcomes and items, and huge seeds and limits."""
    drawn: list[tuple[float, float, float]] = []
    write = canvas.Canvas.text

    def record(self: canvas.Canvas, x: float, y: float, text: str, size: int, colour: Any, align: str = "left") -> None:
        assert text.isprintable()
        width = self.width_of(text, size)
        left = x - canvas.ALIGNMENT[align] * width
        drawn.append((y, left, left + width))
        write(self, x, y, text, size, colour, align)

    (frame,) = frames(single("rgb_array", actions=[HARD]))
    plain = frame._replace(**{**HUGE, "lane": 10**9, "learner": 2**32 - 1, "episode": 2**32 - 1}, max_steps=10**6)
    monkeypatch.setattr(canvas.Canvas, "text", record)
    for name in ("fractions " * 1000, "日本語", "a\x1b[31m\nb"):
        last = frame.last._replace(item=name)
        draw(plain._replace(outcomes=(name,) * 4, last=last, reason="unknown (restored)"))
    for y, left, right in drawn:
        assert left >= dashboard.MARGIN - 1
        assert right <= dashboard.WIDTH
        others = [other for other in drawn if other[0] == y and other[1] > left]
        assert all(right <= other[1] for other in others), (y, left, right)


def make_named_bank(names: list[str]) -> Any:
    """Return a bank with these names of learning outcomes, as a mapping."""
    import alsim

    bank = alsim.sample_bank(alsim.Config.read({"num_los": len(names)}))
    questions = [bank.question(k) for k in range(bank.num_questions)]
    contents = [bank.content(k) for k in range(bank.num_contents)]
    for row in (*questions, *contents):
        row["learning_outcome"] = names[int(row["learning_outcome"])]
    return {"questions": questions, "contents": contents}


# ── the episode so far ──


def test_return_is_the_sum_of_rewards() -> None:
    env = single(config=LONG, actions=batches(1, 50)[:, 0])
    (frame,) = frames(env)
    assert frame.episode_return == pytest.approx(sum(entry["reward"] for entry in env.episode_log), abs=1e-9)
    assert frame.last.reward == env.episode_log[-1]["reward"]


def test_course_holds_long_episodes() -> None:
    """The arrays grow; a following episode starts empty."""
    env = single(config=LONG, actions=[HARD] + [VIDEO] * (2 * FIRST_CAPACITY + 5))
    (frame,) = frames(env)
    means = [entry["mean_mastery"] for entry in env.episode_log]
    np.testing.assert_allclose(frame.mean_mastery[1:], means, atol=1e-6)
    frustrations = [entry["result"]["frustration"] for entry in env.episode_log]
    np.testing.assert_allclose(frame.frustration, [0.0, *frustrations], atol=1e-6)
    env.reset()
    assert len(frames(env)[0].mean_mastery) == 1
    assert frames(env)[0].episode == 1


@pytest.mark.heavy
@pytest.mark.parametrize("autoreset", [NEXT_STEP, SAME_STEP, DISABLED])
def test_vector_frames_equal_single_ones(autoreset: Any) -> None:
    """Also at the ends of episodes, and at the starts of the next ones."""
    lanes, ends = 3, set()
    env = make(lanes, autoreset_mode=autoreset, render_mode="ansi")
    alone = [single() for _ in range(lanes)]
    env.reset(seed=5)
    for lane, one in enumerate(alone):
        one.reset(seed=5, options={"learner": lane})
    ended = np.zeros(lanes, np.bool_)
    for batch in batches(lanes, 150):
        if autoreset == DISABLED and ended.any():
            env.reset(options={"reset_mask": ended})
            for lane in np.flatnonzero(ended):
                alone[lane].reset()
        _, _, terminated, truncated, _ = env.step(batch)
        for lane, one in enumerate(alone):
            if autoreset == NEXT_STEP and ended[lane]:
                one.reset()
                continue
            done = one.step(batch[lane])[2:4]
            if autoreset == SAME_STEP and any(done):
                one.reset()
        ended = terminated | truncated
        for lane, (ours, one) in enumerate(zip(env.render(), alone, strict=True)):
            theirs = panel(frames(one)[0]._replace(lane=lane))
            assert ours == theirs
            ends |= set(re.findall("end of the episode: (.*)", ours))
    assert ends == (set() if autoreset == SAME_STEP else {"mastery_achieved", "step_limit", "critical_frustration"})


def test_steps_of_some_lanes() -> None:
    env = make(3, config=LONG, render_mode="ansi")
    env.reset(seed=0)
    before = env.render()
    env.step_lanes([1, 2], [2, 0])
    after = env.render()
    assert after[1] == before[1]
    assert after[0] == panel(frames(single(config=LONG, actions=[2]))[0]._replace(lane=0))
    assert "LO 0" in after[2]


def test_reset_of_some_lanes() -> None:
    env = make(2, config=LONG, render_mode="ansi")
    env.reset(seed=0)
    env.step([0, 0])
    kept = env.render()[0]
    env.reset(options={"reset_mask": np.array([False, True])})
    assert env.render()[0] == kept
    assert "episode 1" in env.render()[1]


def test_an_invalid_action_changes_no_frame() -> None:
    env = make(2, render_mode="ansi")
    env.reset(seed=0)
    env.step([0, 0])
    before = env.render()
    with pytest.raises(ValueError, match="in lane 1"):
        env.step([0, 999])
    assert env.render() == before


def test_frames_after_a_restore() -> None:
    """A snapshot has the state of the learners, but neither their rewards nor their last interactions."""
    env = make(2, config=LONG, render_mode="ansi")
    env.reset(seed=0)
    for _ in range(3):
        env.step([0, 12])
    env.restore(env.snapshot())
    rendered = env.render()[1]
    assert "last          unknown, a snapshot was restored" in rendered
    assert "return        unknown" in rendered
    assert "step 3 of 700" in rendered
    assert draw(frames(env)[1]).shape == (540, 960, 3)
    env.step([0, 13])
    assert "PPT, LO 0" in env.render()[1]
    assert "return        unknown" in env.render()[1]
    env.reset()
    assert "return        0.00" in env.render()[1]


@pytest.mark.parametrize("autoreset", [NEXT_STEP, DISABLED])
def test_a_restored_episode_that_is_over_says_so(autoreset: Any) -> None:
    env = make(2, autoreset_mode=autoreset, render_mode="ansi")
    env.reset(seed=0)
    done = np.zeros(2, np.bool_)
    while not done.any():
        _, _, terminated, truncated, _ = env.step([HARD, VIDEO])
        done = terminated | truncated
    env.restore(env.snapshot())
    words = "end of the episode: unknown (restored)"
    assert [words in rendered for rendered in env.render()] == done.tolist()
    assert draw(frames(env)[int(np.argmax(done))]).shape == (540, 960, 3)
    if autoreset == DISABLED:
        env.reset(options={"reset_mask": done})
    else:
        env.step([HARD, VIDEO])
    assert words not in env.render()[int(np.argmax(done))]


def test_snapshot_at_the_start_of_episodes() -> None:
    env = make(2, render_mode="ansi")
    env.reset(seed=0)
    before = env.render()
    snapshot = env.snapshot()
    env.step([0, 0])
    env.restore(snapshot)
    assert env.render() == before


# ── pictures ──


@pytest.mark.heavy
@pytest.mark.parametrize("num_los", [1, 2, 30, 100, 200, 1000])
def test_pictures_have_one_size(num_los: int) -> None:
    env = single("rgb_array", config={"num_los": num_los})
    for action in (0, 1, 8):
        picture: Any = env.render()
        assert (picture.shape, picture.dtype) == ((540, 960, 3), np.uint8)
        assert picture.flags.c_contiguous
        assert picture.flags.writeable
        picture[:] = 0  # belongs to the caller
        env.step(action)
    assert np.asarray(env.render()).any()


@pytest.mark.parametrize("mode", RENDER_MODES)
def test_equal_states_have_equal_frames(mode: str) -> None:
    one, two = (single(mode, actions=[0, VIDEO], config=LONG) for _ in range(2))
    for twin in (one, two, deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert np.array_equal(twin.render(), one.render())
        assert np.array_equal(twin.render(), one.render())
    before: Any = one.render()
    one.step(5)
    assert not np.array_equal(one.render(), before)
    assert np.array_equal(two.render(), before)


@pytest.mark.parametrize("mode", RENDER_MODES)
def test_copies_of_an_environment_continue(mode: str) -> None:
    one = make(2, render_mode=mode)
    one.reset(seed=0)
    one.step([0, 1])
    for twin in (deepcopy(one), pickle.loads(pickle.dumps(one))):
        twin.step([3, 4])
        other = make(2, render_mode=mode)
        other.reset(seed=0)
        other.step([0, 1])
        other.step([3, 4])
        for ours, theirs in zip(twin.render(), other.render(), strict=True):
            assert np.array_equal(ours, theirs)


def column(picture: Any, x: float, colour: Any) -> int:
    """Return how many pixels of a column of the chart of mastery have a colour."""
    _, top, _, bottom = map(int, dashboard.BARS)
    return int((picture[top:bottom, round(x)] == colour).all(axis=1).sum())


def test_bars_have_the_height_of_mastery() -> None:
    env = single("rgb_array", config={"num_los": 5}, actions=[0, 15, 16, 21, 27, 28, 39])
    (frame,), picture = frames(env), env.render()
    left, top, right, bottom = dashboard.BARS
    for lo in range(5):
        x = (left + right) / 2 + (lo - 2) * dashboard.WIDEST_BAR
        start, gained = column(picture, x, dashboard.LIGHT_BLUE), column(picture, x, dashboard.BLUE)
        assert abs(start - frame.mastery_at_start[lo] * (bottom - top)) <= 1
        assert abs(start + gained - frame.mastery[lo] * (bottom - top)) <= 1


def test_lost_mastery_is_shown() -> None:
    (frame,) = frames(single("rgb_array", config={"num_los": 1}, actions=[0]))
    start, now = np.array([0.75], np.float32), np.array([0.5], np.float32)
    picture = draw(frame._replace(mastery=now, mastery_at_start=start))
    left, top, right, bottom = dashboard.BARS
    x = (left + right) / 2
    assert abs(column(picture, x, dashboard.LOST) - 0.25 * (bottom - top)) <= 1
    assert abs(column(picture, x, dashboard.LIGHT_BLUE) - 0.5 * (bottom - top)) <= 1


@pytest.mark.parametrize("field", ["frustration", "mean_mastery"])
def test_gauges_have_the_length_of_their_value(field: str) -> None:
    (frame,) = frames(single("rgb_array"))
    picture = draw(frame._replace(**{field: np.array([0.25], np.float32)}))
    y = dashboard.GAUGES[field == "mean_mastery"] + 18
    colour = dashboard.BLUE if field == "mean_mastery" else dashboard.VERMILLION
    row = picture[y, dashboard.SIDE_LEFT : dashboard.SIDE_RIGHT]
    assert (row == colour).all(axis=1).sum() == pytest.approx(0.25 * len(row), abs=1)


def test_pictures_show_each_part_of_a_frame() -> None:
    """A change of any value that a picture shows changes the picture."""
    (frame,) = frames(single("rgb_array", actions=[0]))
    changes: dict[str, Any] = {
        "lane": 3,
        "seed": 1,
        "learner": 1,
        "episode": 1,
        "max_steps": 99,
        "observation": "responses",
        "mastery": frame.mastery[::-1],
        "mean_mastery": frame.mean_mastery / 2,
        "frustration": frame.frustration + np.float32(0.5),
        "mastery_threshold": 0.9,
        "max_frustration": 0.7,
        "ability": 3.0,
        "fail_streak": 5,
        "episode_return": 7.0,
        "last": None,
        "reason": "step_limit",
    }
    plain = draw(frame)
    for name, value in changes.items():
        assert not np.array_equal(draw(frame._replace(**{name: value})), plain), name
    for name, value in {"correct": not frame.last.correct, "lo": 3, "level": "Hard", "seconds": 99.0}.items():
        assert not np.array_equal(draw(frame._replace(last=frame.last._replace(**{name: value}))), plain), name


def test_colours_have_enough_contrast() -> None:
    """Text has a contrast of at least 4.5 to 1 with its background (WCAG 2, level AA), and marks 3 to 1."""

    def luminance(colour: Any) -> float:
        shares = (c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour)
        return float(np.dot([0.2126, 0.7152, 0.0722], list(shares)))

    def contrast(one: Any, two: Any) -> float:
        light, dark = sorted((luminance(one), luminance(two)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for colour in (dashboard.INK, dashboard.MUTED, dashboard.GREEN):
        assert contrast(colour, dashboard.WHITE) >= 4.5
    for colour in (dashboard.BLUE, dashboard.VERMILLION):
        assert contrast(colour, dashboard.WHITE) >= 3


def test_ticks_are_round_numbers_with_room() -> None:
    assert dashboard._ticks(30, 19.0) == list(range(0, 30, 2))
    assert dashboard._ticks(1, 56.0) == [0]
    assert dashboard._ticks(1_000_001, 578 / 1_000_000) == list(range(0, 1_000_001, 200_000))


def test_the_page_names_the_size_and_the_most_bars() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "rendering.md").read_text(encoding="utf-8")
    assert f"({dashboard.HEIGHT}, {dashboard.WIDTH}, 3)" in page
    (most,) = map(int, re.findall(r"more than (\d+) outcomes, neighbours share a bar", page))
    assert [dashboard._group_size(most), dashboard._group_size(most + 1)] == [1, 2]
    assert f"more than {MAX_LISTED} outcomes, the panel counts" in page
    assert f"more than {MANY_LANES} lanes, the first call gives a warning" in page


def test_the_picture_of_the_page_is_current() -> None:
    """Apart from the fonts of other versions of Pillow."""
    from PIL import Image

    with Image.open(rendered_frame.PICTURE) as image:
        saved = np.asarray(image.convert("RGB"), np.int64)
    assert np.abs(saved - rendered_frame.frame()).mean() < 1


# ── many lanes, processes ──


def test_pictures_of_many_lanes_give_one_warning() -> None:
    env = make(MANY_LANES + 1, render_mode="rgb_array")
    env.reset(seed=0)
    words = (
        r"draws a picture of each of the 65 lanes, 101 MB in total: create an environment with fewer lanes for videos"
    )
    with pytest.warns(UserWarning, match=words):
        assert len(env.render()) == MANY_LANES + 1
    env.step(np.zeros(MANY_LANES + 1, np.int64))
    assert len(env.render()) == MANY_LANES + 1
    texts = make(MANY_LANES + 1, render_mode="ansi")
    texts.reset(seed=0)
    assert len(texts.render()) == MANY_LANES + 1


@pytest.mark.ci
@pytest.mark.parametrize("mode", RENDER_MODES)
def test_vector_environments_of_gymnasium_render(mode: str) -> None:
    make_one = partial(AdaptiveLearningEnv, SHORT, render_mode=mode)
    envs: list[Any] = [SyncVectorEnv([make_one] * 2), AsyncVectorEnv([make_one] * 2, context="spawn")]
    rendered = []
    for env in envs:
        env.reset(seed=[3, 4])
        env.step(np.array([0, 15]))
        rendered.append(env.render())
        env.close()
    for one, two in zip(*rendered, strict=True):
        same(np.asarray(one), np.asarray(two))


def test_frames_with_threads() -> None:
    lanes = 200
    one, two = (make(lanes, num_threads=n, render_mode="ansi", config=LONG) for n in (1, 2))
    for env in (one, two):
        env.reset(seed=0)
        for batch in batches(lanes, 5):
            env.step(batch)
    assert one.render() == two.render()
    two.close()


# ── Pillow ──


@pytest.fixture
def fresh_caches() -> Any:
    """Clear the caches of modules, fonts and backgrounds, before the test and after it."""

    def clear() -> None:
        for cached in (canvas.pillow, canvas.font, canvas.text_mask, dashboard._background):
            cached.cache_clear()

    clear()
    yield
    clear()


@pytest.mark.ci
def test_pillow_is_imported_at_the_first_picture() -> None:
    code = """
import sys, alsim
for mode in (None, "ansi", "rgb_array"):
    for env in (alsim.AdaptiveLearningEnv(render_mode=mode), alsim.AdaptiveLearningVectorEnv(2, render_mode=mode)):
        env.reset(seed=0)
        if mode == "ansi":
            env.render()
        assert "PIL" not in sys.modules, mode
env.render()
assert "PIL" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_without_pillow_an_error_names_the_command(monkeypatch: pytest.MonkeyPatch, fresh_caches: None) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "PIL"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoPillow(), *sys.meta_path])
    env = single("rgb_array")
    words = "render_mode='rgb_array' needs pillow, which is not installed; install it with `pip install '.[render]'`"
    with pytest.raises(MissingExtra, match=re.escape(words)):
        env.render()
    env.step(0)  # the environment still works


class NoPillow:
    """An importer that does not find Pillow."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] == "PIL":
            raise ModuleNotFoundError(f"No module named {name!r}", name="PIL")


def test_without_freetype_a_bitmap_font_is_used(monkeypatch: pytest.MonkeyPatch, fresh_caches: None) -> None:
    env = single("rgb_array", actions=[0])
    sharp: Any = env.render()
    for cached in (canvas.font, canvas.text_mask, dashboard._background):
        cached.cache_clear()
    from PIL import ImageFont
    from PIL._util import DeferredError

    # Pillow without FreeType has this in place of the module.
    monkeypatch.setattr(ImageFont, "core", DeferredError(ImportError("The _imagingft C module is not installed")))
    plain: Any = env.render()
    assert plain.shape == sharp.shape
    assert not np.array_equal(plain, sharp)
