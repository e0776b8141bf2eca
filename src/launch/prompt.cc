// The supervisor is in a session of its own, so that the terminal is not its controlling one: it
// may write to it and read from it whoever is in the foreground, and no key of it is a signal to
// the supervisor. The terminal is put into a state of its own for a question:
//
//  - whole lines, with echo. One key alone must not answer: somebody who is typing into an editor
//    when the question comes would answer it. What was typed before it is thrown away.
//  - ^C is a key, not a signal to the program, and ends a line: it denies.
//
// and then back, unless somebody else has changed it meanwhile. A program that had switched lines
// off has drawn the screen itself, and is told that the window has changed, so that it draws it
// again.
//
// The program can read the same terminal, if another thread or process of it wants to: then keys go
// to one of the two. It cannot type (api/outside.cc refuses TIOCSTI to it).

#include "launch/prompt.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include "fmt/format.h"
#include "launch/escape.h"

namespace callgate::launch {
namespace {

constexpr std::chrono::milliseconds kMoment{50};
constexpr char kInterruptKey = 3;  // ^C
constexpr std::size_t kMaxLineTyped = 256;

bool IsSame(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag &&
         a.c_lflag == b.c_lflag && std::memcmp(a.c_cc, b.c_cc, sizeof a.c_cc) == 0;
}

// The terminal in the state for a question, until it ends.
class Conversation {
 public:
  Conversation(int terminal, const std::function<bool()>& still_waits)
      : terminal_(terminal), still_waits_(still_waits) {
    if (tcgetattr(terminal_, &before_) < 0) return;
    during_ = before_;
    during_.c_iflag = (during_.c_iflag | ICRNL) & ~static_cast<tcflag_t>(INLCR | IGNCR);
    during_.c_oflag |= OPOST | ONLCR;
    during_.c_lflag =
        (during_.c_lflag | ICANON | ECHO | ECHOE | ECHOCTL) & ~static_cast<tcflag_t>(ISIG);
    during_.c_cc[VEOL] = kInterruptKey;
    during_.c_cc[VEOL2] = 0;
    is_set_ = tcsetattr(terminal_, TCSAFLUSH, &during_) == 0 && tcgetattr(terminal_, &during_) == 0;
  }
  ~Conversation() {
    termios now{};
    if (is_set_ && tcgetattr(terminal_, &now) == 0 && IsSame(now, during_)) {
      (void)tcsetattr(terminal_, TCSADRAIN, &before_);
    }
  }
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  bool is_set() const { return is_set_; }
  bool was_full_screen() const { return (before_.c_lflag & ICANON) == 0; }
  bool is_interrupted() const { return is_interrupted_; }

  void Say(std::string_view text) {
    while (!text.empty() && !is_interrupted_) {
      ssize_t written = write(terminal_, text.data(), text.size());
      if (written > 0) {
        text.remove_prefix(static_cast<std::size_t>(written));
      } else if (written == 0 || errno != EAGAIN) {
        return;
      } else {
        Wait(POLLOUT);
      }
    }
  }

  // nullopt: the terminal is at its end, or the caller does not wait any more.
  std::optional<std::string> Hear() {
    while (Wait(POLLIN)) {
      std::array<char, kMaxLineTyped> bytes;
      ssize_t size = read(terminal_, bytes.data(), bytes.size());
      if (size > 0) return std::string(bytes.data(), static_cast<std::size_t>(size));
      if (size == 0 || (errno != EAGAIN && errno != EINTR)) return std::nullopt;
    }
    return std::nullopt;
  }

 private:
  bool Wait(short events) {
    while (still_waits_()) {
      pollfd polled{.fd = terminal_, .events = events, .revents = 0};
      int ready = poll(&polled, 1, static_cast<int>(kMoment.count()));
      if (ready > 0) return true;
      // Whoever waits is interrupted for his caller's sake alone (supervise/deciders.cc).
      if (ready < 0) break;
    }
    is_interrupted_ = true;
    return false;
  }

