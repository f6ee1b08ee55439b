"""Trials in Weights & Biases: a run for each, in a group for the study."""

from collections.abc import Collection
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from evotune.checks import user_path
from evotune.errors import StudyError
from evotune.integrations.callbacks.tracker import Subject, Tracker, check_there, facts, flat
from evotune.trial import Trial

Mode = Literal["online", "offline", "shared"]

#: What each trial's run has of its own.
_OURS = frozenset({"id", "group", "name", "job_type", "config", "resume", "reinit", "settings"})


class WandB(Tracker):
    """Logs trials to Weights & Biases.

    Each trial is a run ``trial-3`` in the group ``NAME-KEY``, where the key tells studies of one
    name apart. Its config has the params, those of layers as ``features.0.filters``, and under
    ``evotune`` what else is known of the study and the trial, as the reason of a failure; its
    history what was reported, with the steps as ``step``; its summary the metrics. A failed trial
    is a failed run. Numbers of logged trials are written to a file ``wandb/evotune-KEY.txt`` in
    ``folder``, so that none is logged twice; from another folder, a trial lands in the same run.
    A run of your own that is active in this process is left alone.

    Args:
        project: Name of the project.
        folder: Where W&B keeps its folder ``wandb``.
        mode: ``"online"`` or ``"offline"`` (then ``wandb sync`` uploads); by default as W&B's own
            settings say.
        patience: Seconds that the end of a run waits for what is not logged yet.
        **options: More for ``wandb.init``, such as ``entity="lab"`` and ``tags=["first"]``.

    Raises:
        StudyError: W&B is not installed, or an argument cannot be used.

    Example:
        ``study.run(train, trials=60, callbacks=et.callbacks.WandB("digits", mode="offline"))``
    """

    needs = ("wandb",)
    extras = "wandb"

    def __init__(
        self,
        project: str = "evotune",
        *,
        folder: str | PathLike[str] = ".",
        mode: Mode | None = None,
        patience: float = 60.0,
        **options: Any,
    ) -> None:
        super().__init__(patience=patience)
        if mode not in (None, "online", "offline", "shared"):
            raise StudyError(f'mode= is "online" or "offline", or is left out; got {mode!r}')
        if clash := sorted(_OURS & options.keys()):
            raise StudyError(
                f"WandB sets {', '.join(clash)} for each trial itself; leave that out, and give "
                "project=, entity=, tags= or notes="
            )
        self.folder = user_path(folder).absolute()
        self._options = {"project": project, "mode": mode, "dir": str(self.folder), **options}
        self._subject: Subject | None = None
        self._logged = Path()

    def open(self, subject: Subject) -> Collection[int]:
        """Return the numbers of the trials that were logged from this folder."""
        self._check_there()
        self._subject = subject
        self._logged = self.folder / "wandb" / f"evotune-{subject.key}.txt"
        self._logged.parent.mkdir(parents=True, exist_ok=True)
        text = self._logged.read_text("utf-8") if self._logged.exists() else ""
        return {int(line) for line in text.splitlines() if line.isdecimal()}

    def log(self, trial: Trial) -> None:
        """Log a trial as one run."""
        import wandb

        self._check_there()
        subject = self._subject
        assert subject is not None  # open() comes first
        known = {"study": subject.name, **subject.facts, **facts(trial)}
        run = wandb.init(
            **self._options,
            id=f"{subject.key}-{trial.number}",
            group=f"{subject.name[:100]}-{subject.key}",
            name=f"trial-{trial.number}",
            job_type="trial",
            config={**flat(trial.params), "evotune": known},
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                x_disable_stats=True,
                init_timeout=30,
                finish_timeout=60,  # otherwise a server that goes away is waited for without end
                finish_timeout_raises=True,
            ),
        )
        try:
            run.define_metric("*", step_metric="step")
            for report in trial.reports:
                run.log(dict(report))
            run.summary.update({**trial.metrics, "state": trial.state})
        finally:
            run.finish(exit_code=int(trial.state == "failed"))
        with self._logged.open("a", encoding="utf-8") as file:
            file.write(f"{trial.number}\n")

    def _check_there(self) -> None:
        """Raise an error where W&B would ask for a key in the terminal, or wait for its server."""
        import wandb

        settings = wandb.setup().settings
        if (self._options["mode"] or settings.mode) not in ("online", "shared"):
            return
        check_there(settings.base_url)
        try:
            has_key = wandb.login(prompt=False, verify=False)
        except TypeError:  # an earlier version, which asks in the terminal
            has_key = wandb.login(timeout=1)
        if not has_key:
            raise PermissionError('no key of W&B: run "wandb login", or write mode="offline"')
