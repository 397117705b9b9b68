// Model files for the tests, written here from docs/model-file.md and not by the library's own writer.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "fastrnn/model.hpp"
#include "problem.h"

namespace test {

inline std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

inline std::string activation_text(const fastrnn::ActivationOption& option) {
  const std::string name = std::string(fastrnn::kActivationNames[int(option.kind)]);
  return "[\"" + name + "\"," + number_text(option.alpha) + "," + number_text(option.beta) + "]";
}

/// The two parts of a file, to be changed before they are joined.
struct ModelFile {
  std::string layers;   // the entries, with commas between
  std::string tensors;  // the header's, likewise
  std::string data;
  int count = 0;

  /// Little-endian float32, as the machine of a test has it.
  std::string add_array(const std::string& parameter, const std::vector<Index>& shape,
                        const std::vector<float>& values) {
    const std::string name = std::to_string(count) + "." + parameter;
    std::string sizes;
    for (const Index size : shape) sizes += (sizes.empty() ? "" : ",") + std::to_string(size);
    tensors += "\"" + name + "\":{\"dtype\":\"F32\",\"shape\":[" + sizes + "],\"data_offsets\":[" +
               std::to_string(data.size()) + "," + std::to_string(data.size() + values.size() * sizeof(float)) + "]},";
    data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    return "\"" + parameter + "\":\"" + name + "\"";
  }

  void add_layer(const std::string& text) {
    layers += (layers.empty() ? "" : ",") + text;
    ++count;
  }

  void add_recurrent(const Problem<float>& p) {
    using namespace fastrnn;
    const Variant& o = p.options;
    static const char* const cells[] = {"rnn", "lstm", "gru", "indrnn", "mgu", "slstm"};
    static const char* const resets[] = {"after", "before", "output"};
    const bool lstm = o.cell == CellType::lstm, gru = o.cell == CellType::gru, slstm = o.cell == CellType::slstm;
    const Index rows = gate_count(o.cell) * p.hidden;
    std::string arrays = add_array("w_ih", {rows, p.inputs}, p.w_ih) + ",";
    const bool vector = o.cell == CellType::indrnn;
    arrays +=
        add_array("w_hh", vector ? std::vector<Index>{p.hidden} : std::vector<Index>{rows, p.state}, p.w_hh) + ",";
    arrays += add_array("b_ih", {rows}, p.b_ih) + ",";
    arrays += add_array("b_hh", {rows}, p.b_hh);
    const auto optional = [&](const char* name, const std::vector<Index>& shape, const std::vector<float>& values) {
      if (!values.empty()) arrays += "," + add_array(name, shape, values);
    };
    optional("w_peep",
             o.peephole == Peephole::full ? std::vector<Index>{3, p.hidden, p.hidden} : std::vector<Index>{3, p.hidden},
             p.w_peep);
    optional("w_hr", {p.state, p.hidden}, p.w_hr);
    optional("ln_ih", {rows}, p.ln_ih);
    optional("ln_hh", {rows}, p.ln_hh);
    optional("ln_c", {2, p.hidden}, p.ln_c);
    std::string options;
    const auto add = [&](const char* name, const std::string& value) {
      options += (options.empty() ? "\"" : ",\"") + std::string(name) + "\":" + value;
    };
    const auto add_number = [&](const char* name, double value) {
      if (value != 0) add(name, number_text(value));
    };
    if (!slstm) add("activation", activation_text(o.activation));
    if (lstm || gru || o.cell == CellType::mgu) add("recurrent_activation", activation_text(o.recurrent_activation));
    if (lstm) {
      add("output_activation", activation_text(o.output_activation));
      add("peephole_output", o.peephole_current ? "\"current\"" : "\"previous\"");
      add("coupled", o.coupled ? "true" : "false");
    }
    if (gru) add("reset", "\"" + std::string(resets[int(o.reset)]) + "\"");
    if (slstm) add("forget_gate", o.exponential_forget ? "\"exp\"" : "\"sigmoid\"");
    add_number("clip", o.clip);
    add_number("cell_clip", o.cell_clip);
    add_number("proj_clip", o.projection_clip);
    add_number("forget_bias", o.forget_bias);
    if (o.norm) add_number("norm_eps", o.norm_epsilon);
    add_number("zoneout_h", o.zoneout_h);
    add_number("zoneout_c", o.zoneout_c);
    add_layer("{\"kind\":\"recurrent\",\"cell\":\"" + std::string(cells[int(o.cell)]) +
              "\",\"dtype\":\"F32\",\"inputs\":" + std::to_string(p.inputs) +
              ",\"hidden\":" + std::to_string(p.hidden) + ",\"outputs\":" + std::to_string(p.state) + ",\"options\":{" +
              options + "},\"arrays\":{" + arrays + "}}");
  }

  void add_dense(Index inputs, Index outputs, const std::vector<float>& kernel, const std::vector<float>& bias) {
    std::string arrays = add_array("kernel", {inputs, outputs}, kernel) + ",";
    arrays += add_array("bias", {outputs}, bias);
    add_layer("{\"kind\":\"dense\",\"dtype\":\"F32\",\"inputs\":" + std::to_string(inputs) +
              ",\"outputs\":" + std::to_string(outputs) + ",\"arrays\":{" + arrays + "}}");
  }

  std::string header() const {
    std::string native;
    for (const char c : "{\"version\":1,\"layers\":[" + layers + "]}")
      native += c == '"' ? std::string("\\\"") : std::string(1, c);
    return "{" + tensors + "\"__metadata__\":{\"fastrnn.native\":\"" + native + "\"}}";
  }

  static std::string join(const std::string& header, const std::string& data) {
    std::string file;
    for (int i = 0; i < 8; ++i) file += char(std::uint64_t(header.size()) >> 8 * i & 0xff);
    return file + header + data;
  }
  std::string text() const { return join(header(), data); }
};

inline std::shared_ptr<const fastrnn::Model> load(const std::string& file, const fastrnn::PackOptions& options = {}) {
  // Exactly as long as it is, for AddressSanitizer.
  const std::vector<char> exact(file.begin(), file.end());
  return fastrnn::Model::load(exact.data(), exact.size(), options);
}

/// A GRU (I 2, H 1) and a dense layer (1, 2), whose file damage is done to.
inline ModelFile small_model() {
  fastrnn::CellOptions options;
  options.cell = fastrnn::CellType::gru;
  ModelFile file;
  file.add_recurrent(Problem<float>(options, 1, 1, 2, 1, 1));
  file.add_dense(1, 2, {0.5f, -0.5f}, {1.0f, 2.0f});
  return file;
}

}  // namespace test
