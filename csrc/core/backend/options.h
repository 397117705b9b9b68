// From the options that a caller gives to those that the cells know.
#pragma once

#include "cells/options.h"
#include "core/backend/kernels.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

cells::ActivationSpec activation_spec(const ActivationOption& option);

/// Throws Error for values out of range and for combinations that make no sense, naming the argument.
template <class T>
void check_options(const CellOptions& options, const Parameters<T>& parameters, const PackOptions& pack_options);

/// Throws Error unless there are 0 or more steps and rows, and the lengths of the rows, if there are any, are steps.
void check_batch(Index steps, Index batch, const Index* lengths);

/// Throws Error for arguments of a run that are out of range or exclude each other. Shapes were checked by the caller.
template <class T>
void check_run(CellType cell, const ForwardArguments<T>& arguments);

/// The options as the cells read them. `kernels` compute the values that an activation has at the bounds of `clip`.
template <class T>
cells::Options cell_options(const CellOptions& options, const Parameters<T>& parameters,
                            const PackOptions& pack_options, const KernelTable<T>& kernels);

void check_rate(const char* name, double rate);

}  // namespace fastrnn
