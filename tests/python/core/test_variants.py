"""The active variant: a default of the process, and blocks of `use_variant` in Python's context.

Two variants are told apart by what the runtime reports and, where the machine has FMA, by bits.
"""

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from thread_cases import train

import chainrule as cr
from chainrule.runtime import active_variant, set_variant, use_variant

DEFAULT = active_variant()
OTHER = next((name for name in reversed(cr.runtime.variants()) if name != DEFAULT), DEFAULT)

pytestmark = pytest.mark.skipif(OTHER == DEFAULT, reason="this machine runs one variant")


@pytest.fixture(autouse=True)
def _restored():
    yield
    assert active_variant() == DEFAULT
    assert contextvars.Context().run(active_variant) == DEFAULT


def in_new_thread(function):
    """Return the result of a function in a thread of its own, in an empty context."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.Context().run, function).result()


@pytest.fixture
def network():
    """Return a network whose output for 1 + 2^-12 is 0 where a product is rounded before a sum."""
    model = cr.MLP([1, 1], seed=0)
    model.weights[0][...] = 1 + 2.0**-12
    model.biases[0][...] = -(1 + 2.0**-11)
    return model


# --- blocks and the default ----------------------------------------------------------------------


def test_blocks_nest_and_end_with_exceptions():
    with use_variant(OTHER):
        assert active_variant() == OTHER
        with pytest.raises(KeyError, match=DEFAULT), use_variant(DEFAULT):
            raise KeyError(active_variant())
        assert active_variant() == OTHER
        with pytest.raises(ValueError, match="name must be one of"), use_variant("sse9"):
            pass
        assert active_variant() == OTHER
    assert active_variant() == DEFAULT


def test_a_block_may_be_entered_again_as_a_decorator():
    @use_variant(OTHER)
    def nested(depth):
        return [active_variant(), *(nested(depth - 1) if depth else [])]

    assert nested(3) == [OTHER] * 4
    assert active_variant() == DEFAULT


def test_a_block_takes_precedence_over_the_default():
    with use_variant(DEFAULT):
        set_variant(OTHER)
        try:
            assert active_variant() == DEFAULT
            assert in_new_thread(active_variant) == OTHER
            with use_variant(OTHER):
                set_variant(DEFAULT)
                assert active_variant() == OTHER
                assert in_new_thread(active_variant) == DEFAULT
            set_variant(OTHER)
        finally:
            after = contextvars.Context().run(active_variant)
            set_variant(DEFAULT)
    assert after == OTHER


@pytest.mark.skipif("baseline" not in (DEFAULT, OTHER), reason="no variant without FMA")
def test_every_kind_of_call_runs_on_the_variant_of_its_block(network):
    x, y = np.float32([[1 + 2.0**-12]]), np.float32([[0.0]])
    w, b = network.weights[0].copy(), network.biases[0].copy()
    trainer = cr.Trainer(network, loss="mse", optimizer=cr.SGD(1e-30))
    for name in (DEFAULT, OTHER, DEFAULT):
        with use_variant(name):
            results = {
                "predict": network.predict(x).item(),
                "predict_list": network.predict(x.tolist()).item(),
                "forward": network.forward(x).item(),
                "evaluate": network.evaluate(x, y, loss="mse").loss,
                "loss_and_gradient": network.loss_and_gradient(x, y, loss="mse")[0],
                "step": trainer.step(x, y),
                "dense_forward": cr.kernels.dense_forward(x, w, b).item(),
            }
        zeros = {key: value == 0 for key, value in results.items()}
        assert zeros == dict.fromkeys(results, name == "baseline"), name


# --- threads -------------------------------------------------------------------------------------


def test_threads_use_two_variants_at_once():
    barrier = threading.Barrier(3)

    def work(name):
        seen = []
        with use_variant(name):
            for _ in range(5):
                barrier.wait(60)
                seen.append(active_variant())
                with use_variant(DEFAULT if name == OTHER else OTHER):
                    barrier.wait(60)
                seen.append(active_variant())
        return seen

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, name) for name in (DEFAULT, OTHER)]
        for _ in range(10):
            barrier.wait(60)
            assert active_variant() == DEFAULT
        assert [future.result() for future in futures] == [[DEFAULT] * 10, [OTHER] * 10]


@pytest.mark.parametrize("name", ["gelu-dropout-layer-adamw", "tanh-lbfgs"])
def test_models_train_on_two_variants_at_once(name):
    variants = [DEFAULT, OTHER]
    serial = {variant: train(name, "float32", 1, variant=variant) for variant in variants}
    if "baseline" in variants:
        assert serial[DEFAULT] != serial[OTHER]
    with ThreadPoolExecutor(4) as pool:
        trained = [
            (variant, pool.submit(train, name, "float32", 2, variant=variant))
            for variant in variants * 2
        ]
        for variant, future in trained:
            assert future.result() == serial[variant], variant


def test_a_thread_starts_with_the_default_and_a_copied_context_with_the_block():
    with use_variant(OTHER):
        assert in_new_thread(active_variant) == DEFAULT
        copy = contextvars.copy_context()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(copy.run, active_variant).result() == OTHER
        seen = []
        thread = threading.Thread(target=lambda: seen.append(active_variant()))
        thread.start()
        thread.join()
        inherits = getattr(sys.flags, "thread_inherit_context", 0)
        assert seen == [OTHER if inherits else DEFAULT]


# --- generators ----------------------------------------------------------------------------------


def within_block():
    with use_variant(OTHER):
        yield active_variant()
        yield active_variant()


def test_a_block_of_a_generator_is_open_until_it_ends():
    generator = within_block()
    assert next(generator) == OTHER
    assert active_variant() == OTHER
    with use_variant(DEFAULT):
        assert active_variant() == DEFAULT
    assert next(generator) == OTHER
    assert list(generator) == []
    assert active_variant() == DEFAULT

    generator = within_block()
    next(generator)
    generator.close()
    assert active_variant() == DEFAULT


def test_another_thread_cannot_leave_a_block():
    generator = within_block()
    context = contextvars.copy_context()
    context.run(next, generator)
    assert active_variant() == DEFAULT
    with pytest.raises(ValueError, match="different Context"):
        in_new_thread(generator.close)
    assert context.run(active_variant) == OTHER
    assert in_new_thread(active_variant) == DEFAULT


# --- asyncio -------------------------------------------------------------------------------------


def test_tasks_use_two_variants_in_turn():
    async def work(name, turns):
        seen = []
        with use_variant(name):
            for _ in range(turns):
                await asyncio.sleep(0)
                seen.append(active_variant())
        await asyncio.sleep(0)
        return [*seen, active_variant()]

    async def main():
        # The blocks overlap and end in the order in which they began.
        results = await asyncio.gather(work(OTHER, 2), work(DEFAULT, 4), work(OTHER, 6))
        return results, active_variant()

    results, after = asyncio.run(main())
    assert results == [[name] * n + [DEFAULT] for name, n in ((OTHER, 2), (DEFAULT, 4), (OTHER, 6))]
    assert after == DEFAULT


def test_a_task_keeps_the_block_in_which_it_was_created():
    async def work(begun, ended):
        begun.set()
        await ended.wait()
        return active_variant(), await asyncio.to_thread(active_variant)

    async def main():
        begun, ended = asyncio.Event(), asyncio.Event()
        with use_variant(OTHER):
            task = asyncio.create_task(work(begun, ended))
            assert await asyncio.to_thread(active_variant) == OTHER
        await begun.wait()
        assert active_variant() == DEFAULT
        ended.set()
        return await task

    assert asyncio.run(main()) == (OTHER, OTHER)


# --- processes -----------------------------------------------------------------------------------

# In a process of its own: newer Pythons warn of a fork beside threads.
FORK = """
import os, subprocess, sys, threading
import chainrule as cr
from chainrule.runtime import active_variant, set_variant, use_variant

