#pragma once

#include <sys/types.h>

#include <string>

#include "base/error.h"
#include "base/unique_fd.h"

namespace callgate::agent {

// The socket file where runtimes connect. It goes when this does, unless another has taken its
// place.
class Door {
 public:
  // Only its owner may connect. A socket that nobody listens on is replaced; anything else of that
  // name is not.
  static base::Result<Door> Open(const std::string& path);

  Door(Door&& other) noexcept = default;
  Door& operator=(Door&&) = delete;
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;
  ~Door();

  int fd() const { return fd_.get(); }

 private:
  Door(std::string path, base::UniqueFd fd, dev_t device, ino_t inode)
      : path_(std::move(path)), fd_(std::move(fd)), device_(device), inode_(inode) {}

  std::string path_;
  base::UniqueFd fd_;  // listens, does not wait
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace callgate::agent
