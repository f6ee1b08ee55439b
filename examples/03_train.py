"""The program that 03_command_line.toml tunes; it knows nothing of evotune."""

import argparse
import json

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float, required=True)
parser.add_argument("--loss", required=True)
parser.add_argument("--epsilon", type=float, default=0.1)
options = parser.parse_args()

images, labels = load_digits(return_X_y=True)
x, x_validation, y, y_validation = train_test_split(images / 16, labels, random_state=0)
model = SGDClassifier(random_state=0, **vars(options)).fit(x, y)
print(json.dumps({"accuracy": model.score(x_validation, y_validation)}))
