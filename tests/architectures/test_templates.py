"""Whole networks: every structure of a space builds, trains, is stored and comes back."""

import copy
import io
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import evotune as et
from evotune.architectures import blocks
from evotune.architectures.build import Layers
from evotune.architectures.templates import TEMPLATES, sequence
from evotune.errors import TaskError

CONV = {
    "filters": et.Int(1, 6),
    "kernel": et.Ordinal(1, 2, 3),
    "activation": et.Choice("relu", "tanh"),
    "norm": et.Choice("batch", "none"),
}
UNITS = {"units": et.Int(1, 6)}
ATTENTION = {"heads": et.Int(1, 2), "head_size": et.Int(1, 4), "feed_forward": et.Int(1, 6)}


def images(least=1, most=4):
    return et.Chain(least, most, conv=CONV, separable=CONV, residual=CONV, pool={})


def sequences(least=1, most=3):
    return et.Chain(
        least,
        most,
        rnn=UNITS,
        lstm=UNITS | {"bidirectional": et.Bool()},
        gru=UNITS,
        conv1d={"filters": et.Int(1, 6), "kernel": et.Ordinal(1, 2, 3)},
        attention=ATTENTION,
        pool1d={},
    )


def vectors(least=0, most=2):
    return et.Chain(least, most, dense=UNITS | {"norm": et.Choice("none", "batch", "layer")})


def tokens(*shape, most=9):
    return torch.randint(0, most, shape)


#: A template, its space, a batch of four examples, and the shape of what comes out.
CASES = {
    "images": lambda: (
        et.image_classifier((2, 7, 5), 3),
        et.Space(features=images(), head=vectors(), pooling=et.Choice("flatten", "average")),
        torch.randn(4, 2, 7, 5),
        (4, 3),
    ),
    "images of one pixel": lambda: (
        et.image_classifier((1, 1, 1), 2, pooling="average"),
        et.Space(features=images()),
        torch.randn(4, 1, 1, 1),
        (4, 2),
    ),
    "classes of sequences": lambda: (
        et.sequence_model((6, 2), 3, width=4),
        et.Space(time=sequences(), head=vectors(), bidirectional=et.Bool()),
        torch.randn(4, 6, 2),
        (4, 3),
    ),
    "one step": lambda: (
        et.sequence_model((1, 2), 1, kind="regressor", reading="mean"),
        et.Space(time=sequences()),
        torch.randn(4, 1, 2),
        (4, 1),
    ),
    "forecasts": lambda: (
        et.sequence_model((6, 2), 2, kind="forecaster", horizon=5),
        et.Space(time=sequences(), head=vectors()),
        torch.randn(4, 6, 2),
        (4, 5, 2),
    ),
    "tokens": lambda: (
        et.sequence_model((6,), 2, vocabulary=9),
        et.Space(time=sequences()),
        tokens(4, 6),
        (4, 2),
    ),
    "a table": lambda: (
        et.tabular(5, 3),
        et.Space(layers=vectors()),
        torch.randn(4, 5),
        (4, 3),
    ),
    "tasks": lambda: (
        et.tabular(5, {"site": 3, "grade": 1}),
        et.Space(layers=vectors(), head=vectors()),
        torch.randn(4, 5),
        {"site": (4, 3), "grade": (4, 1)},
    ),
    "translation": lambda: (
        et.sequence_to_sequence(9, 7, width=4, lengths=(6, 5)),
        et.Space(encoder=sequences(), decoder=et.Chain(0, 2, gru=UNITS, lstm=UNITS, rnn=UNITS)),
        {"source": tokens(4, 6), "target": tokens(4, 5, most=7)},
        (4, 7, 5),
    ),
    "codes of vectors": lambda: (
        et.autoencoder((6,), 2),
        et.Space(encoder=vectors(0, 3)),
        torch.randn(4, 6),
        (4, 6),
    ),
    "codes of images": lambda: (
        et.autoencoder((2, 7, 5), 2),
        et.Space(encoder=images()),
        torch.randn(4, 2, 7, 5),
        (4, 2, 7, 5),
    ),
    "codes with a decoder": lambda: (
        et.autoencoder((2, 7, 5), 2),
        et.Space(encoder=images(), decoder=images(0, 2)),
        torch.randn(4, 2, 7, 5),
        (4, 2, 7, 5),
    ),
    "two branches": lambda: (
        et.two_branch((3, 1, 4, 4), 5, 9, 2, width=4),
        et.Space(
            frames=images(),
            time=sequences(),
            text=sequences(),
            head=vectors(),
            fusion=et.Choice("concat", "sum", "gate"),
        ),
        {"frames": torch.randn(4, 3, 1, 4, 4), "text": tokens(4, 5)},
        (4, 2),
    ),
}


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]()


