// The operator that answers packed requests: logical and physical.
#pragma once
#include "functions.hpp"
#include "duckdb/planner/operator/logical_extension_operator.hpp"
#include "duckdb/common/types/column/column_data_collection.hpp"
#include "duckdb/execution/column_binding_resolver.hpp"
#include "duckdb/execution/expression_executor.hpp"
#include "duckdb/execution/physical_operator.hpp"
#include "duckdb/execution/physical_plan_generator.hpp"

namespace hyprstream {

//! Above its child: replaces packed requests in place (forced), and appends the
//! answers to the requests that its expressions make.
struct LogicalInference : public LogicalExtensionOperator {
	idx_t table_index = 0;        //! of the appended columns
	vector<ColumnBinding> forced; //! child columns that hold packed requests
	vector<Called> calls;         //! what is answered: forced, then expressions
	uint64_t estimate = 0;        //! not 0: only counted, for that one

	vector<ColumnBinding> GetColumnBindings() override;
	void ResolveTypes() override;
	vector<idx_t> GetTableIndex() const override;
	string GetName() const override;
	bool SupportSerialization() const override;
	string GetExtensionName() const override;
	void ResolveColumnBindings(ColumnBindingResolver &res, vector<ColumnBinding> &bindings) override;
	PhysicalOperator &CreatePlan(ClientContext &, PhysicalPlanGenerator &planner) override;

private:
	vector<idx_t> positions; //! of forced, among the child's columns
};

//! Requests travel in one call of at most so many; the input's end flushes the rest.
static constexpr idx_t MAX_BATCH = 65536;

struct InferenceSinkState : public GlobalSinkState {
	InferenceSinkState(ClientContext &c, const vector<LogicalType> &types, const vector<unique_ptr<Expression>> &requests,
	                   uint64_t estimate)
	    : data(c, types, ColumnDataAllocatorType::BUFFER_MANAGER_ALLOCATOR), executor(c, requests),
	      batch(make_shared_ptr<Batch>()), ratio(MaxErrorRatio(c)) {
		data.InitializeAppend(append);
		if (!requests.empty()) {
			vector<LogicalType> t;
			for (auto &e : requests) {
				t.push_back(e->return_type);
			}
			extra.Initialize(Allocator::Get(c), t);
			full.InitializeEmpty(types);
		}
		Sleeper::Open(batch, c, estimate);
	}
	~InferenceSinkState() override {
		Sleeper::Close(batch->id);
	}

	ColumnDataCollection data; //! the rows, with requests where answers will be
	ColumnDataAppendState append;
	ExpressionExecutor executor;
	DataChunk extra, full;
	shared_ptr<Batch> batch;
	double ratio;
	vector<string> unsent; //! empty: a NULL request

	void Flush() {
		if (unsent.empty()) {
			return;
		}
		vector<hs_str> reqs(unsent.size());
		for (idx_t i = 0; i < unsent.size(); i++) {
			reqs[i] = unsent[i].empty() ? hs_str {nullptr, 0} : hs_str {unsent[i].data(), unsent[i].size()};
		}
		auto first = batch->submitted;
		batch->submitted += reqs.size();
		goHsSubmit(batch->env, batch->conn, batch->id, first, reqs.size(), reqs.data());
		unsent.clear();
	}
};

struct InferenceSourceState : public GlobalSourceState {
	ColumnDataScanState scan;
	DataChunk chunk;
	idx_t offset = 0; //! rows of chunk already emitted
};

class PhysicalInference : public PhysicalOperator {
public:
	PhysicalInference(PhysicalPlan &plan, vector<LogicalType> types, vector<unique_ptr<Expression>> requests_p,
	                  vector<idx_t> slots_p, vector<Called> calls_p, idx_t card)
	    : PhysicalOperator(plan, PhysicalOperatorType::EXTENSION, std::move(types), card),
	      requests(std::move(requests_p)), slots(std::move(slots_p)), calls(std::move(calls_p)) {
		for (idx_t i = 0; i < requests.size(); i++) {
			slots.push_back(this->types.size() - requests.size() + i);
		}
		stored = this->types;
		for (auto s : slots) {
			stored[s] = LogicalType::VARCHAR;
		}
	}
	vector<unique_ptr<Expression>> requests; //! to append
	vector<idx_t> slots;                     //! output columns to fill
	vector<Called> calls;                    //! whose answers they are
	uint64_t estimate = 0;                   //! not 0: only counted, for that one
	vector<LogicalType> stored;              //! types with requests in the answers' places

