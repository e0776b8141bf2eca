#include "kernel/install.h"

#include <bit>
#include <span>

#include "api/impl.h"
#include "bpf/encode.h"
#include "callgate/program.h"
#include "kernel/kernel.h"

namespace callgate {

Result<void> Install(const Program& program, InstallOptions options) {
  std::string bytes = bpf::EncodeRaw(ToInternal(program.instructions()), std::endian::native);
  auto scope = options.all_threads ? kernel::InstallScope::kAllThreads
                                   : kernel::InstallScope::kCallingThread;
  auto installed = kernel::InstallFilter(
      kernel::RealKernel(), std::as_bytes(std::span(bytes.data(), bytes.size())), scope);
  if (!installed) {
    return std::unexpected(Error{installed.error().ToString(), installed.error().errno_value});
  }
  return {};
}

}  // namespace callgate