def structures(space, count):
    return [space.params(space.sample(np.random.default_rng(seed))) for seed in range(count)]


def parts_of(output):
    return output if isinstance(output, dict) else {"": output}


def shapes_of(output):
    shapes = {name: tuple(part.shape) for name, part in parts_of(output).items()}
    return shapes if isinstance(output, dict) else shapes[""]


def test_every_template_is_public_and_known_to_rebuild():
    for name in TEMPLATES:
        assert callable(getattr(et, name))


def test_every_structure_gives_outputs_and_gradients(case):
    model, space, inputs, shape = case
    for params in structures(space, 12):
        network = model(params)
        output = network(inputs)
        assert shapes_of(output) == shape
        sum(part.square().sum() for part in parts_of(output).values()).backward()
        unused = [n for n, p in network.named_parameters() if p.grad is None]
        assert not unused
        assert all(torch.isfinite(p.grad).all() for p in network.parameters())
        assert shapes_of(model(params)(*model.example(4))) == shape


def test_a_structure_comes_back_from_json_and_takes_the_weights(case):
    model, space, inputs, _ = case
    for params in structures(space, 3):
        network = model(params).eval()
        again = et.rebuild(json.loads(json.dumps(network.structure))).eval()
        assert again.structure == network.structure
        again.load_state_dict(network.state_dict())
        pairs = zip(
            parts_of(network(inputs)).values(), parts_of(again(inputs)).values(), strict=True
        )
        assert all(torch.equal(one, other) for one, other in pairs)


def test_a_network_is_a_plain_module(case):
    model, space, inputs, _ = case
    network = model(structures(space, 1)[0]).eval()
    buffer = io.BytesIO()
    torch.save(network, buffer)
    buffer.seek(0)
    copies = [
        copy.deepcopy(network),
        pickle.loads(pickle.dumps(network)),
        torch.load(buffer, weights_only=False),
    ]
    wanted = list(parts_of(network(inputs)).values())
    for other in copies:
        given = parts_of(other(inputs)).values()
        assert all(torch.equal(a, b) for a, b in zip(wanted, given, strict=True))


def test_a_template_may_be_sent_and_compared(case):
    model, space, _, _ = case
    other = pickle.loads(pickle.dumps(model))
    assert other == model
    params = structures(space, 1)[0]
    assert other(params).structure == model(params).structure


def test_made_to_fit_a_chain_has_the_layers_of_its_network(case):
    """What would be left out, such as a pool on one pixel, is no layer in params either."""
    model, space, _, _ = case
    for seed in range(4):
        genome = model.fit(space, space.sample(np.random.default_rng(seed)))
        params = space.params(genome)
        for part in model(params).modules():
            if isinstance(part, Layers) and part.chain in params and len(part) > 1:
                assert len(part) == len(params[part.chain])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: et.image_classifier((1, 8, 8), 2, head="features"), "'features' too; each part"),
        (lambda: et.autoencoder((6,), 2, encoder="x", decoder="x"), "decoder='x' is the name of"),
        (lambda: et.tabular(3, 2, head="layers"), "head='layers' is the name of 'shared' too"),
        (lambda: et.sequence_model((6, 2), 2, time="bidirectional"), "'bidirectional' too"),
        (lambda: et.tabular(3, 2, head=4), "head is the name of a chain"),
    ],
)
def test_chains_of_one_name_are_refused(make, words):
    with pytest.raises(TaskError, match=words):
        make()