  const int terminal_;
  const std::function<bool()>& still_waits_;
  termios before_{}, during_{};
  bool is_set_ = false;
  bool is_interrupted_ = false;
};

std::string Line(std::string_view label, std::string_view text, std::size_t width = 10) {
  return fmt::format("  {:<{}}{}\n", label, width, text);
}

std::string TextOf(const supervise::Fact& fact) {
  if (const auto* number = std::get_if<std::uint64_t>(&fact.value)) {
    return fmt::format("{}", *number);
  }
  return Escape(std::get<std::string>(fact.value));
}

std::string LinkText(pid_t pid, const char* name) {
  std::array<char, PATH_MAX> target;
  ssize_t size =
      readlink(fmt::format("/proc/{}/{}", pid, name).c_str(), target.data(), target.size());
  return size < 0 ? "?" : Escape({target.data(), static_cast<std::size_t>(size)});
}

std::string Question(const Inquiry& inquiry) {
  // inquiry.who.process_name is escaped already.
  std::string text = fmt::format("\ncallgate: {} (pid {}) wants  {}\n", inquiry.who.process_name,
                                 inquiry.who.pid, inquiry.text);
  std::size_t width = 10;
  for (const supervise::Fact& fact : inquiry.inputs) {
    width = std::max(width, fact.name.size() + 2);
  }
  for (const supervise::Fact& fact : inquiry.inputs) text += Line(fact.name, TextOf(fact), width);
  return text + Line("rule", fmt::format("{}  {}", Escape(inquiry.place), inquiry.rule), width);
}

std::string Why(const Inquiry& inquiry) {
  return Line("program", LinkText(inquiry.who.pid, "exe")) +
         Line("directory", LinkText(inquiry.who.pid, "cwd")) +
         Line("thread", fmt::format("{}", inquiry.who.tid)) +
         Line("because", fmt::format("{} leaves this call to you", Escape(inquiry.place)));
}

constexpr std::string_view kChoices =
    "  a allow once \u00b7 A always \u00b7 d deny \u00b7 ? why \u00b7 q deny all  > ";

// The first word of a line: "A\n" → "A".
std::string_view WordOf(std::string_view typed) {
  std::size_t begin = typed.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  std::size_t end = typed.find_last_not_of(" \t\r\n");
  return typed.substr(begin, end - begin + 1);
}

bool Confirms(Conversation& person, const Prompt::Offer& offer) {
  if (!offer.line.empty()) {
    person.Say(Line(offer.warning.empty() ? "writes" : "means",
                    fmt::format("{}  {}", Escape(offer.place), offer.line)));
  }
  if (!offer.warning.empty()) person.Say(Line("but", offer.warning));
  person.Say("  y yes \u00b7 n back  > ");
  auto typed = person.Hear();
  return typed && WordOf(*typed) == "y";
}

}  // namespace

bool IsInForeground(std::string_view stat, unsigned device) {
  // The name in parentheses may hold anything.
  std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return false;
  std::istringstream rest{std::string(stat.substr(name_end + 1))};
  std::string state;
  int parent = 0, group = 0, session = 0, terminal = 0, foreground = 0;
  if (!(rest >> state >> parent >> group >> session >> terminal >> foreground)) return false;
  return static_cast<unsigned>(terminal) == device && foreground > 0 && group == foreground;
}

Prompt::Prompt() : terminal_(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}

Prompt::Answer Prompt::Ask(const Inquiry& inquiry, const Callbacks& callbacks) {
  Answer answer;
  if (!terminal_.valid()) {
    answer.reason = "there is no terminal to ask at";
    return answer;
  }
  std::unique_lock turn(turn_, std::defer_lock);
  while (!turn.try_lock_for(kMoment)) {
    if (callbacks.still_waits()) continue;
    answer.choice = Choice::kInterrupted;
    return answer;
  }
  if (callbacks.is_settled()) {
    answer.choice = Choice::kOnce;
    return answer;
  }
  unsigned device = 0;
  std::ifstream file(fmt::format("/proc/{}/stat", inquiry.who.tid));
  std::string stat{std::istreambuf_iterator<char>(file), {}};
  if (ioctl(terminal_.get(), TIOCGDEV, &device) < 0 || !IsInForeground(stat, device)) {
    answer.reason = "it is not in the foreground of the terminal, so nobody can be asked";
    return answer;
  }
  answer.reason = "you said so";
  if (denies_all_) return answer;
  Conversation person(terminal_.get(), callbacks.still_waits);
  if (!person.is_set()) {
    answer.reason = "the terminal cannot be asked at";
    return answer;
  }
  answer.was_full_screen = person.was_full_screen();
  person.Say(Question(inquiry));
  while (true) {
    person.Say(kChoices);
    auto typed = person.Hear();
    if (person.is_interrupted()) {
      answer.choice = Choice::kInterrupted;
      person.Say("\n");
      return answer;
    }
    if (!typed || typed->find(kInterruptKey) != std::string::npos) {
      person.Say("\n");
      return answer;
    }
    std::string_view word = WordOf(*typed);
    if (word == "d") return answer;
    if (word == "q") {
      denies_all_ = true;
      return answer;
    }
    if (word == "a" || (word == "A" && Confirms(person, callbacks.offer()))) {
      answer.choice = word == "a" ? Choice::kOnce : Choice::kAlways;
      std::string problem = answer.choice == Choice::kAlways ? callbacks.accept() : std::string();
      if (!problem.empty()) person.Say(Line("not kept", Escape(problem)));
      return answer;
    }
    if (word == "?") person.Say(Why(inquiry));
  }
}

}  // namespace callgate::launch
