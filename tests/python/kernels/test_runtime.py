"""Variants: listed, printed, forced; and what an import costs."""

import json
import os
import subprocess
import sys

import pytest

import chainrule as cr


def run(code, **environment):
    """Run Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_variants():
    names = cr.runtime.variants()
    assert names
    assert names[-1] == "baseline"
    assert len(set(names)) == len(names)
    assert set(names) <= set(cr.runtime.compiled_variants())
    assert [n for n in cr.runtime.compiled_variants() if n in names] == names
    assert cr.runtime.active_variant() in names


@pytest.mark.parametrize("name", cr.runtime.variants())
def test_a_variant_can_be_chosen(name):
    before = cr.runtime.active_variant()
    with cr.runtime.use_variant(name):
        assert cr.runtime.active_variant() == name
        with cr.runtime.use_variant("baseline"):
            assert cr.runtime.active_variant() == "baseline"
        assert cr.runtime.active_variant() == name
    assert cr.runtime.active_variant() == before
    try:
        cr.runtime.set_variant(name)
        assert cr.runtime.active_variant() == name
    finally:
        cr.runtime.set_variant(before)


@pytest.mark.parametrize("name", cr.runtime.variants())
def test_the_variant_amx_alone_has_tiles(name):
    with cr.runtime.use_variant(name):
        assert cr.runtime.has_bf16_tiles() is (name == "amx")


def test_the_variant_before_comes_back_after_an_exception():
    before = cr.runtime.active_variant()
    with pytest.raises(KeyError), cr.runtime.use_variant("baseline"):
        raise KeyError
    assert cr.runtime.active_variant() == before


def test_unknown_variants_are_refused():
    before = cr.runtime.active_variant()
    with pytest.raises(ValueError, match=r"name must be one of .*'baseline', got 'sse9'"):
        cr.runtime.set_variant("sse9")
    with pytest.raises(ValueError, match="did you mean 'baseline'"), cr.runtime.use_variant("base"):
        pass
    with pytest.raises(TypeError, match=r"name must be one of .* got int"):
        cr.runtime.set_variant(2)
    assert cr.runtime.active_variant() == before


@pytest.mark.parametrize("name", cr.runtime.variants())
def test_the_environment_chooses(name):
    done = run(
        "import chainrule; print(chainrule.runtime.active_variant())", CHAINRULE_VARIANT=name
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == name


def test_an_unknown_variant_in_the_environment_stops_the_import():
    done = run("import chainrule", CHAINRULE_VARIANT="sse9")
    assert done.returncode != 0
    assert "CHAINRULE_VARIANT" in done.stderr
    assert "'sse9'" in done.stderr
    assert "baseline" in done.stderr


def test_build_config():
    config = cr.runtime.build_config()
    assert config["variants"].split() == cr.runtime.compiled_variants()
    assert config["version"] == cr.__version__
    assert all(isinstance(k, str) and isinstance(v, str) for k, v in config.items())
    config["version"] = "changed"
    assert cr.runtime.build_config()["version"] == cr.__version__


def test_import_brings_nothing_heavy():
    code = """
import json, sys
import numpy
before = set(sys.modules)
import chainrule
print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    brought = set(json.loads(done.stdout))
    third_party = brought - set(sys.stdlib_module_names) - {"chainrule"}
    # An editable install finds the package by a module of its own.
    third_party = {name for name in third_party if "chainrule" not in name}
    assert third_party <= {"threadpoolctl"}