@pytest.mark.parametrize("limit", [{"parameters": 300}, {"multiply_adds": 3000}])
def test_params_beyond_a_limit_that_nobody_made_fit_are_refused(limit):
    """Of `SupervisedTask.fit`, and of a function around a template, which hides its limits."""
    template = et.image_classifier((1, 8, 8), 2, **limit)
    x, y = torch.randn(8, 1, 8, 8), tokens(8, most=2)
    params = {"features": [{"block": "conv", "filters": 32}]}

    def task(model):
        data = {"train": (x, y), "validation": (x, y), "epochs": 1}
        return et.SupervisedTask(model, loss="cross_entropy", optimizer="sgd", **data)

    for model in (template, lambda params: template(params)):
        with pytest.raises(TaskError, match=r"these params make a network of .* allows"):
            task(model).fit(params)
    small = {"features": [{"block": "conv", "filters": 2}, {"block": "pool"}]}
    assert task(template).fit(small)(x).shape == (8, 2)
    space = et.Space(features=et.Chain(1, 2, conv={"filters": et.Int(2, 32)}, pool={}))
    et.tune(task(template), space, "max accuracy", trials=3)
    with pytest.raises(TaskError, match="is the template itself, not a function around it"):
        et.tune(task(lambda params: template(params)), space, "max accuracy", trials=8)


def test_limits_are_kept():
    space = et.Space(features=et.Chain(1, 4, conv={"filters": et.Int(2, 64)}, pool={}))
    model = et.image_classifier((1, 8, 8), 2, parameters=2000, multiply_adds=40_000)
    for seed in range(5):
        genome = model.fit(space, space.sample(np.random.default_rng(seed)))
        network = model(space.params(genome))
        assert sum(p.numel() for p in network.parameters()) <= 2000


class TestImages:
    def test_an_average_is_smaller_than_all_places_and_a_gene_goes_before_the_option(self):
        layers = [{"block": "conv", "filters": 4}]
        flat, mean = et.image_classifier((1, 6, 6), 2), et.image_classifier((1, 6, 6), 2)
        mean = et.image_classifier((1, 6, 6), 2, pooling="average")
        assert flat({"features": layers}).output.in_features == 144
        assert mean({"features": layers}).output.in_features == 4
        assert flat({"features": layers, "pooling": "average"}).output.in_features == 4


class TestSequences:
    def test_the_last_step_or_the_mean_of_all(self):
        params = {"time": []}
        x = torch.randn(2, 5, 3)
        for reading, wanted in (("last", x[:, -1]), ("mean", x.mean(1))):
            network = et.sequence_model((5, 3), 2, reading=reading)(params)
            assert torch.allclose(network(x), network.output(wanted), atol=1e-6)

    def test_both_directions_by_option_gene_or_layer(self):
        lstm = {"block": "lstm", "units": 4}
        one = et.sequence_model((5, 3), 2)
        both = et.sequence_model((5, 3), 2, bidirectional=True)
        widths = [
            one({"time": [lstm]}),
            both({"time": [lstm]}),
            one({"time": [lstm], "bidirectional": True}),
            both({"time": [lstm], "bidirectional": False}),
            both({"time": [lstm | {"bidirectional": False}]}),
        ]
        assert [network.output.in_features for network in widths] == [4, 8, 8, 4, 4]

    def test_the_first_step_matters_where_two_directions_are_read(self):
        network = et.sequence_model((5, 3), 2, bidirectional=True)(
            {"time": [{"block": "gru", "units": 4}]}
        )
        x = torch.randn(1, 5, 3, requires_grad=True)
        network(x).sum().backward()
        assert (x.grad.abs().sum(-1) > 0).all()

    def test_a_search_with_attention_that_sees_no_order_says_so_once(self, caplog):
        sequence._say_that_order_is_not_seen.cache_clear()
        recurrent = et.Space(time=et.Chain(1, 2, gru={"units": 4}))
        space = et.Space(time=et.Chain(1, 2, attention={"heads": 1}, gru={"units": 4}))
        et.sequence_model((5, 3), 2, width=8).check(space)
        et.sequence_model((5, 3), 2).check(recurrent)
        assert not caplog.text
        for _ in range(2):
            et.sequence_model((5, 3), 2).check(space)
        assert caplog.text.count("cannot tell the order of steps") == 1

    def test_attention_tells_the_order_of_steps_with_a_width_only(self):
        layers = {"time": [{"block": "attention", "heads": 1, "head_size": 2}]}
        x = torch.randn(1, 5, 3)
        turned = x.flip(1)
        plain = et.sequence_model((5, 3), 2, reading="mean")(layers).eval()
        placed = et.sequence_model((5, 3), 2, reading="mean", width=8)(layers).eval()
        assert torch.allclose(plain(x), plain(turned), atol=1e-5)
        assert not torch.allclose(placed(x), placed(turned), atol=1e-3)

    def test_positions_are_the_papers_and_any_length_is_read(self):
        network = et.sequence_model((4, 1), 2, width=3)({"time": []})
        added = network.positions(torch.zeros(1, 7, 3))[0]
        assert torch.allclose(added[5, 0], torch.tensor(5.0).sin())
        assert torch.allclose(added[5, 1], torch.tensor(5.0).cos())
        assert torch.allclose(added[5, 2], torch.tensor(5.0 / 10_000 ** (2 / 3)).sin())


