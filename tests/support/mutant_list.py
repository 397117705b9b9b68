"""The mutants of tests/mutants.py: small bugs that tests have to notice. Those of CUDA are in tests/cuda_emulation."""

# ruff: noqa: E501 (a mutant is a line, as long as it is)
from __future__ import annotations

from dataclasses import dataclass

KINDS = ("tails", "blocks", "cuts", "orders", "states", "checks", "numbers")


@dataclass(frozen=True)
class Mutant:
    """Text of one file and what stands there instead.

    `tests` are those that have to notice it, separated by spaces: as pytest takes them, or a native test by its source.
    Files are named without their folders, so that they may move; where a name is there twice, with the last of them.
    """

    kind: str
    name: str
    file: str
    old: str
    new: str
    tests: str
    ci: bool = False


MUTANTS = [
    # Cells
    Mutant("states", "a GRU's z forgets that n was dropped", "gru.h", "    u.set_dgate(Z, dh * (u.h_prev() - u.drop(n)) * u.gate_slope(z));\n    u.set_dgate(N, dan);", "    u.set_dgate(Z, dh * (u.h_prev() - n) * u.gate_slope(z));\n    u.set_dgate(N, dan);", "test_options.py::test_matches_reference"),
    Mutant("states", "recurrent dropout on the way back through r * h", "gru.h", "u.add_carry_h(u.mask_operand(d_rh * r));", "u.add_carry_h(d_rh * r);", "test_options.py::test_matches_reference"),
    Mutant("states", "an output peephole learns from c after its zoneout", "lstm.h", "    if (options.peephole_current && options.zoneout_c > 0) d.param_gradient[Po].operand = Operand::c_new;\n", "", "test_options.py::test_matches_reference"),
    Mutant("states", "a coupled forget gate has gradients of its own", "lstm.h", "daf = options.coupled ? V(0) : dc * c_prev * u.gate_slope(f);", "daf = dc * c_prev * u.gate_slope(f);", "test_gradients.py::test_coupled_forget_rows_have_zero_gradient"),
    Mutant("states", "an MGU's f * h is that before the dropout", "mgu.h", "u.set_dgate(F, fmadd(d_fh, u.h_operand(), u.dgate(F)) * u.gate_slope(f));", "u.set_dgate(F, fmadd(d_fh, u.h_prev(), u.dgate(F)) * u.gate_slope(f));", "test_options.py::test_matches_reference"),
    Mutant("states", "an sLSTM's f' that is held passes its gradient", "slstm.h", "u.save(kFlow, where_positive(m - kept, f));", "u.save(kFlow, f);", "test_options.py::test_matches_reference"),
    Mutant("states", "an sLSTM remembers m where n is nothing", "slstm.h", "const V from_input = one - where_positive(magnitude(n_prev), one - larger);", "const V from_input = larger;", "test_options.py::test_matches_reference"),
    # Kernels
    Mutant("states", "a cut keeps the gradient of c", "backward-inl.h", "  fill_zero(call.carry_c + b * layer.c_width, layer.c_width);\n", "", "test_options.py::test_matches_reference"),
    Mutant("states", "dh0 misses its dropout", "backward-inl.h", "if (of_h && layer.h_mask != nullptr) v = v", "if (false) v = v", "test_options.py::test_matches_reference"),
    Mutant("states", "the second and third state begin as the first ended", "backward-inl.h", "call.dc0 + layer.in_cell_states(j, b), layer.hidden", "call.dc0 + layer.in_cell_states(j > 1 ? 1 : j, b), layer.hidden", "test_options.py::test_matches_reference"),
    Mutant("numbers", "int8 rows of small numbers are zero", "formats-inl.h", "most > 1e-30f", "most > 1e-5f", "test_precision.py::test_int8_rows_of_small_numbers_have_a_scale_too"),
    Mutant("tails", "units beyond the state are part of the output", "forward-inl.h", "count(over_state ? layer.state : layer.hidden) {}", "count(over_state ? layer.padded_state : layer.hidden) {}", "test_functional.py::test_nothing_behind_y_is_written"),
    Mutant("blocks", "W x of the second block of rows goes to the first", "forward-inl.h", "T* const* out = call.output_rows + first;", "T* const* out = call.output_rows;", "test_invariance.py::test_long_sequence_does_not_depend_on_internal_time_chunks"),
    Mutant("states", "operands of a phase share their place", "forward-inl.h", "factors[s] = factor_of<F>(call, panels, 1 + s, s, operand_rows(call, operand), width, n);", "factors[s] = factor_of<F>(call, panels, 1 + s, 0, operand_rows(call, operand), width, n);", "test_precision.py::test_a_step_is_the_references"),
    Mutant("numbers", "an operand has the scales of the one before", "forward-inl.h", "panels.scales + part * panels.count", "panels.scales + (part > 1 ? 1 : part) * panels.count", "test_precision.py::test_a_step_is_the_references"),
    Mutant("numbers", "sigmoid saturates early", "math-inl.h", "static constexpr float kSigmoidLargest = 88.0f;", "static constexpr float kSigmoidLargest = 16.0f;", "test_native_math.py::test_float32"),
    Mutant("numbers", "tanh of small numbers", "math-inl.h", "const V t = fmadd(r * square, tanh_tail<false>(square), r);", "const V t = r * fmadd(square, tanh_tail<false>(square), one);", "test_native_math.py::test_float32 test_native_math.py::test_extremes test_native_math.py::test_float64_against_long_double"),
    Mutant("tails", "lanes beyond the last unit are part of a mean", "norm-inl.h", "      if (lanes < U) {\n        v.store(lane);\n        v = V::load(lane, lanes);\n      }\n", "      (void)lanes;\n", "test_options.py::test_matches_reference"),
    Mutant("numbers", "the variance of a normalisation is of one gate", "norm-inl.h", "return total / T(count * hidden);", "return total / T((count > 3 ? 4 : count) * hidden - (count == 2));", "test_options.py::test_matches_reference"),
    Mutant("blocks", "weight gradients of all blocks of steps but the first are fresh", "outer-inl.h", "                   fresh = false;\n", "                   fresh = fresh && n == kOuterDepth;\n", "test_gradients.py::test_backward_of_many_rows_matches_reference"),
    Mutant("tails", "columns of a weight gradient beyond the last vector", "outer-product-inl.h", "      if (column >= n) break;\n      const Index lanes = n - column < U ? n - column : U;", "      if (column + U > n && column > 0) break;\n      const Index lanes = n - column < U ? n - column : U;", "test_gradients.py::test_backward_matches_reference"),
    Mutant("tails", "the gradient of the last inputs", "outer-product-inl.h", "store(row + column, int(left < U ? left : U));", "store(row + column, int(left < U ? left - (left > 1) : U));", "test_gradients.py::test_backward_matches_reference"),
    Mutant("blocks", "column sums by four vectors, of the fifth", "outer-product-inl.h", "for (Index first = columns.begin; first < columns.end; first += 4 * U) {", "for (Index first = columns.begin; first < columns.end; first += first == columns.begin ? 4 * U : 5 * U) {", "test_gradients.py::test_backward_matches_reference"),
    Mutant("checks", "NaN is clamped away", "simd_avx2.h", "clamp_above(Vec bound, Vec x) { return _mm256_min_ps(bound.v, x.v); }", "clamp_above(Vec bound, Vec x) { return _mm256_min_ps(x.v, bound.v); }", "test_native_math.py::test_extremes test_functional.py::test_nan_stays_in_its_row"),
    Mutant("tails", "a store of seven lanes", "simd_avx2.h", "    if (n >= kLanes) return store(p);\n    _mm256_maskstore_ps(p, tail4(n), v);", "    if (n >= kLanes - 1) return store(p);\n    _mm256_maskstore_ps(p, tail4(n), v);", "test_functional.py::test_nothing_behind_y_is_written"),
    Mutant("numbers", "bfloat16 by rounding half up", "simd_avx2.h", "_mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))", "_mm256_set1_epi32(0x8000)", "test_precision.py::test_bfloat16_rounds_ties_to_even"),
    Mutant("tails", "the last panel of an odd number against one row", "tile-inl.h", "if (pair) hooks.consume(caller, acc + width, 0, 1, p + 1);", "if (pair && p + 2 < panels.end) hooks.consume(caller, acc + width, 0, 1, p + 1);", "test_invariance.py::test_row_does_not_depend_on_its_batch"),
    Mutant("blocks", "a factor behind a tail of k, for as many rows as a sweep takes", "tile-inl.h", "          w += depth * width;", "          w += (rows < most ? depth : kBlock) * width;", "test_pool.py::test_many_streams_step_at_once"),
    Mutant("blocks", "the third row of a tile has the scale of the first", "tile-inl.h", "row_scales, r, unit_scales", "row_scales, r == 2 ? 0 : r, unit_scales", "test_precision.py::test_int8_is_an_integer_product_times_two_scales"),
    Mutant("blocks", "the second of two panels begins where the first block of k ends", "tile-inl.h", "for (int f = 0; f < count; w += factors[f].k * width, ++f) {", "for (int f = 0; f < count; w += (factors[f].k > kBlock ? kBlock : factors[f].k) * width, ++f) {", "test_gradients.py::test_gradient_of_a_row_does_not_depend_on_its_batch"),
    Mutant("orders", "a block joins the accumulator before the one before it is complete", "tile-inl.h", "  for (Index begin = 0; begin < k; begin += kBlock) {\n    const Index n = k - begin < kBlock ? k - begin : kBlock;\n    typename F::Sum s[R][NV];", "  for (Index begin = 0; begin < k; begin += R == 1 ? kBlock : kBlock / 2) {\n    const Index n = k - begin < (R == 1 ? kBlock : kBlock / 2) ? k - begin : R == 1 ? kBlock : kBlock / 2;\n    typename F::Sum s[R][NV];", "test_gradients.py::test_gradient_of_a_row_does_not_depend_on_its_batch"),
    Mutant("checks", "c at its clip has a gradient", "units-inl.h", "if (this->options().cell_clip > 0) return within(this->options().cell_clip, c, d);", "if (this->options().cell_clip > 0) return within(2 * this->options().cell_clip, c, d);", "test_options.py::test_matches_reference"),
    Mutant("tails", "units of the last vector are stored whole", "units-inl.h", "    v.store(y_, this->lanes_);", "    v.store(y_, V::kLanes);", "test_functional.py::test_nothing_behind_y_is_written"),
    # Core
    Mutant("cuts", "a slice begins in the middle of a vector", "backward.cc", "std::min(all, grains * i / n * grain)", "std::min(all, grains * grain * i / n)", "test_invariance.py::test_threads_do_not_change_training"),
    Mutant("orders", "the segment after it hands on the gradients of its second step", "backward.cc", "if (j > 0) std::copy_n(call.dgates, batch * width, call.dgates + segment * batch * width);", "if (j > 0) std::copy_n(call.dgates + (segment > 2 ? batch * width : 0), batch * width, call.dgates + segment * batch * width);", "test_options.py::test_checkpoints_change_nothing"),
    Mutant("states", "a segment begins with the checkpoint of the one after it", "backward.cc", "layer.c0 = data.checkpoints + j * batch * layer.c_width;", "layer.c0 = data.checkpoints + (j > 1 ? 1 : j) * batch * layer.c_width;", "test_options.py::test_checkpoints_change_nothing"),
    Mutant("tails", "gradients of an output that a mask repeats to the end", "backward.cc", "layer.time(b, s + 1) : layer.reverse ? -1 : layer.steps;", "layer.time(b, s + 1) : t + step;", "test_options.py::test_matches_reference"),
    Mutant("tails", "dx of the steps that a row does not have", "backward.cc", "const Index first = layer.times != nullptr ? 0 : layer.length[b];", "const Index first = layer.length[b];", "test_options.py::test_matches_reference"),
    Mutant("tails", "the last row of the third tile of a pool", "batch_step.h", "run_tile(first, std::min(kRows, n - first))", "run_tile(first, std::min(kRows, n - first) - (n > 192 && n - first <= kRows))", "test_pool.py::test_many_streams_step_at_once", ci=True),
    Mutant("checks", "batch sizes that increase", "check_run.cc", "if (size < 1 || size > before || (t == 0 && size != before))", "if (size < 1 || (t == 0 && size != before))", "test_refusals.py"),
    Mutant("checks", "a mask beside lengths", "check_run.cc", "refuse(arguments.mask != nullptr && arguments.lengths != nullptr, \"mask\", \"lengths\");\n", "", "test_refusals.py"),
    Mutant("cuts", "the last row of the last slice", "cuts.h", "first.push_back(layer.rows);", "first.push_back(layer.rows - (first.size() > 2));", "test_invariance.py::test_threads_do_not_change_the_result"),
    Mutant("cuts", "h_n of a row that ends one step into a chunk", "forward_units.h", "if (s <= 0) break;", "if (s <= 1) break;", "test_invariance.py::test_rows_that_end_beside_a_chunk", ci=True),
    Mutant("checks", "UTF-8 that is longer than it must be", "json.cc", "(first == 0xe0 && second < 0xa0) || ", "", "test_native_model.py::test_text_that_is_not_utf_8_is_refused"),
    Mutant("orders", "rows in the order of the batch", "layer.cc", "return length[a] > length[b];", "return length[a] > length[b] + 1;", "test_functional.py::test_forward_matches_reference test_invariance.py::test_lengths_are_separate_shorter_runs"),
    Mutant("states", "the second row of a cell state is the first", "layer.cc", "from + layer.in_cell_states(j, b)", "from + layer.in_cell_states(j, j > 1 ? 0 : b)", "test_functional_options.py::test_states_of_slstm test_options.py::test_matches_reference"),
    Mutant("tails", "a row of no packed step", "layer.cc", "b < batch && length[b] > t; ++b) length[b] = t;", "b + 1 < batch && length[b] > t; ++b) length[b] = t;", "test_options.py::test_matches_reference"),
    Mutant("states", "a mask on x is that of the first row", "layer.cc", "    masks.fill_inverted(0, b, inputs, memory.x_mask);", "    masks.fill_inverted(0, b > 1 ? 1 : b, inputs, memory.x_mask);", "test_options.py::test_matches_reference"),
    Mutant("checks", "an array that is used twice", "model_file.cc", "    if (std::exchange(tensor->used, true))", "    if (false)", "test_native_model.py test_model_file.py test_model_file.cc test_model_damage.cc"),
    Mutant("cuts", "a segment begins without the gate gradients after it", "backward.cc", "if (j > 0) std::copy_n(call.dgates, batch * width, call.dgates + segment * batch * width);", "", "test_gradients.py::test_backward_in_segments_matches_reference"),
    Mutant("cuts", "sixteen steps of a model and one more", "model_session.cc", "data_->run(x + first * inputs, std::min(data_->steps, steps - first), y + first * outputs, watch);", "data_->run(x + first * inputs, std::min(data_->steps, steps - first), y + (first > kSteps ? first : first - (first > 0)) * outputs, watch);", "test_native_model.py::test_a_session_gives_the_bits_of_layer_after_layer"),
    Mutant("states", "the stages of a model share their buffer", "model.h", "float* memory = turns[i % 2];", "float* memory = turns[i % 2 & (i < 2)];", "test_native_model.py::test_many_layers_take_turns_with_two_buffers"),
    Mutant("states", "a state in bytes has one cell state", "model_state.h", "        write(row(stage, j, b), std::size_t(j == 0 ? sizes.outputs : sizes.hidden) * sizeof(float));", "        write(row(stage, j > 1 ? 1 : j, b), std::size_t(j == 0 ? sizes.outputs : sizes.hidden) * sizeof(float));", "test_session.py test_native_model.py::test_a_state_moves_as_arrays_and_as_bytes test_pool_bits.py"),
    Mutant("orders", "a value that is read late is overwritten", "model.cc", "stages_[std::size_t(value - 1)]->kept = true;", "(void)value;", "test_model_graph.py::test_values_that_are_read_late_are_kept"),
    Mutant("states", "a delay goes on with the steps of another row", "model_session.cc", "std::copy_n(y + width_, size(), before);", "std::copy_n(y + width_, size(), before_);", "test_model_graph.py"),
    Mutant("cuts", "a row that is read backwards begins at the end of the longest", "model_forward.cc", "batch.length(b) - 1 - t", "batch.steps - 1 - t", "test_model_file.cc test_whole_sequences.py::test_layers_that_look_ahead"),
    Mutant("tails", "a window reads behind the end of its row", "model_forward.cc", "time < batch.length(b)", "time < batch.steps", "test_whole_sequences.py::test_layers_that_look_ahead"),
    Mutant("tails", "one step behind a row's end is not zero", "model_forward.cc", "if (t >= out.lengths[b]) std::fill_n", "if (t > out.lengths[b]) std::fill_n", "test_whole_sequences.py::test_layers_that_look_ahead"),
    Mutant("states", "a session forgets the learned c", "model_session.cc", "for (Index j = 0; !source_->c0.empty()", "for (Index j = 1; !source_->c0.empty()", "test_model_file.cc test_whole_sequences.py::test_a_stepwise_model_gives_the_bits_of_a_session_and_of_a_pool"),
    Mutant("numbers", "a folded mean is not scaled", "model_file.cc", "layer.shift[i] - mean[i] * factor", "layer.shift[i] - mean[i]", "test_whole_sequences.py::test_a_stepwise_model_gives_the_bits_of_a_session_and_of_a_pool"),
    Mutant("checks", "a state of another batch", "model_state.h", "      header.batch != std::uint32_t(batch) || ", "      ", "test_native_model.py::test_bytes_of_another_session_are_refused"),
    Mutant("checks", "a rate of 1", "options.cc", "if (!(rate >= 0 && rate < 1))", "if (!(rate >= 0 && rate <= 1))", "test_refusals.py"),
    Mutant("checks", "a rate that is no number", "options.cc", "if (!(rate >= 0 && rate < 1))", "if (rate < 0 || rate >= 1)", "test_refusals.py"),
    Mutant("checks", "fast activations beside a clip", "options.cc", "        options.clip > 0 || has_norm)", "        has_norm)", "test_refusals.py"),
    Mutant("numbers", "a bfloat16 NaN by its low bits becomes infinite", "pack.cc", "bits >> 16 | 0x40", "bits >> 16", "test_precision.py::test_a_nan_stays_one_whatever_its_payload", ci=True),
    Mutant("blocks", "units of a panel's second half", "panels.h", "const Index panel = block / panels.blocks, in_panel = block % panels.blocks;", "const Index panel = block / panels.blocks, in_panel = panels.blocks == 2 ? 0 : block % panels.blocks;", "test_functional.py::test_forward_matches_reference"),
    Mutant("blocks", "words of a mask begin again", "random.h", "for (; i + 4 <= units; i += 4) {\n      const PhiloxCounter words = block(t, row, first + i);", "for (; i + 4 <= units; i += 4) {\n      const PhiloxCounter words = block(t, row, i);", "test_stack_dropout.py::test_masks_are_those_of_the_contract"),
    Mutant("checks", "a header longer than its file", "safetensors.cc", "if (offset > available)", "if (offset > available + 1)", "test_native_model.py test_model_file.py test_model_file.cc test_model_damage.cc"),
    Mutant("checks", "arrays that overlap", "safetensors.cc", "    if (tensor.begin != expected)", "    if (tensor.begin > expected)", "test_native_model.py test_model_file.py test_model_file.cc test_model_damage.cc"),
    Mutant("numbers", "half precision below its normal numbers", "safetensors.cc", "std::ldexp(mantissa, -24)", "std::ldexp(mantissa, -25)", "test_native_model.py test_model_file.py test_model_file.cc test_model_damage.cc"),
    Mutant("states", "c of a session's second part of a run", "session.cc", "      std::copy_n(run.final_c(b), own.c_width, c + b * own.c_width);", "      std::copy_n(run.final_c(b), own.padded, c + b * own.c_width);", "test_session.py test_options.py::test_session_gives_the_same_bits"),
    Mutant("checks", "a batch beyond memory", "session.cc", "if (batch > PTRDIFF_MAX / Index(sizeof(T)) / 64 / kSessionChunk / widest) throw std::bad_alloc();", "(void)widest;", "test_session_errors.py::test_a_batch_beyond_memory_is_refused"),
    Mutant("cuts", "piece after piece of a stack begins with the first c", "stack.cc", "    c0 = c[0];\n", "", "test_stack.py::test_long_sequences"),
    Mutant("orders", "a stack's layers write where they read", "stack.cc", "grid.view(between[layer % 2], shape.merged)", "grid.view(between[layer % 2 * (layer < 3)], shape.merged)", "test_stack.py::test_deep_stacks_on_threads_are_the_loop"),
    Mutant("orders", "layers above the third do not wait for the one below", "stack_job.cc", "done[layer] < done[layer - 1]", "done[layer] < done[layer - 1] + (layer > 2)", "test_stack.py::test_deep_stacks_on_threads_are_the_loop", ci=True),
    Mutant("states", "a merged direction of a job reads the layer before", "stack_job.cc", "const int last = (shape_.layers - 1) * 2;", "const int last = std::min(shape_.layers - 1, 1) * 2;", "test_stack.py::test_threads_and_batch_do_not_change_a_bit"),
    Mutant("cuts", "a job's lengths are those of its first piece", "stack_job.cc", "lengths_ + task.piece * arguments_.batch : nullptr;", "lengths_ : nullptr;", "test_stack.py::test_threads_and_batch_do_not_change_a_bit"),
    Mutant("orders", "gradients of a stack's two buffers", "stack_training.cc", "grid.view(between[(layer - 1) % 2], inputs)", "grid.view(between[0], inputs)", "test_stack.py::test_training_is_the_loop"),
    Mutant("states", "a pool's stream keeps what waited when it is opened again", "stream_pool.cc", "    slot.first_waiting = slot.waiting = slot.first_ready = slot.ready = 0;\n", "", "test_pool.py test_pool_bits.py::test_any_schedule_gives_the_bits_of_each_stream_alone"),
    Mutant("orders", "who is served last is served first", "stream_pool.cc", "  data.next = b;\n", "", "test_pool.py::test_no_stream_waits_longer_than_the_policy_says"),
    Mutant("states", "a stream's number is used again at once", "stream_pool.cc", "slot.generation = (slot.generation + 1) & 0x7fffffff;", "slot.generation = (slot.generation + 1) & 1;", "test_pool.py::test_streams_are_told_apart_from_those_before_them"),
    Mutant("cuts", "results in a ring are pulled beyond its end", "stream_pool.cc", "(slot.first_ready + i) % queue) * model->outputs();", "(slot.first_ready + i) % (queue + 1)) * model->outputs();", "test_pool.py::test_results_that_go_round_stay_in_their_streams_ring"),
    Mutant("tails", "a transposition's last unit", "transposed.cc", "std::min(lanes, rows - k), std::min(lanes, to.units - unit)", "std::min(lanes, rows - k), std::min(lanes, to.units - unit - (to.units - unit == lanes - 1))", "test_gradients.py::test_backward_matches_reference"),
    # Bindings
    Mutant("checks", "a bool for an int", "array_view.cc", " || PyBool_Check(object.ptr())", "", "test_threads.py::test_errors_of_the_keyword"),
    Mutant("checks", "an array of the other byte order", "array_view.cc", "dtype->kind == 'f' && dtype->byteorder == '=' &&", "dtype->kind == 'f' &&", "test_errors.py"),
    Mutant("checks", "memory that overlaps by its last element", "array_view.cc", "return a_low < b_high && b_low < a_high;", "return a_low + 8 < b_high && b_low + 8 < a_high;", "test_errors.py::test_out_sharing_memory test_session_errors.py test_pool.py test_stack_errors.py::test_out_shares_no_memory"),
    Mutant("checks", "memory that overlaps backwards", "array_view.cc", "(span < 0 ? low : high) += std::uintptr_t(span);", "high += std::uintptr_t(span < 0 ? -span : span);", "test_errors.py::test_out_sharing_memory test_session_errors.py test_pool.py test_stack_errors.py::test_out_shares_no_memory"),
    Mutant("checks", "a stream that is named twice", "bind_pool.cc", "      seen = call_;\n", "      seen = call_ - (i > 0);\n", "test_pool.py::test_a_stream_is_named_once"),
    Mutant("orders", "steps of many streams are pushed stream by stream", "bind_pool.cc", "pool_.push(streams.data()[i], x.data() + (t * n + i) * inputs);", "pool_.push(streams.data()[i], x.data() + (i * steps + t) * inputs);", "test_pool.py"),
    Mutant("checks", "an out that is h0", "sequences.h", "      if (h0_.given() && overlap(y, h0_.array())) throw Error(\"out: shares memory with h0\");\n", "", "test_errors.py::test_out_sharing_memory test_stack_errors.py::test_out_shares_no_memory"),
    # Python
    Mutant("orders", "a mask with a hole is taken for lengths", "recurrent/masking.py", "if not (mask[:, 1:] & ~mask[:, :-1]).any() and", "if not (mask[:, 1:] & ~mask[:, :-1]).all() and", "test_recurrent_layers.py"),
    Mutant("states", "a row without a step has its first state for an output", "recurrent/masking.py", "mask[:, 0 if backwards else -1] if zero_output else mask.any(axis=1)", "mask[:, 0 if backwards else -1] if zero_output else mask.any(axis=1) | True", "test_recurrent_layers.py"),
    Mutant("states", "a row whose last step is masked is silent", "recurrent/masking.py", "mask[:, 0 if backwards else -1] if zero_output", "mask[:, -1] if zero_output", "test_recurrent_layers.py test_bidirectional.py", ci=True),
    Mutant("orders", "the way back through panels ends with a pair", "tile-inl.h", "panels.end - i - (pair ? 2 : 1)", "panels.end - i - 2", "test_invariance.py"),
    Mutant("orders", "resets of reversed rows", "step_times.h", "time(b, step) + (reverse ? 1 : 0)", "time(b, step)", "test_recurrent_options.py::test_a_reset_begins_another_sequence test_options.py::test_matches_reference"),
    Mutant("orders", "ONNX's peepholes in ours", "_onnx_node.py", "reshape(3, -1)[[0, 2, 1]]", "reshape(3, -1)[[0, 1, 2]]", "test_onnx_node.py::test_a_node_is_the_cell_with_its_gates_reordered"),
    Mutant("checks", "a length below zero in an ONNX node", "_onnx_node.py", "array.min() >= 0 and array.max() <= steps", "array.max() <= steps", "test_onnx_node.py"),
    Mutant("states", "a schedule is asked for the step that was", "optimizers/base.py", "return rate(self.iterations) if", "return rate(max(self.iterations - 1, 0)) if", "test_optimizers.py"),
    Mutant("tails", "a mean over batches, each of which weighs as much", "training/step.py", "                total += step(batch, loss) * size\n                count += size\n", "                total += step(batch, loss)\n                count += 1\n", "test_model.py"),
    Mutant("states", "masked steps count in metrics", "training/step.py", "weight if mask is None else _mask_weight(mask, weight))", "weight)", "test_model.py::test_masked_steps_are_out_of_loss_and_metrics"),
    Mutant("states", "metrics that see no weights", "training/step.py", "batch.sample_weight if index >= self._unweighted else None", "batch.sample_weight if index > self._unweighted else None", "test_model.py::test_sample_weight_reaches_loss_and_weighted_metrics_only"),
    Mutant("states", "both directions end in the states of the first", "bidirectional.py", "zip(h_n, split_states(c_n, 2), strict=True)", "zip(h_n, split_states(c_n, 2)[:1] * 2, strict=True)", "test_bidirectional.py"),
    Mutant("orders", "gradients of a product of directions", "bidirectional.py", "return dy * yb, dy * ya", "return dy * ya, dy * yb", "test_layer_gradients.py"),
    Mutant("checks", "layers of two settings are one call", "bidirectional.py", "            and a.run_options(training) == b.run_options(training)\n", "", "test_bidirectional.py::test_which_pairs_are_one_call"),
    Mutant("states", "a baseline that is met late", "callbacks/control.py", "            if self.baseline is None or self._monitor.better(current, self.baseline):\n                self.wait = 0\n", "            self.wait = 0\n", "test_callbacks.py"),
    Mutant("cuts", "one epoch more of patience", "callbacks/control.py", "elif self.wait >= self.patience and epoch > 0:", "elif self.wait > self.patience and epoch > 0:", "test_callbacks.py"),
    Mutant("cuts", "a rate below the least", "callbacks/control.py", "max(rate * self.factor, self.min_lr)", "rate * self.factor", "test_callbacks.py::test_reduce_lr_on_plateau"),
    Mutant("states", "the best weights are those of the moment", "callbacks/control.py", "[w.copy() for w in self.model.get_weights()]", "list(self.model.get_weights())", "test_callbacks.py test_model.py::test_early_stopping_restores_the_best_weights"),
    Mutant("tails", "sequences of the whole length lose a step", "data/arrays.py", "array[max(0, len(array) - length) :]", "array[max(1, len(array) - length) :]", "test_data.py::test_pad_sequences"),
    Mutant("tails", "the last batch of a pass", "data_adapter.py", "for start in range(first * self.batch_size, self.size, self.batch_size):", "for start in range(first * self.batch_size, self.size // self.batch_size * self.batch_size or self.size, self.batch_size):", "test_model.py"),
    Mutant("states", "a resumed pass has another order", "data_adapter.py", '"generator": self._pass_state if batch else self.rng.bit_generator.state', '"generator": self.rng.bit_generator.state', "test_resume.py"),
    Mutant("states", "dropout begins again after a resume", "draws.py", "np.random.PCG64(self.seed).advance(self.step)", "np.random.PCG64(self.seed)", "test_resume.py"),
    Mutant("cuts", "a validation split that takes one too few", "data_adapter.py", "at = math.floor(self.size * (1.0 - fraction))", "at = math.ceil(self.size * (1.0 - fraction))", "test_model.py::test_validation_split_takes_the_last_part"),
    Mutant("states", "an iterator that ended is not begun anew", "data_adapter.py", "                self._iterator = None\n        raise", "                pass\n        raise", "test_model.py::test_iterables_of_batches"),
    Mutant("numbers", "probabilities are not clipped from above", "losses/functions.py", "            log_p = np.log(np.clip(p, _EPSILON, 1 - _EPSILON))\n        return -log_p", "            log_p = np.log(np.clip(p, _EPSILON, 1))\n        return -log_p", "test_losses.py"),
    Mutant("checks", "the gradient of a clipped probability", "losses/functions.py", "inside = (p >= _EPSILON * total) & (p <= (1 - _EPSILON) * total)", "inside = p >= _EPSILON * total", "test_losses.py"),
    Mutant("checks", "a NaN among the top k", "metrics/functions.py", " & np.isfinite(own[..., 0])", "", "test_metrics.py::test_top_k_defaults_ties_and_nan"),
    Mutant("numbers", "logits above one half", "metrics/functions.py", "threshold = 0.0 if loss.from_logits else 0.5", "threshold = 0.5", "test_metrics.py::test_logits_move_the_threshold"),
    Mutant("orders", "Nesterov looks from where it was", "optimizers/algorithms.py", "            value -= step\n            value += np.multiply(velocity, self.momentum, out=step)", "            value += np.multiply(velocity, self.momentum, out=step)\n            value -= step", "test_optimizers.py::test_formula"),
    Mutant("numbers", "Adam's step counted from 0", "optimizers/algorithms.py", "t = self.iterations + 1", "t = max(self.iterations, 1)", "test_optimizers.py::test_formula", ci=True),
    Mutant("states", "AMSGrad forgets its largest", "optimizers/algorithms.py", "v = np.maximum(slots[\"v_max\"], v, out=slots[\"v_max\"])", "v = np.maximum(slots[\"v_max\"], v)", "test_optimizers.py"),
    Mutant("orders", "the mask of a backwards layer is not turned", "recurrent/base.py", "return mask[:, ::-1] if self.go_backwards else mask", "return mask", "test_recurrent_layers.py test_layers.py"),
    Mutant("states", "the gradient of a last output replaces that of the state", "recurrent/base.py", "dh if final[0] is None else final[0] + dh", "dh", "test_layer_gradients.py"),
    Mutant("cuts", "a rate changes one step early", "schedules.py", "sum(step > b for b in self.boundaries)", "sum(step >= b for b in self.boundaries)", "test_optimizers.py::test_schedule"),
    Mutant("cuts", "a cycle ends one step late", "schedules.py", "max(1, math.ceil(step / self.decay_steps))", "max(1, step // self.decay_steps + 1)", "test_optimizers.py::test_schedule"),
    Mutant("orders", "rows of an embedding that come twice", "layers/sequence.py", "rows[1:] != rows[:-1]", "rows[1:] > rows[:-1] + 1", "test_layers.py::test_embedding test_layer_gradients.py"),
    Mutant("checks", "the largest row of an embedding and one more", "layers/sequence.py", "array.max() >= self.input_dim)", "array.max() > self.input_dim)", "test_layers.py"),
]  # fmt: skip
