"""Logs of simulated learners with times, and with contents as study events."""

import subprocess
import sys

import numpy as np
import pytest

import alsim
from alsim.models import Responses, ResponsesError, hlr, load_fit


class Only:
    """A policy that asks Easy questions about the first outcome, or shows its texts."""

    def __init__(self, kind):
        self.name, self.kind = kind, kind

    def act(self, view, draws):
        first = np.zeros(view.num_lanes, np.int64)
        chosen = view.question(first, "Easy") if self.kind == "question" else view.content(first, "text")
        return chosen, np.ones(view.num_lanes)


@pytest.mark.ci
def test_a_log_with_times_has_the_starts_of_interactions_and_contents_as_events():
    """Each question has its time and answer; contents lie between the answers as they were shown."""
    config = {"num_los": 4, "max_episode_steps": 24, "sessions": {"interactions": 6, "break_hours": 20}}
    dataset = alsim.generate_dataset(12, 2, policy="uniform", seed=3, config=config)
    log, plain = Responses.from_dataset(dataset, times=True), Responses.from_dataset(dataset)
    assert plain.time is None
    assert plain.study is None
    order = {name: k for k, name in enumerate(plain.students.tolist())}
    assert {*log.students.tolist()} == {*order}
    same = log.subset([int(np.flatnonzero(log.students == name)[0]) for name in plain.students])
    for name in ("correct", "start"):
        assert getattr(same, name).tolist() == getattr(plain, name).tolist()
    assert log.items[same.item].tolist() == plain.items[plain.item].tolist()
    assert log.skills[same.skill].tolist() == plain.skills[plain.skill].tolist()
    rows, events, position = dataset.events.to_pylist(), [], 0
    times = []
    for row in rows:
        key = f"{row['learner_id']}/{row['episode']}"
        if row["event"] == "question_shown":
            times.append(row["seconds"])
            position += 1
        elif row["event"] == "content_shown" and key in order:
            events.append((key, row["seconds"], position))
    assert same.time.tolist() == times
    found = zip(plain.students[same.study.student].tolist(), same.study.time.tolist(), same.study.position, strict=True)
    assert [*found] == events
    assert len(events) > 20
    fit = hlr.fit(log, by_skill=False)
    assert fit.num_responses == len(plain)


def test_datasets_without_contents_and_without_answers():
    def masked(seed, policy):
        config = {"num_los": 2, "max_episode_steps": 6}
        return alsim.generate_dataset(3, 1, policy=policy, seed=seed, config=config)

    questions = Responses.from_dataset(masked(1, Only("question")), times=True)
    assert questions.study is None
    assert len(questions) == 18
    for times in (False, True):
        with pytest.raises(ResponsesError, match="no question was answered"):
            Responses.from_dataset(masked(1, Only("content")), times=times)


@pytest.mark.ci
def test_the_command_reads_the_times_of_a_dataset(tmp_path):
    config = {"num_los": 2, "max_episode_steps": 30, "sessions": {"interactions": 5, "break_hours": 20}}
    dataset = alsim.generate_dataset(40, 1, policy="uniform", seed=3, config=config, out=tmp_path / "data")
    command = [sys.executable, "-m", "alsim", "fit", "hlr", str(tmp_path / "data"), "--out", str(tmp_path / "fit.json")]
    subprocess.run(command, check=True, capture_output=True)
    expected = hlr.fit(Responses.from_dataset(dataset, times=True))
    assert load_fit(tmp_path / "fit.json").to_dict() == expected.to_dict()