class TestTranslation:
    def network(self):
        layers = [{"block": "gru", "units": 24}]
        model = et.sequence_to_sequence(8, 8, width=16, lengths=(4, 5))
        return model({"encoder": layers, "decoder": layers})

    def test_a_token_is_predicted_from_those_before_it(self):
        network = self.network().eval()
        inputs = {"source": tokens(2, 4, most=8), "target": tokens(2, 5, most=8)}
        changed = inputs | {"target": inputs["target"].clone()}
        changed["target"][:, 3] = (changed["target"][:, 3] + 1) % 8
        one, other = network(inputs), network(changed)
        assert torch.equal(one[..., :3], other[..., :3])
        assert not torch.equal(one[..., 3:], other[..., 3:])

    def test_writing_follows_the_likeliest_token_until_the_end(self):
        network = self.network().eval()
        source = tokens(6, 4, most=8)
        written = network.translator.translate(source, start=0, end=1, longest=6)
        before = torch.cat((torch.zeros(6, 1, dtype=torch.long), written[:, :-1]), 1)
        likeliest = network({"source": source, "target": before}).argmax(1)
        ended = (before == 1).cumsum(1) > 0
        assert torch.equal(written, torch.where(ended, 1, likeliest))

    def test_it_learns_to_write_a_sequence_backwards(self):
        network = self.network()
        source = torch.cartesian_prod(torch.arange(2, 8), torch.arange(2, 8))
        target = source.flip(1)
        start, end = torch.zeros_like(source[:, :1]), torch.ones_like(source[:, :1])
        inputs = {"source": source, "target": torch.cat((start, target), 1)}
        wanted = torch.cat((target, end), 1)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(80):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs), wanted).backward()
            optimizer.step()
        written = network.eval().translator.translate(source, 0, 1, longest=3)
        assert written.shape == wanted.shape
        assert (written == wanted).all(1).float().mean() > 0.8

    def test_a_decoder_that_would_see_what_it_is_to_write_is_refused(self):
        model = et.sequence_to_sequence(8, 8)
        space = et.Space(encoder=sequences(), decoder=et.Chain(1, 2, conv1d=CONV, gru=UNITS))
        with pytest.raises(TaskError, match="read forwards only: rnn, lstm, gru"):
            model.check(space)
        with pytest.raises(TaskError, match="not bidirectional"):
            model({"encoder": [], "decoder": [{"block": "gru", "units": 2, "bidirectional": True}]})


class TestAutoencoders:
    def test_the_decoder_is_the_encoder_backwards(self):
        layers = [
            {"block": "conv", "filters": 8},
            {"block": "pool"},
            {"block": "conv", "filters": 4},
        ]
        network = et.autoencoder((1, 6, 6), 3)({"encoder": layers})
        widths = [m.out_channels for m in network.decoder.modules() if isinstance(m, nn.Conv2d)]
        assert widths == [8]
        assert network.code.out_features == 3

    def test_vectors_go_through_the_widths_again(self):
        layers = [{"block": "dense", "units": 5}, {"block": "dense", "units": 4}]
        network = et.autoencoder((6,), 2)({"encoder": layers})
        widths = [m.out_features for m in network.modules() if isinstance(m, nn.Linear)]
        assert widths == [5, 4, 2, 4, 5, 6]


