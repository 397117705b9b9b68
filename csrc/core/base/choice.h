// One of several names, as a caller gives it: found, or an error that lists the names there are.
#pragma once

#include <string>

#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

/// The index in `table` of the entry that is called `given`, by name_of(entry). Throws Error for a name that no entry
/// has; `where` goes on with the list of names.
template <class Table, class NameOf>
std::size_t find_choice(const std::string& argument, std::string_view given, const Table& table, const NameOf& name_of,
                        const char* where = "") {
  std::string known;
  std::size_t index = 0;
  for (const auto& entry : table) {
    if (given == name_of(entry)) return index;
    known += (index++ == 0 ? "'" : ", '") + std::string(name_of(entry)) + "'";
  }
  throw Error(argument + ": expected one of " + known + where + ", got '" + std::string(given) + "'");
}
/// Likewise in an array of names.
template <class Names>
std::size_t find_choice(const std::string& argument, std::string_view given, const Names& names,
                        const char* where = "") {
  return find_choice(argument, given, names, [](std::string_view name) { return name; }, where);
}

}  // namespace fastrnn
