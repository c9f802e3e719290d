"""Deep knowledge tracing: a recurrent network that reads a student's responses and forecasts the next one.

Fitting needs PyTorch, the extra `dkt`; what has been fitted forecasts, tracks, saves and loads without.

Source: Piech et al. (2015), Deep knowledge tracing, NIPS 28.
"""

from alsim.models.dkt.fitted import DKTFit, DKTTracker
from alsim.models.dkt.fitting import fit

__all__ = ["DKTFit", "DKTTracker", "fit"]
