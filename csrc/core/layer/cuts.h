// Where the work of a ragged batch is cut so that every thread gets about as much of it: the unit is one step of one
// row.
#pragma once

#include <vector>

#include "core/backend/kernels.h"

namespace fastrnn {

/// Steps of all rows together.
template <class T>
double all_steps(const Layer<T>& layer) {
  double steps = 0;
  for (Index i = 0; i < layer.rows; ++i) steps += double(layer.length[layer.order[i]]);
  return steps;
}

/// Boundaries of up to `slices` ranges in layer.order: range i goes from [i] to [i + 1].
template <class T>
std::vector<Index> cut_rows(const Layer<T>& layer, Index slices) {
  const double all = all_steps(layer);
  double steps = 0;
  std::vector<Index> first = {0};
  for (Index i = 0; i < layer.rows && Index(first.size()) < slices; ++i) {
    if (steps >= all * double(first.size()) / double(slices) && i > first.back()) first.push_back(i);
    steps += double(layer.length[layer.order[i]]);
  }
  first.push_back(layer.rows);
  return first;
}

/// Boundaries of `slices` ranges over the indices step * B + b of steps first .. last: range i goes from [i] to [i +
/// 1].
template <class T>
std::vector<Index> cut_steps(const Layer<T>& layer, Index first, Index last, Index slices) {
  std::vector<double> done = {0};  // steps of all rows before step first, first + 1, ...
  Index active = layer.rows;
  for (Index s = first; s < last; ++s) {
    while (active > 0 && layer.length[layer.order[active - 1]] <= s) --active;
    done.push_back(done.back() + double(active));
  }
  std::vector<Index> cuts = {first * layer.batch};
  Index step = 0;
  for (Index i = 1; i < slices; ++i) {
    const double share = done.back() * double(i) / double(slices);
    while (step + 1 < last - first && done[step + 1] <= share) ++step;
    const double within =
        step < last - first && done[step + 1] > done[step] ? (share - done[step]) / (done[step + 1] - done[step]) : 0;
    cuts.push_back((first + step) * layer.batch + Index(within * double(layer.batch)));
  }
  cuts.push_back(last * layer.batch);
  return cuts;
}

}  // namespace fastrnn
