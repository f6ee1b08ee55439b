"""Zero-cost proxies: where they agree with five trainings, the best of a thousand cells follow."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import evotune as et

images, labels = load_digits(return_X_y=True)
x = torch.tensor(images / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
y = torch.tensor(labels)

# The cell of NAS-Bench-201 (Dong and Yang, 2020): four nodes, an operation on each of six edges.
EDGES = ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3")
OPERATIONS = {
    "none": lambda c: None,
    "skip": lambda c: nn.Identity(),
    "conv1": lambda c: nn.Sequential(nn.ReLU(), nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c)),
    "conv3": lambda c: nn.Sequential(
        nn.ReLU(), nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
    ),
    "pool": lambda c: nn.AvgPool2d(3, stride=1, padding=1),
}
space = et.Space({edge: et.Choice(*OPERATIONS) for edge in EDGES})


class Cell(nn.Module):
    """Each node is the sum of what its edges make of earlier nodes."""

    def __init__(self, params, channels):
        super().__init__()
        made = {edge: OPERATIONS[params[edge]](channels) for edge in EDGES}
        self.edges = nn.ModuleDict({edge: module for edge, module in made.items() if module})

    def forward(self, x):
        nodes = [x, 0 * x, 0 * x, 0 * x]
        for edge, module in self.edges.items():
            source, target = map(int, edge.split("-"))
            nodes[target] = nodes[target] + module(nodes[source])
        return nodes[-1]


def network(params):
    stem = nn.Conv2d(1, 8, 3, padding=1)
    output = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))
    return nn.Sequential(stem, Cell(params, 8), output)


task = et.SupervisedTask(
    network,
    loss="cross_entropy",
    optimizer=lambda parameters, params: torch.optim.Adam(parameters, lr=0.01),
    train=(x[:1200], y[:1200]),
    validation=(x[1200:], y[1200:]),
    epochs=3,
)
proxies = et.proxies.Proxies(network, x[:1200], y[:1200], names=("synflow", "params"))

study = et.Study(et.Hybrid(space, proxies=proxies), "max accuracy", seed=1)
study.run(task, trials=14)

print(f"accuracy {study.best.metrics['accuracy']:.3f} with {study.best.params}")
print(f"proxies and accuracy: {study.algorithm.agreement}")
