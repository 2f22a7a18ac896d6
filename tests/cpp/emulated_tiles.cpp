// The instructions that simd/tiles_amx.hpp uses, as Intel's manual describes them (Software
// Developer's Manual, volume 2: LDTILECFG, TDPBF16PS, TILELOADD, TILERELEASE, TILESTORED, TILEZERO;
// encodings in chapter 2.3). What would be a fault on a processor mostly ends the process with a
// message; a configuration of palette 0, which nobody here loads, does too.
// Compiled for AVX-512, so that a product takes about a microsecond.
#include "emulated_tiles.hpp"

#include <immintrin.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <initializer_list>

namespace chainrule {
namespace {

constexpr int kTiles = 8, kMostRows = 16, kMostRowBytes = 64;

struct Configuration {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(Configuration) == 64);

// Every thread has tiles of its own; without a configuration it has none.
struct TileState {
  Configuration configuration;
  alignas(64) uint8_t data[kTiles][kMostRows][kMostRowBytes];
};
thread_local TileState state;

// In a handler of a signal, where printf is not allowed.
[[noreturn]] void fail(const char* reason) {
  for (const char* text : {"emulated tiles: ", reason, "\n"}) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) break;
  }
  abort();
}
void require(bool condition, const char* reason) {
  if (!condition) fail(reason);
}

int rows(int tile) { return state.configuration.rows[tile]; }
int row_bytes(int tile) { return state.configuration.row_bytes[tile]; }

void require_configured(int tile) {
  require(state.configuration.palette == 1, "an instruction without a configuration");
  require(tile < kTiles && rows(tile) > 0 && row_bytes(tile) > 0, "a tile that is not configured");
}

void load_configuration(const uint8_t* from) {
  Configuration next;
  memcpy(&next, from, sizeof(next));
  require(next.palette == 1 && next.start_row == 0, "LDTILECFG of another palette or start row");
  for (const uint8_t byte : next.reserved) require(byte == 0, "LDTILECFG with reserved bytes set");
  for (int tile = 0; tile < 16; ++tile) {
    const bool exists = tile < kTiles;
    require(next.rows[tile] <= (exists ? kMostRows : 0) &&
                next.row_bytes[tile] <= (exists ? kMostRowBytes : 0) &&
                next.row_bytes[tile] % 4 == 0,
            "LDTILECFG of a tile that is too large, or of bytes that are no whole words");
    require((next.rows[tile] == 0) == (next.row_bytes[tile] == 0), "LDTILECFG of half a tile");
  }
  memset(&state, 0, sizeof(state));
  state.configuration = next;
}

void release() { memset(&state, 0, sizeof(state)); }

void zero(int tile) {
  require_configured(tile);
  memset(state.data[tile], 0, sizeof(state.data[tile]));
}

void load(int tile, const uint8_t* from, int64_t stride) {
  zero(tile);
  for (int row = 0; row < rows(tile); ++row) {
    memcpy(state.data[tile][row], from + row * stride, static_cast<size_t>(row_bytes(tile)));
  }
}

void store(int tile, uint8_t* to, int64_t stride) {
  require_configured(tile);
  for (int row = 0; row < rows(tile); ++row) {
    memcpy(to + row * stride, state.data[tile][row], static_cast<size_t>(row_bytes(tile)));
  }
}

__m512 row_of(int tile, int row) { return _mm512_load_ps(state.data[tile][row]); }

// The elements at even places of a row of bf16, and those at odd ones, as float32.
__m512 even_elements(__m512 row) {
  // With a mask, for GCC 12 warns of its own header without.
  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, _mm512_castps_si512(row), 16));
}
__m512 odd_elements(__m512 row) {
  return _mm512_castsi512_ps(
      _mm512_and_si512(_mm512_castps_si512(row), _mm512_set1_epi32(~0xffff)));
}

void multiply(int sums, int left, int right) {
  for (const int tile : {sums, left, right}) require_configured(tile);
  require(sums != left && sums != right && left != right, "TDPBF16PS with a tile given twice");
  require(rows(sums) == rows(left) && row_bytes(left) / 4 == rows(right) &&
              row_bytes(sums) == row_bytes(right),
          "TDPBF16PS of tiles that do not fit");
  const unsigned int control = _mm_getcsr();
  _mm_setcsr(0x9fc0);  // to nearest even, denormals are zero on both sides, no exceptions
  for (int m = 0; m < rows(sums); ++m) {
    const __m512 of_left = row_of(left, m);
    alignas(64) float even_left[16], odd_left[16];
    _mm512_store_ps(even_left, even_elements(of_left));
    _mm512_store_ps(odd_left, odd_elements(of_left));
    __m512 even = _mm512_setzero_ps(), odd = even;
    for (int k = 0; k < rows(right); ++k) {
      const __m512 of_right = row_of(right, k);
      even = _mm512_fmadd_ps(_mm512_set1_ps(even_left[k]), even_elements(of_right), even);
      odd = _mm512_fmadd_ps(_mm512_set1_ps(odd_left[k]), odd_elements(of_right), odd);
    }
    const __m512 sum = _mm512_add_ps(row_of(sums, m), _mm512_add_ps(even, odd));
    const auto is_there = static_cast<__mmask16>((1U << (row_bytes(sums) / 4)) - 1);
    _mm512_store_ps(state.data[sums][m], _mm512_maskz_mov_ps(is_there, sum));
  }
  _mm_setcsr(control);
}

