import importlib

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import helpers_warm
from evotune.schedules.schedule import Schedule, Segment
from helpers_study import last_error_of

pytest.importorskip("lightning")
pytestmark = pytest.mark.filterwarnings("ignore")

SCHEDULE = Schedule(
    (
        Segment(1, {"lr": 0.1, "momentum": 0.9, "dropout": 0.1}),
        Segment(1, {"lr": 0.05, "momentum": 0.8, "dropout": 0.2}),
        Segment(2, {"lr": 0.01, "momentum": 0.7, "dropout": 0.3}),
    )
)


def data():
    return DataLoader(TensorDataset(torch.randn(8, 3), torch.randn(8, 1)), batch_size=4)


def net(package, schedule=None):
    """A module of that Lightning which notes in every batch what it is trained with."""
    base = importlib.import_module(package).LightningModule

    class Net(base):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 4)
            self.dropout = nn.Dropout(0.0)
            self.last = nn.Linear(4, 1)
            self.seen = []

        def training_step(self, batch, _):
            groups = self.optimizers().optimizer.param_groups
            rates = [group["lr"] for group in groups]
            self.seen.append((*rates, groups[0]["momentum"], self.dropout.p))
            x, y = batch
            return (self.last(self.dropout(self.first(x))) - y).pow(2).mean()

        def configure_optimizers(self):
            first = {"params": self.first.parameters()}
            last = {"params": self.last.parameters(), "lr": 0.1}
            optimizer = torch.optim.SGD([first, last], lr=1.0)
            if schedule is None:
                return optimizer
            return [optimizer], [schedule.scheduler(optimizer, model=self)]

    return Net()


def trainer(package, epochs, callbacks):
    return importlib.import_module(package).Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
    )


def expected(*epochs):
    """Two batches an epoch: learning rates of both groups, momentum, dropout."""
    rows = []
    for epoch in epochs:
        params = SCHEDULE[epoch]
        rate = params["lr"]
        rows += [pytest.approx((rate, 0.1 * rate, params["momentum"], params["dropout"]))] * 2
    return rows


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
@pytest.mark.parametrize("listed", [True, False])
def test_every_epoch_is_trained_as_scheduled(package, listed):
    pytest.importorskip(package)
    from evotune.integrations.lightning import ScheduleCallback

    callback = ScheduleCallback(SCHEDULE)
    model = net(package)
    trainer(package, 3, [callback] if listed else callback).fit(model, data())
    assert model.seen == expected(0, 1, 2)


def test_the_torch_scheduler_works_too():
    model = net("lightning.pytorch", SCHEDULE)
    trainer("lightning.pytorch", 3, []).fit(model, data())
    assert model.seen == expected(0, 1, 2)


def test_a_training_goes_on_from_its_checkpoint(tmp_path):
    from evotune.integrations.lightning import ScheduleCallback

    package = "lightning.pytorch"
    first = trainer(package, 2, [ScheduleCallback(SCHEDULE)])
    first.fit(net(package), data())
    first.save_checkpoint(tmp_path / "last.ckpt")

    model = net(package)
    again = trainer(package, 4, [ScheduleCallback(SCHEDULE)])
    again.fit(model, data(), ckpt_path=tmp_path / "last.ckpt")
    assert model.seen == expected(2, 3)


def test_without_lightning_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['lightning'] = sys.modules['pytorch_lightning'] = None; "
        "import evotune.integrations.lightning"
    )
    assert 'pip install "evotune[lightning]"' in last_error_of(code, helpers_warm.TRAINING)
