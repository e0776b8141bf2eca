#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"

namespace callgate::policy {

// Where the text of used files comes from. The loader never opens a file itself, so tests and the
// fuzzer give it a map.
class FileReader {
 public:
  FileReader() = default;
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;
  virtual ~FileReader() = default;

  // The whole file. Fails when it cannot be read or is longer than kMaxFileBytes.
  virtual base::Result<std::string> Read(const std::string& path) const = 0;
};

// The file system; a path is what open(2) takes. Pipes work: `<(generate-policy)`.
class DiskReader final : public FileReader {
 public:
  base::Result<std::string> Read(const std::string& path) const override;
  // Every path asked for, in the order of reading.
  const std::vector<std::string>& paths() const { return paths_; }

 private:
  mutable std::vector<std::string> paths_;
};

class MemoryReader final : public FileReader {
 public:
  explicit MemoryReader(std::map<std::string, std::string> files) : files_(std::move(files)) {}
  base::Result<std::string> Read(const std::string& path) const override;

 private:
  std::map<std::string, std::string> files_;
};

}  // namespace callgate::policy
