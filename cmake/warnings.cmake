# dlf_flags: what every target of ours is compiled with.
add_library(dlf_flags INTERFACE)
target_compile_features(dlf_flags INTERFACE c_std_11 cxx_std_17)
target_compile_definitions(dlf_flags INTERFACE _GNU_SOURCE)
# -ffp-contract=off: a*b+c stays two roundings unless the source says fma(), so that SIMD levels,
# compilers and the test bed agree. No fast-math anywhere: it deletes NaN checks.
set(dlf_warnings -Wall -Wextra -Wshadow -Wpointer-arith -Wno-unused-parameter)
target_compile_options(dlf_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-ffp-contract=off;${dlf_warnings}>
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wvla;-Wconversion;-Wno-sign-conversion>
  $<$<AND:$<COMPILE_LANGUAGE:C,CXX>,$<BOOL:${DLF_WERROR}>>:-Werror>)
if(DLF_SANITIZE)
  target_compile_options(dlf_flags INTERFACE
    $<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${DLF_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>)
  target_link_options(dlf_flags INTERFACE -fsanitize=${DLF_SANITIZE})
endif()

# SIMD levels of the CPU kernels: name -> compiler flags. The first is what every machine has.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(DLF_CPU_LEVELS v1 v3 v4)
  if(DLF_SANITIZE) # v3 is v4's source with shorter vectors, and instrumented kernels compile slowly
    set(DLF_CPU_LEVELS v1 v4)
  endif()
  set(DLF_CPU_FLAGS_v1 -march=x86-64)
  set(DLF_CPU_FLAGS_v3 -march=x86-64-v3)
  set(DLF_CPU_FLAGS_v4 -march=x86-64-v4 -mprefer-vector-width=512)
else()
  set(DLF_CPU_LEVELS v1)
  set(DLF_CPU_FLAGS_v1 "")
endif()
list(TRANSFORM DLF_CPU_LEVELS REPLACE "(.+)" "DLF_HAVE_LEVEL_\\1" OUTPUT_VARIABLE level_definitions)
target_compile_definitions(dlf_flags INTERFACE ${level_definitions})
