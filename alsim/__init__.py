"""alsim: a vectorized simulator for adaptive learning.

It runs a teaching policy on millions of simulated learners in seconds, before the policy is tried on students.
Importing the package registers the environment `alsim/AdaptiveLearning-v0` with Gymnasium. The public names and
subpackages, and numba, pyarrow and other dependencies with them, are imported on first use.
"""

from typing import TYPE_CHECKING

from alsim._version import __version__
from alsim.envs.registration import register as _register
from alsim.utils.lazy import attach as _attach

if TYPE_CHECKING:
    from alsim import assignment as assignment
    from alsim import curriculum as curriculum
    from alsim import dynamics as dynamics
    from alsim import engine as engine
    from alsim import envs as envs
    from alsim import evaluation as evaluation
    from alsim import models as models
    from alsim import numerics as numerics
    from alsim import policies as policies
    from alsim import testing as testing
    from alsim import training as training
    from alsim import types as types
    from alsim.bank.files import complete_bank, load_bank, save_bank
    from alsim.bank.items import Bank, BankError, sample_bank
    from alsim.config import Config, ConfigError, Population, PopulationError
    from alsim.datasets.export import export_dataset, to_obp, to_scope_rl, to_torchrl
    from alsim.datasets.generate import generate_dataset
    from alsim.datasets.store import Dataset, DatasetError, load_dataset
    from alsim.dynamics import register_dynamics
    from alsim.envs import AdaptiveLearningEnv, AdaptiveLearningVectorEnv
    from alsim.envs.snapshots import Snapshot
    from alsim.errors import AlsimError
    from alsim.jit.compile import rule
    from alsim.mdp.actions import DecodedAction, decode_action, encode_action
    from alsim.policies import Policy, make_policy, register_policy
    from alsim.precompile import warmup
    from alsim.rollouts.rollout import Rollout, rollout
    from alsim.types import Buffers

_HOMES = {
    "AdaptiveLearningEnv": "alsim.envs",
    "AdaptiveLearningVectorEnv": "alsim.envs",
    "AlsimError": "alsim.errors",
    "Bank": "alsim.bank.items",
    "BankError": "alsim.bank.items",
    "Buffers": "alsim.types",
    "Config": "alsim.config",
    "ConfigError": "alsim.config",
    "Dataset": "alsim.datasets.store",
    "DatasetError": "alsim.datasets.store",
    "DecodedAction": "alsim.mdp.actions",
    "Policy": "alsim.policies",
    "Population": "alsim.config",
    "PopulationError": "alsim.config",
    "Rollout": "alsim.rollouts.rollout",
    "Snapshot": "alsim.envs.snapshots",
    "complete_bank": "alsim.bank.files",
    "decode_action": "alsim.mdp.actions",
    "encode_action": "alsim.mdp.actions",
    "export_dataset": "alsim.datasets.export",
    "generate_dataset": "alsim.datasets.generate",
    "load_bank": "alsim.bank.files",
    "load_dataset": "alsim.datasets.store",
    "make_policy": "alsim.policies",
    "register_dynamics": "alsim.dynamics",
    "register_policy": "alsim.policies",
    "rollout": "alsim.rollouts.rollout",
    "rule": "alsim.jit.compile",
    "sample_bank": "alsim.bank.items",
    "save_bank": "alsim.bank.files",
    "to_obp": "alsim.datasets.export",
    "to_scope_rl": "alsim.datasets.export",
    "to_torchrl": "alsim.datasets.export",
    "warmup": "alsim.precompile",
}

__all__ = [
    "AdaptiveLearningEnv",
    "AdaptiveLearningVectorEnv",
    "AlsimError",
    "Bank",
    "BankError",
    "Buffers",
    "Config",
    "ConfigError",
    "Dataset",
    "DatasetError",
    "DecodedAction",
    "Policy",
    "Population",
    "PopulationError",
    "Rollout",
    "Snapshot",
    "__version__",
    "complete_bank",
    "decode_action",
    "encode_action",
    "export_dataset",
    "generate_dataset",
    "load_bank",
    "load_dataset",
    "make_policy",
    "register_dynamics",
    "register_policy",
    "rollout",
    "rule",
    "sample_bank",
    "save_bank",
    "to_obp",
    "to_scope_rl",
    "to_torchrl",
    "warmup",
]

_MODULES = (
    *(
        "assignment",
        "curriculum",
        "dynamics",
        "engine",
        "envs",
        "evaluation",
        "models",
        "numerics",
        "policies",
        "testing",
    ),
    *("training", "types"),
)
"""Public subpackages and modules, imported on first use."""

__getattr__, __dir__ = _attach(__name__, _HOMES, submodules=_MODULES)

_register()
