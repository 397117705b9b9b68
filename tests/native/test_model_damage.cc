// What every kind of damage to a model's file is answered with, and how much memory that takes.
#include <cstdlib>
#include <functional>
#include <new>

#include "model_writer.h"

namespace {

std::size_t allocated = 0;  // since it was last set to zero, whatever was freed

}  // namespace

// Not inlined: GCC would take an allocation by new for one by malloc, and warn where it is freed.
#define FASTRNN_TEST_ALLOCATION __attribute__((noinline))
FASTRNN_TEST_ALLOCATION void* operator new(std::size_t bytes) {
  allocated += bytes;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
FASTRNN_TEST_ALLOCATION void* operator new(std::size_t bytes, std::align_val_t alignment) {
  allocated += bytes;
  const std::size_t unit = std::size_t(alignment);
  if (void* memory = std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit)) return memory;
  throw std::bad_alloc();
}
FASTRNN_TEST_ALLOCATION void operator delete(void* memory) noexcept { std::free(memory); }
FASTRNN_TEST_ALLOCATION void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
FASTRNN_TEST_ALLOCATION void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }

namespace {

using test::ModelFile;

/// The message with which the file is refused; empty if it is read.
std::string refusal(const std::string& file) {
  try {
    test::load(file);
  } catch (const fastrnn::Error& error) {
    return error.what();
  }
  return "";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t place = text.find(from);
  test::check(place != std::string::npos, "the good header has no " + from);
  return place == std::string::npos ? text : text.replace(place, from.size(), to);
}

struct Damage {
  std::string name;
  std::function<std::string(std::string header, std::string data)> make;
  std::string message;
};

Damage header(const std::string& from, const std::string& to, const std::string& message) {
  return {from + " -> " + to,
          [=](const std::string& h, const std::string& d) { return ModelFile::join(replaced(h, from, to), d); },
          message};
}
/// The same for the entry's text, whose quotes the header has escaped.
Damage entry(std::string from, std::string to, const std::string& message) {
  for (std::string* text : {&from, &to})
    for (std::size_t i = 0; i < text->size(); ++i)
      if ((*text)[i] == '"') text->insert(i++, "\\");
  return header(from, to, message);
}

std::vector<Damage> damages() {
  const auto raw = [](std::string name, std::string file, std::string message) {
    return Damage{std::move(name), [file = std::move(file)](auto&&...) { return file; }, std::move(message)};
  };
  const auto float_at = [](std::size_t place, float value) {
    return [=](const std::string& h, std::string d) {
      std::memcpy(d.data() + 4 * place, &value, 4);
      return ModelFile::join(h, d);
    };
  };
  const std::string far = std::string(7, '\0') + "\x40", much = std::string("\xff\xff\xff\xff\xff\xff\xff\xff");
  return {
      raw("empty", "", "8 bytes or more, got 0"),
      raw("short", "1234567", "8 bytes or more, got 7"),
      raw("no header", std::string(8, '\0'), "header: expected '{'"),
      raw("header beyond the end", far + "{}", "header: expected at most the 2 bytes"),
      raw("greatest header", much + "{}", "header: expected at most the 2 bytes"),
      raw("long header", ModelFile::join("{" + std::string(16 << 20, ' ') + "}", ""),
          "expected at most 16777216 bytes"),
      raw("no metadata", ModelFile::join("{}", ""), "metadata entry 'fastrnn.native'"),
      raw("no object", ModelFile::join("[]", ""), "header: expected '{'"),
      raw("deep", ModelFile::join("{\"a\":" + std::string(100000, '['), ""), "expected an object"),
      raw("deep metadata", ModelFile::join("{\"__metadata__\":{\"a\":" + std::string(100000, '{'), ""),
          "expected a string"),
      {"appended", [](auto h, auto d) { return ModelFile::join(h, d + "x"); }, "1 bytes that belong to none"},
      {"cut", [](auto h, auto d) { return ModelFile::join(h, d.substr(1)); }, "an offset within the"},
      {"space before", [](auto h, auto d) { return ModelFile::join(" " + h, d); }, "header: expected '{'"},
      {"text behind", [](auto h, auto d) { return ModelFile::join(h + "x", d); }, "expected nothing more, got 'x'"},
      {"nan", float_at(1, NAN), "array '0.w_ih': expected finite numbers in the range of float, got nan at element 1"},
      {"inf", float_at(18, INFINITY), "layer 1: array '1.bias': expected finite numbers"},
      // places
      header("[0,24]", "[4,24]", "expected 24 bytes for shape (3, 2) of F32, got offsets 4 to 24"),
      header("[0,24]", "[24,0]", "got offsets 24 to 0"),
      header("[24,36]", "[20,32]", "array '0.w_hh': expected to begin at offset 24"),
      header("[24,36]", "[28,40]",
             "array '0.w_hh': expected to begin at offset 24, where the array before it ends, got 28"),
      header("[0,24]", "[0,24,24]", "expected two offsets, got more"),
      header("[0,24]", "[0]", "expected two offsets, got 1"),
      header("[0,24]", "[]", "expected two offsets, got 0"),
      header("[0,24]", "[-1,24]", "expected an integer, 0 or more"),
      header("[0,24]", "[0.0,24]", "expected an integer, got '.'"),
      header("[0,24]", "[0,2e1]", "expected an integer, got 'e'"),
      header("[0,24]", "[00,24]", "without leading zeros"),
      header("[0,24]", "[0,9223372036854775807]", "an offset within the"),
      header("[0,24]", "[0,9223372036854775808]", "an integer below 2^63"),
      header("[0,24]", "[0,18446744073709551640]", "an integer below 2^63"),
      // shapes and types
      header("[3,2]", "[4611686018427387904,2]", "a shape that fits the file"),
      header("[3,2]", "[4294967296,4294967296,6]", "a shape that fits the file"),
      header("[3,2]", "[9223372036854775807,1]", "a shape that fits the file"),
      header("[3,2]", "[0,9223372036854775807]", "expected 0 bytes"),
      header("[3,2]", "[1,1,1,1,1,1,1,3,2]", "at most 8 axes"),
      header("[3,2]", "[2,3]", "w_ih, array '0.w_ih': expected shape (3, 2), got (2, 3)"),
      header("[3,2]", "[6]", "expected shape (3, 2), got (6,)"),
      header("[3,2]", "6", "expected an array"),
      header("\"F32\"", "\"F33\"", "a dtype of safetensors, got 'F33'"),
      header("\"F32\"", "\"I32\"", "expected dtype F32, that of the layer, got I32"),
      header("\"F32\"", "\"F64\"", "expected 48 bytes"),
      header("\"F32\"", "32", "expected a string"),
      header("\"dtype\":\"F32\",", "", "expected dtype, shape and data_offsets"),
      header("\"dtype\"", "\"shape\":[3,2],\"dtype\"", "expected every key once, got 'shape' twice"),
      header("\"dtype\"", "\"more\":1,\"dtype\"", "expected dtype, shape or data_offsets, got 'more'"),
      // names and strings
      header("\"0.w_hh\"", "\"0.w_ih\"", "expected every key once, got '0.w_ih' twice"),
      header("\"0.w_hh\"", "\"0\\u002ew_ih\"", "expected every key once, got '0.w_ih' twice"),
      header("\"__metadata__\"", "\"__metadata__\":{},\"__metadata__\"", "got '__metadata__' twice"),
      header("\"0.w_ih\"", "\"0.w_ih\x01\"", "without control characters"),
      header("\"0.w_ih\"", "\"0.w_\xc3\"", "expected UTF-8"),
      header("\"0.w_ih\"", "\"0.w_\xc0\xaf\"", "expected UTF-8"),
      header("\"0.w_ih\"", "\"0.w_\xed\xa0\x80\"", "expected UTF-8"),
      header("\"0.w_ih\"", "\"0.w_\xf5\x80\x80\x80\"", "expected UTF-8"),
      header("\"0.w_ih\"", "\"\\ud800\"", "a pair of surrogates"),
      header("\"0.w_ih\"", "\"\\ud800\\u0041\"", "a pair of surrogates"),
      header("\"0.w_ih\"", "\"\\u00g0\"", "four hexadecimal digits"),
      header("\"0.w_ih\"", "\"\\x41\"", "after a backslash"),
      header("\"0.w_ih\"", "\"\\ud83d\\ude00\"", "w_ih: expected the name of an array, got '0.w_ih'"),
      header("\"0.w_ih\"", "\"" + std::string(1000, 'a') + "\"", "expected the name of an array"),
      header("},\"0.w_hh\"", "},,\"0.w_hh\"", "expected a string, got ','"),
      header("\"0.w_hh\":", "\"0.w_hh\"", "expected ':'"),
      header("},\"0.w_hh\"", "}\"0.w_hh\"", "expected ',' or '}'"),
      // the entry
      header("fastrnn.native", "fastrnn.other", "metadata entry 'fastrnn.native'"),
      entry("\"version\":1", "\"version\":2", "expected version 1 first, got 2"),
      entry("\"version\":1", "\"version\":\"1\"", "an integer, 0 or more"),
      entry("\"version\":1,", "", "expected version 1 first, got 0"),
      entry("\"version\":1", "\"version\":1,\"more\":1", "expected layers or refused, got 'more'"),
      entry("\"version\":1", "\"version\":1,\"refused\":\"layer 3 (x): why\"",
            "expected a model with a native form, got layer 3 (x): why"),
      entry("\"version\":1,\"layers\":", "\"version\":1,\"layers\":[],\"layers\":", "got 'layers' twice"),
      raw("no layers", ModelFile().text(), "expected at least one layer"),
      {"integers",
       [](std::string h, const std::string& d) {
         return ModelFile::join(replaced(replaced(h, "\"F32\"", "\"I32\""), "\\\"F32\\\"", "\\\"I32\\\""), d);
       },
       "layer 0: array '0.w_ih': expected F32, F64, F16 or BF16, got I32"},
      entry("\"kind\":\"recurrent\"", "\"kind\":\"bidirectional\"", "layer 0: fastrnn.native, byte"),
      entry("\"kind\":\"recurrent\",", "", "expected kind recurrent, dense, activation, softmax, gather, "),
      entry("\"cell\":\"gru\",", "", "expected a field cell in a layer of kind recurrent"),
      entry("\"cell\":\"gru\"", "\"cell\":\"ugrnn\"", "expected rnn, lstm, gru, indrnn, mgu or slstm, got 'ugrnn'"),
      entry("\"cell\":\"gru\"", "\"cell\":\"mgu\"", "expected no option reset of cell mgu"),
      entry("\"cell\":\"gru\"", "\"cell\":\"gru\",\"activation\":\"tanh\"", "expected no field activation"),
      entry("\"cell\":\"gru\"", "\"cell\":\"gru\",\"units\":1", "expected a field of a layer, got 'units'"),
      entry("\"inputs\":2", "\"inputs\":3", "expected shape (3, 3), got (3, 2)"),
      entry("\"inputs\":2", "\"inputs\":0", "expected a size in 1.."),
      entry("\"hidden\":1", "\"hidden\":1073741825", "expected a size in 1.."),
      entry("\"hidden\":1,\"outputs\":1", "\"hidden\":1073741824,\"outputs\":1073741824",
            "expected shape (3221225472, 2), got (3, 2)"),
      entry("\"outputs\":1", "\"outputs\":2", "outputs: expected hidden, 1, got 2"),
      entry("\"inputs\":1", "\"inputs\":2", "layer 1: kernel, array '1.kernel': expected shape (2, 2)"),
      entry("\"reset\":\"after\"", "\"reset\":\"never\"", "expected after, before or output, got 'never'"),
      entry("\"reset\":\"after\"", "\"weight_dropout\":0.5", "expected an option of a cell, got 'weight_dropout'"),
      entry("\"reset\":\"after\"", "\"clip\":0", "expected a number > 0"),
      entry("\"reset\":\"after\"", "\"clip\":1e39", "a number in the range of float, got '1e39'"),
      entry("\"reset\":\"after\"", "\"clip\":1e999", "a number in the range of float, got '1e999'"),
      entry("\"reset\":\"after\"", "\"clip\":NaN", "expected a number"),
      entry("\"reset\":\"after\"", "\"clip\":.5", "expected a number"),
      entry("\"reset\":\"after\"", "\"clip\":1.", "expected a number"),
      entry("\"reset\":\"after\"", "\"clip\":1e", "expected a number"),
      entry("\"reset\":\"after\"", "\"zoneout_h\":01", "expected ',' or '}'"),
      entry("\"reset\":\"after\"", "\"clip\":" + std::string(65, '1'), "at most 64 characters"),
      entry("\"reset\":\"after\"", "\"clip\":true", "expected a number"),
      entry("\"reset\":\"after\"", "\"zoneout_h\":1.5", "zoneout_h: expected a rate in [0, 1)"),
      entry("\"reset\":\"after\"", "\"coupled\":true", "expected no option coupled of cell gru"),
      entry("\"reset\":\"after\"", "\"coupled\":1", "expected true or false"),
      entry("[\"tanh\",0,0]", "[]", "expected [name, alpha, beta], got []"),
      entry("[\"tanh\",0,0]", "[\"tanh\",0,0,0]", "expected [name, alpha, beta], got more"),
      entry("[\"tanh\",0,0]", "[\"elu\",-1]", "layer 0: activation: expected alpha > 0"),
      entry("[\"tanh\",0,0]", "\"softmax\"", "got 'softmax'"),
      entry("\"b_ih\":\"0.b_ih\"", "\"b_ih\":\"0.b_hh\"",
            "layer 0: b_hh, array '0.b_hh': expected an array of its own"),
      entry("\"w_ih\":\"0.w_ih\",", "", "layer 0: arrays: expected w_ih"),
      entry("\"b_ih\":\"0.b_ih\"", "\"w_hr\":\"0.b_ih\"", "arrays: expected none but w_ih, w_hh, b_ih"),
      entry("\"b_ih\":\"0.b_ih\"", "\"b_ih\":\"no\"", "b_ih: expected the name of an array, got 'no'"),
      entry("{\"kind\":\"recurrent\"", "{\"kind\":\"softmax\"},{\"kind\":\"recurrent\"", "expected a layer before it"),
      entry("{\"kind\":\"dense\"", "{\"kind\":\"last\"},{\"kind\":\"reverse\"},{\"kind\":\"dense\"",
            "layer 2: from: expected a value with every step, got one for the whole sequence"),
      entry("{\"kind\":\"dense\"", "{\"kind\":\"delay\",\"inputs\":1,\"steps\":2,\"ahead\":3},{\"kind\":\"dense\"",
            "ahead: expected 0 to 2, the steps, got 3"),
      entry("\"kind\":\"dense\"", "\"kind\":\"dense\",\"groups\":0", "expected a size in 1.."),
      entry("\"kind\":\"dense\"", "\"kind\":\"dense\",\"groups\":2", "expected shape (0, "),
      entry("\"kind\":\"dense\"", "\"kind\":\"dense\",\"width\":2",
            "width: expected a divisor of 1, the inputs, got 2"),
      entry("{\"kind\":\"dense\"", "{\"kind\":\"windows\"},{\"kind\":\"dense\"",
            "expected a field size in a layer of kind windows"),
      entry("{\"kind\":\"dense\"", "{\"kind\":\"windows\",\"size\":1073741824},{\"kind\":\"dense\"",
            "size: expected windows of at most"),
      entry("{\"kind\":\"dense\"", "{\"kind\":\"window_mean\",\"size\":3,\"before\":2,\"after\":1},{\"kind\":\"dense\"",
            "before and after: expected fewer than 3, which a window goes over, got 3"),
      entry("{\"kind\":\"dense\"", "{\"kind\":\"window_mean\",\"size\":3,\"same\":1},{\"kind\":\"dense\"",
            "expected true or false"),
      entry("{\"kind\":\"dense\"",
            "{\"kind\":\"window_mean\",\"size\":2},{\"kind\":\"add\",\"from\":[1,2]},{\"kind\":\"dense\"",
            "from: expected values of as many steps, got values 1 and 2, which windows give different numbers of"),
      entry("\"kind\":\"dense\"", "\"kind\":\"batch_normalization\"", "layer 1: fastrnn.native, byte"),
      entry("\"kind\":\"dense\"", "\"kind\":\"embedding\"", "layer 1: arrays: expected table, of shape (N, outputs)"),
      entry("\"b_ih\":\"0.b_ih\"", "\"h0\":\"0.b_ih\"", "h0, array '0.b_ih': expected shape (1,), got (3,)"),
      entry("\"b_ih\":\"0.b_ih\"", "\"c0\":\"0.b_ih\"", "arrays: expected none but w_ih, w_hh, b_ih"),
      {"many layers",
       [](std::string h, const std::string& d) {
         std::string more;
         for (int i = 0; i < 4096; ++i) more += ",{\\\"kind\\\":\\\"softmax\\\"}";
         return ModelFile::join(h.insert(h.rfind(']'), more), d);
       },
       "expected at most 4096 layers"},
  };
}

void check_damage() {
  const ModelFile good = test::small_model();
  test::check(refusal(good.text()).empty(), "the good file: " + refusal(good.text()));
  for (const Damage& damage : damages()) {
    const std::string file = damage.make(good.header(), good.data);
    allocated = 0;
    const std::string message = refusal(file);
    const std::size_t taken = allocated;
    test::check(message.find("model: ") == 0 && message.find(damage.message) != std::string::npos,
                damage.name + ": expected '" + damage.message + "', got '" + message + "'");
    // Packed, the one weight of a gate takes the lanes of a vector, and a layer of twenty characters half a kilobyte;
    // beyond that there is the header, several times.
    test::check(taken < 24 * file.size() + 65536, damage.name + ": took " + std::to_string(taken) +
                                                      " bytes for a file of " + std::to_string(file.size()));
  }
}

/// Cut anywhere, or with any bit turned, a file is read or refused.
void check_every_byte() {
  const std::string good = test::small_model().text();
  for (std::size_t n = 0; n < good.size(); ++n)
    test::check(!refusal(good.substr(0, n)).empty(), "cut after " + std::to_string(n) + " bytes: expected an error");
  for (std::size_t i = 0; i < 8 * good.size(); ++i) {
    std::string turned = good;
    turned[i / 8] = char(turned[i / 8] ^ 1 << i % 8);
    refusal(turned);
  }
}

}  // namespace

int main() {
  check_damage();
  check_every_byte();
  return test::finish("model_damage");
}
