#include "core/base/json.h"

#include <cfloat>
#include <cmath>
#include <locale>
#include <sstream>

namespace fastrnn {

namespace {

constexpr std::size_t kMostDigits = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Bytes of the UTF-8 character at `text`, 0 if it is none: neither overlong, nor a surrogate, nor beyond 0x10ffff.
std::size_t utf8_length(const char* text, std::size_t bytes) {
  const auto byte = [&](std::size_t i) { return i < bytes ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0)) return 0;
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90)) return 0;
    return follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string quoted(std::string_view text) {
  constexpr std::size_t kMost = 80;
  std::string out = "'";
  for (const char c : text.substr(0, kMost))
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f || static_cast<unsigned char>(c) >= 0x80 ? '?' : c;
  return out + (text.size() > kMost ? "...'" : "'");
}

void JsonReader::fail(const std::string& expected, const std::string& got) const {
  throw Error(what_ + ", byte " + std::to_string(at_ - begin_) + ": expected " + expected + ", got " + got);
}

void JsonReader::fail(const std::string& expected) const {
  fail(expected, at_ == end_ ? "the end" : quoted(std::string_view(at_, 1)));
}

void JsonReader::open(char bracket, const char* expected) {
  if (!next_is(bracket)) fail(expected);
  ++at_;
}

bool JsonReader::more(char bracket, bool first) {
  if (next_is(bracket)) {
    ++at_;
    return false;
  }
  if (first) return true;
  if (!next_is(',')) fail(std::string("',' or '") + bracket + "'");
  ++at_;
  return true;
}

void JsonReader::colon() {
  if (!next_is(':')) fail("':'");
  ++at_;
}

void JsonReader::check_unique(std::vector<std::string_view>& keys) const {
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice != keys.end()) throw Error(what_ + ": expected every key once, got " + quoted(*twice) + " twice");
}

std::string_view JsonReader::string() {
  if (!next_is('"')) fail("a string");
  char* const first = ++at_;
  char* to = first;
  while (at_ != end_ && *at_ != '"') {
    if (static_cast<unsigned char>(*at_) < 0x20) fail("a string without control characters");
    if (*at_ == '\\') {
      escape(to);
      continue;
    }
    const std::size_t length = utf8_length(at_, std::size_t(end_ - at_));
    if (length == 0) fail("UTF-8");
    for (std::size_t i = 0; i < length; ++i) *to++ = *at_++;
  }
  if (at_ == end_) fail("'\"' at the end of a string");
  ++at_;
  return {first, std::size_t(to - first)};
}

/// Decodes in place: a decoded escape is never longer than its text.
void JsonReader::escape(char*& to) {
  constexpr std::string_view names = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
  ++at_;
  const std::size_t place = at_ != end_ ? names.find(*at_) : std::string_view::npos;
  if (place != std::string_view::npos) {
    *to++ = values[place];
    ++at_;
  } else {
    if (at_ == end_ || *at_ != 'u') fail("one of \"\\/bfnrtu after a backslash");
    unicode(to);
  }
}

void JsonReader::unicode(char*& to) {
  unsigned code = hexadecimal();
  if (code >= 0xd800 && code < 0xe000) {
    const bool pair = code < 0xdc00 && end_ - at_ >= 2 && at_[0] == '\\' && at_[1] == 'u';
    if (!pair) fail("a pair of surrogates");
    ++at_;
    const unsigned low = hexadecimal();
    if (low < 0xdc00 || low >= 0xe000) fail("a pair of surrogates");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  const auto put = [&](unsigned bits) { *to++ = static_cast<char>(bits); };
  const auto follow = [&](unsigned shift) { put(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    follow(6);
  } else {
    put(0xf0 | code >> 18);
    follow(12);
    follow(6);
  }
  follow(0);
}

/// Four digits, from the u of an escape on.
unsigned JsonReader::hexadecimal() {
  unsigned value = 0;
  ++at_;
  for (int i = 0; i < 4; ++i, ++at_) {
    const char c = at_ != end_ ? *at_ : ' ';
    const int digit = is_digit(c)            ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) fail("four hexadecimal digits");
    value = value << 4 | unsigned(digit);
  }
  return value;
}

Index JsonReader::integer() {
  skip_space();
  if (at_ == end_ || !is_digit(*at_)) fail("an integer, 0 or more");
  if (*at_ == '0' && end_ - at_ > 1 && is_digit(at_[1])) fail("an integer without leading zeros");
  Index value = 0;
  for (; at_ != end_ && is_digit(*at_); ++at_) {
    const int digit = *at_ - '0';
    if (value > (PTRDIFF_MAX - digit) / 10) fail("an integer below 2^63");
    value = value * 10 + digit;
  }
  if (at_ != end_ && (*at_ == '.' || *at_ == 'e' || *at_ == 'E')) fail("an integer");
  return value;
}

double JsonReader::number() {
  skip_space();
  const char* const first = at_;
  const auto digits = [&] {
    const char* const from = at_;
    while (at_ != end_ && is_digit(*at_)) ++at_;
    if (at_ == from) fail("a number");
  };
  if (at_ != end_ && *at_ == '-') ++at_;
  if (at_ != end_ && *at_ == '0')
    ++at_;
  else
    digits();
  if (at_ != end_ && *at_ == '.') {
    ++at_;
    digits();
  }
  if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
    ++at_;
    if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
    digits();
  }
  const std::string_view text(first, std::size_t(at_ - first));
  if (text.size() > kMostDigits) fail("a number of at most " + std::to_string(kMostDigits) + " characters");
  // Neither strtod, which goes by the program's locale, nor from_chars, which some libraries lack for double.
  std::istringstream stream{std::string(text)};
  stream.imbue(std::locale::classic());
  double value = 0;
  stream >> value;
  if (!(std::abs(value) <= FLT_MAX)) fail("a number in the range of float", quoted(text));
  return value;
}

bool JsonReader::literal(std::string_view word) {
  skip_space();
  if (std::string_view(at_, std::size_t(end_ - at_)).substr(0, word.size()) != word) return false;
  at_ += word.size();
  return true;
}

bool JsonReader::boolean() {
  if (literal("true")) return true;
  if (!literal("false")) fail("true or false");
  return false;
}

void JsonReader::end() {
  skip_space();
  if (at_ != end_) fail("nothing more");
}

}  // namespace fastrnn
