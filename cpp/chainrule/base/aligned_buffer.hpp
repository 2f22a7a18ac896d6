// An owned, 64-byte aligned array of plain numbers; the only place that allocates for arithmetic.
// Used by every layer above.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#include "base/checks.hpp"

namespace chainrule {

// A cache line, and the widest vector register.
inline constexpr std::size_t kAlignment = 64;
// From here on a buffer lies on large pages where the system has them on request: matrices are read
// along columns too, a page for each element or two.
inline constexpr std::size_t kLargePage = std::size_t{1} << 21, kFewestLargeBytes = 2 * kLargePage;

template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  AlignedBuffer() = default;

  // Zero-filled. Throws std::length_error when the size in bytes overflows, std::bad_alloc.
  explicit AlignedBuffer(int64_t size) {
    allocate(size);
    if (size > 0) {
      std::memset(static_cast<void*>(data_), 0, static_cast<std::size_t>(size) * sizeof(T));
    }
  }

  AlignedBuffer(const AlignedBuffer& other) : AlignedBuffer(other.size_) {
    if (size_ > 0) std::memcpy(data_, other.data_, static_cast<std::size_t>(size_) * sizeof(T));
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~AlignedBuffer() {
    if (data_ == nullptr) return;  // a workspace has dozens of these
    ::operator delete(data_, alignment(static_cast<std::size_t>(size_) * sizeof(T)));
  }

  // Makes room for at least `size` elements; contents are lost when it grows.
  void reserve(int64_t size) {
    if (size > size_) *this = AlignedBuffer(size);
  }
  // The same for scratch, which costs nothing where it is not written: its contents are arbitrary.
  void reserve_scratch(int64_t size) {
    if (size <= size_) return;
    AlignedBuffer larger;
    larger.allocate(size);
    *this = std::move(larger);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

 private:
  void allocate(int64_t size) {
    if (size <= 0) return;  // never negative: said for GCC 12, which warns of huge sizes
    const auto bytes = static_cast<std::size_t>(checked_product(size, int64_t{sizeof(T)}));
    data_ = static_cast<T*>(::operator new(bytes, alignment(bytes)));
    size_ = size;
#if defined(__linux__)
    // A hint: where it is refused, the pages are small.
    if (bytes >= kFewestLargeBytes) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
  }

  static std::align_val_t alignment(std::size_t bytes) {
    return std::align_val_t{bytes < kFewestLargeBytes ? kAlignment : kLargePage};
  }

  T* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace chainrule
