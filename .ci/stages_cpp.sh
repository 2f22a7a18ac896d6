# shellcheck shell=bash
# The stages that compile C++ in ways of their own. .ci/run reads this.

# Trainings of print_hashes are shorter by that where they take long: in baseline and in an emulator.
readonly slow_divisor=5
readonly doctest=/usr/include/doctest/doctest.h:doctest-dev

# Builds what $targets names, all by default, and runs the tests that $tests_regex matches.
configure_and_test() { # name cmake-arguments...
  local build="build/$1" log="$CI_DIR/build-$1.log"
  shift
  cmake -S . -B "$build" -G Ninja -DCHAINRULE_BUILD_TESTS=ON -DCHAINRULE_BUILD_PYTHON=OFF \
    -DCHAINRULE_WERROR=ON "$@" > "$log" || { cat "$log"; return 1; }
  # shellcheck disable=SC2086
  cmake --build "$build" --target ${targets:-all} > "$log" || { cat "$log"; return 1; }
  ctest --test-dir "$build" --output-on-failure --no-tests=error --tests-regex "${tests_regex:-.}"
}

# What a variant computes, as hashes: into the file <variant>-<divisor>.bits. The errors beside them
# are left out, for long double, their reference, is not the same everywhere.
print_bits() { # variant build step-divisor [runner]
  local variant=$1 programs=build/$2/tests/cpp log=$CI_DIR/$1-$3 runner=(${4:+"$4"})
  local math=$programs/test_math_${variant/#amx/avx512}  # whose functions amx has
  {
    "${runner[@]}" "$math" --stride 40009 &&
      "${runner[@]}" "$math" --double 20000 &&
      "${runner[@]}" "$programs/print_hashes" "$variant" "$3"
  } > "$log.log" || { cat "$log.log"; return 1; }
  sed -E 's/ worst .* hash/ hash/' "$log.log" > "$log.bits"
}

native_tests() {
  configure_and_test native -DCHAINRULE_EMULATE_TILES=ON
  compare_bits
}

# The native variants with FMA print the same; baseline does for all but products, and is slow.
compare_bits() {
  local variant best
  best=$(native_variants | head -n 1)
  print_bits "$best" native "$slow_divisor"
  for variant in $(native_variants); do
    if [ "$variant" = baseline ]; then
      print_bits baseline native "$slow_divisor"
      diff <(grep -Ev '^(dense|training) ' "$CI_DIR/$best-$slow_divisor.bits") \
        <(grep -Ev '^(dense|training) ' "$CI_DIR/baseline-$slow_divisor.bits")
    else
      print_bits "$variant" native 1
      diff "$CI_DIR/$best-1.bits" "$CI_DIR/$variant-1.bits"
    fi
    say "$variant: $(wc -l < "$CI_DIR/$best-$slow_divisor.bits") results compared"
  done
}

# Those of the native C++ build, which beside avx512 has amx, its tiles emulated where there are none.
native_variants() { variants | sed 's/^avx512$/amx\navx512/' | uniq; }

# C++ without Python; what only C++ can test; the same bits on every variant.
stage_cpp() {
  main_venv
  need_packages g++:g++ "$doctest"
  once native native_tests
  # Float64 is sampled: the worst errors, in units in the last place.
  "build/native/tests/cpp/test_math_$(variants | grep -vx amx | head -n 1)" --double 5000000
}

# Address and undefined-behavior sanitizers over the tests at the kernels, with assertions on; the
# thread sanitizer over the C++ tests that run on several threads. With it go the contracts that are
# broken on purpose, for other builds of C++ tests have no assertions.
#
# Two variants are enough, of which only these are built. The best one has the most vectors and the
# widest, and everything above the kernels runs on it. But the sanitizers see whole vectors alone: the
# masked loads and stores of avx512 and avx2, for the ends of rows, are instructions that GCC does not
# instrument. In baseline they are loops over lanes, of which each access is seen, in kernels of the
# same source. avx2 would show nothing more, and avx512 beside amx is the same table but for bf16.
stage_sanitize() {
  main_venv
  local best vectors
  best=$(variants | head -n 1)
  vectors=${best/#amx/amx;avx512}
  (
    unset SKBUILD_CMAKE_DEFINE
    install_to "$CI_DIR/sanitized" sanitize \
      --config-settings=cmake.build-type=Debug \
      --config-settings=cmake.define.CMAKE_CXX_FLAGS_DEBUG=-O1 \
      --config-settings=cmake.define.CHAINRULE_VARIANTS="$vectors" \
      --config-settings=cmake.define.CHAINRULE_SANITIZE='address,undefined'
  )
  local between
  between=$(variants | sed '1d; $d' | sed '1s/^/not /; 2,$s/^/and not /' | tr '\n' ' ')
  run_sanitized tests/python/kernels -k "$between"
  run_sanitized tests/python/core -k "${between:+$between and }not baseline"
  need_packages "$doctest"
  # Its -O1 brings a false warning about the operators new that a test replaces.
  local targets="test_thread_chooser test_thread_count test_thread_pool test_training_threads"
  targets+=" test_contracts test_team"
  tests_regex='thread|contracts|team' configure_and_test tsan -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_CXX_FLAGS_DEBUG=-O1 -DCHAINRULE_SANITIZE=thread -DCHAINRULE_WERROR=OFF
}
# libstdc++ is loaded first too: the sanitizer looks for __cxa_throw when it starts.
# PYTHONMALLOC: every object is an allocation of its own, so that overruns are seen.
run_sanitized() {
  env LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)" \
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
    PYTHONPATH="$CI_DIR/sanitized" python -m pytest -q -n "$(workers)" --benchmark-disable \
    -p no:cacheprovider --durations=8 --durations-min=2 -m "$not_once" "$@"
}

# AArch64 by cross compiler and user-mode emulation; its bits are those of x86-64. Beside them, the unit
# tests of what is written for that processor, and none that would take minutes there.
stage_neon() {
  main_venv
  need_packages aarch64-linux-gnu-g++:g++-aarch64-linux-gnu qemu-aarch64:qemu-user "$doctest"
  local targets="print_hashes test_math_neon test_flush_to_zero test_registry test_random"
  tests_regex='flush_to_zero|registry|random|variant_symbols' configure_and_test neon \
    -DCMAKE_TOOLCHAIN_FILE="$PWD/tests/cpp/aarch64-toolchain.cmake"
  print_bits neon neon "$slow_divisor" qemu-aarch64
  once native native_tests
  diff "$CI_DIR/$(native_variants | head -n 1)-$slow_divisor.bits" "$CI_DIR/neon-$slow_divisor.bits"
  say "neon: the same bits"
}
