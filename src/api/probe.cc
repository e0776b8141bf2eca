#include <utility>

#include "callgate/system.h"
#include "kernel/features.h"
#include "kernel/kernel.h"

namespace callgate {
namespace {

Feature::State ToPublic(kernel::Feature::State state) {
  switch (state) {
    case kernel::Feature::State::kWorks:
      return Feature::State::kWorks;
    case kernel::Feature::State::kLimited:
      return Feature::State::kLimited;
    case kernel::Feature::State::kMissing:
      return Feature::State::kMissing;
  }
  std::unreachable();
}

}  // namespace

std::vector<Feature> ProbeSystem() {
  std::vector<Feature> features;
  for (kernel::Feature& found : kernel::ProbeFeatures(kernel::RealKernel())) {
    Feature feature;
    feature.name = std::move(found.name);
    feature.state = ToPublic(found.state);
    feature.required = found.required;
    feature.detail = std::move(found.detail);
    feature.meaning = std::move(found.meaning);
    feature.advice = std::move(found.advice);
    features.push_back(std::move(feature));
  }
  return features;
}

}  // namespace callgate
