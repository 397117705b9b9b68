"""Breaks the CUDA kernels one small piece at a time and asks whether the emulated tests notice.

    python tests/cuda_emulation/mutants.py [--jobs N] [--only PART-OF-A-NAME] [--test NAME...]

Each mutant is one replacement in a copy of csrc/cuda, and names the test program that has to notice it. That one is built
and run plain, then with AddressSanitizer and UndefinedBehaviorSanitizer, then with ThreadSanitizer, until it fails: that
caught it. A mutant that passes them all survives, and the exit status says so. Text that is no longer in its file, or
there more than once, is an error. What does not include the broken file is compiled once for all mutants.

The lines that only nvcc compiles are the test "ptx": tests/support/cuda/primitives_ptx.py reads what they become. It
needs nvcc, and is left out, with a line, where there is none.
"""

# ruff: noqa: E501 (a mutant is a line, as long as it is)
from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
EMULATION = "tests/cuda_emulation"
MODES = {
    "plain": ["-O1"],
    "asan": ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "tsan": ["-O1", "-g1", "-fsanitize=thread"],
}


def sources(folder: str, without: tuple[str, ...] = ()) -> list[str]:
    return [str(p.relative_to(ROOT)) for p in sorted((ROOT / folder).rglob("*.cc")) if p.name not in without]


RUNTIME = [f"{EMULATION}/{name}.cc" for name in ("emulation", "fibre", "half")]
# Results are held to the CPU's: it is nobody's mutant, and the same in every mode.
CPU = [*sources("csrc/core"), "csrc/cpu/kernels_portable.cc"]
HOST = [
    f"{EMULATION}/emulated_runtime.cc",
    *sources("csrc/cuda", without=("blaslt.cc", "device.cc", "kernel_table.cc", "runtime_cuda.cc")),
    *CPU,
]
STEPS = [f"{EMULATION}/emulated_steps.cc", *HOST]
KERNELS = [f"{EMULATION}/emulated_kernels.cc", *HOST]
# What a test is made of beside its own file and the emulation.
TESTS = {
    "schedules": [],
    "product": HOST,
    "rows": HOST,
    "steps": STEPS,
    "step_options": STEPS,
    "step_training": STEPS,
    "stack": KERNELS,
}
PTX = "ptx"  # no program: nvcc's output is read
# ThreadSanitizer takes a clock for each of the thousands of threads of a launch, and these have thousands of launches.
WITHOUT_TSAN = ("steps", "step_options", "step_training", "stack")


@dataclass
class Mutant:
    name: str
    file: str
    old: str
    new: str
    test: str = "schedules"


def mutants_of(test: str, *rows: tuple[str, str, str, str]) -> list[Mutant]:
    return [Mutant(*row, test) for row in rows]


