"""Trainings killed at random moments and started again: the bits of one that was not killed."""

import hashlib
import multiprocessing
import os
import random
import threading
import time

import numpy as np
import pytest
from test_training import problem, rich_model

import chainrule as cr
from chainrule._files import container

CASES = {
    "early stopping": {
        "optimizer": cr.AdamW(cr.Cosine(1e-2, 0.1)),
        "early_stopping": cr.EarlyStopping(80),
        "validation_fraction": 0.2,
        "epochs": 100,
    },
    "plateau": {
        "optimizer": cr.SGD(cr.ReduceOnPlateau(0.05, 0.7, 2, min_delta=1e-2), momentum=0.9),
        "clip_norm": 0.5,
        "epochs": 100,
    },
    "lbfgs": {"optimizer": cr.LBFGS(history=5), "epochs": 100},
    "shards": {"optimizer": cr.AdamW(cr.Cosine(1e-2, 0.1)), "shards": 3, "epochs": 100},
}


def train(case, path, threads=None):
    """Train a model, with checkpoints if there is a path for them; return its digest."""
    x, y = problem(np.random.default_rng(3))
    model = rich_model("float64", dropout=0.0 if case == "lbfgs" else 0.2)
    if case == "shards":  # which batch normalization cannot have
        model = cr.MLP([4, 16, 8, 2], dtype="float64", seed=5, dropout=0.2, norm="layer")
    arguments = {"loss": "mse", "batch_size": 20 if case != "lbfgs" else 128, "threads": threads}
    if path is not None:
        # Within the epochs of all but L-BFGS, where a step is an epoch.
        arguments |= {"callbacks": [cr.Checkpoint(path, every_steps=3)], "resume_from": path}
    history = model.fit(x, y, **arguments, **CASES[case])
    digest = hashlib.sha256(model.parameters.tobytes() + model.running_statistics.tobytes())
    digest.update(repr((history.loss, history.validation_loss, history.best_epoch)).encode())
    return digest.hexdigest()


# Children are forked from a process that has imported this module: imports took most of their time.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["test_kills"])


def child(connection, case, path, threads):
    connection.send("ready")
    connection.send(train(case, path, threads))


class Reader(threading.Thread):
    """Reads a checkpoint again and again, and keeps what was wrong with it."""

    def __init__(self, path):
        super().__init__()
        self.path, self.n_reads, self.wrong, self.done = path, 0, [], False

    def run(self):
        while not self.done:
            try:
                container.read(self.path, "checkpoint")
                self.n_reads += 1
            except FileNotFoundError:
                time.sleep(0.001)
            except cr.ModelFileError as error:
                self.wrong.append(error)


def killed_or_ended(case, path, seconds, threads):
    """Start the training and kill it after some time; return its digest unless it was killed."""
    connection, of_child = CHILDREN.Pipe()
    process = CHILDREN.Process(target=child, args=(of_child, case, path, threads))
    process.start()
    of_child.close()
    assert connection.recv() == "ready"
    process.join(seconds)
    process.kill()
    process.join()
    assert process.exitcode in (0, -9)
    try:
        return connection.recv()
    except EOFError:
        return None


@pytest.mark.parametrize("n_kills", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_at_random_moments(n_kills, tmp_path):
    kills = leftovers = rounds = 0
    expected = {case: train(case, None) for case in CASES}
    longest = 0.1  # in seconds; how long a training takes depends on the disk
    while kills < n_kills:
        case = [*CASES][rounds % len(CASES)]
        folder = tmp_path / f"{rounds}"
        folder.mkdir()
        path = folder / "checkpoint"
        reader = Reader(path)
        reader.start()
        kills_before = kills
        digest = None
        while digest is None:
            seconds = random.Random(kills).uniform(0.0, longest)
            digest = killed_or_ended(case, path, seconds, 1 + kills % 2)
            kills += digest is None
            names = {found.name for found in folder.iterdir()}
            assert names <= {"checkpoint", ".checkpoint.0.tmp"}
            leftovers += ".checkpoint.0.tmp" in names
            if "checkpoint" in names:
                container.read(path, "checkpoint")
        reader.done = True
        reader.join()
        assert digest == expected[case]
        assert os.listdir(folder) == ["checkpoint"]
        assert reader.wrong == []
        assert reader.n_reads > 0
        rounds += 1
        # So that most trainings are killed, and none too often.
        longest *= 0.5 if kills == kills_before else 1.5 if kills > kills_before + 5 else 1
    print(f"{kills} kills in {rounds} trainings, {leftovers} in the middle of a file")
    assert leftovers > n_kills // 20
