// A strict reader of JSON (RFC 8259) that builds no tree: the caller asks for what its schema has at each place, and
// anything else is an error. A hostile text can thus neither nest deeply nor take more memory than it has itself.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

/// Text of a file for an error message: in quotes, shortened, without characters that a terminal interprets.
std::string quoted(std::string_view text);

class JsonReader {
 public:
  /// Strings are decoded in place, so `text` is changed, and lives as long as the views into it. `what` names it in
  /// errors.
  JsonReader(char* text, std::size_t bytes, std::string what)
      : begin_(text), at_(text), end_(text + bytes), what_(std::move(what)) {}

  /// Calls each(key) for every member; it must read the value. A key that comes twice is an error.
  template <class Each>
  void object(const Each& each) {
    std::vector<std::string_view> keys;
    open('{', "an object");
    for (bool first = true; more('}', first); first = false) {
      keys.push_back(string());
      colon();
      each(keys.back());
    }
    check_unique(keys);
  }
  /// Calls each(index) for every element; it must read it.
  template <class Each>
  void array(const Each& each) {
    std::size_t index = 0;
    open('[', "an array");
    for (; more(']', index == 0); ++index) each(index);
  }
  std::string_view string();
  /// 0 or more, and below 2^63.
  Index integer();
  /// Within the range of float.
  double number();
  bool boolean();
  /// Nothing but white space may follow.
  void end();

  bool next_is(char c) {
    skip_space();
    return at_ != end_ && *at_ == c;
  }
  [[noreturn]] void fail(const std::string& expected) const;
  [[noreturn]] void fail(const std::string& expected, const std::string& got) const;

 private:
  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }
  void open(char bracket, const char* expected);
  bool more(char bracket, bool first);
  void colon();
  bool literal(std::string_view word);
  unsigned hexadecimal();
  void escape(char*& to);
  void unicode(char*& to);
  void check_unique(std::vector<std::string_view>& keys) const;

  char *begin_, *at_, *end_;
  std::string what_;
};

}  // namespace fastrnn
