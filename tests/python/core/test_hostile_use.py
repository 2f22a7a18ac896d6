"""Uses that nobody plans: data that changes during a fit, signal handlers that call the model."""

import signal

import numpy as np
import pytest

import chainrule as cr


@pytest.fixture
def problem(rng):
    x = rng.normal(size=(50, 3)).astype("float32")
    return x, x.sum(axis=1)


@pytest.fixture
def alarm():
    """Call a function in a signal handler, every 50 ms."""
    previous = signal.getsignal(signal.SIGALRM)

    def set_alarm(handler):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)

    yield set_alarm
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, previous)


def test_labels_that_change_during_a_fit_are_not_read_again(problem):
    x, _ = problem
    labels = np.zeros(50, np.int32)
    model, undisturbed = cr.MLP([3, 2]), cr.MLP([3, 2])
    settings = {"loss": "cross_entropy", "epochs": 3}
    model.fit(x, labels, callbacks=[lambda state: labels.fill(10**9)], **settings)
    undisturbed.fit(x, np.zeros(50, np.int64), **settings)
    np.testing.assert_array_equal(model.parameters, undisturbed.parameters)


@pytest.mark.parametrize("inner", ["forward", "step", "initialize", "loss_and_gradient"])
def test_signal_handler_may_not_use_the_model_it_interrupts(inner, problem, alarm):
    x, y = problem
    model = cr.MLP([3, 64, 1])
    trainer = cr.Trainer(model, loss="mse", optimizer="adam")
    calls = {
        "forward": lambda: model.forward(x, training=True),
        "step": lambda: trainer.step(x, y),
        "initialize": lambda: model.initialize(7),
        "loss_and_gradient": lambda: model.loss_and_gradient(x, y, loss="mse"),
    }
    many = np.tile(x, (2000, 1))
    # Between two compiled calls the handler does no harm; within one it is an error. An epoch is
    # one call, and long enough for several looks at the signals, 20 ms apart.
    alarm(lambda *_: calls[inner]())
    with pytest.raises(RuntimeError, match="signal handler"):
        cr.Trainer(model, loss="mse", optimizer="sgd").fit(
            many, many.sum(axis=1), batch_size=2, epochs=100
        )
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    assert np.isfinite(model.parameters).all()
    model.fit(x, y, loss="mse", epochs=1)  # of use afterwards


def test_signal_handler_may_save_the_model_it_interrupts(problem, alarm, tmp_path):
    x, y = problem
    model, undisturbed = (cr.MLP([3, 64, 1]) for _ in range(2))
    many, path = np.tile(x, (2000, 1)), tmp_path / "model"
    settings = {"loss": "mse", "batch_size": 4, "epochs": 3}
    undisturbed.fit(many, np.tile(y, 2000), **settings)
    written = []

    def save(*_):
        model.save(path)
        written.append(cr.MLP.load(path).parameters.tobytes() == model.parameters.tobytes())

    model.save(path)  # a handler can interrupt the import of what it is about to import itself
    alarm(save)
    model.fit(many, np.tile(y, 2000), callbacks=[cr.Checkpoint(path)], **settings)
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    assert len(written) > 1
    assert all(written)
    np.testing.assert_array_equal(model.parameters, undisturbed.parameters)
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_forward_leaves_the_running_statistics(problem, alarm):
    x, _ = problem
    model = cr.MLP([3, 256, 256, 1], norm="batch")
    many = np.tile(x, (2000, 1))  # a tenth of a second at 100 GFLOP/s
    before = model.running_statistics.copy()

    def interrupt(*_):
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        raise KeyboardInterrupt

    alarm(interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.forward(many, training=True, threads=1)
    np.testing.assert_array_equal(model.running_statistics, before)


def test_lbfgs_sees_that_the_data_changed(problem):
    x, y = problem
    model = cr.MLP([3, 1], dtype="float64")
    trainer = cr.Trainer(model, loss="mse", optimizer="lbfgs")
    trainer.fit(x, y, epochs=50)
    trainer.fit(x, y + 100, epochs=50)
    assert model.evaluate(x, y + 100, loss="mse").loss < 1e-6
    after_step = trainer.step(x, y)
    assert after_step == pytest.approx(model.evaluate(x, y, loss="mse").loss)


def test_lbfgs_goes_on_where_it_was(problem):
    x, y = problem
    whole, parts = cr.MLP([3, 5, 1]), cr.MLP([3, 5, 1])
    settings = {"loss": "mse", "optimizer": cr.LBFGS()}
    whole.fit(x, y, epochs=8, **settings)
    parts.fit(x, y, epochs=5, **settings)
    parts.fit(x, y, epochs=3, resume=True, **settings)
    np.testing.assert_array_equal(whole.parameters, parts.parameters)


@pytest.mark.filterwarnings("ignore::chainrule.ScaleWarning")
def test_lbfgs_says_when_the_line_search_failed(problem):
    x, y = problem
    history = cr.MLP([3, 4, 1]).fit(x * 1e15, y, loss="mse", optimizer=cr.LBFGS())
    assert history.stop_reason == "line_search"
    assert len(history.loss) == 1


def test_lbfgs_ends_where_no_direction_points_downhill():
    model = cr.MLP([1, 1], initializer="zeros")
    history = model.fit(
        np.ones((4, 1)),
        np.full((4, 1), 1e-21),  # the square of the gradient underflows
        loss="mse",
        optimizer=cr.LBFGS(gradient_tolerance=1e-30),
        epochs=5,
    )
    assert history.stop_reason == "line_search"


@pytest.mark.filterwarnings("ignore::chainrule.ScaleWarning")
def test_batch_statistics_that_overflow_end_the_fit(problem):
    x, y = problem
    model = cr.MLP([3, 4, 1], norm="batch")
    parameters, statistics = model.parameters.copy(), model.running_statistics.copy()
    with pytest.raises(cr.DivergenceError, match="statistics are not finite in epoch 1, batch 1"):
        model.fit(x * 1e25, y, loss="mse", epochs=3)
    with pytest.raises(ValueError, match="X must give finite batch statistics"):
        model.forward(x * 1e25, training=True)
    np.testing.assert_array_equal(model.parameters, parameters)
    np.testing.assert_array_equal(model.running_statistics, statistics)


def test_momentum_of_one_or_more_is_refused():
    with pytest.raises(ValueError, match=r"momentum must be .* < 1, got 100"):
        cr.SGD(0.1, momentum=100.0)


def test_denormal_weights_count_as_zero(problem):
    x, y = problem
    with pytest.raises(ValueError, match="sample_weight must hold at least one positive weight"):
        cr.MLP([3, 1]).fit(x, y, loss="mse", sample_weight=np.full(50, 1e-40))
