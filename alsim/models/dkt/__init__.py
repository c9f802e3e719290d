"""Deep knowledge tracing: a recurrent network that reads a student's responses and forecasts the next one.

Fitting needs PyTorch, the optional dependency `dkt`. Forecasting, tracking, saving and loading do not need it.

Source: Piech et al. (2015), Deep knowledge tracing, NIPS 28.
"""

from alsim.models.dkt.estimation import fit
from alsim.models.dkt.result import DKTFit
from alsim.models.dkt.tracker import DKTTracker

__all__ = ["DKTFit", "DKTTracker", "fit"]