class TestTwoBranches:
    def test_both_inputs_matter_with_every_fusion(self):
        params = {"frames": [], "time": [], "text": []}
        inputs = {"frames": torch.randn(2, 3, 1, 2, 2), "text": tokens(2, 5)}
        for fusion in ("concat", "sum", "gate"):
            network = et.two_branch((3, 1, 2, 2), 5, 9, 2, fusion=fusion, width=4)(params)
            before = network(inputs)
            frames = inputs | {"frames": inputs["frames"] + 1}
            text = inputs | {"text": (inputs["text"] + 1) % 9}
            assert not torch.allclose(before, network(frames))
            assert not torch.allclose(before, network(text))


class TestTraining:
    def fitted(self, model, space, data, **options):
        task = et.SupervisedTask(
            model, optimizer="adam", train=data, validation=data, epochs=2, **options
        )
        study = et.Study(et.RandomSearch(space), "max accuracy", seed=1)
        study.run(task, trials=2)
        assert [trial.state for trial in study.trials] == ["done"] * 2
        return study.trials[0]

    def test_tasks_with_a_column_of_targets_each(self):
        model, space, _, _ = CASES["tasks"]()
        model = et.tabular(5, {"site": 3, "grade": 2})
        targets = torch.stack((tokens(40, most=3), tokens(40, most=2)), 1)
        trial = self.fitted(model, space, (torch.randn(40, 5), targets), loss="cross_entropy")
        each = trial.metrics["accuracy_site"], trial.metrics["accuracy_grade"]
        assert trial.metrics["accuracy"] == pytest.approx(sum(each) / 2)

    def test_tasks_with_targets_by_name(self):
        model, space, _, _ = CASES["tasks"]()
        model = et.tabular(5, {"site": 3, "grade": 2})
        targets = {"site": tokens(40, most=3), "grade": tokens(40, most=2)}
        self.fitted(model, space, (torch.randn(40, 5), targets), loss="cross_entropy")

    def test_inputs_by_name(self):
        model, space, _, _ = CASES["two branches"]()
        inputs = {"frames": torch.randn(20, 3, 1, 4, 4), "text": tokens(20, 5)}
        self.fitted(model, space, (inputs, tokens(20, most=2)), loss="cross_entropy")

    def test_sequences_by_teacher_forcing(self):
        model, space, _, _ = CASES["translation"]()
        inputs = {"source": tokens(20, 6), "target": tokens(20, 5, most=7)}
        self.fitted(model, space, (inputs, tokens(20, 5, most=7)), loss="cross_entropy")

    def test_batch_normalisation_of_one_example_says_what_to_write(self):
        model = et.image_classifier((1, 1, 1), 2)
        space = et.Space(features=et.Chain(1, 1, conv={"filters": et.Int(2, 4)}))
        x, y = torch.randn(4, 1, 1, 1), tokens(4, most=2)
        task = et.SupervisedTask(
            model, loss="cross_entropy", optimizer="sgd", train=(x, y), validation=(x, y),
            batch_size=1, epochs=1,
        )  # fmt: skip
        study = et.Study(et.RandomSearch(space), "max accuracy")
        with pytest.raises(et.EvotuneError, match="failed"):
            study.run(task, trials=2)
        said = study.trials[0].failure.traceback
        assert "'features.conv1.norm'" in said
        assert "batch_size=2 or more" in said


MAKERS = [
    et.image_classifier,
    et.sequence_model,
    et.tabular,
    et.sequence_to_sequence,
    et.autoencoder,
    et.two_branch,
]


