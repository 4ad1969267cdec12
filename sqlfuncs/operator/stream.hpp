#pragma once
#include "batch.hpp"
#include "duckdb/function/table_function.hpp"

namespace hyprstream {
//! What Go said of a table function when it was registered.
struct StreamSpec {
	uint16_t fn = 0;
	string name;
	vector<string> args; //! order of the packed request
	vector<LogicalType> arg_types;
	vector<vector<uint8_t>> overloads; //! positional arguments, as indices of args
	vector<string> column_names;
	vector<LogicalType> column_types;
};
TableFunctionSet MakeStream(const StreamSpec &spec);
} // namespace hyprstream
