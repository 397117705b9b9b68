// One layer as a model's file describes it.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "core/base/json.h"

namespace fastrnn {

struct LayerEntry {
  std::string_view kind;  // recurrent, dense, activation or softmax
  std::string_view dtype;
  Index inputs = 0, hidden = 0, outputs = 0;
  CellOptions options;                                                // recurrent
  ActivationOption activation = Activation::identity;                 // activation
  std::vector<std::pair<std::string_view, std::string_view>> arrays;  // parameter, its array in the file
};

/// Throws Error unless the layer has exactly what its kind and its cell call for.
LayerEntry read_layer(JsonReader& json);

}  // namespace fastrnn
