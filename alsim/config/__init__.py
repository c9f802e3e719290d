"""The configuration of a simulator: every hyperparameter, with one definition each."""

from alsim.config.population import Population, PopulationError, columns_of
from alsim.config.settings import (
    BANK_KEYS,
    CONFIG_PRESETS,
    MOST_STEPS,
    REWARD_PRESETS,
    Config,
    ConfigError,
    Irt,
    RewardConfig,
    Split,
    TerminationConfig,
    default_toml,
    preset_toml,
)
from alsim.config.units import IndependentUnit, class_of, independent_unit

__all__ = [
    "CONFIG_PRESETS",
    "BANK_KEYS",
    "MOST_STEPS",
    "REWARD_PRESETS",
    "Config",
    "ConfigError",
    "IndependentUnit",
    "Irt",
    "Population",
    "PopulationError",
    "RewardConfig",
    "Split",
    "TerminationConfig",
    "class_of",
    "columns_of",
    "default_toml",
    "preset_toml",
    "independent_unit",
]
