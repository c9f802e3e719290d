"""Certificates of off-policy estimates: `python -m benchmarks.ope` measures them, in about half an hour on two cores.

python -m benchmarks.ope             measures all, and updates benchmarks/ope.json, docs/evaluation/certificate.md and
                                     docs/images/ope-certificate.png
python -m benchmarks.ope --logs 5    makes 5 logs per pair, and 50 for the first pair
python -m benchmarks.ope --resume FILE   also keeps finished parts in a file, and continues from it
python -m benchmarks.ope --page      updates page and figure from benchmarks/ope.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from alsim.arguments import read_rules
from alsim.evaluation.ope.certificate_report import certificate_of
from alsim.evaluation.ope.certificate_runs import CertificatePlan, Found, Part, parts_of, run_parts
from alsim.evaluation.ope.evaluation import ESTIMATORS
from alsim.policies import make_policy
from alsim.utils.workers import usable_cores
from benchmarks.plot import BLUE, GREY, INK, finish
from benchmarks.report import Row, between_marks, judged, markdown, missing

RESULTS = Path(__file__).with_name("ope.json")
DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "evaluation" / "certificate.md", DOCS / "images" / "ope-certificate.png"
LOGS, MORE = 20, 10
"""Logs of each study, and the factor by which the first one has more."""
SEED = 18
FEW = 300
"""Learners of the studies of short logs, whose weights are within the budget all the same."""
RULES = "epsilon-greedy:rules:"
SHOWN = ("pdis", "snpdis", "dr", "wdr", "mis", "window", "fqe")
"""Estimators of the figure and of the tables by pair."""
Z = 1.96


class Study(NamedTuple):
    """One behaviour policy, and its targets."""

    behaviour: str
    targets: tuple[str, ...]
    learners: int
    truth_learners: int = 30_000
    dynamics: str = "standard"
    more: int = 1
    """Factor of the number of logs."""


FIRST = Study(f"{RULES}0.2", (f"{RULES}0.15",), 8000, 200_000, more=MORE)
UNIFORM = Study("uniform", (f"{RULES}1", f"{RULES}0.75", f"{RULES}0.5", f"{RULES}0.2", "rules"), 8000)
STUDIES = (
    Study(f"{RULES}0.2", (f"{RULES}0.18",), FEW),
    Study(f"{RULES}0.2", (f"{RULES}0.15",), FEW, dynamics="bkt"),
    Study(f"{RULES}0.3", (f"{RULES}0.2", f"{RULES}0.1"), 2000),
    Study(f"{RULES}0.1", (f"{RULES}0.2",), 2000),
    Study(f"{RULES}0.2", (f"{RULES}0.15",), 2000, dynamics="fatigue"),
    Study(f"{RULES}0.2", (f"{RULES}0.15",), 2000, dynamics="bkt"),
    Study("epsilon-greedy:weakest:0.2", ("epsilon-greedy:weakest:0.15",), 2000),
    Study("epsilon-greedy:zpd:0.3", ("epsilon-greedy:zpd:0.2", "epsilon-greedy:weakest:0.3"), 2000),
    Study("zpd", ("zpd:0.6",), 2000),
    UNIFORM,
    FIRST,
    Study(f"{RULES}0.2", (f"{RULES}0.1", f"{RULES}0.25"), 8000),
    Study("softmax", ("softmax:0.2", "igw"), 1000, 10_000),
)
"""All studies, in the order of the measurement."""


# ── measurement ──────────────────────────────────────────────────────────────────────────────────


def plan_of(study: Study, logs: int) -> CertificatePlan:
    """Return the plan of a study's certificate."""
    config, bank = read_rules(None, None, study.dynamics)
    return CertificatePlan(
        behaviour=make_policy(study.behaviour),
        targets={name: make_policy(name) for name in study.targets},
        num_learners=study.learners,
        episodes_per_learner=1,
        logs=logs * study.more,
        truth_learners=study.truth_learners,
        seed=SEED,
        estimators=ESTIMATORS,
        gamma=1.0,
        confidence=0.95,
        window=1,
        config=config,
        bank=bank,
        observation="mastery",
        action_mask=None,
    )