	string GetName() const override {
		return "INFERENCE";
	}
	InsertionOrderPreservingMap<string> ParamsToString() const override {
		InsertionOrderPreservingMap<string> r;
		r["Calls"] = StringUtil::Join(calls, calls.size(), "\n", [&](const Called &c) { return c.Explain(estimated_cardinality); });
		SetEstimatedCardinality(r, estimated_cardinality);
		return r;
	}

	bool IsSink() const override {
		return true;
	}
	bool SinkOrderDependent() const override {
		return true;
	}
	unique_ptr<GlobalSinkState> GetGlobalSinkState(ClientContext &c) const override {
		return make_uniq<InferenceSinkState>(c, stored, requests, estimate);
	}
	SinkResultType Sink(ExecutionContext &, DataChunk &in, OperatorSinkInput &input) const override {
		auto &s = input.global_state.Cast<InferenceSinkState>();
		auto &row = Requests(s, in);
		s.data.Append(s.append, row);
		vector<UnifiedVectorFormat> f(slots.size());
		for (idx_t k = 0; k < slots.size(); k++) {
			row.data[slots[k]].ToUnifiedFormat(row.size(), f[k]);
		}
		{
			auto &b = *s.batch;
			lock_guard<mutex> l(b.lk);
			for (idx_t r = 0; r < row.size(); r++) {
				for (idx_t k = 0; k < slots.size(); k++) {
					auto ix = f[k].sel->get_index(r);
					if (!f[k].validity.RowIsValid(ix)) {
						b.rows.push_back({HS_NULL, string()});
						s.unsent.emplace_back();
						continue;
					}
					b.rows.push_back({Batch::PENDING, string()});
					b.pending++;
					b.real++;
					s.unsent.push_back(UnifiedVectorFormat::GetData<string_t>(f[k])[ix].GetString());
				}
			}
		}
		if (s.unsent.size() >= MAX_BATCH) {
			s.Flush();
		}
		return SinkResultType::NEED_MORE_INPUT;
	}
	SinkFinalizeType Finalize(Pipeline &, Event &, ClientContext &, OperatorSinkFinalizeInput &input) const override {
		input.global_state.Cast<InferenceSinkState>().Flush();
		return SinkFinalizeType::READY;
	}

	InsertionOrderPreservingMap<string> ExtraSourceParams(GlobalSourceState &, LocalSourceState &) const override {
		return sink_state->Cast<InferenceSinkState>().batch->Spent(GetName());
	}

	bool IsSource() const override {
		return true;
	}
	OrderPreservationType SourceOrder() const override {
		return OrderPreservationType::FIXED_ORDER;
	}
	unique_ptr<GlobalSourceState> GetGlobalSourceState(ClientContext &) const override {
		auto r = make_uniq<InferenceSourceState>();
		auto &s = sink_state->Cast<InferenceSinkState>();
		s.data.InitializeScan(r->scan);
		s.data.InitializeScanChunk(r->scan, r->chunk);
		return std::move(r);
	}
	SourceResultType GetDataInternal(ExecutionContext &c, DataChunk &out, OperatorSourceInput &input) const override {
		auto &s = sink_state->Cast<InferenceSinkState>();
		auto &src = input.global_state.Cast<InferenceSourceState>();
		if (c.client.IsInterrupted()) {
			throw InterruptException();
		}
		if (src.offset >= src.chunk.size()) {
			src.chunk.Reset();
			src.offset = 0;
			if (!s.data.Scan(src.scan, src.chunk) || src.chunk.size() == 0) {
				return SourceResultType::FINISHED;
			}
		}
		vector<Batch::Row> got;
		auto n = Take(*s.batch, s.ratio, src.chunk.size() - src.offset, got, input.interrupt_state);
		if (n == 0) {
			return SourceResultType::BLOCKED;
		}
		Emit(src, n, got, out);
		return SourceResultType::HAVE_MORE_OUTPUT;
	}

private:
	//! The input with the requests appended.
	DataChunk &Requests(InferenceSinkState &s, DataChunk &in) const {
		if (requests.empty()) {
			return in;
		}
		s.extra.Reset();
		s.executor.Execute(in, s.extra);
		for (idx_t i = 0; i < in.ColumnCount(); i++) {
			s.full.data[i].Reference(in.data[i]);
		}
		for (idx_t i = 0; i < requests.size(); i++) {
			s.full.data[in.ColumnCount() + i].Reference(s.extra.data[i]);
		}
		s.full.SetCardinality(in.size());
		return s.full;
	}

