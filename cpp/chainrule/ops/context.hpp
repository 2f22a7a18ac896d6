// What an operation needs besides its operands: room to pack and a way to be stopped. One per
// trainer or call; not shared between threads. Used by ops, handed down by network and training.
#pragma once

#include <cstddef>

#include "base/aligned_buffer.hpp"
#include "base/interrupt.hpp"

namespace chainrule {

// Steps of k that a packed panel holds: 512 rows of two 64-byte vectors are 64 KiB, which stays in
// a second-level cache beside the operands.
inline constexpr int64_t kDepthBlock = 512;
inline constexpr int64_t kPanelRowBytes = 2 * 64;

class Context {
 public:
  Context() : panel_(kDepthBlock * kPanelRowBytes) {}

  template <class T>
  T* panel() {
    return reinterpret_cast<T*>(panel_.data());
  }
  Interrupt& interrupt() { return interrupt_; }

 private:
  AlignedBuffer<std::byte> panel_;
  Interrupt interrupt_;
};

}  // namespace chainrule
