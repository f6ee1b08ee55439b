"""A trained network loses 95 % of its weights, and knows nearly as much."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import evotune as et

images, labels = load_digits(return_X_y=True)
x = torch.tensor(images / 16, dtype=torch.float32)
y = torch.tensor(labels)
torch.manual_seed(0)
layers = [nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)]
model = nn.Sequential(*layers)
optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
for _ in range(100):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x[:1300]), y[:1300]).backward()
    optimizer.step()


def accuracy(network):
    return float((network(x[1300:]).argmax(dim=1) == y[1300:]).float().mean())


result = et.prune(model, sparsity=0.95, data=(x[:1300], y[:1300]), refine=20)
print(f"dense {accuracy(model):.3f}, pruned {accuracy(result.model):.3f} at {result.sparsity:.4f}")
print(result.compact())  # a plain network with fewer features, and the same outputs
result.save("pruned.safetensors")  # et.Pruned.load("pruned.safetensors", model) reads it
result.report("pruned.html")
