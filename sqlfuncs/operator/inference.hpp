// The operator that answers packed requests: logical and physical.
#pragma once
#include "run.hpp"
#include "duckdb/execution/executor.hpp"
#include "duckdb/parallel/meta_pipeline.hpp"
#include "duckdb/parallel/pipeline.hpp"
#include "duckdb/planner/operator/logical_extension_operator.hpp"
#include "duckdb/execution/column_binding_resolver.hpp"
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

class PhysicalInference : public PhysicalOperator {
public:
	PhysicalInference(PhysicalPlan &plan, InferenceSpec s, idx_t card)
	    : PhysicalOperator(plan, PhysicalOperatorType::EXTENSION, s.types, card), spec(std::move(s)) {
		for (idx_t i = 0; i < spec.requests.size(); i++) {
			spec.slots.push_back(types.size() - spec.requests.size() + i);
		}
		for (idx_t c = 0; c < types.size(); c++) {
			if (std::find(spec.slots.begin(), spec.slots.end(), c) == spec.slots.end()) {
				spec.kept.push_back(c);
			}
		}
	}
	InferenceSpec spec;

	string GetName() const override {
		return "INFERENCE";
	}
	InsertionOrderPreservingMap<string> ParamsToString() const override {
		InsertionOrderPreservingMap<string> r;
		r["Calls"] = StringUtil::Join(spec.calls, spec.calls.size(), "\n", [&](const Called &c) { return c.Explain(estimated_cardinality); });
		SetEstimatedCardinality(r, estimated_cardinality);
		return r;
	}

	bool IsSink() const override {
		return true;
	}
	bool SinkOrderDependent() const override {
		return true;
	}
	unique_ptr<GlobalSinkState> GetGlobalSinkState(ClientContext &) const override {
		return make_uniq<InferenceSink>();
	}
	SinkResultType Sink(ExecutionContext &, DataChunk &in, OperatorSinkInput &input) const override {
		input.global_state.Cast<InferenceSink>().target->Sink(in);
		return SinkResultType::NEED_MORE_INPUT;
	}

	InsertionOrderPreservingMap<string> ExtraSourceParams(GlobalSourceState &g, LocalSourceState &) const override {
		auto &s = *g.Cast<InferenceState>().run;
		return s.started ? s.window->Spent(GetName()) : InsertionOrderPreservingMap<string>(); // not: of an emptied pipeline
	}

	bool IsSource() const override {
		return true;
	}
	OrderPreservationType SourceOrder() const override {
		return OrderPreservationType::FIXED_ORDER;
	}
	unique_ptr<GlobalSourceState> GetGlobalSourceState(ClientContext &c) const override {
		return make_uniq<InferenceState>(c, spec);
	}
	unique_ptr<LocalSourceState> GetLocalSourceState(ExecutionContext &c, GlobalSourceState &g) const override {
		bool empty = emptied.count(c.pipeline.get()) > 0;
		return make_uniq<InferenceUse>(empty ? nullptr : g.Cast<InferenceState>().run);
	}
	SourceResultType GetDataInternal(ExecutionContext &c, DataChunk &out, OperatorSourceInput &input) const override;
	void BuildPipelines(Pipeline &current, MetaPipeline &meta) override;

private:
	unordered_set<Pipeline *> emptied; //! what is left of the input's pipelines for DuckDB to schedule

	void Emit(ClientContext &context, Window::Part &part, const vector<idx_t> &which, const vector<Row> &answers, DataChunk &out) const {
		const idx_t w = spec.slots.size();
		SelectionVector sel(which.size());
		for (idx_t i = 0; i < which.size(); i++) {
			sel.set_index(i, which[i]);
		}
		for (idx_t i = 0; i < spec.kept.size(); i++) {
			out.data[spec.kept[i]].Slice(part.data.data[i], sel, which.size());
		}
		for (idx_t k = 0; k < w; k++) {
			PutAnswers(context, out.data[spec.slots[k]], spec.calls[k].json, which.size(), [&](idx_t i) -> const Row & { return answers[i * w + k]; });
		}
		out.SetCardinality(which.size());
	}
};

//! DuckDB runs a sink's pipelines to their end before the source above begins. The
//! operator would have to keep its whole input. So it takes the pipelines that end
//! in it and runs them itself, as far as it has room; DuckDB schedules empty ones in
//! their places, which are done when what the real ones wait for is done.
void PhysicalInference::BuildPipelines(Pipeline &current, MetaPipeline &meta) {
	op_state.reset();
	sink_state.reset();
	spec.input.clear();
	emptied.clear();
	SmallChunks::Allow(meta.GetExecutor().context);
	auto &state = meta.GetState();
	state.SetPipelineSource(current, *this);
	auto &child = meta.CreateChildMetaPipeline(current, *this);
	child.Build(children[0]);
	vector<shared_ptr<Pipeline>> scheduled;
	child.GetPipelines(scheduled, false);
	for (auto &p : scheduled) {
		auto mine = make_shared_ptr<Pipeline>(meta.GetExecutor());
		state.SetPipelineSource(*mine, *state.GetPipelineSource(*p));
		state.SetPipelineOperators(*mine, state.GetPipelineOperators(*p));
		state.SetPipelineSink(*mine, this, spec.input.size());
		mine->Ready();
		spec.input.push_back(std::move(mine));
		state.SetPipelineSource(*p, *this);
		state.SetPipelineOperators(*p, {});
		emptied.insert(p.get());
	}
}

SourceResultType PhysicalInference::GetDataInternal(ExecutionContext &c, DataChunk &out,
                                                    OperatorSourceInput &source) const {
	if (emptied.count(c.pipeline.get())) {
		return SourceResultType::FINISHED;
	}
	auto &state = source.global_state.Cast<InferenceState>();
	auto &s = *state.run;
	auto &w = *s.window;
	while (true) {
		if (c.client.IsInterrupted()) {
			throw InterruptException();
		}
		if (state.Stopped()) {
			return SourceResultType::FINISHED;
		}
		vector<Row> answers;
		vector<idx_t> which;
		optional_ptr<Window::Part> part;
		{
			lock_guard<mutex> l(w.lk);
			w.CheckErrors(s.ratio);
			part = w.Take(answers, which, s.given ? STANDARD_VECTOR_SIZE : 1);
		}
		if (part) {
			s.given = true;
			Emit(c.client, *part, which, answers, out);
			w.Release(*part);
			return SourceResultType::HAVE_MORE_OUTPUT;
		}
		auto got = w.HasRoom() ? s.Pull() : InferenceRun::Input::ASLEEP;
		if (got == InferenceRun::Input::MORE) {
			s.Submit(false);
			continue;
		}
		s.Submit(true);
		unique_lock<mutex> l(w.lk);
		if (got == InferenceRun::Input::ENDED) {
			w.whole = true;
			if (w.Empty()) {
				w.CheckErrors(s.ratio);
				l.unlock();
				s.Shut(); // before the pipeline is known to have finished: a recursive CTE then runs it anew
				return SourceResultType::FINISHED;
			}
		}
		if (!w.Ready() && w.Sleep(source.interrupt_state)) {
			return SourceResultType::BLOCKED;
		}
	}
}

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
	InferenceSpec spec;
	spec.types = types;
	spec.requests = std::move(expressions);
	spec.slots = positions;
	spec.calls = calls;
	spec.estimate = estimate;
	auto &op = planner.Make<PhysicalInference>(std::move(spec), estimated_cardinality);
	op.children.push_back(child);
	return op;
}
} // namespace hyprstream
