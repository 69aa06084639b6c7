"""The configuration of a training run: its sections, how it is loaded, and how its problems are worded."""

from train.config.loading import load_config
from train.config.problems import ConfigError
from train.config.sections import TrainConfig

__all__ = ["ConfigError", "TrainConfig", "load_config"]
