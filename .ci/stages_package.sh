# shellcheck shell=bash
# The stages for style and types, documents, the package, and speed. .ci/run reads this.

readonly wheel_limit_bytes=3000000

stage_lint() {
  main_venv
  ruff check .
  ruff format --check .
  find cpp tests benchmarks -name '*.?pp' -print0 | xargs -0 clang-format --dry-run --Werror
  shellcheck --external-sources --check-sourced .ci/run
  mypy
}

# The documentation, warnings as errors; its code runs with the suite: tests/house/test_pages.py.
stage_docs() {
  main_venv
  sphinx-build -W --keep-going -n -q -b html docs "$CI_DIR/docs"
  say "docs: $(find "$CI_DIR/docs" -name '*.html' | wc -l) pages"
}

# sdist, and the wheel made from it: size, import time, and that it works where only NumPy is.
stage_package() {
  main_venv
  python -m build --outdir "$CI_DIR/dist" . > "$CI_DIR/dist.log" || { cat "$CI_DIR/dist.log"; return 1; }
  local wheel size
  wheel=$(echo "$CI_DIR"/dist/*.whl)
  size=$(stat -c %s "$wheel")
  say "$(basename "$wheel"): $size bytes"
  [ "$size" -lt "$wheel_limit_bytes" ] || die "wheel of $size bytes, limit $wheel_limit_bytes"
  new_venv "$CI_DIR/bare"
  "$CI_DIR/bare/bin/python" -m pip install --quiet "$wheel"
  "$CI_DIR/bare/bin/python" -m pip list --format=freeze
  "$CI_DIR/bare/bin/python" -m benchmarks.import_time --wheel "$wheel"
  cd "$CI_DIR"
  "$CI_DIR/bare/bin/python" - <<'PY'
import numpy as np

import chainrule as cr

X = np.random.default_rng(0).normal(size=(64, 3))
model = cr.MLP([3, 8, 1], seed=0)
history = model.fit(X, X.sum(axis=1, keepdims=True), loss="mse", epochs=3, batch_size=16)
assert np.isfinite(history.loss).all()
print("trains where only NumPy is installed:", history.loss)
PY
}

# The benchmarks, once, and the command from the installed package, away from the checkout.
stage_bench() {
  main_venv
  python -m pytest -q -p no:cacheprovider --benchmark-disable benchmarks
  (cd "$CI_DIR" && chainrule bench --quick --shapes rl,tabular --rounds 1 --json bench.json)
  once baseline make_baseline  # the gate needs it soon, when nothing else may run
}

# The package of the commit that .ci/baseline names, if this clone has it.
make_baseline() {
  local commit tree=$CI_DIR/baseline-tree
  commit=$(< .ci/baseline)
  if ! git -C "$source_tree" cat-file -e "$commit^{commit}" 2> /dev/null; then
    say "this clone has no commit $commit to compare with"
    return 0
  fi
  mkdir "$tree"
  git -C "$source_tree" archive "$commit" | tar -xf - -C "$tree"
  (cd "$tree" && install_to "$CI_DIR/baseline" main)
}

# Not slower than the commit that .ci/baseline names, which is raised when a change for speed lands.
stage_gate() {
  main_venv
  once baseline make_baseline
  [ ! -e "$CI_DIR/baseline" ] || python -m benchmarks.gate "$CI_DIR/baseline"
}
