#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace callgate::agent {

// Limits of what a runtime sends. A state is mostly the container's annotations, which Kubernetes
// holds to 256 KiB.
inline constexpr std::size_t kMaxState = 1UL << 20;  // bytes
inline constexpr std::size_t kMaxId = 256;           // bytes; runtimes make 64 hexadecimal digits

// What a runtime says about the process that it starts: the part of the OCI specification's
// ContainerProcessState that anything depends on. The process id is not: crun's exec sends 0, and a
// notification names its caller by itself.
struct Container {
  std::string id;
  std::string metadata;      // the profile's listenerMetadata
  std::size_t listener = 0;  // which of the descriptors that came with it

  bool operator==(const Container&) const = default;
};

// `descriptors`: how many came. Fails on all that is not as the specification says; the error names
// the container as far as that is known.
base::Result<Container> ReadContainer(std::string state, std::size_t descriptors);

// The policy's file in its folder: "web.cg", "default.cg" where the metadata is empty. nullopt: the
// metadata is no plain name (letters, digits, '-', '_', '.', not beginning with '.').
std::optional<std::string> PolicyFile(std::string_view metadata);

// For messages: `container "web"`, escaped; "a container" where the id is empty.
std::string Named(std::string_view id);

}  // namespace callgate::agent
