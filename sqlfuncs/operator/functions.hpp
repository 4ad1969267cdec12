// The scalar functions: a call packs its arguments into a request; where the
// operator cannot take it, it runs in place.
#pragma once
#include "batch.hpp"
#include "duckdb/function/scalar_function.hpp"
#include "duckdb/planner/expression.hpp"

namespace hyprstream {

//! What Go said of a function when it was registered.
struct CallSpec {
	uint16_t fn = 0;
	string name;
	vector<string> args;
	vector<uint64_t> groups; //! bit masks over args: all NULL in one makes the row NULL
	bool lift = false;
};

//! The registered spec of e when it is one of our calls that has not been turned into a packer.
const CallSpec *IsCall(const Expression &e);
//! What EXPLAIN says of the call e: the SQL function's name.
string CallName(const Expression &e);
//! Makes the call e produce its packed request instead of its answer.
void ToRequest(Expression &e);
ScalarFunction MakeScalar(CallSpec spec, vector<LogicalType> args, LogicalType returns);

//! A request is: u64 nonce (one per evaluation, so that independent draws stay
//! apart however rows are copied later), u16 function, then for each argument
//! u8 kind (0 NULL, 1 text, 2 list, 3 not known yet) and its data: u32 length and
//! bytes, or u32 count and that many of them. Little endian.
struct RequestWriter {
	string out;
	explicit RequestWriter(uint16_t fn);
	void Null();
	void Unknown();
	void Add(const Value &v); //! NULL, VARCHAR or LIST of VARCHAR
	hs_str View() const {
		return {out.data(), out.size()};
	}
};
//! Throws what Go finds wrong with a request whose constants are known.
void CheckRequest(uint64_t env, const RequestWriter &w);
} // namespace hyprstream
