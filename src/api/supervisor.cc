// The other end of what callgate-run(1) calls a handler: lines come over a socket, threads take
// turns at reading them, and each decides the call it has read and writes its line.

#include "callgate/supervisor.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

#include "api/impl.h"
#include "base/unique_fd.h"
#include "fmt/format.h"
#include "launch/inquiry.h"

namespace callgate {
namespace {

NotifiedCall ToPublic(launch::Inquiry inquiry) {
  NotifiedCall call;
  call.syscall = std::move(inquiry.syscall);
  call.text = std::move(inquiry.text);
  call.registers.nr = inquiry.call.nr;
  call.registers.arch = inquiry.call.arch;
  std::ranges::copy(inquiry.call.args, call.registers.args);
  call.pid = inquiry.who.pid;
  call.tid = inquiry.who.tid;
  call.process = std::move(inquiry.who.process_name);
  for (supervise::Fact& fact : inquiry.inputs) {
    call.inputs.emplace_back(std::move(fact.name), std::move(fact.value));
  }
  call.place = std::move(inquiry.place);
  call.rule = std::move(inquiry.rule);
  return call;
}

template <typename Value>
const Value* Find(const NotifiedCall& call, std::string_view name) {
  auto found = std::ranges::find(call.inputs, name,
                                 [](const auto& input) -> std::string_view { return input.first; });
  return found == call.inputs.end() ? nullptr : std::get_if<Value>(&found->second);
}

// No exception of a handler goes further.
Decision DecideBy(const Supervisor::Handler& handler, const NotifiedCall& call) {
  try {
    return handler(call);
  } catch (const std::exception& thrown) {
    return Decision::Deny(fmt::format("it threw: {}", thrown.what()));
  } catch (...) {
    return Decision::Deny("it threw");
  }
}

}  // namespace

std::optional<std::uint64_t> NotifiedCall::Number(std::string_view name) const {
  const auto* number = Find<std::uint64_t>(*this, name);
  return number != nullptr ? std::optional(*number) : std::nullopt;
}

std::optional<std::string_view> NotifiedCall::Text(std::string_view name) const {
  const auto* found = Find<std::string>(*this, name);
  return found != nullptr ? std::optional<std::string_view>(*found) : std::nullopt;
}

Decision Decision::Allow() { return {"allow", {}}; }
Decision Decision::Deny(std::string reason) { return {"deny", std::move(reason)}; }
Decision Decision::Errno(int value, std::string reason) {
  return {fmt::format("errno({})", value), std::move(reason)};
}
Decision Decision::Return(std::int64_t value) { return {fmt::format("return({})", value), {}}; }
Decision Decision::Kill(std::string reason) { return {"kill", std::move(reason)}; }
Decision Decision::ContinueUnchecked() { return {"continue_unchecked", {}}; }

struct Supervisor::Impl {
  explicit Impl(LaunchOptions launch_options) : options(std::move(launch_options)) {}

  void Serve();
  // nullopt: nothing will come any more.
  std::optional<std::string> NextLine();
  void Answer(const std::string& line);
  Decision Decide(const NotifiedCall& call) const;

  LaunchOptions options;
  std::map<std::string, Handler, std::less<>> handlers;
  Handler other;
  base::UniqueFd socket;
  std::mutex reading;
  std::string received;  // and not taken yet
  std::mutex writing;
  std::vector<std::thread> threads;
};

std::optional<std::string> Supervisor::Impl::NextLine() {
  std::lock_guard lock(reading);
  std::array<char, 4096> bytes;
  std::size_t end = 0;
  while ((end = received.find('\n')) == std::string::npos) {
    if (received.size() > launch::kMaxLine) return std::nullopt;
    ssize_t size = recv(socket.get(), bytes.data(), bytes.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return std::nullopt;
    received.append(bytes.data(), static_cast<std::size_t>(size));
  }
  std::string line = received.substr(0, end);
  received.erase(0, end + 1);
  return line;
}

Decision Supervisor::Impl::Decide(const NotifiedCall& call) const {
  auto own = handlers.find(call.syscall);
  const Handler& handler = own != handlers.end() ? own->second : other;
  if (!handler) return Decision::Deny("there is none for " + call.syscall);
  return DecideBy(handler, call);
}

void Supervisor::Impl::Answer(const std::string& line) {
  auto question = launch::ParseInquiry(line);
  if (!question) return;  // not answered: denied
  Decision decision = Decide(ToPublic(std::move(question->inquiry)));
  std::string answer = launch::VerdictLine(
      {.id = question->id, .verdict = decision.verdict(), .reason = decision.reason()});
  std::lock_guard lock(writing);
  for (std::string_view rest = answer; !rest.empty();) {
    ssize_t sent = send(socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return;  // nobody waits for it
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void Supervisor::Impl::Serve() {
  while (auto line = NextLine()) Answer(*line);
}

Supervisor::Supervisor(LaunchOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

Supervisor::~Supervisor() {
  if (impl_->socket.valid()) (void)shutdown(impl_->socket.get(), SHUT_RDWR);
  for (std::thread& thread : impl_->threads) thread.join();
}

void Supervisor::On(std::string syscall, Handler handler) {
  impl_->handlers.insert_or_assign(std::move(syscall), std::move(handler));
}

void Supervisor::OnOther(Handler handler) { impl_->other = std::move(handler); }

std::expected<pid_t, LaunchError> Supervisor::Start() {
  if (impl_->socket.valid()) return std::unexpected(LaunchError{125, "cannot start it twice"});
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) < 0) {
    return std::unexpected(LaunchError{
        125, fmt::format("cannot make a socket pair for the handlers: {}", strerror(errno))});
  }
  impl_->socket.Reset(ends[0]);
  base::UniqueFd theirs(ends[1]);
  impl_->options.notify_fd = theirs.get();
  auto pid = Spawn(impl_->options);
  if (!pid) return pid;
  try {
    for (int i = 0; i < kThreads; ++i) {
      impl_->threads.emplace_back([impl = impl_.get()] { impl->Serve(); });
    }
  } catch (const std::system_error&) {
    // With fewer of them calls wait; with none they are denied at once.
    if (impl_->threads.empty()) (void)shutdown(impl_->socket.get(), SHUT_RDWR);
  }
  return pid;
}

}  // namespace callgate
