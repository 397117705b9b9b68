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

/// Likewise for the arguments of a run; shapes are the caller's affair.
template <class T>
void check_run(CellType cell, const ForwardArguments<T>& arguments);

template <class T>
cells::Options cell_options(const CellOptions& options, const Parameters<T>& parameters,
                            const PackOptions& pack_options, const KernelTable<T>& kernels);

void check_rate(const char* name, double rate);

}  // namespace fastrnn
