"""Videos and windows of Gymnasium, with moviepy and pygame: `nox -s compat-rendering`."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics, RecordVideo
from gymnasium.wrappers.vector import RecordVideo as RecordVectorVideo

ID = "alsim:alsim/AdaptiveLearning-v0"
SHORT = {"num_los": 4, "max_episode_steps": 14}


def read(path: Path, height: int = 540, width: int = 960) -> Any:
    """Return the frames of a video of this size, (F, H, W, 3)."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()  # of a package that moviepy requires
    command = [ffmpeg, "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    assert f"{width}x{height}".encode() in done.stderr
    assert b" 4 fps" in done.stderr
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def alike(shown: Any, drawn: Any) -> bool:
    """Return whether a frame of a video shows a picture, apart from the losses of compression."""
    return bool(shown.shape == drawn.shape and np.abs(shown.astype(int) - drawn.astype(int)).mean() < 3)


def episode(env: Any, action: int = 0) -> list[Any]:
    """Play one episode, and return the picture of each step, the start included."""
    env.reset(seed=0)
    pictures, done = [env.unwrapped.render()], False
    while not done:
        _, _, terminated, truncated, _ = env.step(action)
        pictures.append(env.unwrapped.render())
        done = terminated or truncated
    return pictures


def test_record_video_shows_every_step(tmp_path: Path) -> None:
    env = RecordVideo(gym.make(ID, config=SHORT, render_mode="rgb_array"), str(tmp_path / "videos"))
    pictures = episode(env)
    env.close()
    (file,) = tmp_path.glob("videos/*.mp4")
    frames = read(file)
    assert len(frames) == len(pictures) > 5
    assert all(map(alike, frames, pictures))
    assert not np.array_equal(pictures[0], pictures[-1])


def test_the_example_of_the_page_records_an_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2].joinpath("docs", "rendering.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```text\n(import gymnasium.+?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example, names)
    assert [path.name for path in Path("videos").iterdir()] == ["rl-video-episode-0.mp4"]
    assert len(read(Path("videos", "rl-video-episode-0.mp4"))) == names["env"].unwrapped.step_count + 1


def capture_video(run_name: str, index: int) -> Any:
    """Return the function that CleanRL's ppo.py gives to SyncVectorEnv under `--capture-video`."""

    def thunk() -> Any:
        if index == 0:
            env = gym.make(ID, render_mode="rgb_array")
            env = gym.wrappers.RecordVideo(env, f"videos/{run_name}")
        else:
            env = gym.make(ID)
        return RecordEpisodeStatistics(env)

    return thunk


def test_capture_video_of_cleanrl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    envs = gym.vector.SyncVectorEnv([capture_video("run", index) for index in range(3)])
    envs.reset(seed=1)
    envs.action_space.seed(1)
    lengths = []
    for _ in range(300):
        infos = envs.step(envs.action_space.sample())[4]
        if "episode" in infos and infos["_episode"][0]:
            lengths.append(int(infos["episode"]["l"][0]))
    envs.close()
    files = sorted(path.name for path in Path("videos/run").glob("*.mp4"))
    assert files[:2] == ["rl-video-episode-0.mp4", "rl-video-episode-1.mp4"]
    assert len(read(Path("videos/run", files[0]))) == lengths[0] + 1


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_record_video_of_a_vector_environment(mode: str, tmp_path: Path) -> None:
    envs = gym.make_vec(ID, 4, config=SHORT, autoreset_mode=mode, render_mode="rgb_array")
    if mode == "SameStep":
        with pytest.warns(UserWarning, match="will not contain the last frame of the episode"):
            recorder = RecordVectorVideo(envs, str(tmp_path / "videos"), video_length=10)
    else:
        recorder = RecordVectorVideo(envs, str(tmp_path / "videos"), video_length=10)
    recorder.reset(seed=0)
    for _ in range(20):
        recorder.step(np.zeros(4, np.int64))
    recorder.close()
    first, *_ = sorted(tmp_path.glob("videos/*.mp4"))
    frames = read(first, 2 * 540, 2 * 960)
    assert len(frames) >= 10


def test_record_video_of_the_first_lane(tmp_path: Path) -> None:
    envs = gym.make_vec(ID, 3, config=SHORT, render_mode="rgb_array")
    recorder = RecordVectorVideo(envs, str(tmp_path / "videos"), record_first_only=True, video_length=5)
    recorder.reset(seed=0)
    first: Any = recorder.render()
    for _ in range(8):
        recorder.step(np.zeros(3, np.int64))
    recorder.close()
    (file,) = tmp_path.glob("videos/*.mp4")
    assert alike(read(file)[0], first[0])


def press_and_quit(*_: Any) -> None:
    """Close the window of `play` after its first step."""
    import pygame

    pygame.event.post(pygame.event.Event(pygame.QUIT))


def test_play_with_the_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    from gymnasium.utils.play import play

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gym.make(ID, render_mode="rgb_array")
    play(env, keys_to_action={"q": 0, "v": 90}, noop=0, seed=0, callback=press_and_quit, fps=1000)
    assert env.unwrapped.step_count == 1  # type: ignore[attr-defined]


WINDOW = """
import gymnasium as gym
import numpy as np
import pygame

env = gym.make("alsim:alsim/AdaptiveLearning-v0", render_mode="human")
env.metadata["render_fps"] = 1000
env.reset(seed=0)
env.step(0)
shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
assert np.array_equal(shown, env.unwrapped.render())
env.close()
"""


def test_human_rendering_shows_the_picture() -> None:
    """In another process, because the video driver of SDL, which needs no display, is set before pygame starts."""
    code = f"import warnings; warnings.simplefilter('ignore')\n{WINDOW}"
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
