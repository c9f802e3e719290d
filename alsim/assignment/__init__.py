"""Assignment of students to the arms of experiments, and logs of who was exposed to which arm."""

from alsim.assignment.errors import AssignmentError
from alsim.assignment.experiment import OUTSIDE, Experiment
from alsim.assignment.exposure_log import ExposureLog
from alsim.assignment.exposures import Exposure, Exposures
from alsim.assignment.files import experiments_of, experiments_toml, read_experiments

__all__ = [
    "OUTSIDE",
    "AssignmentError",
    "Experiment",
    "Exposure",
    "ExposureLog",
    "Exposures",
    "experiments_of",
    "experiments_toml",
    "read_experiments",
]
