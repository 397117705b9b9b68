// One layer as a model's file describes it.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "fastrnn/model.hpp"

namespace fastrnn {

struct LayerEntry {
  ModelLayer layer;  // without its weights
  std::string_view dtype;
  Index hidden = 0, outputs = 0;                                      // recurrent
  CellOptions options;                                                // recurrent
  bool folds_statistics = false;                                      // mean and variance become an affine layer
  std::vector<std::pair<std::string_view, std::string_view>> arrays;  // a parameter, its array's name in the file
};

/// Throws Error unless the layer has exactly what its kind and its cell call for.
LayerEntry read_layer(JsonReader& json);

}  // namespace fastrnn
