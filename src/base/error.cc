#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace callgate::base {

std::string Error::ToString() const {
  std::string text = "cannot " + operation;
  if (!subject.empty()) text += " " + subject;
  std::string why = reason;
  if (errno_value != 0) {
    const char* name = strerrordesc_np(errno_value);
    std::string system = name != nullptr ? name : "error " + std::to_string(errno_value);
    why = why.empty() ? system : system + " (" + why + ")";
  }
  if (!why.empty()) text += ": " + why;
  if (!advice.empty()) text += "; " + advice;
  return text;
}

Error ErrnoError(std::string_view operation, std::string_view subject) {
  return ErrnoError(operation, subject, errno);
}

Error ErrnoError(std::string_view operation, std::string_view subject, int errno_value) {
  return Error{.operation = std::string(operation),
               .subject = std::string(subject),
               .errno_value = errno_value,
               .reason = {},
               .advice = {}};
}

}  // namespace callgate::base
