// SeccompProfile objects of the Kubernetes Security Profiles Operator. `spec` is an OCI profile in
// YAML; the operator writes it to the node as JSON, where runc or crun takes it. Fields of the
// objects differ little between the API's versions; the older seccomp-operator's are the same.

#include "fmt/format.h"
#include "format/reading.h"

namespace callgate::format {
namespace {

std::string NameOfObject(const Tree& object) {
  const Tree* metadata = object.Find("metadata");
  const Tree* name = metadata == nullptr ? nullptr : metadata->Find("name");
  return name == nullptr ? "" : name->text;
}

bool IsProfile(const Tree& object) {
  const Tree* kind = object.Find("kind");
  return kind != nullptr && kind->text == "SeccompProfile";
}

}  // namespace

std::optional<Foreign> ReadSpo(Reading& reading) {
  auto documents = ReadYaml(reading.sources, reading.file, reading.diagnostics);
  if (!documents) return std::nullopt;
  std::vector<const Tree*> profiles;
  std::string names;
  bool has_any = false;
  for (const Tree& document : *documents) {
    if (!IsProfile(document)) continue;
    has_any = true;
    std::string name = NameOfObject(document);
    names += (names.empty() ? "" : ", ") + name;
    if (reading.options.member.empty() || name == reading.options.member) {
      profiles.push_back(&document);
    }
  }
  base::Span start{reading.file, 0, 0};
  if (!has_any) return reading.Fail(start, "no object of this file is a SeccompProfile");
  if (profiles.empty()) {
    return reading.Fail(start,
                        fmt::format("there is no SeccompProfile '{}'", reading.options.member),
                        "the file has " + names);
  }
  if (profiles.size() > 1) {
    return reading.Fail(profiles[1]->span, "the file has several SeccompProfiles",
                        "choose one with 'callgate import --name': " + names);
  }
  const Tree* spec = profiles.front()->Find("spec");
  if (spec == nullptr) return reading.Fail(profiles.front()->span, "this profile has no 'spec'");
  if (const Tree* base = spec->Find("baseProfileName"); base != nullptr && !base->text.empty()) {
    return reading.Fail(base->span, "'baseProfileName' stands for rules that are not in this file",
                        "import the merged profile that the operator wrote to the node");
  }
  return ReadOciTree(reading, *spec);
}

}  // namespace callgate::format