default, other = {DEFAULT!r}, {OTHER!r}


def in_child(check):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if check() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def in_thread(function):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(function()))
    thread.start()
    thread.join()
    return seen[0]


def nested():
    with use_variant(default):
        inner = active_variant()
    return (inner, active_variant(), in_thread(active_variant)) == (default, other, default)


with use_variant(other):
    in_child(nested)
    code = "import chainrule as cr; print(cr.runtime.active_variant())"
    spawned = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert spawned.stdout.strip() == default, spawned
in_child(lambda: active_variant() == default)
set_variant(other)
in_child(lambda: active_variant() == in_thread(active_variant) == other)
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_in_the_block_and_a_spawned_one_is_not():
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore::DeprecationWarning", "-X", "thread_inherit_context=0"),
            *("-c", FORK.format(DEFAULT=DEFAULT, OTHER=OTHER)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "CHAINRULE_VARIANT": DEFAULT},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "done"


def test_the_environment_names_the_default():
    code = """
import contextvars
import chainrule as cr
from chainrule.runtime import active_variant, use_variant
print(active_variant())
with use_variant({DEFAULT!r}):
    print(active_variant(), contextvars.Context().run(active_variant))
print(active_variant())
"""
    done = subprocess.run(
        [sys.executable, "-c", code.format(DEFAULT=DEFAULT)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "CHAINRULE_VARIANT": OTHER},
    )
    assert done.stdout.split() == [OTHER, DEFAULT, OTHER, OTHER]
