"""threadpoolctl shows and limits the library's threads, whichever of the two comes first."""

import importlib.metadata

import pytest
import threadpoolctl
from test_threads import run

import chainrule as cr

pytestmark = pytest.mark.once

CHECK = """
def ours():
    infos = threadpoolctl.threadpool_info()
    (info,) = [info for info in infos if info["user_api"] == "chainrule"]
    return info

before = cr.runtime.num_threads()
info = ours()
assert info["internal_api"] == "chainrule" and info["prefix"] == "_core", info
assert info["version"] == cr.__version__ and info["num_threads"] == before, info
with threadpoolctl.threadpool_limits(1):
    assert cr.runtime.num_threads() == 1 == ours()["num_threads"]
    with threadpoolctl.threadpool_limits(limits={"chainrule": 2}):
        assert cr.runtime.num_threads() == 2
    with threadpoolctl.threadpool_limits(5, user_api="chainrule"):
        assert cr.runtime.num_threads() == 5
    with threadpoolctl.threadpool_limits(5, user_api="blas"):
        assert cr.runtime.num_threads() == 1
    with threadpoolctl.threadpool_limits(10**6, user_api="chainrule"):
        assert cr.runtime.num_threads() == 1024
assert cr.runtime.num_threads() == before
print("good")
"""


@pytest.mark.parametrize("first", ["threadpoolctl", "chainrule as cr"])
def test_the_order_of_imports_does_not_matter(first):
    second = {"threadpoolctl": "chainrule as cr", "chainrule as cr": "threadpoolctl"}[first]
    assert run(f"import {first}\nimport {second}\n{CHECK}") == "good"


def test_other_modules_called_core_are_told_apart(tmp_path):
    # Any extension module will do.
    code = f"""
import ctypes, shutil
import _ctypes
import chainrule as cr
import threadpoolctl
path = {str(tmp_path / "_core.other.so")!r}
shutil.copy(_ctypes.__file__, path)
other = ctypes.CDLL(path)
"""
    assert run(code + CHECK) == "good"


@pytest.mark.parametrize("module", ["None", 'types.SimpleNamespace(__version__="3.1.0")'])
def test_without_it_or_with_an_old_one(module):
    code = f"""
import sys, types
sys.modules["threadpoolctl"] = {module}
import chainrule as cr
print(cr.runtime.num_threads() >= 1)
"""
    assert run(code) == "True"


def test_a_bad_variable_is_not_forgotten():
    code = """
import chainrule as cr
import threadpoolctl
with threadpoolctl.threadpool_limits(1):
    assert cr.runtime.num_threads() == 1
try:
    cr.runtime.num_threads()
except ValueError as error:
    print(error)
"""
    assert "CHAINRULE_NUM_THREADS" in run(code, CHAINRULE_NUM_THREADS="many")


def test_the_limit_holds_in_this_process():
    assert threadpoolctl.__version__ == importlib.metadata.version("threadpoolctl")
    before = cr.runtime.num_threads()
    with threadpoolctl.threadpool_limits(limits={"chainrule": before + 1}):
        assert cr.runtime.num_threads() == before + 1
    assert cr.runtime.num_threads() == before