class Kept:
    """Finished parts of the work in a file, from which an interrupted measurement continues."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        lines = file.read_text(encoding="utf-8").splitlines() if file is not None and file.is_file() else []
        self._found: list[tuple[str, list[Any], Any]] = [tuple(json.loads(line)) for line in lines]

    def of(self, study: Study) -> dict[Part, Any]:
        """Return the finished parts of a study."""
        own = [(Part(*part), result) for label, part, result in self._found if label == _label(study)]
        return {p: np.array(r) if p.target is not None else [Found(*one) for one in r] for p, r in own}

    def add(self, study: Study, part: Part, result: Any) -> None:
        """Append a finished part to the file."""
        if self._file is not None:
            plain = result if part.target is None else result.tolist()
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([_label(study), part, plain]) + "\n")


def measure(study: Study, logs: int, processes: int, kept: Kept) -> dict[str, Any]:
    """Return the certificate of a study as JSON."""
    plan, began = plan_of(study, logs), time.perf_counter()
    results = {part: result for part, result in kept.of(study).items() if part in parts_of(plan)}
    for part, result in run_parts(plan, [part for part in parts_of(plan) if part not in results], processes):
        results[part] = result
        kept.add(study, part, result)
    print(f"{_label(study)}: {plan.logs} logs, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return certificate_of(plan, results).to_dict()


def unfinished(study: Study, logs: int, kept: Kept) -> dict[str, Any] | None:
    """Return the certificate of the finished logs of a study; None if there are fewer than two."""
    plan, results = plan_of(study, logs), kept.of(study)
    has_truths = all(part in results for part in parts_of(plan) if part.target is not None)
    if not has_truths or sum(part.target is None for part in results) < 2:
        return None
    return certificate_of(plan, results).to_dict()


def write_results(found: Iterable[dict[str, Any] | None]) -> None:
    """Write certificates to the file of results."""
    text = json.dumps([one for one in found if one is not None], indent=1)
    RESULTS.write_text(text + "\n", encoding="utf-8")


def _label(study: Study) -> str:
    return f"{study.behaviour} -> {', '.join(study.targets)}, {study.dynamics}, {study.learners} learners"


# ── page ─────────────────────────────────────────────────────────────────────────────────────────


class Pair(NamedTuple):
    """One target of one certificate."""

    certificate: dict[str, Any]
    target: str

    @property
    def entry(self) -> dict[str, Any]:
        """The target's part of the certificate."""
        return self.certificate["targets"][self.target]  # type: ignore[no-any-return]  # it is JSON

    @property
    def label(self) -> str:
        """The pair in short form, without its dynamics if they are the standard ones."""
        dynamics = self.certificate["dynamics"]
        text = f"{_short(self.certificate['behaviour'])} → {_short(self.target)}"
        text = text if dynamics == "standard" else f"{text}, {dynamics}"
        return f"{text}, {FEW} episodes" if self.certificate["learners"] == FEW else text


def _short(policy: str) -> str:
    """Return the name of a policy in short form: ε .2 for epsilon-greedy:rules:0.2."""
    if policy.startswith(RULES):
        return f"ε {float(policy.removeprefix(RULES)):g}"
    if policy.startswith("epsilon-greedy:"):
        _, base, epsilon = policy.split(":")
        return f"{base} ε {epsilon}"
    return policy


def certificate_for(results: list[dict[str, Any]], study: Study) -> dict[str, Any] | None:
    """Return the certificate of a study; None if it was not measured."""
    wanted = study.behaviour, study.targets, study.dynamics, study.learners
    for one in results:
        if (one["behaviour"], tuple(one["targets"]), one["dynamics"], one["learners"]) == wanted:
            return one
    return None


def pairs_of(results: list[dict[str, Any]]) -> list[Pair]:
    """Return all pairs, that of the first study first."""
    first = certificate_for(results, FIRST)
    ordered = [*([first] if first else []), *(one for one in results if one is not first)]
    return [Pair(certificate, target) for certificate in ordered for target in certificate["targets"]]