	//! Moves the answers of up to max finished rows, in order, into got; registers the waiter when there are none.
	idx_t Take(Batch &b, double ratio, idx_t max, vector<Batch::Row> &got, const InterruptState &waiter) const {
		const idx_t w = slots.size();
		lock_guard<mutex> l(b.lk);
		b.CheckErrors(ratio);
		idx_t n = 0;
		for (; n < max; n++) {
			bool ready = true;
			for (idx_t k = 0; k < w && ready; k++) {
				ready = b.rows[n * w + k].status != Batch::PENDING;
			}
			if (!ready) {
				break;
			}
		}
		if (n == 0) {
			b.waiter = waiter;
			b.waiting = true;
			return 0;
		}
		for (idx_t i = 0; i < n * w; i++) {
			got.push_back(std::move(b.rows.front()));
			b.rows.pop_front();
		}
		b.base += n * w;
		return n;
	}

	void Emit(InferenceSourceState &src, idx_t n, const vector<Batch::Row> &got, DataChunk &out) const {
		const idx_t w = slots.size();
		SelectionVector sel(n);
		for (idx_t i = 0; i < n; i++) {
			sel.set_index(i, src.offset + i);
		}
		for (idx_t c = 0; c < out.ColumnCount(); c++) {
			if (std::find(slots.begin(), slots.end(), c) == slots.end()) {
				out.data[c].Slice(src.chunk.data[c], sel, n);
			}
		}
		for (idx_t k = 0; k < w; k++) {
			PutAnswers(out.data[slots[k]], n, [&](idx_t i) -> const Batch::Row & { return got[i * w + k]; });
		}
		out.SetCardinality(n);
		src.offset += n;
	}
};

vector<ColumnBinding> LogicalInference::GetColumnBindings() {
	auto b = children[0]->GetColumnBindings();
	for (idx_t i = 0; i < expressions.size(); i++) {
		b.emplace_back(table_index, i);
	}
	return b;
}

void LogicalInference::ResolveTypes() {
	types = children[0]->types;
	auto b = children[0]->GetColumnBindings();
	for (idx_t i = 0; i < calls.size(); i++) {
		if (i >= forced.size()) {
			types.push_back(calls[i].type);
			continue;
		}
		for (idx_t c = 0; c < b.size(); c++) {
			if (b[c] == forced[i]) {
				types[c] = calls[i].type;
			}
		}
	}
}

vector<idx_t> LogicalInference::GetTableIndex() const {
	return vector<idx_t> {table_index};
}

string LogicalInference::GetName() const {
	return "INFERENCE";
}

bool LogicalInference::SupportSerialization() const {
	return false;
}

string LogicalInference::GetExtensionName() const {
	return "hyprstream";
}

void LogicalInference::ResolveColumnBindings(ColumnBindingResolver &res, vector<ColumnBinding> &bindings) {
	LogicalExtensionOperator::ResolveColumnBindings(res, bindings);
	positions.clear();
	for (auto &f : forced) {
		for (idx_t i = 0; i < bindings.size(); i++) {
			if (bindings[i] == f) {
				positions.push_back(i);
			}
		}
	}
}

PhysicalOperator &LogicalInference::CreatePlan(ClientContext &, PhysicalPlanGenerator &planner) {
	auto &child = planner.CreatePlan(*children[0]);
	auto &op = planner.Make<PhysicalInference>(types, std::move(expressions), positions, calls, child.estimated_cardinality);
	op.Cast<PhysicalInference>().estimate = estimate;
	op.children.push_back(child);
	return op;
}
} // namespace hyprstream
