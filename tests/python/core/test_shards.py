"""Gradients summed in shards: their definition, and the bits that the number of shards decides."""

import copy
import hashlib
import pickle

import numpy as np
import pytest
from bounds import same_bits
from thread_cases import placed

import chainrule as cr

FUSED = [name for name in cr.runtime.variants() if name != "baseline"]
SHARDS = (1, 2, 3, 8, 16)
# Small networks take a shard to a thread; a shard of a large one is shared, and one of all its rows
# goes in two parts. Primes, so that no number of shards divides the rows.
LAYERS = {
    "small": [9, cr.Dense(16, "gelu", norm="layer"), 3],
    "large": [40, cr.Dense(300, "gelu", norm="layer"), cr.Dense(200, "tanh"), 3],
}
ROWS = {"small": 211, "large": 2351}
KINDS = [
    *((name, dtype, None) for name in LAYERS for dtype in ("float32", "float64")),
    *((name, "float32", "bf16x3") for name in LAYERS),
]
KIND = pytest.mark.parametrize(
    ("name", "dtype", "precision"), KINDS, ids=["-".join(filter(None, kind)) for kind in KINDS]
)


def make(name, dtype="float32", precision=None):
    return cr.MLP(LAYERS[name], dtype=dtype, seed=4, precision=precision)


def make_data(name, dtype="float32"):
    """Return features, targets and weights of rows: of digits of primes, whatever NumPy draws."""
    n_rows, n_columns = ROWS[name], LAYERS[name][0]
    i = np.arange(n_rows * n_columns)
    x = (i * 7919 % 1009 / 504 - 1).reshape(n_rows, n_columns).astype(dtype)
    y = x[:, :3] * x[:, 3:6]
    return x, y, (1 + np.arange(n_rows) % 5).astype(dtype)


def train(name, dtype="float32", precision=None, *, x=None, **settings):
    """Train a network with all rows of a batch, and with some; return it."""
    features, y, weights = make_data(name, dtype)
    model = make(name, dtype, precision)
    settings = {"optimizer": cr.Adam(1e-2), "epochs": 2, "l2": 1e-4} | settings
    model.fit(
        features if x is None else x,
        y,
        loss="mse",
        sample_weight=weights,
        **{"batch_size": ROWS[name] - 60, **settings},
    )
    return model


def digest(model):
    """Return a text that differs when a bit of the parameters or of the losses does."""
    assert np.isfinite(model.parameters).all()
    losses = np.array(model.history.loss)
    return hashlib.sha256(model.parameters.tobytes() + losses.tobytes()).hexdigest()[:16]


# --- the definition ------------------------------------------------------------------------------


def in_tree(sums):
    """Add neighbors, then their sums, level by level; an odd one moves up."""
    while len(sums) > 1:
        pairs = [sums[i] + sums[i + 1] for i in range(0, len(sums) - 1, 2)]
        sums = pairs + sums[2 * len(pairs) :]
    return sums[0]


