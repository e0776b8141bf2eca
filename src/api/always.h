#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/impl.h"
#include "supervise/engine.h"

namespace callgate {

// What a person has allowed for good: clauses that are added to the policies' files, in front of
// the `ask` that they answer. Several threads may use it at once.
class Always {
 public:
  // Made where the policies' paths still lead to their files.
  explicit Always(const std::vector<Policy>& layers);
  ~Always();
  Always(const Always&) = delete;
  Always& operator=(const Always&) = delete;

  bool Allows(const Policy::Impl& layer, const supervise::Question& question) const;

  struct Proposal {
    std::string place = {};    // "app.cg:3"
    std::string line = {};     // how that line will read
    std::string warning = {};  // why no file can have it; it holds until the program ends
  };
  // What would allow this very call, and as little else as the language can say.
  Proposal Propose(const Policy::Impl& layer, const supervise::Question& question) const;
  // Carries the proposal for the question out. "": it is written; else why it is not.
  std::string Accept(const Policy::Impl& layer, const supervise::Question& question);

 private:
  struct Edited;
  struct Change;

  const Edited& Of(const Policy::Impl& layer) const { return *edited_.at(&layer); }
  Change MakeChange(const Policy::Impl& layer, const supervise::Question& question) const;

  mutable std::mutex mutex_;  // what follows
  std::map<const Policy::Impl*, std::unique_ptr<Edited>> edited_;
  std::set<std::string> only_now_;  // by call and clause
};

// The tests that hold for this call alone: "filename == \"/srv/x\" && flags == O_RDONLY". nullopt:
// the language, or a person who reads it, cannot tell it from others (a name with control
// characters).
std::optional<std::string> ClauseAbout(const abi::Call& call, const supervise::Facts& facts);

}  // namespace callgate
