// What one thread needs for an operation besides its operands: room to pack and a way to be
// stopped. Owned by a Team (ops/team.hpp) or by a call; used by ops.
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
  // Never stopped.
  Context() = default;
  explicit Context(Interrupt& interrupt) : interrupt_(&interrupt) {}

  // Room for one panel, made when first asked for.
  template <class T>
  T* panel() {
    panel_.reserve(kDepthBlock * kPanelRowBytes);
    return reinterpret_cast<T*>(panel_.data());
  }
  // Asks for a stop after `work` more multiply-adds; reads the clock only after many of them.
  bool stop_requested(int64_t work = 0) {
    if (interrupt_ == nullptr) return false;
    work_ += work;
    if (work_ < kWorkBetweenPolls) return interrupt_->is_stopped();
    work_ = 0;
    return interrupt_->stop_requested();
  }

 private:
  // Tens of microseconds.
  static constexpr int64_t kWorkBetweenPolls = int64_t{1} << 20;

  Interrupt* interrupt_ = nullptr;
  int64_t work_ = 0;
  AlignedBuffer<std::byte> panel_;
};

}  // namespace chainrule
