"""The configuration of a training run: its sections, how it is loaded, and what is said of one that is wrong."""

from train.config.loading import load_config
from train.config.problems import ConfigError
from train.config.sections import TrainConfig

__all__ = ["ConfigError", "TrainConfig", "load_config"]
