# shellcheck shell=bash
# The stages that run the Python tests. .ci/run reads this.

# Tests that reach the kernels in their own way: on every variant, and under the sanitizers.
readonly at_the_kernels="tests/python/kernels tests/python/core"
# Tests of what stands above the kernels and calls them as others do: once is enough, on the best
# variant and without sanitizers.
readonly above_the_kernels="tests/python/files tests/python/tables tests/python/estimators
  tests/python/exchange tests/python/command tests/house"

# For pytest -m, beside what pyproject.toml leaves out: those that are not for other variants and
# sanitizers, and those that say nothing new on another Python.
readonly not_once="not slow and not torch and not once"
readonly not_compiler="not slow and not torch and not compiler"

readonly latency=tests/python/core/test_interrupt_latency.py

# The commands of the nth fenced block of a language in README.md.
readme_block() {
  awk -v open="\`\`\`$1" -v want="$2" '
    inside && /^```/ { exit }
    inside { print }
    $0 == open { inside = (++count == want) }' README.md
}
readme_blocks() { grep -c "^\`\`\`$1\$" README.md; }

# Every bash block of README.md, each in a fresh environment and a fresh copy of the tree, as a
# stranger would run it; then its Python blocks. One of them is the whole suite, on the newest Python.
stage_readme() {
  main_venv
  local i count newest
  newest=$(find_python "$newest_python")
  count=$(readme_blocks bash)
  [ "$count" -ge 2 ] || die "README.md has $count bash blocks, expected the two commands at least"
  for i in $(seq "$count"); do
    say "--- README.md, bash block $i"
    readme_block bash "$i"
    new_venv "$CI_DIR/readme-$i" "${newest:-python3}"
    mkdir "$CI_DIR/readme-tree-$i"
    tar -cf - --exclude=./build . | tar -xf - -C "$CI_DIR/readme-tree-$i"
    (
      cd "$CI_DIR/readme-tree-$i"
      # shellcheck disable=SC1090,SC1091
      . "$CI_DIR/readme-$i/bin/activate"
      python --version
      readme_block bash "$i" > "$CI_DIR/readme-$i.sh"
      PYTEST_ADDOPTS="-n $(workers) --benchmark-disable --durations=25"
      export PYTEST_ADDOPTS OPENBLAS_NUM_THREADS=1
      bash -euo pipefail "$CI_DIR/readme-$i.sh"
    )
  done
  compgen -G "$CI_DIR/readme-tree-*/learning_curve.png" || die "no learning curve was drawn"
  count=$(readme_blocks python)
  [ "$count" -ge 1 ] || die "README.md has no Python block"
  for i in $(seq "$count"); do
    say "--- README.md, Python block $i"
    readme_block python "$i" > "$CI_DIR/readme-$i.py"
    (cd "$CI_DIR" && python "$CI_DIR/readme-$i.py")
  done
}

# The variant that tests which choose none run on in the stage oldest.
oldest_variant() { { other_variants; variants; } | head -n 1; }

# The oldest Python, when there, with the oldest of all packages that pyproject.toml allows. Kernels are
# the same ones: the tests that go through the variants stay out, and those of the core that choose none
# run on the best of the other variants, which the stage variants then leaves out.
stage_oldest() {
  main_venv
  local python venv=$CI_DIR/oldest
  python=$(find_python "$oldest_python")
  if [ -z "$python" ]; then
    say "Python $oldest_python is not on this machine"
    return
  fi
  new_venv "$venv" "$python"
  build_wheel oldest
  add_packages "$venv" "$(wheel_of oldest)[test]" --constraint tests/oldest.txt
  PATH="$venv/bin:$PATH"
  python -c 'import sys; print("--- Python", sys.version.split()[0])'
  python -m pip list --format=freeze
  # shellcheck disable=SC2086
  run_pytest $above_the_kernels -k "$(not_by_variant)" -m "$not_compiler"
  say "--- CHAINRULE_VARIANT=$(oldest_variant)"
  # shellcheck disable=SC2086
  CHAINRULE_VARIANT=$(oldest_variant) run_pytest $at_the_kernels -k "$(not_by_variant)"
}

# The tests that do not go through the variants themselves, on each variant but the best one, which
# the README's own pytest ran on, and that of the stage oldest.
stage_variants() {
  main_venv
  local variant
  for variant in $(other_variants); do
    if [ "$variant" = "$(oldest_variant)" ] && [ -n "$(find_python "$oldest_python")" ]; then
      continue
    fi
    say "--- CHAINRULE_VARIANT=$variant"
    # shellcheck disable=SC2086
    CHAINRULE_VARIANT=$variant run_pytest $at_the_kernels -k "$(not_by_variant)" -m "$not_once"
  done
}

# What uses the tiles of the variant amx, emulated where the processor has none.
stage_tiles() {
  main_venv
  variants | grep -qx avx512 || { say "no AVX-512 here, with which tiles are emulated"; return 0; }
  if variants | grep -qx amx; then
    say "this processor has tiles, on which README's own pytest ran"
    return 0
  fi
  install_to "$CI_DIR/tiles" tiles --config-settings=cmake.define.CHAINRULE_EMULATE_TILES=ON
  export PYTHONPATH=$CI_DIR/tiles
  [ "$(variants | head -n 1)" = amx ] || die "the build has no tiles: $(variants | tr '\n' ' ')"
  # pytest's handler of SIGILL would take the place of that which emulates.
  local on_tiles='not avx512 and not avx2 and not baseline'
  run_pytest -p no:faulthandler tests/python/core/test_precision.py \
    tests/python/kernels/test_runtime.py -k "$on_tiles"
  run_pytest -p no:faulthandler tests/python/core/test_{concurrency,forks,start_methods,threads}.py \
    -k "at_once_have or some_trainings or (bf16 and $on_tiles)"
}

# Every float32 input of every elementary function, and whatever else takes minutes.
stage_slow() {
  main_venv
  run_pytest tests -m slow -rP --ignore "$latency"
}

# How soon Ctrl-C ends a training.
stage_latency() {
  main_venv
  python -m pytest -q -p no:cacheprovider -m slow -rP "$latency"
}

# Networks from and to PyTorch, where the index has a build of it for CPUs alone. All else is that of the
# main environment.
stage_torch() {
  new_venv "$CI_DIR/torch"
  if ! add_packages "$CI_DIR/torch" 'torch==2.13.0+cpu'; then
    say "no CPU build of PyTorch to install here"
    return
  fi
  main_venv
  "$CI_DIR/main/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    > "$("$CI_DIR/torch/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
  PATH="$CI_DIR/torch/bin:$PATH"
  run_pytest tests -m torch
}