class TestRefused:
    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: et.image_classifier((28, 28), 10), r"\(channels, height, width\)"),
            (lambda: et.image_classifier((1, 0, 28), 10), "shape must be a whole number"),
            (lambda: et.image_classifier((1, 8, 8), 1), "classes must be a whole number from 2"),
            (lambda: et.image_classifier((1, 8, 8), 2, pooling="max"), "choose flatten, average"),
            (lambda: et.image_classifier((1, 8, 8), 2, parameters=0), "parameters must be"),
            (lambda: et.image_classifier((1, 8, 8), 2, multiply_adds="9"), "multiply_adds must"),
            (lambda: et.sequence_model((8,), 2), r"\(length, channels\).*\(24, 7\)"),
            (lambda: et.sequence_model((8, 2), 2, vocabulary=9), r"\(length,\) of one example"),
            (lambda: et.sequence_model((8, 2), 1), "outputs must be a whole number from 2"),
            (lambda: et.sequence_model((8, 2), 2, kind="clasifier"), "did you mean 'classifier'"),
            (lambda: et.sequence_model((8, 2), 2, horizon=0), "horizon must be"),
            (lambda: et.sequence_model((8, 2), 2, bidirectional=1), "must be True or False"),
            (lambda: et.tabular(0, 2), "features must be"),
            (lambda: et.tabular(3, {}), "outputs by name are such as"),
            (lambda: et.tabular(3, {"site": 0}), "outputs of 'site'"),
            (lambda: et.tabular(3, {"v1.0": 2}), "such as 'v1_0_'"),
            (lambda: et.tabular(3, {"keys": 2}), "such as 'keys_'"),
            (lambda: et.sequence_to_sequence(0, 5), "source_vocabulary must be"),
            (lambda: et.sequence_to_sequence(5, 5, lengths=3), "lengths: shape is"),
            (lambda: et.autoencoder((3, 4), 2), r"\(features,\) .* or \(channels, height"),
            (lambda: et.autoencoder((3,), 0), "code must be"),
            (lambda: et.two_branch((1, 8, 8), 5, 9, 2), r"\(frames, channels, height, width\)"),
            (lambda: et.two_branch((2, 1, 8, 8), 5, 9, 2, fusion="product"), "choose concat"),
        ],
    )
    def test_what_makes_no_network(self, make, words):
        with pytest.raises(TaskError, match=words):
            make()

    @pytest.mark.parametrize("name", ["latency", "memory"])
    @pytest.mark.parametrize("make", MAKERS)
    def test_a_limit_on_what_is_measured_says_what_to_write(self, make, name):
        written = rf'costs=\("{name}",\).*Constraint\("{name}", at_most=.*"min {name}"'
        with pytest.raises(TaskError, match=rf"{make.__name__}: {name}=0.5 .*{written}"):
            make(1, 2, **{name: 0.5})

    def test_a_missing_chain(self):
        with pytest.raises(TaskError, match=r"needs a chain 'features': write Space\(features="):
            et.image_classifier((1, 8, 8), 2)({"lr": 0.1})

    def test_a_plain_gene_in_place_of_a_chain(self):
        with pytest.raises(TaskError, match="'features' is a list of layers"):
            et.image_classifier((1, 8, 8), 2)({"features": 3})

    def test_a_template_of_a_later_version(self):
        with pytest.raises(TaskError, match="no template 'graph_model' in this version"):
            et.rebuild({"template": "graph_model", "options": {}, "params": {}})

    @pytest.mark.parametrize(
        ("chain", "words"),
        [
            ({"conv": CONV, "dense": UNITS}, "chain 'features': block 'dense' works on vectors"),
            ({"conv": CONV, "squeze": {}}, "no block is called 'squeze'"),
            ({"conv": {"kernel": 3}}, "block 'conv' needs 'filters'"),
            ({"conv": CONV, "pool": {"size": 3}}, "block 'pool' has no setting 'size'"),
        ],
    )
    def test_every_block_of_a_space_is_checked_before_the_first_trial(self, chain, words):
        x, y = torch.randn(4, 1, 8, 8), tokens(4, most=2)
        task = et.SupervisedTask(
            et.image_classifier((1, 8, 8), 2),
            loss="cross_entropy",
            optimizer="sgd",
            train=(x, y),
            validation=(x, y),
        )
        study = et.Study(
            et.RandomSearch(et.Space(features=et.Chain(1, 2, **chain))), "max accuracy"
        )
        with pytest.raises(TaskError, match=words):
            study.run(task, trials=3)
        assert not study.trials


