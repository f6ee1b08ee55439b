"""SupervisedTask: train a PyTorch model on given data with a trial's genes, and measure it."""

import inspect
import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from evotune.architectures.network import Network
from evotune.architectures.templates import template_of
from evotune.checks import is_number, option
from evotune.errors import StudyError, TaskError
from evotune.once import warn_once
from evotune.protocols import TaskTraits
from evotune.reading import ReadParams
from evotune.running import RunningTrial, check_purpose
from evotune.schedules.schedule import Schedule
from evotune.space.scheduled import is_record
from evotune.training.averaging import (
    HALF_LIFE,
    Average,
    Averaging,
    AveragingOption,
    check_averaging,
    check_half_life,
)
from evotune.training.costs import measured_costs, names_of_costs
from evotune.training.data import (
    Data,
    InMemory,
    Loaded,
    Named,
    Source,
    batches,
    check_data,
    check_parts,
    joined,
    load,
    part,
    reads_params,
    reseed,
    steps_in,
)
from evotune.training.ensemble import Ensemble, loss_of_each
from evotune.training.losses import Loss, find_loss
from evotune.training.metrics import Metrics, find_metrics, measure
from evotune.training.new_models import check_new
from evotune.training.optimizers import (
    build_optimizer,
    find_optimizer,
    gene_names,
    hint_for,
    is_factory,
)
from evotune.training.params import call, check_all_used, declared_names
from evotune.training.scheduled import schedule_of, starts_of
from evotune.training.seeds import seed_torch
from evotune.training.sparsity import Sparsifier, check_sparsity
from evotune.training.trainer import Setup, noise, predict, timed, train_epoch
from evotune.trial import DEVICE_VARIABLE, Purpose, Trial

log = logging.getLogger("evotune")

#: Seed of everything that must be equal in all trials and processes: loading (which may split data
#: at random), and the noise on the inputs.
FIXED_SEED = 0
#: What `SupervisedTask.fit` may train on.
_PARTS = ("train", "train+validation")


