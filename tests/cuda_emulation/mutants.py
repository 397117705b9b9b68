"""Breaks the CUDA kernels one small piece at a time and asks whether the emulated tests notice.

    python tests/cuda_emulation/mutants.py [--jobs N] [--only PART-OF-A-NAME]

Each mutant is one replacement in a copy of csrc/cuda. It is built and run plain, then with AddressSanitizer and
UndefinedBehaviorSanitizer, then with ThreadSanitizer, until one of them fails: that one caught it. A mutant that passes
all three survives, and the exit status says so. Text that is no longer in its file, or there more than once, is an error.
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
MODES = {
    "plain": ["-O1"],
    "asan": ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "tsan": ["-O1", "-g1", "-fsanitize=thread"],
}
RUNTIME = ("emulation", "fibre", "half")


@dataclass
class Mutant:
    name: str
    file: str
    old: str
    new: str


MUTANTS = [
    # Synchronisation
    Mutant("block commit without barrier", "exchange.h", "  FASTRNN_DEVICE bool commit() {\n    sync_block();\n    this->advance();", "  FASTRNN_DEVICE bool commit() {\n    this->advance();"),
    Mutant("cluster commit by the block's barrier", "exchange.h", "  FASTRNN_DEVICE bool commit() {\n    sync_cluster();", "  FASTRNN_DEVICE bool commit() {\n    sync_block();"),
    Mutant("cluster begins by the block's barrier", "exchange.h", "begin() { sync_cluster(); }", "begin() { sync_block(); }"),
    Mutant("flag before the block's stores", "exchange.h", "    ++commits_;\n    sync_block();\n", "    ++commits_;\n"),
    Mutant("no wait for the flags", "exchange.h", "lost = !wait_for(params_.flags + group() * params_.geometry.members + i);", "lost = false;"),
    Mutant("waits for the commit before", "exchange.h", "load_acquire(flag) < commits_)", "load_acquire(flag) + 1 < commits_)"),
    Mutant("waits for its own flag", "exchange.h", "wait_for(params_.flags + group() * params_.geometry.members + i)", "wait_for(params_.flags + block_index())"),
    Mutant("waits for one flag too few", "exchange.h", "i < params_.geometry.members && !lost", "i + 1 < params_.geometry.members && !lost"),
    Mutant("flag stored without release", "exchange.h", "store_release(params_.flags + block_index(), commits_)", "params_.flags[block_index()] = commits_"),
    Mutant("no barrier after the gather", "exchange.h", "    next_ = 1 - next_;\n    sync_block();\n", "    next_ = 1 - next_;\n"),
    Mutant("one slot in global memory", "exchange.h", "    next_ = 1 - next_;\n", ""),
    Mutant("one slot in shared memory", "exchange.h", "slots_ + (1 - current_) * slot_elements_", "slots_ + current_ * slot_elements_"),
    Mutant("gathered copies not awaited", "exchange.h", "    wait_copies();\n", ""),
    Mutant("gives up in silence", "exchange.h", "        store_release(params_.status, kGaveUp);\n", ""),
    Mutant("no barrier after the forward product", "recurrence.h", "    slab<Phase>().multiply(layout_, layout_.cut[Phase], tile_.exchange.operand(), tile_.floats(layout_.partial));\n    sync_block();\n    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s < e.length)", "    slab<Phase>().multiply(layout_, layout_.cut[Phase], tile_.exchange.operand(), tile_.floats(layout_.partial));\n    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s < e.length)"),
    Mutant("no barrier after the backward product", "recurrence.h", "    sync_block();\n    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s >= e.length) return;", "    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s >= e.length) return;"),
    Mutant("no barrier before dh0", "recurrence.h", "    sync_block();\n    const float* carry", "    const float* carry"),
    Mutant("no barrier after the operand is cleared", "recurrence.h", "    load_units();\n    sync_block();\n    begin_rows();\n    fetch(0);", "    load_units();\n    begin_rows();\n    fetch(0);"),
    Mutant("fetched inputs not awaited", "recurrence.h", "    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s < e.length)", "    tile_.each_element([&](const Element& e) {\n      if (s < e.length)"),
    Mutant("fetched gates not awaited", "recurrence.h", "    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s >= e.length) return;\n      const bool", "    tile_.each_element([&](const Element& e) {\n      if (s >= e.length) return;\n      const bool"),
    Mutant("fetches before the step has used it", "recurrence.h", "    if (Phase == 0) wait_copies();\n    tile_.each_element([&](const Element& e) {\n      if (s < e.length)", "    if (Phase == 0) wait_copies();\n    if (kLast) fetch(s + 1);\n    tile_.each_element([&](const Element& e) {\n      if (s < e.length)"),
    # Indices
    Mutant("group and member of a block", "exchange.h", "group() const { return block_index() / params_.geometry.members; }", "group() const { return block_index() % params_.geometry.members; }"),
    Mutant("gathers one source of the operand", "exchange.h", "layout_.gathered / kElements", "layout_.padded / kElements"),
    Mutant("gathers one row too few", "exchange.h", "all = params_.geometry.rows * pieces", "all = (params_.geometry.rows - 1) * pieces"),
    Mutant("sources published unpadded", "tile.h", "source * layout.padded + e.unit", "source * params.hidden + e.unit"),
    Mutant("saved by step, not by time", "tile.h", "Index(params.time(e.b, step))", "Index(step)"),
    Mutant("every tile has the rows of the first", "tile.h", "params.order[first_row + row]", "params.order[row]"),  # that none is put in order at all would only cost time
    Mutant("partial sums from the second chunk on", "units.h", "for (int i = 0; i < chunks", "for (int i = 1; i < chunks"),
    Mutant("gate within the phase", "units.h", "const int gate = first_gate + g;", "const int gate = g;"),
    Mutant("a chunk begins where its tile does", "slab.h", "int k() const { return (chunk * cut.steps + step) * kShape.depth; }", "int k() const { return step * kShape.depth; }"),
    Mutant("tasks without their chunk", "slab.h", "      tile = 0;\n      ++chunk;", "      tile = 0;"),
    Mutant("warps share their part of the weights", "slab.h", " + warp * cut.shared_steps * kQuads * kWarp", ""),
    Mutant("sums of one task flow into the next", "slab.h", "          sums = {};\n", ""),
    Mutant("a step of the weights is lost", "layout.h", "cut.shared_steps = mine - cut.register_steps;", "cut.shared_steps = mine > cut.register_steps ? mine - cut.register_steps - 1 : 0;"),
    Mutant("first row of the operand twice", "slab.h", "operand + column * layout.operand_stride + walk.k()", "operand + walk.k()"),
    # Masks
    Mutant("no guard of the units", "tile.h", "if (e.row >= rows || e.u >= units) continue;", "if (e.row >= rows) continue;"),
    Mutant("no guard of the rows", "tile.h", "if (e.row >= rows || e.u >= units) continue;", "if (e.u >= units) continue;"),
    Mutant("no guard of the weights' columns", "recurrence.h", " || u >= tile_.units || k >= params_.hidden) return 0.0f;", " || u >= tile_.units) return 0.0f;"),
    Mutant("no guard of the transposed weights", "recurrence.h", " || j >= params_.hidden) return 0.0f;", ") return 0.0f;"),
    Mutant("gradients of a step that is not there", "recurrence.h", "!kNextStep || s + 1 < e.length;", "true;"),
    Mutant("h_n of the longest row", "recurrence.h", "if (Phase + 1 < kPhases || s + 1 < e.length) {", "if (Phase + 1 < kPhases || s + 1 < tile_.longest) {"),
    Mutant("publishes to peers that have left", "recurrence.h", "    if (Phase + 1 < kPhases || s + 1 < e.length) {\n      const bool kept = kOperand == cells::Operand::kept;\n      return tile_.publish(", "    {\n      const bool kept = kOperand == cells::Operand::kept;\n      tile_.publish("),
    Mutant("rows that have ended go on", "recurrence.h", "      if (s < e.length) compute<Phase>(e, s);", "      compute<Phase>(e, s);"),
    Mutant("outputs behind the end are left", "recurrence.h", "for (int t = e.length; t < params_.steps; ++t) params_.y", "for (int t = e.length + 1; t < params_.steps; ++t) params_.y"),
    Mutant("gradients behind the end are left", "recurrence.h", "for (int t = e.length; t < params_.steps; ++t)\n        for", "for (int t = e.length + 1; t < params_.steps; ++t)\n        for"),
    Mutant("dh0 of a row without a step", "recurrence.h", "(e.length > 0 ? tile_.partial(e, 0).sum(0) : 0.0f)", "tile_.partial(e, 0).sum(0)"),
    Mutant("one slot is not cleared", "tile.h", "Exchange<Operand, tier>::kSlots * layout.operand_bytes / 4", "layout.operand_bytes / 4"),
    Mutant("the state before the first step", "recurrence.h", "s > 0                   ? params_.y.at(", "s > 1 ? params_.y.at("),
    Mutant("the last rows of a batch", "tile.h", "rows = smaller(g.rows, params.batch - first_row);", "rows = g.rows;"),
    # Fragments
    Mutant("A: rows and columns of registers", "formats.h", "lane / 4 + i % 2 * 8, at = k + i / 4 * 16 + lane % 4 * 2 + i % 4 / 2 * 8;", "lane / 4 + i % 4 / 2 * 8, at = k + i / 4 * 16 + lane % 4 * 2 + i % 2 * 8;"),
    Mutant("A: the elements of a pair", "formats.h", "pack(round_to<E>(weight(r, at)), round_to<E>(weight(r, at + 1)))", "pack(round_to<E>(weight(r, at + 1)), round_to<E>(weight(r, at)))"),
    Mutant("B: the second register", "formats.h", "pair(row + t * 16 + 8)", "pair(row + t * 16 + 4)"),
    Mutant("B: columns", "formats.h", "operand + lane / 4 * stride + lane % 4 * 2;", "operand + lane % 4 * stride + lane / 4 * 2;"),
    Mutant("tf32: A: rows and columns", "formats.h", "lane / 4 + i % 2 * 8, k + i / 4 * 8 + lane % 4 + i % 4 / 2 * 4", "lane / 4 + i % 4 / 2 * 8, k + i / 4 * 8 + lane % 4 + i % 2 * 4"),
    Mutant("tf32: B: the second register", "formats.h", "row[t * 8 + 4].bits", "row[t * 8 + 2].bits"),
    Mutant("tf32: a step of the depth of 16 bits", "layout.h", "return {16, 8, 32, 16, 4, 11, 4};", "return {16, 8, 64, 16, 4, 11, 4};"),
    Mutant("D: columns", "formats.h", "(lane % 4 * 2 + i % 2) * stride", "(lane % 4 + i % 2 * 4) * stride"),
    Mutant("D: one of two chains", "formats.h", "sums.v[0][i] + sums.v[1][i]", "sums.v[0][i]"),
    Mutant("float32: halves of the reduction", "formats.h", "const float mine = upper ? v[i + Half] : v[i], theirs = upper ? v[i] : v[i + Half];", "const float mine = upper ? v[i] : v[i + Half], theirs = upper ? v[i + Half] : v[i];"),
    Mutant("float32: lane of a sum", "formats.h", "partial[lane_index() % 4 * stride + lane_index() / 4]", "partial[lane_index() / 8 * stride + lane_index() % 8]"),
]  # fmt: skip


def flags(tree: pathlib.Path) -> list[str]:
    return ["-std=c++17", "-w", f"-I{tree}/csrc", f"-I{tree}/tests/cuda_emulation"]


def build_runtime(directory: pathlib.Path) -> dict[str, list[str]]:
    objects: dict[str, list[str]] = {}
    for mode, options in MODES.items():
        objects[mode] = []
        if mode == "tsan":  # the runtime says itself what orders what
            options = ["-O1", "-DFASTRNN_TSAN", "-fno-tree-loop-distribute-patterns"]
        for name in RUNTIME:
            out = directory / f"{name}.{mode}.o"
            source = ROOT / "tests/cuda_emulation" / f"{name}.cc"
            command = ["g++", *flags(ROOT), *options, "-c", str(source), "-o", str(out)]
            subprocess.run(command, check=True)
            objects[mode].append(str(out))
    return objects


def run(tree: pathlib.Path, mode: str, objects: list[str]) -> str:
    """What is wrong, or nothing."""
    program = tree / f"schedules.{mode}"
    sources = [tree / "tests/cuda_emulation/test_schedules.cc"]
    command = ["g++", *flags(tree), *MODES[mode], *map(str, sources), *objects, "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0:
        raise SystemExit(f"a mutant does not compile:\n{built.stderr[:2000]}")
    environment = dict(os.environ, TSAN_OPTIONS="halt_on_error=1", ASAN_OPTIONS="detect_leaks=0")
    seeds = "8" if mode == "plain" else "2"
    try:
        done = subprocess.run([program, seeds, "stop"], capture_output=True, text=True, env=environment, timeout=600)
    except subprocess.TimeoutExpired:
        return "did not end"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip(" =")]
    return lines[0][:150] if lines else f"exit status {done.returncode}"


def judge(mutant: Mutant | None, objects: dict[str, list[str]]) -> tuple[str, str]:
    """The mode that caught it, and how; ("", "") for a survivor."""
    with tempfile.TemporaryDirectory() as name:
        tree = pathlib.Path(name)
        for part in ("csrc/cells", "csrc/core", "csrc/cuda", "tests/cuda_emulation"):
            shutil.copytree(ROOT / part, tree / part)
        if mutant is not None:
            path = tree / "csrc/cuda" / mutant.file
            text = path.read_text()
            if text.count(mutant.old) != 1:
                raise SystemExit(f"{mutant.name}: its text is {text.count(mutant.old)} times in {mutant.file}")
            path.write_text(text.replace(mutant.old, mutant.new))
        for mode in MODES:
            what = run(tree, mode, objects[mode])
            if what:
                return mode, what
    return "", ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.only in m.name]
    for mutant in chosen:
        text = (ROOT / "csrc/cuda" / mutant.file).read_text()
        if text.count(mutant.old) != 1:
            raise SystemExit(f"{mutant.name}: its text is {text.count(mutant.old)} times in {mutant.file}")
    survivors = []
    with tempfile.TemporaryDirectory() as directory:
        objects = build_runtime(pathlib.Path(directory))
        mode, what = judge(None, objects)
        if mode:
            raise SystemExit(f"the kernels as they are fail ({mode}): {what}")
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            verdicts = pool.map(lambda m: judge(m, objects), chosen)
            for mutant, (mode, what) in zip(chosen, verdicts, strict=True):
                print(f"{mode or 'SURVIVES':8} {mutant.name}: {what}", flush=True)
                if not mode:
                    survivors.append(mutant.name)
    print(f"{len(chosen)} mutants, {len(survivors)} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