def _bias(found: dict[str, Any]) -> str:
    """Return a bias and the standard deviation of the estimates as text."""
    if found["bias"] is None:
        return "–"
    if max(abs(found["bias"]), found["sd"]) >= 1000:
        return "> 1,000"
    return f"{found['bias']:+.1f} ± {found['sd']:.1f}"


def biases(pairs: list[Pair]) -> str:
    """Return the table of biases."""
    rows = [
        [
            pair.label,
            f"{pair.certificate['learners']:,}",
            f"{pair.certificate['logs']}",
            f"{pair.entry['predicted_ess']:,.0f}" if pair.entry["predicted_ess"] >= 1 else "< 1",
            f"{pair.entry['truth']['mean']:.1f} ± {pair.entry['truth']['se']:.1f}",
            *(_bias(pair.entry["estimators"][name]) for name in SHOWN),
        ]
        for pair in pairs
    ]
    return markdown(["log → target", "episodes", "logs", "predicted ESS", "true value", *SHOWN], rows)


def coverages(pairs: list[Pair]) -> str:
    """Return the table of the coverage of the 95 % intervals, and of what was recommended."""
    names = [name for name in SHOWN if name != "fqe"]
    rows = []
    for pair in pairs:
        chosen = pair.entry["recommended"]
        counts = ", ".join(f"{name} {count}" for name, count in chosen["counts"].items())
        none = f"none {chosen['none']}" if chosen["none"] else ""
        error = chosen["mean_absolute_error"]
        rows.append(
            [
                pair.label,
                *(_share(pair.entry["estimators"][name]["coverage"]) for name in names),
                ", ".join(filter(None, (counts, none))),
                "–" if error is None else f"{error:.1f}",
                _share(chosen["coverage"]),
            ]
        )
    return markdown(["log → target", *names, "recommended (logs)", "its absolute error", "its coverage"], rows)


def _share(found: dict[str, Any] | None) -> str:
    return "–" if found is None else f"{found['mean']:.2f}"


def ranks(results: list[dict[str, Any]]) -> str:
    """Return the table of rank correlations and regrets of the certificates with several targets."""
    rows = []
    for certificate in results:
        for name in SHOWN:
            if (found := certificate["ranking"].get(name)) is not None:
                regret = found["regret"]
                rows.append(
                    [
                        f"{_short(certificate['behaviour'])} → {len(certificate['targets'])} targets",
                        name,
                        "–" if found["correlation"]["mean"] is None else f"{found['correlation']['mean']:.2f}",
                        f"{regret['1']['mean']:.1f}",
                        f"{regret['2']['mean']:.1f}" if "2" in regret else "–",
                    ]
                )
    return markdown(["log", "estimator", "rank correlation", "regret@1", "regret@2"], rows, left=(0, 1))


NEAR, COVERED, UPPER = "ε .2 → .15, absolute bias of `dr`", "the same, coverage of its 95 % intervals", "the same"
FAR, RANKED = "uniform → five ε, largest absolute bias of `mis`", "uniform → five ε, rank correlation of `mis`"
UNSUITABLE = "uniform → `rules`, logs that recommend family importance"


def claims(results: list[dict[str, Any]]) -> list[Row]:
    """Return the claims of the documentation with their targets."""
    return [*_near_claims(certificate_for(results, FIRST)), *_far_claims(certificate_for(results, UNIFORM))]


def _near_claims(found: dict[str, Any] | None) -> list[Row]:
    """Return the claims about a target within the budget."""
    if found is None:
        return [missing(NEAR, "", "≤ 0.5"), missing(COVERED, "", "≥ 0.9"), missing(UPPER, "", "≤ 0.99")]
    dr = found["targets"][FIRST.targets[0]]["estimators"]["dr"]
    low, high = dr["coverage"]["ci"]
    spread = f"of {found['logs']} logs; Wilson's interval {low:.3f} to {high:.3f}"
    return [
        judged(NEAR, abs(dr["bias"]), "≤ 0.5", spread=f"se {dr['bias_se']:.2f}"),
        judged(COVERED, dr["coverage"]["mean"], "≥ 0.9", spread=spread),
        judged(UPPER, dr["coverage"]["mean"], "≤ 0.99"),
    ]