// An instruction with a VEX prefix of three bytes, and what it names.
struct Instruction {
  const uint8_t* end;
  int prefix;  // 0: none, 1: 66, 2: F3, 3: F2
  int opcode;
  int mode, reg, rm;  // of the ModRM byte; with mode 3 rm is a register
  int second;         // VEX.vvvv
  bool has_index_byte;
  uint8_t* base;   // of the operand in memory
  int64_t stride;  // the scaled index
};

int64_t register_of(const ucontext_t& context, int number) {
  constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                  REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                  REG_R12, REG_R13, REG_R14, REG_R15};
  return context.uc_mcontext.gregs[kRegisters[number]];
}

// False for what has no such prefix, of map 0F 38, 128 bits and W = 0, as all these have.
bool decode(const ucontext_t& context, Instruction& to) {
  const uint8_t* at = reinterpret_cast<const uint8_t*>(context.uc_mcontext.gregs[REG_RIP]);
  constexpr int kVex = 0xc4, kMap = 2;                                               // 0F 38
  if (at[0] != kVex || (at[1] & 0x1f) != kMap || (at[2] & 0x84) != 0) return false;  // W = L = 0
  const int r = (at[1] & 0x80) != 0 ? 0 : 8, x = (at[1] & 0x40) != 0 ? 0 : 8,
            b = (at[1] & 0x20) != 0 ? 0 : 8;
  to.second = ~(at[2] >> 3) & 0xf;
  to.prefix = at[2] & 3;
  to.opcode = at[3];
  to.mode = at[4] >> 6;
  to.reg = ((at[4] >> 3) & 7) + r;
  to.rm = at[4] & 7;
  at += 5;
  to.has_index_byte = false;
  to.base = nullptr;
  to.stride = 0;
  if (to.mode != 3) {
    int64_t address = 0;
    bool is_relative = false;
    int displacement_bytes = to.mode == 0 ? 0 : (to.mode == 1 ? 1 : 4);
    if (to.rm == 4) {
      to.has_index_byte = true;
      const int scale = *at >> 6, index = ((*at >> 3) & 7) + x, base = *at & 7;
      ++at;
      if (index != 4) to.stride = register_of(context, index) * (int64_t{1} << scale);
      if (base == 5 && to.mode == 0) {
        displacement_bytes = 4;
      } else {
        address = register_of(context, base + b);
      }
    } else if (to.rm == 5 && to.mode == 0) {
      is_relative = true;
      displacement_bytes = 4;
    } else {
      address = register_of(context, to.rm + b);
    }
    if (displacement_bytes == 1) {
      address += static_cast<int8_t>(*at);
    } else if (displacement_bytes == 4) {
      int32_t displacement;
      memcpy(&displacement, at, sizeof(displacement));
      address += displacement;
    }
    at += displacement_bytes;
    if (is_relative) address += reinterpret_cast<int64_t>(at);
    to.base = reinterpret_cast<uint8_t*>(address);
  } else {
    to.rm += b;
  }
  to.end = at;
  return true;
}

// False for any other instruction.
bool carry_out(const Instruction& i) {
  constexpr int kNone = 0, kF3 = 2, kF2 = 3;
  if (i.second != 0 && i.opcode != 0x5c) return false;  // an operand too many
  const bool is_memory = i.mode != 3, is_strided = is_memory && i.has_index_byte;
  if (i.opcode == 0x49 && i.prefix == kNone && is_memory && i.reg == 0) {
    load_configuration(i.base + i.stride);
  } else if (i.opcode == 0x49 && i.prefix == kNone && !is_memory && i.reg == 0 && i.rm == 0) {
    release();
  } else if (i.opcode == 0x49 && i.prefix == kF2 && !is_memory && i.rm == 0) {
    zero(i.reg);
  } else if (i.opcode == 0x4b && i.prefix == kF2 && is_strided) {
    load(i.reg, i.base, i.stride);
  } else if (i.opcode == 0x4b && i.prefix == kF3 && is_strided) {
    store(i.reg, i.base, i.stride);
  } else if (i.opcode == 0x5c && i.prefix == kF3 && !is_memory) {
    multiply(i.reg, i.rm, i.second);
  } else {
    return false;
  }
  return true;
}

struct sigaction earlier;

// As if the earlier action were in force, but for its mask and flags.
void pass_on(int number, siginfo_t* info, void* context) {
  if (earlier.sa_handler == SIG_IGN && info->si_code <= 0) return;  // sent by a process
  if (earlier.sa_handler == SIG_DFL || earlier.sa_handler == SIG_IGN) {
    signal(number, SIG_DFL);
    raise(number);  // once this handler returns
  } else if ((earlier.sa_flags & SA_SIGINFO) != 0) {
    earlier.sa_sigaction(number, info, context);
  } else {
    earlier.sa_handler(number);
  }
}

void handle(int number, siginfo_t* info, void* given) {
  auto* context = static_cast<ucontext_t*>(given);
  Instruction instruction;
  bool is_known = false;
  // Those that follow at once are carried out too: a signal takes longer than most of them.
  while (info->si_code > 0 && decode(*context, instruction) && carry_out(instruction)) {
    context->uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(instruction.end);
    is_known = true;
  }
  if (!is_known) pass_on(number, info, given);
}

}  // namespace

void emulate_tiles() {
  static const bool is_installed = [] {
    struct sigaction action = {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO;
    return sigaction(SIGILL, &action, &earlier) == 0;
  }();
  require(is_installed, "no handler for SIGILL");
}

}  // namespace chainrule
