// Any bytes as what a runtime says of a container: reading never crashes and always ends, what is
// accepted names one of the descriptors, and the policy's file lies in its folder.
//
// The first byte says how many descriptors came.

#include <cstddef>
#include <cstdint>
#include <string>

#include "agent/container.h"
#include "base/check.h"

namespace callgate {
namespace {

void Check(std::string input) {
  if (input.empty()) return;
  const std::size_t descriptors = static_cast<unsigned char>(input[0]) % 5;
  input.erase(0, 1);
  auto container = agent::ReadContainer(std::move(input), descriptors);
  if (!container) {
    const std::string message = container.error().ToString();
    CG_CHECK(message.starts_with("cannot serve ") && !message.contains('\n'));
    return;
  }
  CG_CHECK(container->listener < descriptors);
  CG_CHECK(!container->id.empty() && container->id.size() <= agent::kMaxId);
  auto file = agent::PolicyFile(container->metadata);
  if (!file) return;
  CG_CHECK(file->ends_with(".cg") && !file->starts_with('.') && !file->contains('/'));
}

}  // namespace
}  // namespace callgate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  callgate::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
