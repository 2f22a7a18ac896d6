// doctest's implementation and main(), once for all test programs.
// Without handlers of its own: emulated tiles need SIGILL, and ctest says what signal it was.
#define DOCTEST_CONFIG_NO_POSIX_SIGNALS
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
