#include "base/checks.hpp"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace chainrule {

#if defined(CHAINRULE_ASSERTIONS)
void fail_assertion(const char* file, int line, const char* contract) noexcept {
  std::fprintf(stderr, "%s:%d: contract broken: %s\n", file, line, contract);
  std::fflush(stderr);
  std::abort();
}
#endif

void fail_size() { throw std::length_error("array size does not fit in 64 bits"); }

}  // namespace chainrule