MUTANTS = [
    # Synchronisation
    Mutant("block waits without barrier", "exchange.h", "wait() {\n    sync_block();\n    this->advance();", "wait() {\n    this->advance();"),
    Mutant("cluster waits for nothing", "exchange.h", "[&] { return have_arrived(arrivals(), parity); }", "[&] { return true; }"),
    Mutant("one counter for both slots", "exchange.h", "return arrivals_ + exchanges_ % 2;", "return arrivals_;"),
    Mutant("the parity of every exchange", "exchange.h", "parity = exchanges_ / 2 % 2", "parity = exchanges_ % 2"),
    Mutant("bytes of rows that have ended are expected", "exchange.h", "row + lane_index() < count && rows[row + lane_index()].length > step)", "row + lane_index() < count)"),
    Mutant("rows that have ended are sent", "exchange.h", " || rows[row].length <= step) continue;", ") continue;"),
    Mutant("a block expects its own bytes", "exchange.h", "(layout.padded / kElements - pieces_)", "(layout.padded / kElements)"),
    Mutant("sends to blocks without a unit", "exchange.h", "i < members_ * lines", "i < params_.geometry.members * lines"),
    Mutant("pieces are sent before they are there", "exchange.h", "    sync_block();\n    if (thread_index() / kWarp ==", "    if (thread_index() / kWarp =="),
    Mutant("a piece of the first source", "exchange.h", "row * layout.operand_stride + source * layout.padded", "row * layout.operand_stride"),
    Mutant("pieces that a block does not have", "exchange.h", "piece >= pieces_ || ", ""),
    Mutant("rows that a group does not have", "exchange.h", "row >= count || ", ""),
    Mutant("cluster begins by the block's barrier", "exchange.h", "      init_arrivals(arrivals_ + 1);\n    }\n    sync_cluster();", "      init_arrivals(arrivals_ + 1);\n    }\n    sync_block();"),
    Mutant("flag before the block's stores", "exchange.h", "    ++commits_;\n    sync_block();\n", "    ++commits_;\n"),
    Mutant("no wait for the flags", "exchange.h", "lost = !wait_for(params_.flags + first_block_ + i);", "lost = false;"),
    Mutant("waits for the exchange before", "exchange.h", "load_acquire(flag) >= commits_", "load_acquire(flag) + 1 >= commits_"),
    Mutant("looks without an acquire", "exchange.h", "load_acquire(flag) >= commits_", "*flag >= commits_"),
    Mutant("waits for its own flag", "exchange.h", "wait_for(params_.flags + first_block_ + i)", "wait_for(params_.flags + block_index())"),
    Mutant("waits for one flag too few", "exchange.h", "i < params_.geometry.members && !lost", "i + 1 < params_.geometry.members && !lost"),
    Mutant("flag stored without release", "exchange.h", "store_release(params_.flags + block_index(), commits_)", "params_.flags[block_index()] = commits_"),
    Mutant("no barrier after the gather", "exchange.h", "    next_ = 1 - next_;\n    sync_block();\n", "    next_ = 1 - next_;\n"),
    Mutant("one slot in global memory", "exchange.h", "    next_ = 1 - next_;\n", ""),
    Mutant("one slot in shared memory", "exchange.h", "slots_ + (1 - current_) * slot_elements_", "slots_ + current_ * slot_elements_"),
    Mutant("gathered copies not awaited", "exchange.h", "    wait_copies();\n", ""),
    Mutant("gives up in silence", "exchange.h", "    if (!there) store_release(params_.status, kGaveUp);\n", ""),
    Mutant("no barrier after the forward product", "recurrence.h", "    multiply<Phase>();\n    sync_block();\n    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s < e.length)", "    multiply<Phase>();\n    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s < e.length)"),
    Mutant("no barrier after the backward product", "recurrence.h", "    sync_block();\n    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s >= e.length) return;", "    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s >= e.length) return;"),
    Mutant("no barrier before dh0", "recurrence.h", "multiply<0>();\n    sync_block();\n", "multiply<0>();\n"),
    Mutant("no barrier after the operand is cleared", "recurrence.h", "    load_units();\n    sync_block();\n    tile_.find_elements();\n    begin_rows();\n    tile_.each_element([&](const Element& e) {\n      if (e.length > 0) fetch(e, 0);", "    load_units();\n    tile_.find_elements();\n    begin_rows();\n    tile_.each_element([&](const Element& e) {\n      if (e.length > 0) fetch(e, 0);"),
    Mutant("fetched inputs not awaited", "recurrence.h", "    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s < e.length)", "    tile_.each_element([&](const Element& e) {\n      if (s < e.length)"),
    Mutant("fetched gates not awaited", "recurrence.h", "    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s >= e.length) return;\n      const bool", "    tile_.each_element([&](const Element& e) {\n      if (s >= e.length) return;\n      const bool"),
    Mutant("fetches before the step has used it", "recurrence.h", "    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s < e.length)", "    if (Phase == 0) wait_copies();\n    if (kLast) fetch(s + 1);\n    tile_.each_element([&](const Element& e) {\n      if (s < e.length)"),
    # Indices
    Mutant("group and member of a block", "exchange.h", "block_index() / params_.geometry.members; }\n  FASTRNN_DEVICE int member() const { return block_index() %", "block_index() % params_.geometry.members; }\n  FASTRNN_DEVICE int member() const { return block_index() %"),
    Mutant("gathers half of a row too little", "exchange.h", "params_.geometry.rows * layout_.operand_stride - first;", "params_.geometry.rows * layout_.operand_stride - layout_.width / 2 - first;"),
    Mutant("gathers one row too few", "exchange.h", "params_.geometry.rows * layout_.operand_stride - first;", "(params_.geometry.rows - 1) * layout_.operand_stride - first;"),
    Mutant("sources published unpadded", "tile.h", "source * layout.padded + e.unit", "source * params.hidden + e.unit"),
    Mutant("saved by step, not by time", "tile.h", "Index(time(e, step))", "Index(step)"),
    Mutant("every tile has the rows of the first", "tile.h", "params.order[first_row + row]", "params.order[row]"),  # that none is put in order at all would only cost time
    Mutant("partial sums from the second chunk on", "units.h", "  int i = 0;\n  do {", "  int i = 1;\n  do {"),
    Mutant("four chunks for all", "units.h", "const bool exists = i + j < chunks;", "const bool exists = true;"),
    Mutant("gate within the phase", "units.h", "const int gate = first_gate + g;", "const int gate = g;"),
    Mutant("a warp begins with the first chunk", "slab.h", "lane_operand(operand + first_k_,", "lane_operand(operand,"),
    Mutant("a tile goes on where the one before it ended", "slab.h", "ends && tiles > 1 ? back : kShape.depth", "kShape.depth"),
    Mutant("tasks without their chunk", "slab.h", "tiles > 0 ? kShape.slab_rows : on;", "kShape.slab_rows;"),
    Mutant("tasks that are not there", "slab.h", "(left < 0 ? 0 : left < cut.tasks ? left : cut.tasks)", "cut.tasks"),
    Mutant("weights of the first chunk for all", "slab.h", "task / cut.tiles * cut.slices + i % cut.slices", "i % cut.slices"),
    Mutant("warps share their part of the weights", "slab.h", " + thread_index() / kWarp * cut.shared_slices * kQuads * kWarp +", " +"),
    Mutant("sums of one task flow into the next", "slab.h", "          sums = {};\n", ""),
    Mutant("a step of the weights is lost", "layout.h", "cut.shared_slices = mine - cut.register_slices;", "cut.shared_slices = mine > cut.register_slices ? mine - cut.register_slices - 1 : 0;"),
    Mutant("first row of the operand twice", "slab.h", "      operand += kShape.batch_rows * layout.operand_stride;\n", ""),
    Mutant("a slice by the next one's operand", "slab.h", "Format::multiply(sums, words, now)", "Format::multiply(sums, words, ahead)"),
    # Masks
    Mutant("no guard of the units", "tile.h", "if (e.row >= rows || e.u >= units) return e;", "if (e.row >= rows) return e;"),
    Mutant("no guard of the rows", "tile.h", "if (e.row >= rows || e.u >= units) return e;", "if (e.u >= units) return e;"),
    Mutant("no guard of the weights' columns", "recurrence.h", "if (u >= tile_.units || k >= params_.hidden) return 0.0f;", "if (u >= tile_.units) return 0.0f;"),
    Mutant("no guard of the transposed weights", "recurrence.h", " || j >= params_.hidden) return 0.0f;", ") return 0.0f;"),
    Mutant("gradients of a step that is not there", "recurrence.h", "!kNextStep || s + 1 < e.length;", "true;"),
    Mutant("h_n of the longest row", "recurrence.h", "if (s + 1 < e.length) return fetch(e, s + 1);", "if (s + 1 < tile_.longest) return fetch(e, s + 1);"),
    Mutant("stores rows that have ended", "recurrence.h", "      if (s >= e.length) return;\n      const float* record = tile_.record(e);\n      params_.y", "      const float* record = tile_.record(e);\n      params_.y"),
    Mutant("stores the gradients of rows that have ended", "recurrence.h", "      if (s < e.length) {\n        const float* record", "      if (e.length >= 0) {\n        const float* record"),
    Mutant("a division that rounds down", "layout.h", "0xffffffffu / unsigned(divisor) + 1 : 0", "0xffffffffu / unsigned(divisor) : 0"),
    Mutant("rows that have ended go on", "recurrence.h", "      if (s < e.length) compute<Phase>(e, s);", "      compute<Phase>(e, s);"),
    Mutant("outputs behind the end are left", "recurrence.h", "for (int t = e.length; t < params_.steps; ++t) params_.y", "for (int t = e.length + 1; t < params_.steps; ++t) params_.y"),
    Mutant("gradients behind the end are left", "recurrence.h", "for (int t = e.length; t < params_.steps; ++t)\n        for", "for (int t = e.length + 1; t < params_.steps; ++t)\n        for"),
    Mutant("dh0 of a row without a step", "recurrence.h", "(e.length > 0 ? sum<0>(e) : 0.0f)", "sum<0>(e)"),
    Mutant("one slot is not cleared", "tile.h", "Exchange<Operand, tier>::kSlots * layout.operand_bytes / 4", "layout.operand_bytes / 4"),
    Mutant("the state before the first step", "recurrence.h", "s > 0                   ? params_.y.at(", "s > 1 ? params_.y.at("),
    Mutant("the last rows of a batch", "tile.h", "rows = smaller(g.rows, params.batch - first_row);", "rows = g.rows;"),
    # Fragments
    Mutant("A: rows and columns of registers", "formats.h", "lane / 4 + i % 2 * 8, at = k + i / 8 * 32 + lane % 4 * 8 + i % 8 / 2 * 2;", "lane / 4 + i % 4 / 2 * 8, at = k + i / 8 * 32 + lane % 4 * 8 + (i / 4 % 2 * 2 + i % 2) * 2;"),
    Mutant("A: the elements of a pair", "formats.h", "pack(round_to<E>(weight(r, at)), round_to<E>(weight(r, at + 1)))", "pack(round_to<E>(weight(r, at + 1)), round_to<E>(weight(r, at)))"),
    Mutant("B: the second register", "formats.h", "v[i % 2 * 2 + 1]", "v[i % 2 * 2]"),
    Mutant("B: columns", "formats.h", "lane_index() / 4 * stride + lane_index() % 4 * kPiece", "lane_index() % 4 * stride + lane_index() / 4 * kPiece"),
    Mutant("B: the second half of a slice", "formats.h", "(from + 4 * kPiece)", "(from + kPiece)"),
    Mutant("tf32: A: rows and columns", "formats.h", "lane / 4 + i % 2 * 8, k + i / 8 * 16 + lane % 4 * 4 + i % 8 / 2", "lane / 4 + i % 4 / 2 * 8, k + i / 8 * 16 + lane % 4 * 4 + i / 4 % 2 * 2 + i % 2"),
    Mutant("tf32: a step of the depth of 16 bits", "layout.h", "return {16, 8, 32, 16, 4, 11, 16};", "return {16, 8, 64, 16, 4, 11, 16};"),
    Mutant("D: columns", "formats.h", "lane_index() % 4 * 2 * stride + lane_index() / 4", "lane_index() % 4 * stride + lane_index() / 4"),
    Mutant("D: one of two chains", "formats.h", "sums.v[0][i] + sums.v[1][i]", "sums.v[0][i]"),
    Mutant("float32: halves of the reduction", "formats.h", "const float mine = upper ? v[i + Half] : v[i], theirs = upper ? v[i] : v[i + Half];", "const float mine = upper ? v[i] : v[i + Half], theirs = upper ? v[i + Half] : v[i];"),
    Mutant("float32: lane of a sum", "formats.h", "partial + lane_index() % 4 * stride + lane_index() / 4", "partial + lane_index() / 8 * stride + lane_index() % 8"),
    # The product of whole matrices
    *mutants_of("product",
        ("tiles across of a row that fits", "product_kernel.h", "divide_up(p.n, kProductTile)", "p.n / kProductTile + 1"),
        ("rows and columns of tiles", "product_kernel.h", "first_row = block_index() / across * kProductTile, first_column = block_index() % across", "first_row = block_index() % across * kProductTile, first_column = block_index() / across"),
        ("a is turned", "product_kernel.h", "p.a, p.a.transposed", "p.a, !p.a.transposed"),
        ("b is turned", "product_kernel.h", "p.b, !p.b.transposed", "p.b, p.b.transposed"),
        ("factors beyond their extent", "product_kernel.h", "first + j < extent && at + k < depth", "at + k < depth"),
        ("factors beyond their depth", "product_kernel.h", "first + j < extent && at + k < depth", "first + j < extent"),
        ("rows of a product beyond the last", "product_kernel.h", "first_row + row + i >= p.m || ", ""),
        ("columns of a product beyond the last", "product_kernel.h", " || first_column + column + j >= p.n", ""),
        ("no barrier before a tile is used", "product_kernel.h", "    sync_block();\n    for (int k = 0", "    for (int k = 0"),
        ("no barrier after a tile was used", "product_kernel.h", "    sync_block();\n  }\n", "  }\n"),
        ("a product is never added", "product_kernel.h", "p.accumulate ? c + sums[i][j] : sums[i][j]", "sums[i][j]"),
        ("the end of the depth", "product_kernel.h", "at < p.k; at += kProductDepth", "at + kProductDepth <= p.k; at += kProductDepth"),
        ("b is not rounded", "product_kernel.h", "p.n, p.k, first_column, at, p.type", "p.n, p.k, first_column, at, Type::float32"),
        ("a product's rows without a stride", "product_kernel.h", "+ i) * p.c_stride", "+ i) * p.n"),
    ),
    # Operands by time, and sums over rows
    *mutants_of("rows",
        ("operands of steps that are not there", "rows_kernel.h", "    if (step >= p.layer.length_of(b)) return;\n", ""),
        ("the state before the first step is lost", "rows_kernel.h", "else if (p.initial != nullptr)", "else if (false)"),
        ("the state of the step itself", "rows_kernel.h", "p.before ? step - 1 : step)", "step)"),
        ("threads that do not go round", "rows_kernel.h", "i += Index(grid_blocks()) * block_threads()", "i += count"),
        ("the last warp's rows", "rows_kernel.h", "w < kWarps; ++w", "w + 1 < kWarps; ++w"),
        ("no barrier before rows are added", "rows_kernel.h", "  sync_block();\n", ""),
        ("columns of a sum beyond the last are read", "rows_kernel.h", "  if (column < p.width)\n", ""),
        ("columns of a sum beyond the last are written", "rows_kernel.h", "if (warp > 0 || column >= p.width) return;", "if (warp > 0) return;"),
        ("no second copy of a sum", "rows_kernel.h", "  if (p.also != nullptr) p.also[column] = total;\n", ""),
    ),
    # The clock and the graph
    *mutants_of("steps",
        ("an odd number of steps in a graph", "step_sequence.h", "kGraphSteps = 8", "kGraphSteps = 7"),
        ("the clock has one place", "step_sequence.h", "return {places + now, places + 1 - now, last};", "return {places, places + 0 * now, last};"),
        ("the clock ticks with every phase", "step_kernels.h", "clock.ticks ? now + 1 : now", "now + 1"),
        ("only the first block's clock goes on", "step_kernels.h", "block_index() == 0 && thread_index() == 0", "block_index() == 1 && thread_index() == 0"),
        ("a step behind the graphs is lost", "step_sequence.h", "int i = graphs * kGraphSteps;", "int i = graphs * kGraphSteps + (graphs > 0 ? 1 : 0);"),
        ("steps that a row does not have", "step_kernels.h", " || step < 0 || step >= layer.length_of(place.b)) return false;", " || step < 0) return false;"),
        ("threads of the last units", "step_sequence.h", "(batch() * hidden() + kStepThreads - 1) / kStepThreads", "(batch() * hidden() + kStepThreads / 2) / kStepThreads + (batch() * hidden() < kStepThreads / 2)"),
        ("a phase's sums as wide as the cell's", "run_steps.cc", "                           phase.gates * hidden(),\n                           accumulate", "                           cell_.gates * hidden(),\n                           accumulate"),
        ("gate gradients of rows that have not begun", "run_steps_back.cc", "    runtime_.clear(dgates_.as<void>(), std::size_t(batch() * cell_.dcolumns * hidden()) * sizeof(float));\n", ""),
        ("gate gradients behind the end", "step_ends.h", "t < layer.steps; ++t)\n    for (int j", "t + 1 < layer.steps; ++t)\n    for (int j"),
        ("y behind the end", "step_ends.h", "for (int t = layer.length_of(place.b); t < layer.steps; ++t) layer.y", "for (int t = layer.length_of(place.b) + 1; t < layer.steps; ++t) layer.y"),
    ),
    # Options of steps
    *mutants_of("step_options",
        ("a row behind the batch", "step_kernels.h", "return place.b < layer.batch;", "return place.b <= layer.batch;"),
        ("a normalised row behind the last", "step_sequence.h", "shape.blocks = rows;", "shape.blocks = rows + 1;"),
        ("a mean of one element too few", "norm_kernel.h", "i < norm.count; i += block_threads()) sum", "i + 1 < norm.count; i += block_threads()) sum"),
        ("a mean of one element too many", "norm_kernel.h", "i < norm.count; i += block_threads()) sum", "i <= norm.count; i += block_threads()) sum"),
        ("an element too many is looked at", "norm_kernel.h", "i < norm.count; i += block_threads()) sum += value(i);", "i <= norm.count; i += block_threads()) sum += i < norm.count ? value(i) : fmaxf(fminf(value(i), 0.0f), 0.0f);"),
        ("a variance of one element too few", "norm_kernel.h", "i < norm.count; i += block_threads()) {\n    const float d = value(i) - mean", "i + 1 < norm.count; i += block_threads()) {\n    const float d = value(i) - mean"),
        ("the last warp's part of a sum", "norm_kernel.h", "i < block_threads() / kWarp;", "i + 1 < block_threads() / kWarp;"),
        ("no barrier between two sums", "norm_kernel.h", "  sync_block();  // until all threads have read the parts of the previous sum\n", ""),
        ("no barrier before the parts are added", "norm_kernel.h", "  sync_block();\n  float total", "  float total"),
        ("no epsilon", "norm_kernel.h", "variance + layer.extension.norm_epsilon", "variance"),
        ("W x normalised as of the first step", "norm_kernel.h", "input += (Index(layer.time(b, step)) * layer.batch + b) * norm.count", "input += Index(b) * norm.count"),
        ("sums of a phase as the cell's", "run_steps.cc", "(group.first_gate - phase.first_gate) * h;", "group.first_gate * h;"),
        ("normalised sums begin from a kept column", "run_steps.cc", "phase.norm != cells::kNoNorm ? -1 : phase.from", "phase.from"),
        ("a second source replaces the first", "run_steps.cc", "multiply(phase, phase.source[s], s > 0)", "multiply(phase, phase.source[s], false)"),
        ("a block of no gate is multiplied", "run_steps.cc", "if (source.block[g] >= 0) {", "{"),
        ("resets of reversed rows", "step_times.h", "time(b, step) + (reverse ? 1 : 0)", "time(b, step)"),
        ("a projection is turned", "step_sequence.h", "return {layer_.extension.w_hr, p, h};", "return {layer_.extension.w_hr, h, p};"),
        ("h after the first phase of a step", "step_kernels.h", "  if (!step.at.clock.ticks) return;\n", ""),
        ("a reset of the first step", "step_ends.h", "const bool fresh = layer.begins(place.b, 0);", "const bool fresh = false;"),
        ("a reset leaves c", "step_kernels.h", "over ? 0.0f : step.c[u.in_states(j)]", "step.c[u.in_states(j)]"),
        ("a reset one step late", "step_kernels.h", "layer.begins(place.b, place.step + 1)", "layer.begins(place.b, place.step)"),
        ("masked outputs repeat where zeros are wanted", "step_ends.h", "if (!end.zeros) last = y;", "last = y;"),
        ("masked outputs repeat the step after", "step_ends.h", "const int t = layer.reverse ? layer.steps - 1 - i : i;", "const int t = i;"),
        ("zoneout the other way", "step_units.h", "fmadd(share_h(), v - h_prev(), h_prev())", "fmadd(share_h(), h_prev() - v, v)"),
        ("zoneout of another state", "step_units.h", "v - c_prev(state), c_prev(state))", "v - c_prev(state), c_prev(state) * V(0))"),
        ("a forget bias for every gate", "step_units.h", "layer.extension.gate_bias[gate]", "layer.extension.gate_bias[1]"),
    ),
    # Training by steps
    *mutants_of("step_training",
        ("normalises rows that have ended", "norm_kernel.h", "  if (norm.now != nullptr && step >= layer.length_of(b)) return;\n", ""),
        ("products of a step replace the next one's", "run_steps_back.cc", "any || before,", "any,"),
        ("counters by step, not by time", "step_units.h", "mask.at(place.unit, place.b, place.time)", "mask.at(place.unit, place.b, place.step)"),
        ("counters without their row", "step_units.h", "mask.at(place.unit, place.b, place.time)", "mask.at(place.unit, 0, place.time)"),
        ("counters of all masks alike", "step_units.h", "? mask.at(place.unit, place.b, place.time)", "? layer.extension.candidate.at(place.unit, place.b, place.time)"),
        ("words of a counter", "random_mask.h", "i == 2 ? words.v[2] : words.v[3]", "i == 2 ? words.v[3] : words.v[2]"),
        ("what zoneout hands past the cell", "step_units.h", "(v + rest_h).v", "v.v"),
        ("zoneout's share of dc", "step_units.h", "rest_c = fnmadd(share, sum, sum);\n    return share * sum;", "rest_c = fnmadd(share, sum, sum);\n    return sum;"),
        ("gradients through a cut", "step_kernels.h", "!step.layer.cuts(place.b, s)", "!step.layer.begins(place.b, s)"),
        ("normalised gradients through a cut", "norm_kernel.h", "cut ? 0.0f : d", "d"),
        ("a cut within a step", "norm_kernel.h", "norm.last && layer.cuts(b, step)", "layer.cuts(b, step)"),
        ("gradients of masked steps", "step_ends.h", "layer.times != nullptr ? 0 : layer.length_of(place.b)", "layer.length_of(place.b)"),
        ("dh0 of H, where it has P", "step_ends.h", "u.from(end.h_sums, u.in_states())", "u.from(end.h_sums, u.in_h())"),
        ("dc0 without its products", "step_ends.h", "if (end.c_sums != nullptr)", "if (false)"),
        ("normalised gradients of the step after", "run_steps_back.cc", "normalise_back(cell_.back[p].norm, step, last)", "normalise_back(cell_.back[p].norm, now(), last)"),
        ("the mean of a gate's gradients", "norm_kernel.h", "slope = sum_over_block(along) / float(count)", "slope = sum_over_block(along) / float(hidden)"),
        ("a row of normalised gradients behind the last", "run_steps_back.cc", "back.d[g] = cell_.recurrent_column[group.first_gate + g];\n      launch_norm(normalise_back_kernel(), back, layer_.batch)", "back.d[g] = cell_.recurrent_column[group.first_gate + g];\n      launch_norm(normalise_back_kernel(), back, layer_.batch + 1)"),
        ("columns of the third and fourth gate", "norm_kernel.h", "gate == 2 ? norm.d[2] : norm.d[3]", "gate == 2 ? norm.d[3] : norm.d[2]"),
        ("normalised gradients of ended rows", "norm_kernel.h", "if (step < 0 || step >= layer.length_of(b)) return;", "if (step < 0) return;"),
        ("operands through a reset", "rows_kernel.h", "if (p.before && p.layer.begins(b, step))", "if (false)"),
        ("gathered rows not cleared", "gradients.cc", "    if (bytes > 0 && ragged()) runtime_.clear(place->as<void>(), bytes);\n", ""),
        ("c before the step is c after it", "gradients.cc", "which == cells::Operand::h_prev || which == cells::Operand::c_prev;", "which == cells::Operand::h_prev;"),
        ("x behind the end of a row", "gradients.cc", "    if (!ragged()) return {job_.x, job_.x_row};\n", "    return {job_.x, job_.x_row};\n"),
        ("db_hh by the columns of db_ih", "gradients.cc", "sum(g + shift, count, hh, nullptr)", "sum(g, count, hh, nullptr)"),
        ("every block of a matrix in the first", "gradients.cc", "out + Index(first.block) * hidden_ * columns", "out"),
        ("gains of rows that have ended", "gradients.cc", "      if (ragged()) {\n        from", "      if (false) {\n        from"),
        ("statistics of the first group", "run_steps_back.cc", "Statistic(kRecurrentScale + j)", "kRecurrentScale"),
        ("every parameter in the first row", "gradients.cc", "out + Index(row) * hidden_, nullptr}", "out, nullptr}"),
        ("gains of W x by those of R h", "gradients.cc", "gain(job_.parameters.dln_ih, g, g, cell_.gates + g)", "gain(job_.parameters.dln_ih, g, g, g)"),
        ("h meets w_hh with none dropped", "step_units.h", "step.h_operand[in_h()] = mask_operand(v).v", "step.h_operand[in_h()] = v.v"),
        ("h0 meets w_hh with none dropped", "step_ends.h", "step.h_operand[u.in_h()] = u.mask_operand(h).v", "step.h_operand[u.in_h()] = h.v"),
        ("a reset leaves what w_hh meets", "step_kernels.h", "  if (step.h_operand != nullptr) step.h_operand[u.in_h()] = 0;\n", ""),
        ("gradients of dropped h", "step_units.h", "const V sum = mask_operand(acc()) + from_y", "const V sum = acc() + from_y"),
        ("gradients of dropped h0", "step_ends.h", "u.mask_operand(u.from(end.h_sums, u.in_states()))", "u.from(end.h_sums, u.in_states())"),
        ("operands that were not dropped", "rows_kernel.h", "    if (p.mask.threshold > 0) value *= p.mask.at(column, b, 0);\n", ""),
        ("gradients of repeated outputs", "run.cc", "!problem.zero_output_for_mask && job.dy", "false && job.dy"),
        ("gradients of repeated outputs are added again", "rows_kernel.h", "      if (computed) sum = 0;\n", ""),
        ("gradients fold in the order of time", "rows_kernel.h", "const int t = layer.reverse ? layer.steps - 1 - n : n;", "const int t = n;"),
        ("gradients of dropped weights", "run_stack.cc", "if (drops_weights(weights.options()) && job.parameters.dw_hh != nullptr)", "if (false)"),
        ("dropped weights by the rows of one gate", "run_stack.cc", "  const Index rows = gate_count(options.cell) * hidden();\n", "  const Index rows = hidden();\n"),
    ),
    # Layers and directions
    *mutants_of("stack",
        ("both directions in the same columns", "run_stack.cc", "from_column(y, d * shape_.own)", "from_column(y, 0)"),
        ("the second direction runs forwards", "run_stack.cc", "call.reverse = arguments_.reverse || d == 1;", "call.reverse = arguments_.reverse;"),
        ("the steps of the second direction forwards", "run_stack.cc", "run.reverse = a.reverse || d == 1;", "run.reverse = a.reverse;"),
        ("every layer begins as the first", "run_stack.cc", "call.h0 = state(h0_, index, h_size_);", "call.h0 = state(h0_, 0, h_size_);"),
        ("every layer ends as the first", "run_stack.cc", "call.c_n = state(c_n_, index, c_size_);", "call.c_n = state(c_n_, 0, c_size_);"),
        ("outputs between layers in one room", "run_stack.cc", "(room == nullptr || training)", "(room == nullptr)"),
        ("dropped where the layer reads it again", "run_stack.cc", "const Sequence<float> to = shape_.concat ? rows(upload_.room(rows_ * shape_.merged), shape_.merged) : y;", "const Sequence<float> to = y;"),
        ("dropout in inference's place", "run_stack.cc", "if (is_last || !training || stack.dropout <= 0) continue;", "if (!training || stack.dropout <= 0) continue;"),
        ("one mask between all layers", "run_stack.cc", "std::uint32_t(layer), MaskKind::between_layers", "0u, MaskKind::between_layers"),
        ("no dropout on the way back", "run_stack.cc", "if (layer > 0 && stack_.dropout > 0) combine", "if (false) combine"),
        ("dropout of another layer on the way back", "run_stack.cc", "mask_between(layer - 1)", "mask_between(layer)"),
        ("dx of one direction alone", "run_stack.cc", "job.add_dx = add && !masked;", "job.add_dx = false;"),
        ("dx is assigned", "gradients.cc", "job_.add_dx,", "false,"),
        ("one mask of x for all layers", "run_stack.cc", "dropout.stream + std::uint32_t(index), MaskKind::dropout", "dropout.stream, MaskKind::dropout"),
        ("dx of what was dropped", "run_stack.cc", "add ? unmasked : dx, mask, true)", "add ? unmasked : dx)"),
        ("a mask of x for each step", "rows_kernel.h", "p.same_mask ? 0 : t", "t"),
        ("one direction's gradient for both", "run_stack.cc", "from_column(dy, direction * shape_.own)", "from_column(dy, 0)"),
        ("products with a direction's own output", "run_stack.cc", "layer * 2 + 1 - direction", "layer * 2 + direction"),
        ("the whole gradient to both of a mean", "run_stack.cc", "? How::product : How::half", "? How::product : How::copy"),
        ("a mean of twice its size", "rows_kernel.h", "if (p.how == How::half || p.how == How::mean) value", "if (p.how == How::half) value"),
        ("packed rows of one step", "run_stack.cc", "++lengths_[std::size_t(b)]", "lengths_[std::size_t(b)] = 1"),
        ("a packed row too many", "rows_kernel.h", "b < p.before[t + 1] - p.before[t]", "b <= p.before[t + 1] - p.before[t]"),
        ("packed rows of the step after", "rows_kernel.h", "(p.before[t] + b) * p.packed_row", "(p.before[t + 1] + b) * p.packed_row"),
        ("rows that are not there stay", "rows_kernel.h", "row = exists ? packed : 0.0f;", "if (exists) row = packed;"),
        ("rows that are taken for one behind the other", "run_stack.cc", "return rows.step == batch * rows.row;", "return true;"),
    ),
    # What only nvcc compiles
    *mutants_of(PTX,
        ("a cluster arrives without release", "primitives.h", "barrier.cluster.arrive.release.aligned", "barrier.cluster.arrive.relaxed.aligned"),
        ("a cluster waits without acquire", "primitives.h", "\\n\\tbarrier.cluster.wait.acquire.aligned;", "\\n\\tbarrier.cluster.wait.aligned;"),
        ("waits for groups that nobody committed", "primitives.h", "cp.async.wait_all;", "cp.async.wait_group 0;"),
        ("bfloat16: rows of A change places", "primitives.h", 'm16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}', 'm16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%5,%4,%7,%6}'),
        ("float16: rows and columns of A", "primitives.h", 'm16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}', 'm16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%6,%5,%7}'),
        ("tf32: B is turned", "primitives.h", 'm16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}', 'm16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%9,%8}'),
        ("bfloat16 is cut off", "primitives.h", "cvt.rn.bf16.f32", "cvt.rz.bf16.f32"),
        ("float16 is cut off", "primitives.h", "cvt.rn.f16.f32", "cvt.rz.f16.f32"),
        ("half a warp shuffles", "primitives.h", "__shfl_xor_sync(0xffffffffu,", "__shfl_xor_sync(0x0000ffffu,"),
        ("half a warp votes", "primitives.h", "__ballot_sync(0xffffffffu,", "__ballot_sync(0x0000ffffu,"),
        ("every block is the first of its cluster", "primitives.h", '  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));\n', ""),
        ("the rank is the number of the block", "primitives.h", "%%cluster_ctarank", "%%ctaid.x"),
        ("a gather of 4 bytes", "primitives.h", "cp.async.cg.shared.global [%0], [%1], 16;", "cp.async.ca.shared.global [%0], [%1], 4;"),
        ("a gather through L1", "primitives.h", "cp.async.cg.shared.global [%0], [%1], 16;", "cp.async.ca.shared.global [%0], [%1], 16;"),
        ("a peer's store stays in this block", "primitives.h", '  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));', "  remote = address;"),
        ("a flag without release", "primitives.h", "st.release.gpu.global.u32", "st.relaxed.gpu.global.u32"),
        ("a flag for this block alone", "primitives.h", "ld.acquire.gpu.global.u32", "ld.acquire.cta.global.u32"),
    ),
]  # fmt: skip