class TestOwnBlocks:
    @pytest.fixture(autouse=True)
    def own(self, monkeypatch):
        monkeypatch.setattr(blocks, "_own", {})

    def task(self):
        x, y = torch.randn(8, 3), tokens(8, most=2)
        return et.SupervisedTask(
            et.tabular(3, 2),
            loss="cross_entropy",
            optimizer="sgd",
            train=(x, y),
            validation=(x, y),
            epochs=1,
        )

    def test_a_stored_study_whose_block_is_gone_opens_and_says_what_is_missing(
        self, tmp_path, monkeypatch
    ):
        @et.block
        def scaled(shape, gain):
            return nn.Linear(shape[0], 2)

        space = et.Space(layers=et.Chain(1, 2, scaled={"gain": et.Float(0.5, 2.0)}))
        place = f"sqlite:///{tmp_path}/runs.db"
        with et.Study(et.RandomSearch(space), "max accuracy", storage=place) as study:
            study.run(self.task(), trials=2)
        monkeypatch.setattr(blocks, "_own", {})
        with et.Study(et.RandomSearch(space), "max accuracy", storage=place) as study:
            assert study.best.params["layers"][0]["block"] == "scaled"
            assert study.report(str(tmp_path / "report.html"))
            with pytest.raises(TaskError, match=r"'scaled'.*@et\.block above def scaled\(shape"):
                study.run(self.task(), trials=3)
            with pytest.raises(TaskError, match=r"@et\.block above def scaled"):
                et.tabular(3, 2)(study.best.params)

    def test_one_that_fails_on_a_shape_fails_its_trial_and_the_search_goes_on(self):
        @et.block
        def pairs(shape):
            if shape[0] == 1:
                raise ValueError("pairs need two features")
            return nn.Linear(shape[0], 1)

        space = et.Space(layers=et.Chain(1, 2, pairs={}))
        study = et.Study(et.RandomSearch(space), "max accuracy", seed=1)
        study.enqueue({"layers": [{"block": "pairs"}]})
        study.enqueue({"layers": [{"block": "pairs"}] * 2})
        study.run(self.task(), trials=2)
        assert [trial.state for trial in study.trials] == ["done", "failed"]
        assert "pairs need two features" in study.trials[1].failure.message

    def test_with_a_limit_a_structure_that_cannot_be_built_is_left_alone(self):
        @et.block
        def pairs(shape):
            if shape[0] == 1:
                raise ValueError("pairs need two features")
            return nn.Linear(shape[0], 1)

        space = et.Space(layers=et.Chain(1, 2, pairs={}))
        genome = space.complete({"layers": [{"block": "pairs"}] * 2})
        assert et.tabular(3, 2, parameters=1000).fit(space, genome) == genome


class TestStructures:
    def test_they_do_not_change_with_the_params_they_came_from(self):
        params = {"layers": [{"block": "dense", "units": np.int64(4)}]}
        network = et.tabular(6, 2)(params)
        params["layers"][0]["units"] = 99
        assert json.loads(json.dumps(network.structure))["params"]["layers"][0]["units"] == 4

    @pytest.mark.parametrize(
        "structure",
        [
            None,
            {"template": "tabular"},
            {"template": ["tabular"], "options": {}, "params": {}},
            {"template": "tabular", "options": {"depth": 3}, "params": {}},
        ],
    )
    def test_damaged_ones_are_told(self, structure):
        with pytest.raises(TaskError, match=r"structure|template"):
            et.rebuild(structure)

    def test_a_chain_without_effect_is_refused(self):
        dense = et.Chain(1, 2, dense={"units": et.Int(1, 4)})
        with pytest.raises(TaskError, match="does not use a chain 'head'"):
            et.tabular(6, 2).check(et.Space(layers=dense, head=dense))
        et.tabular(6, {"a": 2, "b": 2}).check(et.Space(layers=dense, head=dense))


def test_a_chain_whose_conditions_do_not_hold_is_said():
    space = et.Space(
        kind=et.Choice("image", "none"),
        features=et.Chain(1, 2, conv={"filters": et.Int(2, 4)}, when={"kind": "image"}),
    )
    with pytest.raises(TaskError, match=r"conditions \(when=\) do not hold"):
        et.image_classifier((1, 8, 8), 2)(space.params(space.complete({"kind": "none"})))


@pytest.mark.parametrize("block", ["rnn", "lstm", "gru", "conv1d", "attention"])
@pytest.mark.parametrize("kind", ["classifier", "regressor", "forecaster"])
def test_a_sequence_may_be_a_single_step(block, kind):
    size = {"conv1d": {"filters": 4}, "attention": {}}.get(block, {"units": 4})
    space = et.Space(time=et.Chain(1, 2, **{block: size}))
    build = et.sequence_model((1, 3), 2, kind=kind)
    model = build(space.params(space.sample(np.random.default_rng(0))))
    outputs = model.train()(torch.randn(4, 1, 3))
    assert outputs.shape[0] == 4
    assert torch.isfinite(outputs).all()
