"""Training: the loop, and one dictionary in training."""

from monosema.training.dead_features import DeadFeatures
from monosema.training.learner import Learner, NonFiniteLoss
from monosema.training.loop import Observer, train
from monosema.training.observers import JsonlLog, ProgressBar, TensorBoardLog, WandbLog

__all__ = [
    "DeadFeatures",
    "JsonlLog",
    "Learner",
    "NonFiniteLoss",
    "Observer",
    "ProgressBar",
    "TensorBoardLog",
    "WandbLog",
    "train",
]
