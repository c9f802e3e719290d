"""Off-policy evaluation: the value of a policy from logs of other policies."""

from alsim.evaluation.ope.bandit import dm, dros, ips, sndr, snips, switch
from alsim.evaluation.ope.certificate import certify, certify_dataset
from alsim.evaluation.ope.certificate_report import Certificate
from alsim.evaluation.ope.diagnosis import Diagnosis, diagnose
from alsim.evaluation.ope.engine_logs import EngineEpisodes
from alsim.evaluation.ope.estimate import Estimate
from alsim.evaluation.ope.evaluation import ESTIMATORS, Evaluation
from alsim.evaluation.ope.fitted_q import ActionValues, fitted_q, fqe
from alsim.evaluation.ope.intervals import ClippingBias, bernstein, bootstrap, clipping_bias, hoeffding
from alsim.evaluation.ope.joined import JoinedLog
from alsim.evaluation.ope.marginalised import mis
from alsim.evaluation.ope.propensities import Propensities, estimate_propensities
from alsim.evaluation.ope.sequential import dr, pdis, snpdis, sntis, tis, wdr, window
from alsim.evaluation.ope.simulated import SimulatedLog
from alsim.evaluation.ope.sources import evaluate
from alsim.evaluation.ope.tables import TableLog
from alsim.evaluation.ope.tuning import slope
from alsim.responses.named_columns import FileOptions

__all__ = [
    "ESTIMATORS",
    "ActionValues",
    "Certificate",
    "ClippingBias",
    "Diagnosis",
    "EngineEpisodes",
    "Estimate",
    "Evaluation",
    "FileOptions",
    "JoinedLog",
    "Propensities",
    "SimulatedLog",
    "TableLog",
    "bernstein",
    "bootstrap",
    "certify",
    "certify_dataset",
    "clipping_bias",
    "diagnose",
    "dm",
    "dr",
    "dros",
    "estimate_propensities",
    "evaluate",
    "fitted_q",
    "fqe",
    "hoeffding",
    "ips",
    "mis",
    "pdis",
    "slope",
    "sndr",
    "snips",
    "snpdis",
    "sntis",
    "switch",
    "tis",
    "wdr",
    "window",
]