def _far_claims(found: dict[str, Any] | None) -> list[Row]:
    """Return the claims about targets far beyond the budget."""
    if found is None:
        return [missing(FAR, "", "≤ 6"), missing(RANKED, "", "≥ 0.9"), missing(UNSUITABLE, "", "≤ 0")]
    mis = {target: _size(entry, "mis") for target, entry in found["targets"].items()}
    worst = max(mis, key=lambda target: mis[target])
    correlation = found["ranking"].get("mis", {}).get("correlation", {}).get("mean") or 0.0
    chosen = found["targets"]["rules"]["recommended"]["counts"]
    wrong = sum(count for name, count in chosen.items() if _family(found, name) == "importance")
    return [
        judged(FAR, mis[worst], "≤ 6", spread=f"of {_short(worst)}, {found['logs']} logs"),
        judged(RANKED, correlation, "≥ 0.9"),
        judged(UNSUITABLE, wrong, "≤ 0"),
    ]


def _size(entry: dict[str, Any], name: str) -> float:
    """Return the magnitude of an estimator's bias; one that was never defined counts as an estimate of 0."""
    bias = entry["estimators"][name]["bias"]
    return abs(float(entry["truth"]["mean"] if bias is None else bias))


def _family(certificate: dict[str, Any], name: str) -> str:
    return str(next(iter(certificate["targets"].values()))["estimators"][name]["family"])


def page_of(text: str, results: list[dict[str, Any]]) -> str:
    """Return the text of the page with the tables between their marks."""
    pairs = pairs_of(results)
    table = markdown(["claim", "measured", "target", "met?"], [[*row[:4]] for row in claims(results)])
    for name, part in {
        "claims": table,
        "bias": biases(pairs),
        "coverage": coverages(pairs),
        "ranks": ranks(results),
    }.items():
        text = between_marks(text, part, name)
    return text


def draw(results: list[dict[str, Any]]) -> Figure:
    """Return the figure: one panel per estimator, one row per pair; the bias with its 95 % interval."""
    pairs = pairs_of(results)
    figure = Figure(figsize=(12.0, 1.2 + 0.27 * len(pairs)), dpi=160, layout="constrained")
    panels = figure.subplots(1, len(SHOWN), sharey=True)
    for axes, name in zip(panels, SHOWN, strict=True):
        for row, pair in enumerate(pairs):
            found = pair.entry["estimators"][name]
            if found["bias"] is None:
                continue
            most = max(pair.entry["recommended"]["counts"].items(), key=lambda item: item[1], default=("", 0))[0]
            colour = BLUE if name == most else GREY
            axes.errorbar(
                *(found["bias"], row), xerr=Z * found["bias_se"], fmt="o", color=colour, markersize=4, capsize=2
            )
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(-200, 200)
        axes.set_xticks([-100, -10, -1, 0, 1, 10, 100], ["-100", "-10", "-1", "0", "1", "10", "100"])
        axes.tick_params(axis="x", labelsize=7, rotation=90)
        axes.set_yticks(range(len(pairs)), [pair.label for pair in pairs])
        finish(axes, name)
        axes.tick_params(axis="x", labelsize=7)
    panels[0].set_ylim(len(pairs) - 0.5, -0.5)
    figure.supxlabel("bias, units of reward; blue: the recommended estimator", fontsize=9, color=INK)
    return figure


def main() -> None:
    """Measure, and update page and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="update page and figure only; with --resume, from its file")
    parser.add_argument("--logs", type=int, default=LOGS, help=f"logs per pair; the first has {MORE} times as many")
    parser.add_argument("--processes", type=int, default=usable_cores(), help="number of processes")
    parser.add_argument("--resume", type=Path, help="file with finished parts: continue from it, and add to it")
    options = parser.parse_args()
    kept = Kept(options.resume)
    if not options.page:
        found: list[dict[str, Any]] = []
        for study in STUDIES:
            found.append(measure(study, options.logs, options.processes, kept))
            write_results(found)
    elif options.resume is not None:
        write_results(unfinished(study, options.logs, kept) for study in STUDIES)
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(page_of(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    draw(results).savefig(PICTURE)


if __name__ == "__main__":
    main()
