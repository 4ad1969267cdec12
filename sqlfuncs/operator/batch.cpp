#include "batch.hpp"

namespace hyprstream {

static mutex registry_lock;
static unordered_map<uint64_t, shared_ptr<Sleeper>> registry;
static uint64_t registry_next = 1;

void Sleeper::Open(const shared_ptr<Sleeper> &s, uint64_t env, uint64_t conn) {
	lock_guard<mutex> l(registry_lock);
	s->id = registry_next++;
	s->env = env;
	s->conn = conn;
	registry[s->id] = s;
}

void Sleeper::Close(uint64_t id) {
	{
		lock_guard<mutex> l(registry_lock);
		registry.erase(id);
	}
	goHsClose(id);
}

shared_ptr<Sleeper> Sleeper::Find(uint64_t id) {
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
			return;
		}
		w = waiter;
		waiting = false;
	}
	// Outside the lock: the callback may run the operator at once.
	w.Callback();
}

void Batch::Complete(idx_t idx, int status, const char *s, size_t n) {
	bool wake;
	{
		lock_guard<mutex> l(lk);
		if (idx < base || idx - base >= rows.size() || rows[idx - base].status != PENDING) {
			return;
		}
		auto &r = rows[idx - base];
		r.status = (uint8_t)status;
		pending--;
		if (status == HS_OK) {
			r.text.assign(s, n);
		} else if (status == HS_ROW_ERROR) {
			errors++;
			if (first_error.empty()) {
				first_error.assign(s, n);
			}
		} else if (status == HS_FAIL) {
			failed = true;
			message.assign(s, n);
		}
		// In-order emission: only news of the first row, or a failure, is worth waking for.
		wake = failed || rows.front().status != PENDING;
	}
	if (wake) {
		Wake();
	}
}

void Batch::CheckErrors(double ratio) {
	if (failed) {
		Throw(message);
	}
	if (errors > 0 && double(errors) > ratio * double(real)) {
		Throw(first_error + " (" + to_string(errors) + " of " + to_string(real) +
		      " rows failed, more than ai_max_error_ratio allows)");
	}
}

void Throw(const string &message) {
	throw InvalidInputException("%s", message);
}
} // namespace hyprstream

using namespace hyprstream;

extern "C" void hs_complete(uint64_t op, uint64_t idx, int status, const char *s, size_t n) {
	auto b = Sleeper::Find(op);
	if (b) {
		static_cast<Batch &>(*b).Complete(idx, status, s, n);
	}
}

extern "C" void hs_fail(uint64_t op, const char *message, size_t n) {
	auto b = Sleeper::Find(op);
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
	auto b = Sleeper::Find(op);
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
	auto b = Sleeper::Find(op);
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
