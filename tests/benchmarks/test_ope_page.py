"""Benchmark of certificates: its page and its figure, from two small studies."""

import json
from pathlib import Path

import pytest

from benchmarks import ope
from benchmarks.report import between_marks

PAGE = "\n".join(f"<!-- {name}: begin -->\n<!-- {name}: end -->" for name in ("claims", "bias", "coverage", "ranks"))


def small(study):
    """Return a study of the same policies with few learners."""
    return study._replace(learners=60, truth_learners=60, more=1)


@pytest.fixture
def results(monkeypatch):
    """Certificates of the first study, and of uniform logs, in the order of the studies."""
    monkeypatch.setattr(ope, "UNIFORM", small(ope.UNIFORM))
    monkeypatch.setattr(ope, "FIRST", small(ope.FIRST))
    monkeypatch.setattr(ope, "STUDIES", (ope.UNIFORM, ope.FIRST))
    return [ope.measure(study, 2, 1, ope.Kept(None)) for study in ope.STUDIES]


@pytest.mark.ci
def test_page_and_figure_of_small_studies(results, tmp_path):
    json.dumps(results, allow_nan=False)
    text = ope.page_of(PAGE, results)
    assert "| ε 0.2 → ε 0.15 | 60 | 2 |" in text
    assert text.count("uniform → ") >= 10
    assert text.count("rank correlation of `mis`") == 1
    ope.draw(results).savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.ci
def test_an_interrupted_measurement_continues(tmp_path, monkeypatch):
    study, file = small(ope.FIRST), tmp_path / "parts.jsonl"
    whole = ope.measure(study, 3, 1, ope.Kept(None))
    assert ope.unfinished(study, 3, ope.Kept(file)) is None
    part = ope.measure(study, 2, 1, ope.Kept(file))
    assert ope.unfinished(study, 3, ope.Kept(file)) == part
    made = []
    run_parts = ope.run_parts
    monkeypatch.setattr(ope, "run_parts", lambda plan, parts, n: made.extend(parts) or run_parts(plan, parts, n))
    assert ope.measure(study, 3, 1, ope.Kept(file)) == whole
    assert made == [(None, 2)]


def test_the_page_shows_the_stored_results():
    page, results = ope.PAGE.read_text(encoding="utf-8"), json.loads(ope.RESULTS.read_text(encoding="utf-8"))
    assert ope.page_of(page, results) == page
    assert len(ope.pairs_of(results)) >= 12
    assert Path(ope.PICTURE).is_file()
    with pytest.raises(ValueError, match="marks"):
        between_marks("", "", "bias")