def in_blocks(n_rows, shards):
    """Return the rows of each shard."""
    size = -(-n_rows // shards)
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def test_blocks_and_tree():
    assert [(s.start, s.stop) for s in in_blocks(10, 4)] == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert len(in_blocks(9, 8)) == 5  # of 2 rows: there are not enough for 8
    assert len(in_blocks(5, 1024)) == 5
    assert in_tree(["a", "b", "c", "d", "e"]) == "abcde"
    large = np.float32(2**24)  # to which ones that come one after the other add nothing
    assert in_tree([large, np.float32(1), np.float32(1), np.float32(1)]) == 2**24 + 2
    # 6: two, then four and two; the last two move up.
    assert in_tree([large, *np.ones(5, np.float32)]) == 2**24 + 4


@KIND
@pytest.mark.parametrize("is_weighted", [False, True], ids=["plain", "weighted"])
def test_a_gradient_is_the_tree_sum_of_the_gradients_of_its_blocks(
    name, dtype, precision, is_weighted, variant
):
    x, y, weights = make_data(name, dtype)
    model = make(name, dtype, precision)
    settings = {"loss": "mse", "reduction": "sum"}

    def of(rows, shards):
        given = weights[rows] if is_weighted else None
        return model.loss_and_gradient(
            x[rows], y[rows], sample_weight=given, shards=shards, **settings
        )

    # None of them divides the rows. baseline takes seconds for a large network.
    few = variant == "baseline" and name == "large"
    numbers = (3,) if few else (*SHARDS, 150)
    seen = set()
    for shards in numbers:
        blocks = in_blocks(len(x), shards)
        assert len(x) % shards or shards == 1
        parts = [of(block, 1) for block in blocks]
        loss, gradient = of(slice(None), shards)
        assert same_bits(gradient, in_tree([part[1] for part in parts]))
        assert loss == pytest.approx(in_tree([part[0] for part in parts]), rel=1e-14)
        seen.add(gradient.tobytes())
    assert len(seen) == len(numbers)


@pytest.mark.once
def test_shards_of_more_rows_than_a_part(variant, rng):
    x = rng.normal(size=(4507, 8)).astype(np.float32)  # 2 shards of more than 2048 rows
    model = cr.MLP([8, 300, 220, 3], activation="tanh", seed=1)

    def of(rows, shards):
        return model.loss_and_gradient(
            x[rows], x[rows, :3], loss="mse", reduction="sum", shards=shards
        )[1]

    wanted = in_tree([of(rows, 1) for rows in in_blocks(4507, 2)])
    assert same_bits(of(slice(None), 2), wanted)


@KIND
def test_fewer_rows_than_shards(name, dtype, precision, variant):
    x, y, _ = make_data(name, dtype)
    x, y = x[:11], y[:11]
    model = make(name, dtype, precision)

    def of(x, y, shards):
        _, gradient = model.loss_and_gradient(x, y, loss="mse", reduction="sum", shards=shards)
        return gradient

    alone = in_tree([of(x[i : i + 1], y[i : i + 1], None) for i in range(11)])
    for shards in (11, 12, 16, 1024):
        assert same_bits(of(x, y, shards), alone)
    # Of 5 shards of 3 rows there are 4.
    threes = in_tree([of(x[i : i + 3], y[i : i + 3], 1) for i in range(0, 11, 3)])
    assert same_bits(of(x, y, 5), threes)
    assert not same_bits(alone, threes)


@KIND
def test_backward_sums_in_shards_too(name, dtype, precision, variant):
    x, y, weights = make_data(name, dtype)
    model = make(name, dtype, precision)
    before = None
    for shards in (3,) if variant == "baseline" else (None, *SHARDS):
        _, wanted = model.loss_and_gradient(
            x, y, loss="mse", sample_weight=weights, reduction="sum", shards=shards
        )
        outputs = model.forward(x)
        _, grad_outputs = cr.kernels.mse(outputs, y, sample_weight=weights, reduction="sum")
        grad_x = model.backward(grad_outputs, shards=shards)
        assert same_bits(model.gradient, wanted)
        assert before is None or same_bits(grad_x, before)  # a row's does not depend on others
        before = grad_x


def test_by_default_large_networks_have_one_shard_and_small_ones_add_in_sequence():
    x, y, _ = make_data("large")
    model = make("large")
    gradients = [model.loss_and_gradient(x, y, loss="mse", shards=n)[1] for n in (None, 1, 2)]
    assert same_bits(gradients[0], gradients[1])
    assert not same_bits(gradients[0], gradients[2])
    x, y, _ = make_data("small")
    model = make("small")
    # 211 rows: 4 shards of 53 rows, as many as have about 64.
    parts = [
        model.loss_and_gradient(x[rows], y[rows], loss="mse", reduction="sum", shards=1)[1]
        for rows in in_blocks(211, 4)
    ]
    _, by_default = model.loss_and_gradient(x, y, loss="mse", reduction="sum")
    _, in_four = model.loss_and_gradient(x, y, loss="mse", reduction="sum", shards=4)
    assert same_bits(by_default, parts[0] + parts[1] + parts[2] + parts[3])
    assert same_bits(in_four, (parts[0] + parts[1]) + (parts[2] + parts[3]))
    assert not same_bits(by_default, in_four)


# --- bits ----------------------------------------------------------------------------------------

# Of `train`, for each number of shards in SHARDS; on every machine with FMA.
DIGESTS = {
    ("small", "float32", None): (
        "32063f509300c1dd",
        "99eb66089a4ce23f",
        "1768c7a584b9a6cc",
        "50b0993c3110446f",
        "5e8a131e4aa38723",
    ),
    ("small", "float64", None): (
        "b3bf20949ced436c",
        "3059d29c889d6e90",
        "8f7d143c42760319",
        "793aa6c891ba21c2",
        "0243d177e04b98f2",
    ),
    ("large", "float32", None): (
        "a5e4e4fec987b624",
        "90ea6b550b9a9131",
        "e07bde665c3da255",
        "2346013c443970c9",
        "2bf5b2b5252bd93c",
    ),
    ("large", "float64", None): (
        "0dce15887a5c51c1",
        "c2dcd2466161f5e0",
        "5634e4832e703db5",
        "58f48598bb774ec8",
        "8382451eea86bb4e",
    ),
    ("small", "float32", "bf16x3"): (
        "186892d49bdf78b4",
        "0c84d839ea666d8d",
        "3b1ddc8c9c8ed12b",
        "1362b307fe0e6f08",
        "ae97f43b8ece3c79",
    ),
    ("large", "float32", "bf16x3"): (
        "6c1fda23e59c3fcf",
        "2adf5bb58a8aa1a9",
        "b63175705bc0744a",
        "0f3ab88a97231512",
        "fc1ef8424a49a30d",
    ),
}


@pytest.mark.once
@KIND
def test_trainings_have_the_bits_that_are_written_here(name, dtype, precision):
    found = set()
    for shards, wanted in zip(SHARDS, DIGESTS[name, dtype, precision], strict=True):
        for variant in FUSED:
            with cr.runtime.use_variant(variant):
                got = digest(train(name, dtype, precision, shards=shards))
            assert got == wanted, (shards, variant)
        found.add(wanted)
    assert len(found) == len(SHARDS)


@pytest.mark.once
@KIND
def test_threads_and_places_of_the_input_change_no_bit(name, dtype, precision, variant):
    x, y, weights = make_data(name, dtype)
    size = x.itemsize
    places = [0, size, 32 + size, "fortran", "misaligned"]
    model = make(name, dtype, precision)
    few = 2 if variant == "baseline" and name == "large" else None  # which takes seconds
    for shards in (3, 16)[: few and 1]:
        reached, values = set(), set()
        for threads, place in list(zip((1, 2, 3, 4, 2), places, strict=True))[:few]:
            put = placed(x, place)
            trained = train(name, dtype, precision, x=put, shards=shards, threads=threads, epochs=1)
            reached.add(digest(trained))
            loss, gradient = model.loss_and_gradient(
                put, y, loss="mse", sample_weight=weights, shards=shards, threads=threads
            )
            values.add((loss, gradient.tobytes()))
        assert len(reached) == len(values) == 1


@pytest.mark.once
@KIND
def test_variants_give_the_same_loss(name, dtype, precision):
    x, y, weights = make_data(name, dtype)
    model = make(name, dtype, precision)
    for shards in SHARDS:
        values = set()
        for variant in FUSED:
            with cr.runtime.use_variant(variant):
                loss, _ = model.loss_and_gradient(
                    x, y, loss="huber", sample_weight=weights, shards=shards
                )
            values.add(loss)
        assert len(values) == 1


@pytest.mark.once
@pytest.mark.parametrize("name", LAYERS)
def test_lbfgs_sums_in_shards(name):
    reached = {}
    for shards in (None, 1, 3, 8):
        digests = set()
        for variant in FUSED:
            for threads in (1, 2, 3):
                with cr.runtime.use_variant(variant):
                    model = train(
                        name,
                        optimizer=cr.LBFGS(history=4),
                        epochs=3,
                        batch_size=128,
                        shards=shards,
                        threads=threads,
                    )
                digests.add(digest(model))
        assert len(digests) == 1
        reached[shards] = digests.pop()
    assert (reached[None] == reached[1]) is (name == "large")
    assert len(set(reached.values())) == (3 if name == "large" else 4)


# --- trainings -----------------------------------------------------------------------------------


@pytest.mark.once
@KIND
@pytest.mark.parametrize("shards", [1, 3, 16])
def test_steps_by_hand_are_those_of_a_fit(name, dtype, precision, shards, variant):
    x, y, weights = make_data(name, dtype)
    rows = ROWS[name] - 60
    fitted = train(name, dtype, precision, shards=shards, shuffle=False, epochs=1)
    model = make(name, dtype, precision)
    trainer = cr.Trainer(model, loss="mse", optimizer=cr.Adam(1e-2), l2=1e-4, shards=shards)
    for batch in (slice(0, rows), slice(rows, None)):
        value, _ = model.loss_and_gradient(
            x[batch], y[batch], loss="mse", sample_weight=weights[batch], l2=1e-4, shards=shards
        )
        loss = trainer.step(x[batch], y[batch], weights[batch])
        assert loss == pytest.approx(value, rel=1e-6)
    assert same_bits(model.parameters, fitted.parameters)


@pytest.mark.once
@pytest.mark.parametrize("name", LAYERS)
def test_shuffled_batches_are_summed_as_those_in_order(name, variant):
    x, y, weights = make_data(name)
    shuffled = train(name, shards=3, epochs=1, seed=9)
    order = cr.kernels.permutation(seed=9, epoch=0, size=len(x))
    model = make(name)
    model.fit(
        *(x[order], y[order]),
        loss="mse",
        sample_weight=weights[order],
        batch_size=ROWS[name] - 60,
        optimizer=cr.Adam(1e-2),
        epochs=1,
        l2=1e-4,
        shuffle=False,
        shards=3,
    )
    assert digest(model) == digest(shuffled)


def test_a_fit_that_resumes_keeps_its_shards():
    whole = train("small", shards=3, epochs=4)
    model = train("small", shards=3, epochs=2)
    x, y, weights = make_data("small")
    settings = {"loss": "mse", "sample_weight": weights, "batch_size": 151, "l2": 1e-4}
    for wrong in (1, 2, 4):
        message = f"shards must be 3, as in the fit that is resumed, got {wrong}"
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, epochs=2, resume=True, shards=wrong, **settings)
    model.fit(x, y, epochs=1, resume=True, **settings)
    model.fit(x, y, epochs=1, resume=True, shards=3, **settings)
    assert digest(model) == digest(whole)
    by_default = train("small", epochs=1)
    with pytest.raises(ValueError, match="shards must be None, as in the fit that is resumed, got"):
        by_default.fit(x, y, epochs=1, resume=True, shards=1, **settings)


