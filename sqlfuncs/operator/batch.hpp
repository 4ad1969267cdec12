// State shared by an operator (DuckDB's threads) and the engine (Go's threads).
#pragma once
#include "duckdb.hpp"
#include "duckdb/parallel/interrupt.hpp"
#include "hsop.h"
#include <condition_variable>
#include <deque>

namespace hyprstream {
using namespace duckdb;

//! An operator that sleeps until the engine has news. lk guards everything.
struct Sleeper {
	uint64_t id = 0, env = 0, conn = 0;
	mutex lk;
	std::condition_variable cv; //! for callers that wait in place
	bool waiting = false;
	InterruptState waiter;
	bool failed = false; //! the statement fails with message
	string message;

	virtual ~Sleeper() = default;
	//! Registers under a new id.
	static void Open(const shared_ptr<Sleeper> &s, uint64_t env, uint64_t conn);
	//! Ends the operator: Go cancels what runs and later completions find nothing.
	static void Close(uint64_t id);
	static shared_ptr<Sleeper> Find(uint64_t id);
	static void WakeAll(uint64_t env, uint64_t conn);
	void Wake();
};

//! Rows handed to the engine, each with its answer.
struct Batch : public Sleeper {
	static constexpr uint8_t PENDING = 255;
	struct Row {
		uint8_t status;
		string text;
	};
	std::deque<Row> rows; //! index 0 is row number base
	idx_t base = 0;
	idx_t submitted = 0; //! requests given so far, NULL ones included
	idx_t pending = 0;
	idx_t real = 0;   //! requests that are not NULL
	idx_t errors = 0; //! row errors among them
	string first_error;

	void Complete(idx_t idx, int status, const char *s, size_t n);
	//! Throws when the statement has failed, or more than ratio of its rows have. lk is held; all rows are known.
	void CheckErrors(double ratio);
};

//! Rows that the engine makes, for the table functions.
struct RowStream : public Sleeper {
	std::deque<vector<std::pair<bool, string>>> rows; //! null?, text
	bool ended = false;
};

uint64_t EnvOf(ClientContext &context);
double MaxErrorRatio(ClientContext &context);
//! The statement's error as DuckDB shows it; the code in brackets is read back by database.
[[noreturn]] void Throw(const string &message);
} // namespace hyprstream
