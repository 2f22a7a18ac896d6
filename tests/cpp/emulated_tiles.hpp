// The tiles of AMX on a processor without, for tests: an instruction that it does not have ends in
// SIGILL, whose handler carries it out. Compiled into the library with CHAINRULE_EMULATE_TILES;
// called by base/cpu_features.cpp.
#pragma once

namespace chainrule {

// From now on the process has tiles, in threads that do not block SIGILL and until another handler
// of it takes this one's place. Needs AVX-512.
void emulate_tiles();

}  // namespace chainrule
