#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "base/source.h"
#include "policy/ast.h"
#include "policy/file_reader.h"

namespace callgate::policy {

// One statement of the policy after `use` was followed.
struct LoadedStatement {
  const ast::Statement* statement;
  bool from_preset;
};

// All files of a policy, and their statements as if pasted into one text. Every `use` is gone but
// those of a `@name` that is no preset: they name a group.
struct LoadedPolicy {
  std::deque<ast::File> files;  // deque: statements point into it
  std::vector<LoadedStatement> statements;
};

// Reads a policy and everything it uses.
//
// `use "path"` is relative to the file it stands in. The path may not be absolute and may not have
// a `..`: a policy uses what lies beside or below it, so handing somebody one file never reads
// another place of theirs. (Symbolic links are followed: whoever can plant one there can edit the
// policy.) `use @name` takes the shipped preset of that name, else the group.
//
// A file that is used twice is pasted once, where it was used first. A file that uses itself, over
// however many others, is an error that shows the chain. Settings (`default:` …) belong to the
// policy that is run; in a used file they are an error. What a preset says has the rank of a group
// mention, see resolve.h.
LoadedPolicy Load(const std::string& path, const FileReader& reader, base::SourceMap& sources,
                  base::Diagnostics& diagnostics);
// The same for text that is at hand; `use` is relative to the directory part of `name`.
LoadedPolicy LoadText(const std::string& name, std::string text, const FileReader& reader,
                      base::SourceMap& sources, base::Diagnostics& diagnostics);

}  // namespace callgate::policy