def modes_of(test: str) -> list[str]:
    return [mode for mode in MODES if mode != "tsan" or test not in WITHOUT_TSAN]


def parts_of(test: str) -> list[str]:
    return [f"{EMULATION}/test_{test}.cc", *RUNTIME, *TESTS[test]]


def object_in(directory: pathlib.Path, source: str, mode: str) -> pathlib.Path:
    return directory / f"{source.replace('/', '.')}.{'plain' if source in CPU else mode}.o"


def compile_source(tree: pathlib.Path, source: str, mode: str, out: pathlib.Path) -> None:
    """Into `out`; the files that it includes are listed beside that."""
    options = MODES["plain" if source in CPU else mode]
    if source in RUNTIME and mode == "tsan":  # it says itself what orders what
        options = ["-O1", "-DFASTRNN_TSAN", "-fno-tree-loop-distribute-patterns"]
    folders = [f"-I{tree}/{folder}" for folder in ("csrc", "csrc/include", EMULATION)]
    command = ["g++", "-std=c++17", "-w", *folders, '-DFASTRNN_COMPILER=""', '-DFASTRNN_FLAGS=""', *options]
    command += ["-MMD", "-c", f"{tree}/{source}", "-o", str(out)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0:
        raise SystemExit(f"{source} does not compile:\n{built.stderr[:2000]}")


def find(tree: pathlib.Path, name: str) -> pathlib.Path:
    """The file of that name; no two of csrc/cuda, and of what it shares with the CPU, have one name."""
    (path,) = (path for folder in ("cuda", "core/backend") for path in (tree / "csrc" / folder).rglob(name))
    return path


def includes(compiled: pathlib.Path, file: pathlib.Path) -> bool:
    return str(file) in compiled.with_suffix(".d").read_text().split()


def run(program: pathlib.Path, test: str, mode: str) -> str:
    """What is wrong, or nothing."""
    arguments = [] if test != "schedules" else ["8" if mode == "plain" else "2", "stop"]
    environment = dict(os.environ, TSAN_OPTIONS="halt_on_error=1", ASAN_OPTIONS="detect_leaks=0")
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, env=environment, timeout=600)
    except subprocess.TimeoutExpired:
        return "did not end"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip(" =")]
    return lines[0][:150] if lines else f"exit status {done.returncode}"


