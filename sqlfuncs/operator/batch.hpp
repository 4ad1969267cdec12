// State shared by an operator (DuckDB's threads) and the engine (Go's threads).
#pragma once
#include "duckdb.hpp"
#include "duckdb/main/client_context_state.hpp"
#include "duckdb/parallel/interrupt.hpp"
#include "hsop.h"
#include <condition_variable>
#include <deque>

namespace hyprstream {
using namespace duckdb;

//! The calls of one statement, over all its operators.
struct Tally {
	atomic<idx_t> real {0};   //! that are not NULL
	atomic<idx_t> errors {0}; //! row errors among them

	static shared_ptr<Tally> Of(ClientContext &context);
};

//! An operator that sleeps until the engine has news. lk guards everything.
struct Sleeper {
	uint64_t id = 0, env = 0, conn = 0;
	shared_ptr<Tally> tally;
	mutex lk;
	std::condition_variable cv; //! for callers that wait in place
	bool waiting = false;
	bool poked = false; //! woken while nobody waited
	InterruptState waiter;
	bool failed = false; //! the statement fails with message
	string message;

	virtual ~Sleeper() = default;
	//! Registers under a new id, within the limits that the settings ai_max_… put now.
	//! estimate: calls are counted for that one; 0: computed.
	static void Open(const shared_ptr<Sleeper> &s, ClientContext &context, uint64_t estimate);
	//! Ends the operator: Go cancels what runs and later completions find nothing.
	static void Close(uint64_t id);
	static shared_ptr<Sleeper> Lookup(uint64_t id);
	static void WakeAll(uint64_t env, uint64_t conn);
	void Wake();
	//! Sleeps until the next Wake; false when there was one since the last sleep. lk is held.
	bool Sleep(const InterruptState &w);
	//! What EXPLAIN ANALYZE says of the operator, which it calls an EXTENSION: its
	//! name and what its calls have cost.
	InsertionOrderPreservingMap<string> Spent(const string &name) const;
};

static constexpr uint8_t PENDING = 255;
//! A call's answer.
struct Row {
	uint8_t status = PENDING;
	string text;
};

//! Calls handed to the engine, each with its answer.
struct Batch : public Sleeper {
	idx_t pending = 0;
	bool whole = false; //! no more calls will come
	string first_error;

