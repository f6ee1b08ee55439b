"""Genes take effect by their names, and one without effect is an error."""

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

from evotune.errors import TaskError
from helpers_training import blob_task, mlp, start


def optimizer_of(params, **options):
    """Return the optimizer that a trial with these genes was trained with."""
    caught = []

    def scheduler(optimizer):
        caught.append(optimizer)
        return StepLR(optimizer, 1, gamma=1.0)

    blob_task(scheduler=scheduler, epochs=1, **options)(start(params))
    return caught[0]


def test_genes_named_like_arguments_are_applied():
    genes = {"lr": 0.02, "momentum": 0.8, "weight_decay": 0.01, "nesterov": True}
    settings = optimizer_of(genes).param_groups[0]
    assert {name: settings[name] for name in genes} == genes


def test_learning_rate_and_betas_have_names_of_their_own():
    settings = optimizer_of({"learning_rate": 0.02, "beta1": 0.5}, optimizer="AdamW")
    assert settings.param_groups[0]["lr"] == 0.02
    assert settings.param_groups[0]["betas"] == (0.5, 0.999)


def test_a_gene_chooses_the_optimizer():
    chosen = optimizer_of({"optimizer": "rmsprop", "alpha": 0.7}, optimizer="sgd")
    assert isinstance(chosen, torch.optim.RMSprop)
    assert chosen.param_groups[0]["alpha"] == 0.7


def test_an_optimizer_class_is_used_like_its_name():
    chosen = optimizer_of({"lr": 0.5}, optimizer=torch.optim.Adagrad)
    assert isinstance(chosen, torch.optim.Adagrad)
    assert chosen.param_groups[0]["lr"] == 0.5


def test_a_factory_reads_its_genes_itself():
    def factory(parameters, params):
        return torch.optim.SGD(parameters, lr=params["rate"] / 10)

    assert optimizer_of({"rate": 0.5}, optimizer=factory).param_groups[0]["lr"] == 0.05
    with pytest.raises(TaskError, match=r"function that makes the SGD does not read it"):
        optimizer_of({"rate": 0.5, "momentum": 0.9}, optimizer=factory)


def test_the_model_and_the_scheduler_read_genes():
    task = blob_task(
        model=lambda params: mlp(width=params["width"]),
        scheduler=lambda optimizer, params: StepLR(optimizer, 1, **params["decay"]),
    )
    metrics = task(start({"width": 5, "decay": {"gamma": 0.5}}))
    assert metrics["parameters"] == 2 * 5 + 5 + 5 * 3 + 3


@pytest.mark.parametrize(
    "read",
    [
        lambda params: params["width"],
        lambda params: params.get("width", 3),
        lambda params: "width" in params,
        lambda params: dict(params),
        lambda params: dict(**params),
        lambda params: {**params},
        lambda params: {} | params,
        lambda params: params | {},
        lambda params: params.copy(),
        lambda params: list(params.items()),
        lambda params: list(params.values()),
        lambda params: list(params.keys()),
        lambda params: list(params),
        lambda params: params.pop("width"),
    ],
)
def test_every_way_of_reading_counts(read):
    def model(params):
        assert isinstance(params, dict)
        read(params)
        return mlp()

    assert blob_task(model=model)(start({"width": 4}))["loss"] > 0


def test_a_gene_that_the_model_pops_still_reaches_the_optimizer():
    def model(params):
        params.pop("lr")
        return mlp()

    assert optimizer_of({"lr": 0.3}, model=model).param_groups[0]["lr"] == 0.3


def test_a_gene_without_effect_ends_the_run_and_names_the_nearest():
    with pytest.raises(TaskError) as caught:
        blob_task()(start({"lr": 0.1, "momentun": 0.9, "widht": 4}))
    text = str(caught.value)
    assert "gene 'momentun' has no effect; did you mean 'momentum'?" in text
    assert "gene 'widht' has no effect." in text
    assert "the optimizer SGD: optimizer, lr, momentum" in text
    assert "the task: batch_size, epochs" in text
    assert "genes=('momentun', 'widht')" in text


def test_names_that_the_model_reads_are_suggested_too():
    task = blob_task(model=lambda params: mlp(width=params.get("width", 8)))
    with pytest.raises(TaskError, match=r"'widht' has no effect; did you mean 'width'\?"):
        task(start({"widht": 4}))


def test_a_declared_gene_may_go_unread():
    assert blob_task(genes="fold")(start({"fold": 2}))["loss"] > 0
    assert blob_task(genes=("fold", "noise"))(start({"fold": 2, "noise": 1}))["loss"] > 0


def test_an_argument_that_the_chosen_optimizer_lacks_needs_a_condition():
    task = blob_task()
    assert task(start({"optimizer": "sgd", "momentum": 0.9}))["loss"] > 0
    with pytest.raises(TaskError, match=r'Adam has no momentum.*when=\{"optimizer": "sgd"\}'):
        task(start({"optimizer": "adam", "momentum": 0.9}))


def test_switches_that_turn_the_step_around_are_no_genes():
    with pytest.raises(TaskError, match="'maximize' has no effect"):
        blob_task()(start({"maximize": True}))


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ({"optimizer": "adm"}, r"optimizer 'adm' is not known.*did you mean 'adam'"),
        ({"lr": 0.1, "learning_rate": 0.1}, "mean the same"),
        ({"optimizer": "adam", "betas": (0.9, 0.99), "beta1": 0.9}, "mean the same"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 up, got 0"),
        ({"epochs": "ten"}, "epochs must be a whole number"),
    ],
)
def test_genes_with_impossible_values_end_the_run(genes, message):
    with pytest.raises(TaskError, match=message):
        blob_task()(start(genes))