def judge(test: str, kept: pathlib.Path, mutant: Mutant | None = None) -> tuple[str, str]:
    """The mode that caught it, and how; ("", "") for a survivor. `kept` has the objects of what is not broken."""
    with tempfile.TemporaryDirectory() as name:
        tree = pathlib.Path(name)
        for part in ("csrc", EMULATION) if mutant is not None or test == PTX else ():
            shutil.copytree(ROOT / part, tree / part)
        if mutant is not None:
            path = find(tree, mutant.file)
            path.write_text(path.read_text().replace(mutant.old, mutant.new))
        if test == PTX:
            command = [sys.executable, "-m", "tests.support.cuda.primitives_ptx", str(tree)]
            read = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            return (PTX, " ".join(read.stderr.split())[:150]) if read.returncode else ("", "")
        for mode in modes_of(test):
            objects = []
            for source in parts_of(test):
                compiled = object_in(kept, source, mode)
                if mutant is not None and includes(compiled, find(ROOT, mutant.file)):
                    compiled = object_in(tree, source, mode)
                    compile_source(tree, source, mode, compiled)
                objects.append(str(compiled))
            program = tree / mode
            subprocess.run(["g++", *MODES[mode], *objects, "-pthread", "-o", str(program)], check=True)
            what = run(program, test, mode)
            if what:
                return mode, what
    return "", ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    choices = [*TESTS, PTX]
    parser.add_argument("--test", choices=choices, nargs="+", default=choices, help="mutants of these tests")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.only in m.name and m.test in arguments.test]
    if shutil.which(os.environ.get("CUDACXX", "nvcc")) is None and any(m.test == PTX for m in chosen):
        print("no nvcc (CUDACXX, PATH): the mutants of what only it compiles are left out")
        chosen = [m for m in chosen if m.test != PTX]
    for mutant in chosen:
        text = find(ROOT, mutant.file).read_text()
        if text.count(mutant.old) != 1:
            raise SystemExit(f"{mutant.name}: its text is {text.count(mutant.old)} times in {mutant.file}")
    caught = dict.fromkeys([*MODES, PTX], 0)
    survivors = []
    with tempfile.TemporaryDirectory() as name, concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        kept = pathlib.Path(name)
        tests = [test for test in choices if any(m.test == test for m in chosen)]
        programs = [test for test in tests if test != PTX]
        needed = {(source, mode) for test in programs for mode in modes_of(test) for source in parts_of(test)}
        objects = {object_in(kept, source, mode): (source, mode) for source, mode in sorted(needed)}
        list(pool.map(lambda out: compile_source(ROOT, *objects[out], out), objects))
        for test, (mode, what) in zip(tests, pool.map(lambda test: judge(test, kept), tests), strict=True):
            if mode:
                raise SystemExit(f"the kernels as they are fail {test} ({mode}): {what}")
        verdicts = pool.map(lambda m: judge(m.test, kept, m), chosen)
        for mutant, (mode, what) in zip(chosen, verdicts, strict=True):
            print(f"{mode or 'SURVIVES':8} {mutant.name}: {what}", flush=True)
            if mode:
                caught[mode] += 1
            else:
                survivors.append(mutant.name)
    counts = ", ".join(f"{count} by {mode}" for mode, count in caught.items())
    print(f"{len(chosen)} mutants: {counts}; {len(survivors)} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
