#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

// The half of a launch that runs in the process that becomes the program.

namespace callgate::launch {

// How the process and its supervisor talk until the exec: fixed messages over a socket pair.
struct Message {
  enum class Kind : std::int32_t {
    kReady,       // supervisor → process: here I am; value: its pid
    kGo,          // process → supervisor: you may trace me
    kSeized,      // supervisor → process: value 0, or the errno
    kExecFailed,  // process → supervisor: let me go
  };

  Kind kind = Kind::kReady;
  std::int32_t value = 0;
};
bool SendMessage(int socket, Message message);
// False: the other side is gone.
bool ReceiveMessage(int socket, Message& message);

// Made before any fork; the child only reads it.
struct PreparedCommand {
  std::string name;                     // argv[0], for messages
  std::vector<std::string> candidates;  // paths to try, in order
  std::vector<char*> argv;              // ends with nullptr
  std::vector<char*> shell_argv;  // "/bin/sh", slot for the path, argv[1]…: for scripts without #!
  char** environment = nullptr;
  std::array<int, 3> own_fds{-1, -1, -1};  // not for the program
};

// Looks argv[0] up as execvp(3) does. `argv` must outlive the result.
PreparedCommand PrepareCommand(const std::vector<std::string>& argv);

struct ChildFailure {
  enum class Step : std::uint8_t { kSupervisor, kSeize, kNoNewPrivileges, kExec };

  Step step = Step::kSupervisor;
  int errno_value = 0;
};

// Starts the supervisor as a detached grandchild, lets it trace this process, executes the command.
// Returns only on failure. `supervise` runs in the supervisor; its argument is that side's socket.
ChildFailure BecomeProgram(PreparedCommand& command, const std::function<void(int)>& supervise);

}  // namespace callgate::launch
