// The rows that an operator has taken in and not yet given out, with their calls.
#pragma once
#include "functions.hpp"
#include "duckdb/common/types/data_chunk.hpp"

namespace hyprstream {

//! Rows wait here for their answers. DuckDB's thread adds and takes them, the
//! engine's threads complete them.
struct Window : public Batch {
	//! So many rows may wait, or so many bytes of requests: enough for the engine
	//! to see what rows share, little enough to stay small over any input.
	static constexpr idx_t MAX_ROWS = 16384;
	//! So many where a sample of them decides for the others: it should be of many.
	static constexpr idx_t MAX_SAMPLED_ROWS = 65536;
	static constexpr idx_t MAX_BYTES = 64 << 20;

	//! Rows that came together. Call (r, k) of it is number (base + r) * width + k.
	struct Part {
		idx_t base, count, gone;
		idx_t bytes;
		DataChunk data;     //! what is not answers
		vector<Row> rows;   //! count * width
		vector<uint8_t> left; //! calls of each row that are not answered
		vector<idx_t> ready;  //! rows to give out, where order does not matter
	};

	Window(idx_t width_p, bool ordered_p, bool sampled) : width(width_p), ordered(ordered_p), most(sampled ? MAX_SAMPLED_ROWS : MAX_ROWS) {
	}
	const idx_t width; //! calls per row
	const bool ordered;
	const idx_t most; //! rows

	//! Adds rows: data (may have no columns), and for each call its request, empty for NULL. lk must not be held.
	void Add(Allocator &allocator, DataChunk &data, const vector<LogicalType> &types, vector<string> &requests, idx_t n);
	//! There is room for more. lk must not be held.
	bool HasRoom();
	//! Moves finished rows of one part out, at most so many: their answers, and which of
	//! the part's rows they are. Null when there are none. lk is held.
	optional_ptr<Part> Take(vector<Row> &answers, vector<idx_t> &which, idx_t most);
	//! The rows taken last were used: their part may go. lk must not be held.
	void Release(Part &part);
	//! Forgets all rows. lk must not be held.
	void Clear();

	//! Rows can be taken. lk is held.
	bool Ready() const {
		if (!ordered) {
			return ready > 0;
		}
		if (parts.empty()) {
			return false;
		}
		auto &first = *parts.front();
		return first.gone < first.count && first.left[first.gone] == 0;
	}
	//! Nothing waits. lk is held.
	bool Empty() const {
		return held == 0;
	}

	idx_t next_row = 0; //! number of the next row

protected:
	optional_ptr<Row> Find(idx_t idx) override;
	bool Answered(idx_t idx) override;

private:
	optional_ptr<Part> PartOf(idx_t row);
	std::deque<unique_ptr<Part>> parts;
	idx_t held = 0, held_bytes = 0;
	idx_t ready = 0; //! rows to give out, where order does not matter
};

void Window::Add(Allocator &allocator, DataChunk &data, const vector<LogicalType> &types, vector<string> &requests,
                 idx_t n) {
	lock_guard<mutex> l(lk);
	// Small chunks are put together; what has begun to leave is left alone.
	if (parts.empty() || parts.back()->gone > 0 || parts.back()->count + n > STANDARD_VECTOR_SIZE) {
		auto p = make_uniq<Part>();
		p->base = next_row;
		p->count = p->gone = p->bytes = 0;
		if (!types.empty()) {
			p->data.Initialize(allocator, types, MaxValue<idx_t>(n, 1));
		}
		parts.push_back(std::move(p));
	}
	auto &p = *parts.back();
	if (!types.empty()) {
		p.data.Append(data, true);
	}
	idx_t bytes = 0;
	for (idx_t r = 0; r < n; r++) {
		uint8_t left = 0;
		for (idx_t k = 0; k < width; k++) {
			auto &q = requests[r * width + k];
			p.rows.emplace_back();
			if (q.empty()) {
				p.rows.back().status = HS_NULL;
				continue;
			}
			left++;
			bytes += q.size();
		}
		p.left.push_back(left);
		pending += left;
		tally->real += left;
		if (left == 0 && !ordered) {
			p.ready.push_back(p.count + r);
			ready++;
		}
	}
	p.count += n;
	p.bytes += bytes;
	next_row += n;
	held += n;
	held_bytes += bytes;
}

bool Window::HasRoom() {
	lock_guard<mutex> l(lk);
	return held == 0 || (held < most && held_bytes < MAX_BYTES);
}

optional_ptr<Window::Part> Window::PartOf(idx_t row) {
	auto it = std::upper_bound(parts.begin(), parts.end(), row,
	                           [](idx_t n, const unique_ptr<Part> &p) { return n < p->base; });
	if (it == parts.begin()) {
		return nullptr;
	}
	auto &p = **(--it);
	return row < p.base + p.count ? &p : nullptr;
}

optional_ptr<Row> Window::Find(idx_t idx) {
	auto p = PartOf(idx / width);
	if (!p) {
		return nullptr;
	}
	auto at = idx - p->base * width;
	return at < p->rows.size() ? &p->rows[at] : nullptr; // a part that is given out has none
}

bool Window::Answered(idx_t idx) {
	auto row = idx / width;
	auto &p = *PartOf(row);
	auto r = row - p.base;
	p.left[r]--;
	if (p.left[r] == 0 && !ordered) {
		p.ready.push_back(r);
		ready++;
	}
	return Ready();
}

optional_ptr<Window::Part> Window::Take(vector<Row> &answers, vector<idx_t> &which, idx_t most_rows) {
	optional_ptr<Part> from;
	if (ordered) {
		if (!parts.empty()) {
			from = parts.front().get();
			for (auto r = from->gone; r < from->count && from->left[r] == 0 && which.size() < most_rows; r++) {
				which.push_back(r);
			}
		}
	} else if (ready > 0) {
		for (auto &p : parts) {
			if (!p->ready.empty()) {
				from = p.get();
				auto n = MinValue<idx_t>(most_rows, p->ready.size());
				which.assign(p->ready.begin(), p->ready.begin() + n);
				p->ready.erase(p->ready.begin(), p->ready.begin() + n);
				ready -= n;
				break;
			}
		}
	}
	if (which.empty()) {
		return nullptr;
	}
	for (auto r : which) {
		for (idx_t k = 0; k < width; k++) {
			answers.push_back(std::move(from->rows[r * width + k]));
		}
	}
	from->gone += which.size();
	held -= which.size();
	return from;
}

void Window::Clear() {
	lock_guard<mutex> l(lk);
	parts.clear();
	held = held_bytes = ready = 0;
}

void Window::Release(Part &p) {
	lock_guard<mutex> l(lk);
	if (p.gone < p.count) {
		return;
	}
	held_bytes -= p.bytes;
	p.bytes = 0;
	p.rows = vector<Row>();
	p.data.Destroy();
	while (!parts.empty() && parts.front()->gone == parts.front()->count) {
		parts.pop_front();
	}
}
} // namespace hyprstream
