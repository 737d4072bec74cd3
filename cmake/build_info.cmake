# generated/build_info.h: version and flags at configure time; the git hash at every build, and
# only rewritten when it changes, so that an unchanged tree rebuilds nothing.
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/build_info.h @ONLY CONTENT
"#define DLF_VERSION \"${PROJECT_VERSION}\"
#define DLF_BUILD \"${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}, ${CMAKE_BUILD_TYPE}${DLF_SANITIZE}\"
#define DLF_CUDA_ARCHITECTURES \"${CMAKE_CUDA_ARCHITECTURES}\"
#define DLF_BUILT_WITH_CUDA \"${nvcc_version}\"
")
add_custom_target(dlf_git_hash ALL
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUT=${CMAKE_BINARY_DIR}/generated/git_hash.h -P ${CMAKE_SOURCE_DIR}/cmake/git_hash.cmake
  BYPRODUCTS ${CMAKE_BINARY_DIR}/generated/git_hash.h
  COMMENT "")
