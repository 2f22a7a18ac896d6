# Fails unless every variant's object file has exactly one external defined symbol, its `Variant`
# or its kernels of tiles, and no weak one. Code compiled for AVX-512 that the linker may take in place of another unit's
# copy would end a program on a processor without it.
#
#   cmake -DNM=nm -DOBJECTS=a.o,b.o -P check_variant_symbols.cmake
string(REPLACE "," ";" objects "${OBJECTS}")
set(count 0)
foreach(object IN LISTS objects)
  if(NOT object MATCHES "variant|tiles")
    continue()
  endif()
  execute_process(COMMAND ${NM} --defined-only --extern-only ${object}
                  OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
  # Unoptimized, GCC adds a pointer to the C++ runtime's handler of exceptions: no code, and the
  # same in every unit.
  string(REGEX REPLACE "[^\n]* V DW\\.ref\\.__gxx_personality_v0\n?" "" output "${output}")
  string(STRIP "${output}" output)
  string(REPLACE "\n" ";" symbols "${output}")
  list(LENGTH symbols n_symbols)
  # R: read-only data, D: data that the loader relocates.
  if(NOT n_symbols EQUAL 1 OR NOT output MATCHES " [DR] [^ ]*(variant_[a-z0-9]+|tile_kernels)[^ ]*$")
    message(FATAL_ERROR "${object}: expected one external symbol, its table, got:\n${output}")
  endif()
  math(EXPR count "${count} + 1")
  message(STATUS "${object}: ${output}")
endforeach()
if(count EQUAL 0)
  message(FATAL_ERROR "no object of a variant among: ${OBJECTS}")
endif()