def test_what_keeps_the_shards(tmp_path):
    model = train("small", shards=np.int16(3), epochs=3)
    assert model.recipe["shards"] == 3
    assert type(model.recipe["shards"]) is int
    trainer = cr.Trainer(model, loss="mse", shards=8)
    assert trainer.shards == 8
    with pytest.raises(AttributeError):
        trainer.shards = 4
    assert cr.Trainer(model, loss="mse").shards is None
    model.save(tmp_path / "model")
    x, y, weights = make_data("small")
    for other in (cr.MLP.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        recipe = other.recipe or model.recipe
        assert recipe == model.recipe
        other.initialize()
        other.fit(x, y, sample_weight=weights, **recipe)
        assert digest(other) == digest(model)
    # A model is no training: a fit of a copy has the default.
    assert train("small").recipe["shards"] is None
    again = copy.copy(model)
    again.fit(x, y, loss="mse", epochs=1)
    assert again.recipe["shards"] is None


# --- errors --------------------------------------------------------------------------------------

WRONG = [
    (0, ValueError, r"^shards must be an integer >= 1, got 0$"),
    (-2, ValueError, r"^shards must be an integer >= 1, got -2$"),
    (1025, ValueError, r"^shards must be an integer <= 1024, got 1025$"),
    (True, TypeError, r"^shards must be an integer, got bool$"),
    (2.0, TypeError, r"^shards must be an integer, got float 2.0$"),
    ("2", TypeError, r"^shards must be an integer, got str '2'$"),
]
ALL_ROWS = (
    r"^shards must be None or 1 with batch normalization, whose statistics are of all rows, got 2$"
)


def calls(model):
    """Return what takes `shards`, by name."""
    x = np.ones((4, model.in_features))
    y = np.ones((4, model.out_features))

    def backward(shards):
        outputs = model.forward(x)
        try:
            model.backward(outputs, shards=shards)
        finally:
            model._forget_forward()  # so that another one may follow

    return {
        "Trainer": lambda shards: cr.Trainer(model, loss="mse", shards=shards).step(x, y),
        "fit": lambda shards: model.fit(x, y, loss="mse", epochs=1, shards=shards),
        "loss_and_gradient": lambda shards: model.loss_and_gradient(
            x, y, loss="mse", shards=shards
        ),
        "backward": backward,
    }


@pytest.mark.parametrize(("value", "error", "message"), WRONG)
@pytest.mark.parametrize("call", ["Trainer", "fit", "loss_and_gradient", "backward"])
def test_wrong_numbers_are_refused(call, value, error, message):
    model = cr.MLP([3, 4, 2])
    before = model.parameters.copy()
    with pytest.raises(error, match=message):
        calls(model)[call](value)
    assert same_bits(model.parameters, before)
    assert model.history is None
    for right in (None, 1, 1024, np.int64(2)):
        calls(model)[call](right)


@pytest.mark.parametrize("call", ["Trainer", "fit", "loss_and_gradient", "backward"])
def test_batch_normalization_is_of_all_rows(call):
    reached = set()
    for shards in (None, 1):
        model = cr.MLP([3, cr.Dense(4, "tanh", norm="batch"), 2])
        with pytest.raises(ValueError, match=ALL_ROWS):
            calls(model)[call](2)
        assert model.history is None
        calls(model)[call](shards)
        reached.add(model.parameters.tobytes() + model.gradient.tobytes())
    assert len(reached) == 1
