"""Early stopping, and the count of epochs without improvement."""

import numpy as np
import pytest
from bounds import same_bits
from test_callbacks import new_model, problem

import chainrule as cr
from chainrule._callbacks import Plateau


def scripted(monkeypatch, losses, scores=None):
    """Make validation return these values in turn."""
    results = [
        cr.Evaluation(loss, None if scores is None else score)
        for loss, score in zip(losses, scores or losses, strict=True)
    ]
    it = iter(results)
    monkeypatch.setattr("chainrule._loop.evaluate", lambda *args: next(it))


def fit_scripted(rng, rule, epochs=10):
    x, y = problem(rng)
    model = new_model()
    kept = []

    def keep(state):
        kept.append(np.concatenate([model.parameters, model.running_statistics]))

    history = model.fit(
        x,
        y,
        loss="mse",
        epochs=epochs,
        validation_data=(x, y),
        early_stopping=rule,
        callbacks=[keep],
    )
    return history, kept, np.concatenate([model.parameters, model.running_statistics])


@pytest.mark.parametrize(
    ("rule", "losses", "n_epochs", "best"),
    [
        (cr.EarlyStopping(patience=2), [5, 4, 3, 6, 7, 1], 5, 3),
        (cr.EarlyStopping(patience=3), [5, 4, 3, 6, 7, 1, 2, 2, 2, 0], 9, 6),
        (cr.EarlyStopping(patience=1), [5, 5, 1], 2, 1),
        (cr.EarlyStopping(patience=2, min_delta=0.5), [5, 4.6, 4.4, 4.3, 4.2, 4.1], 5, 3),
        (cr.EarlyStopping(patience=2), [np.nan, 3, np.nan, np.nan, 1], 4, 2),
        (cr.EarlyStopping(patience=2), [np.inf, np.nan, np.inf, 1], 2, None),
    ],
)
def test_early_stopping(rule, losses, n_epochs, best, monkeypatch, rng):
    scripted(monkeypatch, losses)
    history, kept, final = fit_scripted(rng, rule)
    assert history.stop_reason == "early_stopping"
    assert len(history.loss) == n_epochs
    assert history.best_epoch == best
    assert same_bits(final, kept[-1 if best is None else best - 1])


def test_early_stopping_by_score(monkeypatch, rng):
    rule = cr.EarlyStopping(patience=2, monitor="score")
    scripted(monkeypatch, [5, 4, 3, 2, 1], [0.1, 0.5, 0.4, 0.3, 0.2])
    history, kept, final = fit_scripted(rng, rule)
    assert history.stop_reason == "early_stopping"
    assert (len(history.loss), history.best_epoch) == (4, 2)
    assert same_bits(final, kept[1])


def test_the_best_is_restored_however_a_fit_ends(monkeypatch, rng):
    scripted(monkeypatch, [3, 1, 2, 4])
    history, kept, final = fit_scripted(rng, cr.EarlyStopping(patience=9), epochs=4)
    assert history.stop_reason == "epochs"
    assert history.best_epoch == 2
    assert same_bits(final, kept[1])


def test_the_last_is_kept_where_asked(monkeypatch, rng):
    scripted(monkeypatch, [3, 1, 2, 4])
    rule = cr.EarlyStopping(patience=2, restore_best=False)
    history, kept, final = fit_scripted(rng, rule, epochs=9)
    assert history.stop_reason == "early_stopping"
    assert history.best_epoch == 2
    assert same_bits(final, kept[3])


def test_without_validation_the_training_loss_is_watched(rng):
    x, y = problem(rng)
    rule = cr.EarlyStopping(patience=2, min_delta=1e6)
    history = new_model().fit(x, y, loss="mse", early_stopping=rule)
    assert history.stop_reason == "early_stopping"
    assert (len(history.loss), history.best_epoch) == (3, 1)


def test_a_real_training_stops_early(rng):
    x = rng.normal(size=(40, 10))
    y = rng.normal(size=40)  # noise: what is learned does not carry over
    model = cr.MLP([10, 64, 1])
    x_val, y_val = rng.normal(size=(200, 10)), rng.normal(size=200)
    history = model.fit(
        x,
        y,
        loss="mse",
        optimizer=cr.Adam(1e-2),
        epochs=500,
        validation_data=(x_val, y_val),
        early_stopping=cr.EarlyStopping(patience=10),
    )
    assert history.stop_reason == "early_stopping"
    best = int(np.argmin(history.validation_loss))
    assert history.best_epoch == best + 1 == len(history.loss) - 10
    assert model.evaluate(x_val, y_val, loss="mse").loss == history.validation_loss[best]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: cr.EarlyStopping(patience=0), ValueError, "patience must be an integer >= 1"),
        (lambda: cr.EarlyStopping(min_delta=-1), ValueError, "min_delta must be .* >= 0, got -1"),
        (lambda: cr.EarlyStopping(monitor="acc"), ValueError, "monitor must be one of 'loss', 'sc"),
        (lambda: cr.EarlyStopping(restore_best=1), TypeError, "restore_best must be True or False"),
    ],
)
def test_early_stopping_is_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_scores_must_be_there_to_be_watched(rng):
    x, y = problem(rng)
    rule = cr.EarlyStopping(monitor="score")
    with pytest.raises(ValueError, match="monitor 'loss' without validation data, got 'score'"):
        new_model().fit(x, y, loss="mse", early_stopping=rule)
    with pytest.raises(ValueError, match=r"monitor 'loss' for Quantile\(.*\), which has no score"):
        new_model().fit(x, y, loss="quantile", validation_fraction=0.5, early_stopping=rule)


def test_plateau():
    plateau = Plateau(0.5)
    assert [plateau.update(v) for v in (3, 2.6, 2.4, 2.4, float("nan"), 1)] == [
        *(True, False, True, False, False, True)
    ]
    rising = Plateau(0.0, higher_is_better=True)
    assert [rising.update(v) for v in (0.1, 0.1, 0.2, -1)] == [True, False, True, False]
    assert rising.epochs == 1