@dataclass(frozen=True, eq=False)
class SupervisedTask:
    """An evaluate function that trains a PyTorch model and measures it on validation data.

    Genes take effect by their names. Those named like an argument of the optimizer (``lr``,
    ``learning_rate``, ``momentum``, ``weight_decay``, ``beta1``, ...) are passed to it;
    ``optimizer``, ``batch_size``, ``epochs``, ``sparsity`` and ``half_life`` replace the task's
    arguments; all others are for the factories, which receive the trial's params. An active gene
    that nothing has read when training starts is an error.

    A `Scheduled` gene that is named like an argument of the optimizer, or ``sparsity``, is set
    before each epoch. Its schedule is as long as the gene ``epochs`` or the task's ``epochs``,
    whatever the budget of a trial is: budgets are parts of a line of weights whose end no trial
    knows. So give the epochs of the whole line, with `SuccessiveHalving` its maximum. A trial that
    inherits goes on at its epoch of the line. The model and the optimizer are built with its start.

    If trials inherit weights, a trial continues from its donor's model, optimizer and scheduler,
    with its own genes. A model of a template may have other layers than the donor's: the donor's
    weights are carried over (up to 500 training examples measure its batch normalisation), and
    optimizer and scheduler start afresh. Of other models, genes that change the shapes of weights
    must stay fixed. A member with several networks trains each separately and is measured by their
    averaged predictions.

    On the CPU a trial gives the same metrics each time it is run; the global random state is
    restored afterwards. A training loss that becomes NaN or infinite ends the trial at once.

    Args:
        model: Function of params that returns a new model, with its own weights. That of a
            template, such as `image_classifier`, given as it is, also keeps proposals to its
            limits.
        loss: ``"cross_entropy"``, ``"nll"``, ``"bce"``, ``"bce_with_logits"``, ``"mse"``, ``"l1"``,
            ``"smooth_l1"``, ``"huber"``, or a function of (output, target). The validation loss is
            computed from all examples at once.
        optimizer: Name such as ``"sgd"`` or ``"adamw"``, a class, or a function of (parameters,
            params) that returns an optimizer and reads its genes from params itself.
        train: Pair (inputs, targets) of arrays or tensors, a Dataset, a DataLoader, or a function
            that returns one of these. One without arguments is called once per process, one of the
            trial's params whenever the genes that it read have changed (such a gene may set the
            length of a window, or how examples are augmented); always with the same torch seed.
            Arrays of float64 become float32, integer targets int64; nothing is rescaled.
        validation: Data on which the metrics are measured; a function, too, if you like.
        test: Data for further metrics ``test_loss``, ``test_accuracy`` and so on.
        batch_size: Examples in a training batch. A DataLoader keeps its own.
        evaluation_batch_size: Examples in a batch of validation or test data.
        epochs: Epochs to train if there is neither a budget of the algorithm nor a gene ``epochs``.
        scheduler: Function of (optimizer, params) or of (optimizer) that returns a learning-rate
            scheduler, stepped once per epoch. ``ReduceLROnPlateau`` gets the training loss. In a
            population it goes on along the line of weights, and a gene ``lr`` is the base rate;
            write it as long as the whole run.
        metrics: Names out of ``accuracy``, ``f1``, ``auc``, ``precision``, ``recall``, ``mse``,
            ``mae`` and ``r2``, or a mapping of names to these or to functions of (output, target),
            which see all validation examples at once. Means over classes are unweighted
            ("macro"), also with two classes. Default: accuracy, or none for a regression loss.
        robustness: Standard deviation of Gaussian noise on the inputs, or a function that changes
            inputs. Then the metric ``robustness`` is the first metric (without any, the loss)
            under changed inputs; the noise is the same in every trial.
        validate_every: Number of epochs after which the validation metrics are reported each time;
            None means only at the end, to save time, or every epoch if there is a stopping rule.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ... or ``"auto"``: CUDA if available. By
            default `RunningTrial.device`: what ``devices=`` of a run gives its worker, else as
            ``"auto"``.
        fidelity: Meaning of a trial's budget: ``"epochs"``, or ``"data"``, a share of the training
            data in (0, 1], on which fresh weights are trained for the task's own epochs. Larger
            shares contain the smaller ones. Use it with ``SuccessiveHalving(..., minimum=1/27,
            maximum=1, resume=False)``.
        genes: Names of genes that are used elsewhere, so that they do not raise an error.
        costs: Further metrics of the trained model, each for one example: ``"multiply_adds"``,
            ``"memory"`` (bytes) and ``"latency"`` (median seconds of a forward pass on the task's
            device, measured in about half a second; trials that run beside it disturb it). See
            `evotune.cost`.
        sparsity: Share of weights, in [0, 1), that are removed while the network is trained: a
            number, which is reached by three quarters of the trial's epochs along a cubic curve, or
            a `Schedule` of the gene ``sparsity`` over the epochs of the line of weights, such as
            ``Schedule.cubic("sparsity", 0.9, epochs=20)``. The smallest weights of linear,
            convolutional and recurrent layers and attention go, over all layers together; biases,
            norms, embeddings and what is not trained stay. The networks of an ensemble are pruned
            each by itself. What is measured and kept is a plain network with zeros, and the metric
            ``sparsity`` is the exact share of zeros in these weights. Weights that are taken over
            are pruned further, or come back from zero. See `evotune.training.sparsity.Sparsifier`.
        averaging: ``"auto"`` is ``"ema"`` for the members of a population whose weights and genes
            evolve, and for what `Study.replay` trains beside it, else None; of data that are a
            stream it is None. ``"ema"`` measures, keeps and returns a moving average of the weights
            over the steps of training instead of the weights themselves, ``"swa"`` the mean over
            the second half of each trial's steps; training goes on with the weights themselves,
            which are handed on together with the average. Averages are better than the last
            weights, and what evolves learning rates by them does not lower these too early. None
            measures the weights. See `evotune.training.averaging.Average`.
        half_life: Of ``"ema"``: epochs after which the share of weights in the average has halved,
            by default 0.35 (a time constant of half an epoch). A gene ``half_life`` replaces it.
        keep: Which weights the study keeps for `Study.restore`, whatever the algorithm: those of
            its ``"best"`` trial, of all on the ``"front"``, or of ``"all"`` trials; None: only
            weights that other trials start from.

    Raises:
        TaskError: An argument is invalid, so that every trial would fail in the same way.

    Example:
        ``SupervisedTask(lambda params: Net(params["width"]), loss="cross_entropy",
        optimizer="sgd", train=(x, y), validation=(xv, yv))``
    """

    model: Callable[[dict[str, Any]], nn.Module]
    _: KW_ONLY
    loss: str | Loss
    optimizer: Any
    train: Data = field(repr=False)
    validation: Data = field(repr=False)
    test: Data = field(default=None, repr=False)
    batch_size: int = 64
    evaluation_batch_size: int = 1000
    epochs: int = 10
    scheduler: Callable[..., Any] | None = None
    metrics: Metrics | None = None
    robustness: float | Callable[[Tensor], Tensor] | None = None
    validate_every: int | None = None
    device: str | torch.device | None = None
    fidelity: Literal["epochs", "data"] = "epochs"
    genes: str | Sequence[str] = ()
    costs: str | Sequence[str] = ()
    keep: Purpose | None = "best"
    sparsity: float | Schedule | None = None
    averaging: AveragingOption = "auto"
    half_life: float | None = None
    _sources: dict[str, Loaded] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_model(self.model)
        find_loss(self.loss)
        find_optimizer(self.optimizer)
        metrics = find_metrics(self.metrics, self.loss)
        object.__setattr__(self, "costs", names_of_costs(self.costs, metrics))
        find_device(self.device)
        declared_names(self.genes)
        for name in ("batch_size", "evaluation_batch_size", "epochs"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        if self.validate_every is not None:
            object.__setattr__(
                self, "validate_every", _whole("validate_every", self.validate_every)
            )
        for name, data in self.data().items():
            check_data(name, data)
        if self.scheduler is not None and not callable(self.scheduler):
            raise TaskError(
                f"scheduler= is a function of (optimizer, params), got {self.scheduler!r}; write "
                "scheduler=lambda optimizer, params: StepLR(optimizer, step_size=1, gamma=0.7)"
            )
        if not (self.robustness is None or callable(self.robustness)):
            _check_noise(self.robustness)
        if self.sparsity is not None:
            object.__setattr__(self, "sparsity", check_sparsity(self.sparsity))
            _check_free(metrics)
        check_averaging(self.averaging, self.half_life)
        check_purpose(self.keep)
        if self.fidelity not in ("epochs", "data"):
            raise TaskError(f'fidelity= is "epochs" or "data", got {self.fidelity!r}')
        if self.fidelity == "data":
            check_parts(self.train)

    @property
    def traits(self) -> TaskTraits:
        """Trials may be trained as one model if all see the same data; a template fits."""
        fit = None if inspect.isclass(self.model) else getattr(self.model, "fit", None)
        stacks = self.fidelity == "epochs" and not any(map(reads_params, self.data().values()))
        return TaskTraits(stacks=stacks, fit=fit if callable(fit) else None)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_sources": {}}  # each process loads the data for itself

    def __call__(self, trial: RunningTrial) -> dict[str, float]:
        """Train and measure one trial.

        Returns:
            The chosen metrics and ``loss`` on the validation data, ``train_loss`` of the last
            epoch, ``parameters`` (number of trained parameters), ``train_seconds`` and
            ``evaluation_seconds`` (spent on all metrics); with test data the same metrics as
            ``test_...``; with ``robustness=`` also ``robustness``; with a sparsity ``sparsity``
            (share of zeros in the weights that may be removed); and the ``costs``.

        Raises:
            TaskError: A gene has no effect, or the set-up would make every trial fail.
            Failed: The training loss became NaN or infinite.
        """
        device = find_device(self.device)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise TaskError(f'device="{device}", but torch finds no CUDA here; write device="auto"')
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            for name in self.data():
                self.source(name, device, trial.params)
            seed_torch(trial.seed)
            return self._run(trial, device)

    def data(self) -> dict[str, Data]:
        """Return the given data, by ``train``, ``validation`` and ``test``."""
        data = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in data.items() if name != "test" or part is not None}

    def source(
        self, name: str, device: torch.device, params: Mapping[str, Any] | None = None
    ) -> Source:
        """Return the data on a device, loaded once per process.

        Args:
            name: ``train``, ``validation`` or ``test``.
            device: The device.
            params: Active genes, for a function that reads them; by default those of last time.

        Raises:
            TaskError: They hold no numbers, or are not what the template's networks read.
        """
        if name not in self._sources or not self._sources[name].serves(params):
            seed_torch(FIXED_SEED)
            source, reads = load(name, getattr(self, name), device, params)
            check = (
                None if inspect.isclass(self.model) else getattr(self.model, "check_inputs", None)
            )
            if check is not None and isinstance(source, InMemory | Named):
                check(f"{name}=", source.inputs)
            self._sources[name] = Loaded(source, reads)
        return self._sources[name].source

    def _run(self, trial: RunningTrial, device: torch.device) -> dict[str, float]:
        share = self._share(trial) if self.fidelity == "data" else 1.0
        setup = self.set_up(trial, device, share)
        seconds = {"train_seconds": 0.0, "evaluation_seconds": 0.0}
        result: dict[str, float] = {}
        state = setup.state
        trial.resume(inputs=setup.examples, **state)
        every = self.validate_every or (1 if trial.watched else None)
        for epoch in trial.epochs(default=setup.epochs):
            with timed(seconds, "train_seconds"):
                result["train_loss"] = train_epoch(setup, epoch)
            if every and (epoch + 1) % every == 0:
                with timed(seconds, "evaluation_seconds"):
                    scores = self._measure("validation", setup) | setup.sparsity()
                    trial.report(epoch, **result, **scores)
        for sparsifier in setup.sparsifiers:
            sparsifier.finish()
        self.keep_weights(trial, state)
        with timed(seconds, "evaluation_seconds"):
            result |= self._measure_all(setup)
        return result | self.size(setup) | seconds

    def size(self, setup: Setup) -> dict[str, float]:
        """Return the number of trained parameters, the sparsity and the chosen costs of a model."""
        trainable = sum(p.numel() for p in setup.model.parameters() if p.requires_grad)
        size = {"parameters": trainable} | setup.sparsity()
        if not self.costs:
            return size
        source = self.source("validation", setup.device)
        inputs, _ = next(iter(batches(source, self.evaluation_batch_size, setup.device)))
        return size | measured_costs(self.costs, setup.measured, inputs)

    def keep_weights(self, trial: RunningTrial, state: Mapping[str, Any]) -> None:
        """Keep all that a trial which inherits needs, or only the model, for the best trial."""
        trial.keep_for(self.keep, **state)

    def fit(
        self,
        params: Mapping[str, Any],
        *,
        epochs: int | None = None,
        seed: int = 0,
        data: Literal["train", "train+validation"] = "train",
    ) -> nn.Module:
        """Train a new model with given params, such as ``study.best.params``, and return it.

        Args:
            params: The active genes, as a trial has them.
            epochs: Epochs to train; by default those of the params or the task.
            seed: Seed of the weights, the order of the examples and so on.
            data: ``"train+validation"`` trains on both, once the search has chosen the params.

        Returns:
            The trained model, in evaluation mode.

        Raises:
            TaskError: A param has no effect, or the set-up does not work.
            Failed: The training loss became NaN or infinite.
        """
        budget = None if epochs is None else float(_whole("epochs", epochs))
        trial = RunningTrial(Trial(0, dict(params), dict(params), budget=budget, seed=seed))
        device = find_device(self.device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            if data not in _PARTS:
                raise TaskError(f'data= is "train" or "train+validation", got {data!r}')
            examples = joined([self.source(name, device, params) for name in data.split("+")])
            seed_torch(seed)
            setup = self.set_up(trial, device, data=examples, length=epochs and int(epochs))
            for epoch in trial.epochs(default=setup.epochs):
                train_epoch(setup, epoch)
            for sparsifier in setup.sparsifiers:
                sparsifier.finish()
        return setup.measured.eval()

    def measure(
        self, model: nn.Module, data: Literal["validation", "test"] = "validation"
    ) -> dict[str, float]:
        """Measure a network as a trial's is measured at its end.

        Args:
            model: The network, on any device; it is left in evaluation mode.
            data: On which data; of ``"test"``, names begin with ``test_``.

        Returns:
            The chosen metrics and ``loss``; nothing where there are no test data.

        Raises:
            TaskError: It is no network, or there are no such data.
        """
        if not isinstance(model, nn.Module):
            raise TaskError(f"measure needs a network, got {model!r}")
        if data not in ("validation", "test"):
            raise TaskError(f'data= is "validation" or "test", got {data!r}')
        if data not in self.data():
            return {}
        device = next((p.device for p in model.parameters()), find_device(self.device))
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            scores = self._scores(data, model, device)
        return {f"test_{n}": v for n, v in scores.items()} if data == "test" else scores

    def control(self, name: str, epochs: int) -> "SupervisedTask":
        """Return this task as constant settings are best trained, to compare evolution with.

        Args:
            name: ``"last"`` measures the last weights; ``"averaged"`` a moving average of them;
                ``"cosine"`` lets the learning rate decay to 0 along half a cosine, one step an
                epoch (Loshchilov and Hutter, "SGDR", 2017, equation 5); ``"schedules"`` is made
                for schedules of that many epochs.
            epochs: Of a training, in which it decays.

        Raises:
            StudyError: It is another name, or the task does so already.
        """
        if name == "last":
            return replace(self, averaging=None, half_life=None)
        if name == "averaged":
            if self.averaging in ("ema", "swa"):
                raise StudyError(
                    f'control "averaged" is the same as without it: the task has '
                    f"averaging={self.averaging!r}, in random search, too"
                )
            return replace(self, averaging="ema")
        if name == "cosine":
            return replace(self, scheduler=partial(_cosine, max(1, epochs)))
        if name == "schedules":
            return replace(self, epochs=max(1, epochs), scheduler=None)
        raise StudyError(
            f'controls= are "last", "averaged", "cosine" and "schedules", got {name!r}'
        )

    def _share(self, trial: RunningTrial) -> float:
        """Take the trial's budget as a share of the data; its epochs are the task's own then."""
        if trial.keeps or trial.record.donors:
            raise TaskError(
                'fidelity="data" trains every trial from fresh weights, but this algorithm hands '
                "weights on; write SuccessiveHalving(..., minimum=1/27, maximum=1, resume=False)"
            )
        share, trial.budget = trial.budget, None
        if share is not None and not 0 < share <= 1:
            raise TaskError(
                'fidelity="data" takes the budget as a share of the training data, above 0 and at '
                f"most 1, but the algorithm gave {share:g}; write SuccessiveHalving(..., "
                "minimum=1/27, maximum=1, resume=False)"
            )
        return 1.0 if share is None else share

    def set_up(
        self,
        trial: RunningTrial,
        device: torch.device,
        share: float = 1.0,
        data: Source | None = None,
        length: int | None = None,
    ) -> Setup:
        """Return the freshly built model, optimizer and so on of a trial; uses torch's global RNG.

        Args:
            trial: The trial.
            device: Device of the model.
            share: Share of the training data to train on.
            data: What to train on; by default the training data that were loaded last.
            length: Epochs of schedules; by default those of the gene or the task.

        Raises:
            TaskError: A gene has no effect, or the set-up would make every trial fail.
        """
        data = part(self.source("train", device) if data is None else data, share)
        used = set(declared_names(self.genes))
        used.update(*(loaded.reads or () for loaded in self._sources.values()))
        elsewhere = set(used)  # what reads the schedules themselves
        model = _moved(self._build(trial, used), device)
        starts = ReadParams(starts_of(trial.params), used)
        optimizer = build_optimizer(self.optimizer, model.parameters(), starts)
        scheduler = None
        if self.scheduler is not None:
            scheduler = call(self.scheduler, optimizer, ReadParams(trial.params, elsewhere))
            used |= elsewhere
        counts = self._counts(trial, data)
        self._check_genes(trial, used, optimizer, counts)
        length = length or counts.get("epochs", self.epochs)
        epochs = counts["epochs"] if trial.budget is None else _epochs(trial.budget)
        sparsifiers = self._sparsifiers(trial, model, epochs, length)
        average = self._average(trial, model, data, counts, epochs)
        reseed(data, trial.seed)
        return Setup(
            model=model,
            loss=loss_of_each(find_loss(self.loss)) if trial.networks > 1 else find_loss(self.loss),
            optimizer=optimizer,
            scheduler=scheduler,
            data=data,
            batch_size=counts.get("batch_size", self.batch_size),
            epochs=epochs,
            device=device,
            shuffle=torch.Generator().manual_seed(trial.seed),
            sparsifiers=sparsifiers,
            average=average,
            schedule=schedule_of(
                trial.params,
                optimizer,
                elsewhere,
                length,
                has_scheduler=self.scheduler is not None,
            ),
        )

    def _average(
        self,
        trial: RunningTrial,
        model: nn.Module,
        data: Source,
        counts: Mapping[str, int],
        epochs: int,
    ) -> Average | None:
        """Return what averages the weights of a model, if the task says so."""
        averaging = self._averaging(trial)
        if averaging is None:
            return None
        steps = steps_in(data, counts.get("batch_size", self.batch_size))
        if steps is None:
            if self.averaging == "auto":
                return None
            raise TaskError(
                f"averaging={self.averaging!r} needs to know how many steps an epoch has, and "
                "train= is a stream that only ends; give a Dataset with a length, or averaging=None"
            )
        half_life = HALF_LIFE if self.half_life is None else self.half_life
        half_life = check_half_life(trial.params.get("half_life", half_life))
        try:
            return Average(model, averaging, half_life, steps, epochs)
        except TaskError as error:
            if self.averaging != "auto":
                raise
            text = "the last weights are measured, not their average: %s"
            warn_once(("average", str(error)), text, error)
            return None

    def _averaging(self, trial: RunningTrial) -> Averaging | None:
        if self.averaging == "auto":  # only members of populations, and their replays, have places
            return None if trial.record.origin.member is None else "ema"
        return self.averaging

    def _sparsifiers(
        self, trial: RunningTrial, model: nn.Module, epochs: int, length: int
    ) -> tuple[Sparsifier, ...]:
        """Return what prunes the networks of a model, if the gene or the task says so."""
        given = trial.params.get("sparsity", self.sparsity)
        if given is None:
            return ()
        if is_record(given):
            given = Schedule.of({"sparsity": given}, epochs=length)
        wanted = check_sparsity(given)
        _check_free(find_metrics(self.metrics, self.loss))
        networks = model.networks if isinstance(model, Ensemble) else [model]
        inherited = bool(trial.record.donors)
        return tuple(Sparsifier(net, wanted, epochs, inherited=inherited) for net in networks)

    def _build(self, trial: RunningTrial, used: set[str]) -> nn.Module:
        params = starts_of(trial.params)
        models = [self.model(ReadParams(params, used)) for _ in range(trial.networks)]
        for model in models:
            if not isinstance(model, nn.Module):
                raise TaskError(
                    f"the model function returned {type(model).__name__}; "
                    "it needs to return an nn.Module"
                )
            if isinstance(model, Network):
                template_of(model.structure).check_limits(model.structure["params"])
        check_new(trial.number, models)
        return models[0] if len(models) == 1 else Ensemble(models, self.loss)

    def _counts(self, trial: RunningTrial, data: Source) -> dict[str, int]:
        """Return those of ``batch_size`` and ``epochs`` that a gene of this trial may set."""
        counts = {}
        if not isinstance(data, DataLoader):
            counts["batch_size"] = self.batch_size
        if trial.budget is None:
            counts["epochs"] = self.epochs
        return {name: _whole(name, trial.params.get(name, own)) for name, own in counts.items()}

    def _check_genes(
        self, trial: RunningTrial, used: set[str], optimizer: Any, counts: Mapping[str, int]
    ) -> None:
        own = ["sparsity", *["half_life"] * (self._averaging(trial) == "ema")]
        by_name = () if is_factory(self.optimizer) else ("optimizer", *gene_names(type(optimizer)))
        takers = {
            f"the optimizer {type(optimizer).__name__}": by_name,
            "the task": (*counts, *own),
            "the functions given to the task": sorted(used.difference(by_name)),
        }

        def hint(gene: str) -> str:
            if gene == "batch_size":
                return "; train= is a DataLoader, which has its own: give its Dataset instead"
            if gene == "epochs":
                return "; the algorithm gives every trial a budget of epochs, which goes before it"
            if gene == "half_life":
                return '; it is that of a moving average of the weights: write averaging="ema"'
            return hint_for(gene, optimizer)

        check_all_used(trial.params, used.union(counts, own), takers, hint)

    def _measure(
        self, name: str, setup: Setup, change: Callable[[Tensor], Tensor] | None = None
    ) -> dict[str, float]:
        return self._scores(name, setup.measured, setup.device, change)

    def _scores(
        self,
        name: str,
        model: nn.Module,
        device: torch.device,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, float]:
        examples = batches(self.source(name, device), self.evaluation_batch_size, device)
        metrics = find_metrics(self.metrics, self.loss)
        return measure(metrics, *predict(model, examples, change))

    def _measure_all(self, setup: Setup) -> dict[str, float]:
        scores = self._measure("validation", setup)
        if self.test is not None:
            test = self._measure("test", setup)
            scores |= {f"test_{name}": value for name, value in test.items()}
        if self.robustness is not None:
            seed_torch(FIXED_SEED)
            change = self.robustness if callable(self.robustness) else noise(self.robustness)
            scores["robustness"] = next(iter(self._measure("validation", setup, change).values()))
        return scores


def _moved(model: nn.Module, device: torch.device) -> nn.Module:
    """Return a model on a device; ``to`` would also go over tensors that are on the CPU already."""
    tensors = chain(model.parameters(), model.buffers())
    is_there = device.type == "cpu" and all(tensor.device == device for tensor in tensors)
    return model if is_there else model.to(device)


def _cosine(epochs: int, optimizer: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)


def find_device(device: str | torch.device | None) -> torch.device:
    """Return the device of a name; ``"auto"`` is CUDA if available, else the CPU.

    None is the device that this worker was given, else as "auto", so that it is `trial.device`.

    Raises:
        TaskError: There is no such device.
    """
    if device is None:
        device = os.environ.get(DEVICE_VARIABLE, "auto")
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(device)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise TaskError(f'device= is "auto", "cpu", "cuda" or "cuda:1", got {device!r}') from error


def _check_free(metrics: Collection[str]) -> None:
    if "sparsity" in metrics:
        raise TaskError(
            "metrics= has the name 'sparsity', which this task measures by itself: the share of "
            "zeros; call your metric otherwise"
        )


def _whole(name: str, value: Any) -> int:
    return int(option(name, value, "[1, inf)", whole=True, error_type=TaskError))


def _epochs(budget: float) -> int:
    if budget != int(budget):
        raise TaskError(
            f"the algorithm gave a trial {budget:g} epochs, which is not a whole number; if its "
            'budgets are shares of the data, write SupervisedTask(..., fidelity="data")'
        )
    return int(budget)


def _check_model(model: Any) -> None:
    if isinstance(model, nn.Module):
        raise TaskError(
            "model= must be a function that returns a new model for every trial, got one model; "
            f"write model=lambda params: {type(model).__name__}(...)"
        )
    try:
        inspect.signature(model).bind({})
    except (TypeError, ValueError) as error:  # a class of C may have no signature
        raise TaskError(
            f"model= must be a function of one argument, the trial's params, got {model!r}; "
            "write model=lambda params: Net()"
        ) from error


def _check_noise(deviation: Any) -> None:
    if not is_number(deviation) or not 0 < deviation <= sys.float_info.max:
        raise TaskError(
            "robustness= must be the standard deviation of input noise, a number above 0, "
            f"or a function of the inputs; got {deviation!r}"
        )
