"""The public names for type checkers and editors; ``__init__.py`` loads them lazily."""

from evotune.integrations.callbacks.mlflow import MLflow as MLflow
from evotune.integrations.callbacks.tensorboard import TensorBoard as TensorBoard
from evotune.integrations.callbacks.tracker import Tracker as Tracker
from evotune.integrations.callbacks.wandb import WandB as WandB