	void Complete(idx_t idx, int status, const char *s, size_t n);
	//! Throws when the statement has failed, or more than ratio of its calls have. lk is held.
	void CheckErrors(double ratio);

protected:
	//! The answer of call idx; null when nobody waits for it any more. lk is held.
	virtual optional_ptr<Row> Find(idx_t idx) = 0;
	//! Call idx has its answer. True when that is worth waking for. lk is held.
	virtual bool Answered(idx_t idx) = 0;
};

//! Calls that are waited for all together, in place.
struct Together : public Batch {
	vector<Row> rows;

protected:
	optional_ptr<Row> Find(idx_t idx) override {
		return idx < rows.size() ? &rows[idx] : nullptr;
	}
	bool Answered(idx_t) override {
		return pending == 0;
	}
};

//! Rows that the engine makes, for the table functions.
struct RowStream : public Sleeper {
	std::deque<vector<std::pair<bool, string>>> rows; //! null?, text
	bool ended = false;
};

uint64_t EnvOf(ClientContext &context);
double MaxErrorRatio(ClientContext &context);
hs_terms TermsOf(ClientContext &context);
//! The statement's error as DuckDB shows it; the code in brackets is read back by database.
[[noreturn]] void Throw(const string &message);

static mutex registry_lock;
static unordered_map<uint64_t, shared_ptr<Sleeper>> registry;
static uint64_t registry_next = 1;

void Sleeper::Open(const shared_ptr<Sleeper> &s, ClientContext &context, uint64_t estimate) {
	s->env = EnvOf(context);
	s->conn = context.GetConnectionId();
	s->tally = Tally::Of(context);
	{
		lock_guard<mutex> l(registry_lock);
		s->id = registry_next++;
		registry[s->id] = s;
	}
	auto terms = TermsOf(context);
	terms.estimate = estimate;
	goHsOpen(s->env, s->conn, s->id, terms);
}

void Sleeper::Close(uint64_t id) {
	{
		lock_guard<mutex> l(registry_lock);
		registry.erase(id);
	}
	goHsClose(id);
}

shared_ptr<Sleeper> Sleeper::Lookup(uint64_t id) {
	lock_guard<mutex> l(registry_lock);
	auto it = registry.find(id);
	return it == registry.end() ? nullptr : it->second;
}

void Sleeper::WakeAll(uint64_t env, uint64_t conn) {
	vector<shared_ptr<Sleeper>> found;
	{
		lock_guard<mutex> l(registry_lock);
		for (auto &e : registry) {
			if (e.second->env == env && e.second->conn == conn) {
				found.push_back(e.second);
			}
		}
	}
	for (auto &s : found) {
		s->Wake();
	}
}

void Sleeper::Wake() {
	InterruptState w;
	{
		lock_guard<mutex> l(lk);
		cv.notify_all();
		if (!waiting) {
			poked = true;
			return;
		}
		w = waiter;
		waiting = false;
	}
	// Outside the lock: the callback may run the operator at once.
	w.Callback();
}

bool Sleeper::Sleep(const InterruptState &w) {
	if (poked) {
		poked = false;
		return false;
	}
	waiter = w;
	waiting = true;
	return true;
}

InsertionOrderPreservingMap<string> Sleeper::Spent(const string &name) const {
	InsertionOrderPreservingMap<string> r;
	auto text = goHsSpent(id);
	r[name] = text;
	free(text);
	return r;
}

void Batch::Complete(idx_t idx, int status, const char *s, size_t n) {
	bool wake;
	{
		lock_guard<mutex> l(lk);
		auto r = Find(idx);
		if (!r || r->status != PENDING) {
			return;
		}
		r->status = (uint8_t)status;
		pending--;
		if (status == HS_OK) {
			r->text.assign(s, n);
		} else if (status == HS_ROW_ERROR) {
			tally->errors++;
			if (first_error.empty()) {
				first_error.assign(s, n);
			}
		} else if (status == HS_FAIL && !failed) {
			failed = true;
			message.assign(s, n);
		}
		wake = Answered(idx) || failed;
	}
	if (wake) {
		Wake();
	}
}

void Batch::CheckErrors(double ratio) {
	if (failed) {
		Throw(message);
	}
	// While rows still come, a share of the first few says nothing.
	static constexpr idx_t TELLING = 512;
	const idx_t real = tally->real, errors = tally->errors;
	if (!first_error.empty() && double(errors) > ratio * double(whole ? real : MaxValue(real, TELLING))) {
		Throw(first_error + " (" + to_string(errors) + " of " + to_string(real) +
		      " rows failed, more than ai_max_error_ratio allows)");
	}
}

struct QueryTally : public ClientContextState {
	shared_ptr<Tally> now = make_shared_ptr<Tally>();
	void QueryBegin(ClientContext &) override {
		now = make_shared_ptr<Tally>(); // answers that come late count for the old one
	}
};

shared_ptr<Tally> Tally::Of(ClientContext &context) {
	return context.registered_state->GetOrCreate<QueryTally>("hyprstream_tally")->now;
}

void Throw(const string &message) {
	throw InvalidInputException("%s", message);
}
} // namespace hyprstream

using namespace hyprstream;

extern "C" void hs_complete(uint64_t op, uint64_t idx, int status, const char *s, size_t n) {
	auto b = Sleeper::Lookup(op);
	if (b) {
		static_cast<Batch &>(*b).Complete(idx, status, s, n);
	}
}

extern "C" void hs_fail(uint64_t op, const char *message, size_t n) {
	auto b = Sleeper::Lookup(op);
	if (!b) {
		return;
	}
	{
		lock_guard<mutex> l(b->lk);
		if (!b->failed) {
			b->failed = true;
			b->message.assign(message, n);
		}
	}
	b->Wake();
}

extern "C" void hs_row(uint64_t op, const hs_str *values, size_t n) {
	auto b = Sleeper::Lookup(op);
	if (!b) {
		return;
	}
	vector<std::pair<bool, string>> row;
	for (size_t i = 0; i < n; i++) {
		row.emplace_back(values[i].p == nullptr, values[i].p ? string(values[i].p, values[i].n) : string());
	}
	{
		lock_guard<mutex> l(b->lk);
		static_cast<RowStream &>(*b).rows.push_back(std::move(row));
	}
	b->Wake();
}

extern "C" void hs_end(uint64_t op, const char *message, size_t n) {
	auto b = Sleeper::Lookup(op);
	if (!b) {
		return;
	}
	{
		lock_guard<mutex> l(b->lk);
		static_cast<RowStream &>(*b).ended = true;
		if (n > 0) {
			b->failed = true;
			b->message.assign(message, n);
		}
	}
	b->Wake();
}

extern "C" void hs_wake(uint64_t env, uint64_t conn) {
	Sleeper::WakeAll(env, conn);
}
