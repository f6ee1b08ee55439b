"""A network with early stopping, and the best one's weights, by evotune."""

from jobs import EPOCHS, TRIALS, cnn, train, validation

import evotune as et

task = et.SupervisedTask(
    cnn,
    loss="cross_entropy",
    optimizer="adam",
    train=train,
    validation=validation,
    epochs=EPOCHS,
    keep="best",
)
space = et.Space(lr=et.Float(1e-4, 1e-1, log=True), width=et.Int(4, 32, log=True))
study = et.tune(task, space, "max accuracy", trials=TRIALS, stopping=et.MedianStopping())
model = cnn(study.best.params)
study.restore(model=model)
print(study.best.params, study.best.metrics["accuracy"])
