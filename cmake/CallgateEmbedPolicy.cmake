# callgate_embed_policy(TARGET POLICY)
#
# Compiles POLICY, a path relative to the current source directory, into a C header when TARGET is built, and lets TARGET
# include it: worker.cg becomes worker_filter.h, which holds the array worker_filter of WORKER_FILTER_LENGTH instructions.
# The header needs nothing of callgate. It is made again when the policy, or a file that it uses, changes; a policy with
# errors stops the build. The filter is for the ABIs that the policy names, else for those of the machine that builds.
function(callgate_embed_policy target policy)
  if(ARGC GREATER 2)
    message(FATAL_ERROR "callgate_embed_policy(TARGET POLICY) takes one policy; call it again for another")
  endif()
  if(NOT TARGET "${target}")
    message(FATAL_ERROR "callgate_embed_policy: there is no target '${target}'; call it behind add_executable or add_library")
  endif()
  cmake_path(ABSOLUTE_PATH policy NORMALIZE)
  cmake_path(GET policy STEM LAST_ONLY stem)
  string(MAKE_C_IDENTIFIER "${stem}_filter" name)
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/callgate/${target}")
  set(header "${folder}/${name}.h")
  file(MAKE_DIRECTORY "${folder}")
  add_custom_command(OUTPUT "${header}"
    COMMAND callgate::cli compile --format c --name "${name}" --output "${header}" --depfile "${header}.d" "${policy}"
    DEPENDS "${policy}" callgate::cli
    DEPFILE "${header}.d"
    COMMENT "Compiling policy ${policy}"
    VERBATIM)
  target_sources("${target}" PRIVATE "${header}")
  target_include_directories("${target}" PRIVATE "${folder}")
endfunction()
