"""Trials in TensorBoard: a folder for each, with its curves and hyperparameters."""

import math
import re
import shutil
from collections.abc import Collection
from os import PathLike
from pathlib import Path
from typing import Any

from evotune.checks import user_path
from evotune.integrations.callbacks.tracker import Subject, Tracker, curves, facts, flat
from evotune.trial import Trial

_TRIAL = re.compile(r"trial-(\d+)")


class TensorBoard(Tracker):
    """Logs trials for TensorBoard: ``tensorboard --logdir FOLDER``.

    Each trial is a folder ``NAME-KEY/trial-0003`` in ``folder``, where the key tells studies of one
    name apart: the tabs Time series (or Scalars) and HParams then have all trials. It holds the
    params, those of layers as ``features.0.filters``; the metrics, at the step of the last report;
    what was reported; and, as a text, state, origin and the reason of a failure. A folder of that
    name is complete, and is not written again.

    Args:
        folder: Where the folders of studies are written.
        patience: Seconds that the end of a run waits for what is not logged yet.

    Raises:
        StudyError: TensorBoard or PyTorch is not installed, or an argument cannot be used.

    Example:
        ``study.run(train, trials=60, callbacks=et.callbacks.TensorBoard("runs"))``
    """

    needs = ("tensorboard", "torch")
    extras = "tensorboard,torch"

    def __init__(self, folder: str | PathLike[str] = "runs", *, patience: float = 60.0) -> None:
        super().__init__(patience=patience)
        self.folder = user_path(folder).absolute()
        self._home = Path()

    def open(self, subject: Subject) -> Collection[int]:
        """Return the numbers of the trials that have a folder."""
        name = re.sub(r"[^\w.-]+", "_", subject.name).lstrip(".")[:100]
        self._home = self.folder / f"{name}-{subject.key}"
        self._home.mkdir(parents=True, exist_ok=True)
        found = (_TRIAL.fullmatch(path.name) for path in self._home.iterdir())
        return {int(match[1]) for match in found if match}

    def log(self, trial: Trial) -> None:
        """Write the folder of a trial."""
        from torch.utils.tensorboard import SummaryWriter

        path = self._home / f"trial-{trial.number:04d}"
        part = path.with_name(f".{path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        with SummaryWriter(str(part)) as writer:
            _write(writer, trial)
        part.rename(path)


def _write(writer: Any, trial: Trial) -> None:
    from tensorboard.plugins.hparams.api_pb2 import Status
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
    from torch.utils.tensorboard.summary import hparams

    reported, time = curves(trial), trial.ended
    for name, curve in reported.items():
        for step, value in curve:
            writer.add_scalar(name, value, step, walltime=time)
    last = max((curve[-1][0] for curve in reported.values()), default=0)
    for name, value in trial.metrics.items():
        if (last, value) not in reported.get(name, ()):
            writer.add_scalar(name, value, last, walltime=time)
    metrics = {name: value for name, value in trial.metrics.items() if not math.isnan(value)}
    # The writer's own add_hparams would make another folder in this one, and know of no failure.
    *given, end = hparams(flat(trial.params), metrics)  # type: ignore[no-untyped-call]
    if trial.failure is not None:
        failed = SessionEndInfo(status=Status.Value("STATUS_FAILURE"))
        content = HParamsPluginData(session_end_info=failed).SerializeToString()
        end.value[0].metadata.plugin_data.content = content
    for summary in (*given, end):
        writer.file_writer.add_summary(summary)
    lines = (f"{name}: {value}" for name, value in facts(trial).items())
    writer.add_text("trial", "  \n".join(lines), walltime=time)
