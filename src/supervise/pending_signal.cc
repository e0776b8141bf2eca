#include "supervise/pending_signal.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string>

#include "base/unique_fd.h"
#include "fmt/format.h"

namespace callgate::supervise {
namespace {

std::uint64_t SignalSet(std::string_view status, std::string_view label) {
  std::size_t at = status.find(label);
  std::uint64_t set = 0;
  if (at == std::string_view::npos) return 0;
  std::from_chars(status.data() + at + label.size(), status.data() + status.size(), set, 16);
  return set;
}

}  // namespace

PendingSignal ParsePendingSignal(std::string_view status) {
  std::uint64_t idle = SignalSet(status, "\nSigBlk:\t") | SignalSet(status, "\nSigIgn:\t");
  if ((SignalSet(status, "\nSigPnd:\t") & ~idle) != 0) return PendingSignal::kOwn;
  if ((SignalSet(status, "\nShdPnd:\t") & ~idle) == 0) return PendingSignal::kNone;
  return status.find("\nThreads:\t1\n") == std::string_view::npos ? PendingSignal::kMaybeAnothers
                                                                  : PendingSignal::kOwn;
}

PendingSignal PendingSignalOf(pid_t tid) {
  base::UniqueFd fd(open(fmt::format("/proc/{}/status", tid).c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(8192, '\0');
  ssize_t size = fd.valid() ? read(fd.get(), text.data(), text.size()) : -1;
  if (size <= 0) return PendingSignal::kNone;
  text.resize(static_cast<std::size_t>(size));
  // Thousands of groups push the signals out of the first pages.
  for (std::array<char, 4096> more; (size = read(fd.get(), more.data(), more.size())) > 0;) {
    text.append(more.data(), static_cast<std::size_t>(size));
  }
  return ParsePendingSignal(text);
}

int InterruptedErrno(pid_t tid) {
  // include/linux/errno.h: for the way out of a system call, never for a program. The kernel makes
  // EINTR of it or calls again, as the handler of the signal asks (SA_RESTART).
  constexpr int kRestartSystem = 512;  // ERESTARTSYS
  return PendingSignalOf(tid) == PendingSignal::kOwn ? kRestartSystem : EINTR;
}

}  // namespace callgate::supervise
