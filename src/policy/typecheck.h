#pragma once

#include <optional>
#include <string>

#include "abi/arch.h"
#include "base/diagnostic.h"
#include "base/source.h"
#include "policy/file_reader.h"
#include "policy/load.h"
#include "policy/typed.h"

namespace callgate::policy {

// Gives the text of a policy its meaning: one rule for every call it speaks about on every ABI.
// nullopt if anything is wrong with it, in loading or here; all of it is in `diagnostics`.
// `native` is the ABI of a policy that names none.
std::optional<TypedPolicy> Typecheck(const LoadedPolicy& loaded, abi::ArchId native,
                                     base::Diagnostics& diagnostics);

// Load and Typecheck in one.
std::optional<TypedPolicy> ReadPolicy(const std::string& path, const FileReader& reader,
                                      abi::ArchId native, base::SourceMap& sources,
                                      base::Diagnostics& diagnostics);
std::optional<TypedPolicy> ReadPolicyText(const std::string& name, std::string text,
                                          const FileReader& reader, abi::ArchId native,
                                          base::SourceMap& sources, base::Diagnostics& diagnostics);

}  // namespace callgate::policy
