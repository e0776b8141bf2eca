# Writes the C++ table of the shipped policies: cmake -DOUT=presets_data.cc -DFILES="a.cg;b.cg" -P EmbedPresets.cmake
# The text stands in raw strings, so the table reads as the files do.
set(body "// Written by cmake/EmbedPresets.cmake from presets/*.cg.\n#include \"policy/presets.h\"\n\n")
string(APPEND body "namespace callgate::policy::internal {\n\nconst Preset kPresets[] = {\n")
foreach(path IN LISTS FILES)
  get_filename_component(name "${path}" NAME_WE)
  file(READ "${path}" text)
  if(text MATCHES "\\)preset\"")
    message(FATAL_ERROR "${path} holds the end mark of the raw string")
  endif()
  string(APPEND body "    {\"@${name}\", R\"preset(${text})preset\"},\n")
endforeach()
string(APPEND body "};\nconst std::size_t kPresetCount = sizeof(kPresets) / sizeof(kPresets[0]);\n\n}  // namespace callgate::policy::internal\n")
file(WRITE "${OUT}" "${body}")
