"""Command `alsim audit`: whether a reward rewards learning, and whether the goal of mastery can be reached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.evaluation_options import (
    REACH,
    FirstLearnerOption,
    OptionalPoliciesArgument,
    ThreadsOption,
    episodes_progress,
)
from alsim.cli.help import examples
from alsim.cli.options import (
    BankOption,
    ConfigOption,
    DynamicsOption,
    ForceOption,
    ImportOption,
    JsonOption,
    Observation,
    ObservationOption,
    SeedOption,
)
from alsim.cli.output import counted, print_facts, print_sentence, write_report
from alsim.cli.rules import print_learner_facts
from alsim.evaluation.defaults import AUDIT_LEARNERS

FLAG = "*"
LEGEND = f"{FLAG} earns without teaching: its return is above that of uniform, and its learning is not, by intervals."

Report = Mapping[str, Any]


@app.command(
    short_help="Audit a reward: find policies that earn it without teaching.",
    epilog=examples(
        "alsim audit",
        "alsim audit rules weakest video-weakest --learners 500 --plot audit.svg",
        "alsim audit --config mine.toml --goal 0.6 --json audit.json",
    ),
)
def audit(
    policies: OptionalPoliciesArgument = None,
    goal: Annotated[
        float | None,
        typer.Option("--goal", metavar="M", show_default="the mastery threshold", help="Mean mastery to reach."),
    ] = None,
    learners: Annotated[int, typer.Option("--learners", metavar="N", help="Number of learners.")] = AUDIT_LEARNERS,
    seed: SeedOption = 0,
    first_learner: FirstLearnerOption = 2**31,
    config: ConfigOption = None,
    bank: BankOption = None,
    dynamics: DynamicsOption = None,
    imports: ImportOption = None,
    observation: ObservationOption = Observation.mastery,
    num_threads: ThreadsOption = 1,
    force: ForceOption = False,
    report: JsonOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw return against learning: .png, .svg, .pdf.")
    ] = None,
) -> None:
    """Find out whether a reward rewards learning, and whether the goal of mastery can be reached.

    Every policy teaches the same held-out learners. The rank correlation of return and learning over the policies shows
    whether the reward leads to learning.
    """
    from alsim.evaluation.reward_audit import audit as run
    from alsim.evaluation.reward_audit import without_arguments
    from alsim.training.seed_groups import expanded

    names = expanded(policies) if policies else without_arguments()
    with episodes_progress(learners * (1 + len({*names, "uniform"}))) as progress:
        found = run(
            names,
            goal=goal,
            learners=learners,
            seed=seed,
            first_learner=first_learner,
            config=config,
            bank=bank,
            dynamics=dynamics,
            observation=observation.value,
            num_threads=num_threads,
            progress=progress,
        )
    result = found.to_dict()
    print_sentence(f"{counted(learners, 'held-out learner')}, seed {seed}, one episode each; {REACH}")
    print_learner_facts(found.setting.config.to_dict())
    result["verdict"] = _print_audit(result)
    if plot is not None:
        from alsim.cli.audit_plot import draw_audit

        draw_audit(plot, result)
        print(f"{plot}: return and learning of the policies")
    write_report(report, result)


def _print_audit(result: Report) -> str:
    """Print the policies under both rewards, the goal and the verdict; return the verdict."""
    from alsim.cli.comparison_text import print_blocks

    print()
    print_blocks(*_table(result, "return", result["earns_without_teaching"]))
    if result["earns_without_teaching"]:
        print_sentence(LEGEND)
    print()
    print_sentence(_correlation(result["rank_correlation"], "the configured reward"))
    print()
    print("With the reward 'learning':")
    print_blocks(*_table(result, "learning", result["under_learning"]["earns_without_teaching"]))
    print()
    print_sentence(_correlation(result["under_learning"]["rank_correlation"], "the reward 'learning'"))
    print()
    print("Goal:")
    print_facts(_goal_facts(result["goal"]))
    print()
    verdict = verdict_of(result)
    print_sentence(verdict)
    return verdict


def _table(result: Report, earned: str, flagged: list[str]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the policies, the highest return first.

    earned  key of the statistic that is the return: "return", or "learning" under this reward
    """
    from alsim.cli.comparison_text import from_columns, statistics_column

    policies = result["policies"]
    order = sorted(policies, key=lambda name: -float(policies[name][earned]["mean"]))
    shown = (("return", earned), ("learning, LOs", "learning"), ("final mastery", "final_mastery"))
    columns = [statistics_column(heading, [policies[name][key] for name in order]) for heading, key in shown]
    marks = ["", *(FLAG if name in flagged else "" for name in order)]
    return from_columns(["policy", *order], *columns, marks)


def _correlation(found: Report, reward: str) -> str:
    """Return a sentence about the rank correlation."""
    if found["value"] is None:
        return f"Under {reward}, the rank correlation of return and learning is undefined."
    text = f"Under {reward}, the rank correlation of return and learning over the policies is {found['value']:.2f}"
    if found["ci"] is None:
        return f"{text}."
    low, high = found["ci"]
    return f"{text} (95 % interval {low:.2f} to {high:.2f})."


def _goal_facts(goal: Report) -> list[tuple[str, str]]:
    """Return what is known about the goal as labels and texts."""
    bound, needed = goal["upper_bound"], goal["steps_needed"]
    words = {True: "yes", False: "no: an upper bound of all policies is below it", None: "unknown"}
    return [
        ("mean mastery", f"{goal['mastery']:g} within {goal['steps']:,} interactions"),
        ("feasible", words[goal["feasible"]]),
        ("upper bound", "none for this dynamics" if bound is None else f"{bound:.3f}"),
        ("best", f"{goal['best_mastery']:.3f}, {goal['best_policy']}"),
        ("needed", "not reached" if needed is None else f"{needed:,} interactions by {goal['best_policy']}"),
    ]


def verdict_of(result: Report) -> str:
    """Return a sentence: whether the goal can be reached, and how much the highest return has to do with learning."""
    goal, policies = result["goal"], result["policies"]
    feasible = {
        True: f"mastery {goal['mastery']:g} is reached in {goal['steps']:,} interactions",
        False: f"mastery {goal['mastery']:g} is out of reach in {goal['steps']:,} interactions",
        None: f"it is not known whether mastery {goal['mastery']:g} can be reached in {goal['steps']:,} interactions",
    }[goal["feasible"]]
    earns = max(policies, key=lambda name: float(policies[name]["return"]["mean"]))
    teaches = max(policies, key=lambda name: float(policies[name]["learning"]["mean"]))
    best, other = policies[earns], policies[teaches]
    start = f"{feasible[0].upper()}{feasible[1:]}; {earns}"
    if other["learning"]["mean"] <= 0:
        return f"{start} earns most, {best['return']['mean']:.1f}, but no policy teaches."
    if earns == teaches:
        return f"{start} has both the highest return and the most learning."
    share = best["learning"]["mean"] / other["learning"]["mean"]
    times = best["return"]["mean"] / other["return"]["mean"] if other["return"]["mean"] > 0 else None
    more = "" if times is None else f", {times:.1f} times the return of {teaches}"
    return (
        f"{start} earns most, {best['return']['mean']:.1f}{more}, and teaches "
        f"{100 * share:.0f} % of what {teaches} teaches."
    )
