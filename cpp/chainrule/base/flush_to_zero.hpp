// Denormal numbers count as zero while a FlushToZero lives, and the rest of the thread's
// floating-point state is the default one: rounding to nearest, no traps. The guard's destructor
// restores the state, exception flags included. Put one around every entry into arithmetic.
// KeepDenormals sets the complete default state, for a call back into foreign code from within.
//
// Why: a ReLU network's idle units leave Adam's moments decaying in the denormal range, where one
// operation can cost 100 cycles and more. And a caller who rounds upward would otherwise get other
// bits than the pool's threads compute, that is, bits that depend on the number of threads.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#elif defined(_MSC_VER) && defined(_M_ARM64)
#include <intrin.h>
#endif

namespace chainrule {

template <bool kFlushes>
class DenormalMode {
 public:
  DenormalMode() : saved_(read()) { write(kFlushes ? kDefault | kFlushBits : kDefault); }
  ~DenormalMode() { write(saved_); }
  DenormalMode(const DenormalMode&) = delete;
  DenormalMode& operator=(const DenormalMode&) = delete;

 private:
#if defined(__x86_64__) || defined(_M_X64)
  using State = uint32_t;
  static constexpr State kDefault = 0x1F80;    // all exceptions masked
  static constexpr State kFlushBits = 0x8040;  // MXCSR: FTZ (bit 15) and DAZ (bit 6)
  static State read() { return _mm_getcsr(); }
  static void write(State state) { _mm_setcsr(state); }
#elif defined(__aarch64__)
  using State = uint64_t;
  static constexpr State kDefault = 0;
  static constexpr State kFlushBits = State{1} << 24;  // FPCR: FZ flushes inputs and results
  static State read() {
    State state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    return state;
  }
  static void write(State state) { __asm__ volatile("msr fpcr, %0" : : "r"(state)); }
#elif defined(_M_ARM64)
  using State = int64_t;
  static constexpr State kDefault = 0;
  static constexpr State kFlushBits = State{1} << 24;
  static State read() { return _ReadStatusReg(ARM64_FPCR); }
  static void write(State state) { _WriteStatusReg(ARM64_FPCR, state); }
#else
  using State = int;
  static constexpr State kDefault = 0;
  static constexpr State kFlushBits = 0;
  static State read() { return 0; }
  static void write(State) {}
#endif
  State saved_;
};

using FlushToZero = DenormalMode<true>;
using KeepDenormals = DenormalMode<false>;

}  // namespace chainrule
