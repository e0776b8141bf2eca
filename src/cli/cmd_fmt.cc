#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

// Writes beside the file and renames, so that a full disk or a crash never leaves half a policy.
bool Replace(const std::string& path, const std::string& text) {
  std::string temporary = path + ".callgate-fmt";
  std::FILE* file = std::fopen(temporary.c_str(), "wxe");
  bool ok = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (file != nullptr) ok = std::fclose(file) == 0 && ok;
  if (ok && std::rename(temporary.c_str(), path.c_str()) == 0) return true;
  Complain("fmt", fmt::format("cannot rewrite {}: {}", path, std::strerror(errno)));
  if (file != nullptr) std::remove(temporary.c_str());
  return false;
}

}  // namespace

int RunFmt(const Arguments& arguments) {
  const Verb& verb = VerbNamed("fmt");
  if (arguments.operands.empty()) return UsageError(verb, "no policy given");
  bool in_place = arguments.Has("in-place");
  bool check = arguments.Has("check");
  if (in_place && check) return UsageError(verb, "choose one of --in-place and --check");

  int status = kHolds;
  std::string output;
  for (const std::string& path : arguments.operands) {
    auto text = ReadInput(path);
    if (!text) {
      Complain("fmt", text.error().message);
      return kBadInput;
    }
    auto formatted = FormatPolicyText(path, *text);
    if (!formatted) {
      for (const Diagnostic& diagnostic : formatted.error().all) PrintDiagnostic(diagnostic);
      return kBadInput;
    }
    bool changed = *formatted != *text;
    if (check) {
      if (changed) Complain("fmt", fmt::format("{} is not in canonical form", path));
      if (changed) status = kDoesNotHold;
    } else if (in_place && path != "-") {
      if (changed && !Replace(path, *formatted)) return kBadInput;
    } else {
      output += *formatted;
    }
  }
  return Finish(output, status);
}

}  // namespace callgate::cli
