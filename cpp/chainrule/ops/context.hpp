// What one thread needs for an operation besides its operands: the kernels, room to pack and a way
// to be stopped. Owned by a Team (ops/team.hpp) or by a call; used by ops.
#pragma once

#include <cstddef>

#include "base/aligned_buffer.hpp"
#include "base/interrupt.hpp"
#include "kernels/registry.hpp"

namespace chainrule {

// Steps of k that a packed panel holds: 512 rows of two 64-byte vectors are 64 KiB, which stays in
// a second-level cache beside the operands.
inline constexpr int64_t kDepthBlock = 512;
inline constexpr int64_t kPanelRowBytes = 2 * 64;

// A copied block of a left operand: 512 rows, for all of which a panel is packed once. It streams
// from the second- or third-level cache. kBlockPadBytes keep its rows, where they are a power of
// two long, from sharing cache sets.
inline constexpr int64_t kBlockBytes = int64_t{1} << 20, kBlockPadBytes = 64;

// Of a product of bf16 terms: a strip of the right operand over a stretch of k, and the left
// operand's strips over the same stretch. Both come from the second-level cache (2 MiB where there
// are tiles); a longer stretch reads and writes C less often. Half of either cost bf16x6 11 %.
inline constexpr int64_t kBf16StripBytes = int64_t{128} << 10, kBf16LeftBytes = int64_t{1} << 20;

// A cache line of its own: each thread writes to its context after every panel.
class alignas(64) Context {
 public:
  // Never stopped.
  explicit Context(const Variant& variant = active_variant()) : variant_(&variant) {}
  // Of a team; a null interrupt never stops it.
  Context(const Variant& variant, Interrupt* interrupt)
      : variant_(&variant), interrupt_(interrupt) {}

  // Between operations.
  void use(const Variant& variant) { variant_ = &variant; }
  template <class T>
  const KernelTable<T>& kernels() const {
    return kernels_of<T>(*variant_);
  }

  // Room for one panel, made when first asked for.
  template <class T>
  T* panel() {
    panel_.reserve_scratch(kPanelBytes);
    return reinterpret_cast<T*>(panel_.data());
  }
  // The same for one block.
  template <class T>
  T* block() {
    block_.reserve_scratch(kBlockScratchBytes);
    return reinterpret_cast<T*>(block_.data());
  }
  // And for these.
  std::byte* bf16_left() {
    bf16_left_.reserve_scratch(kBf16LeftBytes);
    return bf16_left_.data();
  }
  std::byte* bf16_right() {
    bf16_right_.reserve_scratch(kBf16StripBytes);
    return bf16_right_.data();
  }
  // All at once, before threads that may not throw.
  void reserve_scratch() {
    panel_.reserve_scratch(kPanelBytes);
    block_.reserve_scratch(kBlockScratchBytes);
    bf16_left_.reserve_scratch(kBf16LeftBytes);
    bf16_right_.reserve_scratch(kBf16StripBytes);
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
  static constexpr int64_t kPanelBytes = kDepthBlock * kPanelRowBytes;
  static constexpr int64_t kBlockScratchBytes = kBlockBytes + kDepthBlock * kBlockPadBytes;
  // Tens of microseconds.
  static constexpr int64_t kWorkBetweenPolls = int64_t{1} << 20;

  const Variant* variant_;
  Interrupt* interrupt_ = nullptr;
  int64_t work_ = 0;
  AlignedBuffer<std::byte> panel_, block_, bf16_left_, bf16_right_;
};

}  // namespace chainrule
