// The operator that answers packed requests: logical and physical.
#pragma once
#include "functions.hpp"
#include "window.hpp"
#include "duckdb/execution/executor.hpp"
#include "duckdb/main/client_config.hpp"
#include "duckdb/main/client_context_state.hpp"
#include "duckdb/main/settings.hpp"
#include "duckdb/parallel/meta_pipeline.hpp"
#include "duckdb/parallel/pipeline.hpp"
#include "duckdb/parallel/pipeline_executor.hpp"
#include "duckdb/parallel/task.hpp"
#include "duckdb/planner/operator/logical_extension_operator.hpp"
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

//! How many requests are handed over in one go: the first ones soon, later ones in
//! batches in which the engine sees what they share.
static constexpr idx_t FIRST_PART = 512, LATER_PART = 4096;
//! Requests wait for so long for others, when these come slowly.
static constexpr auto PATIENCE = std::chrono::milliseconds(10);

//! Calls wake instead of rescheduling a task: what the operator's own input, or its
//! pipeline, gets for a sleeping task.
struct WakeTask : public Task {
	explicit WakeTask(std::function<void()> f) : wake(std::move(f)) {
	}
	std::function<void()> wake;
	TaskExecutionResult Execute(TaskExecutionMode) override {
		throw InternalException("a wake-up call was scheduled");
	}
	void Reschedule() override {
		wake();
	}
};

//! Chunks are not held back until they are large while this query runs: the rows in
//! them may be all that a LIMIT, or a client, waits for.
struct SmallChunks : public ClientContextState {
	bool changed = false, before = false;
	static void Allow(ClientContext &c) {
		auto s = c.registered_state->GetOrCreate<SmallChunks>("hyprstream_small_chunks");
		auto &setting = ClientConfig::GetConfig(c).enable_caching_operators;
		if (!s->changed) {
			s->changed = true;
			s->before = setting;
		}
		setting = false;
	}
	void QueryEnd(ClientContext &c) override {
		if (changed) {
			ClientConfig::GetConfig(c).enable_caching_operators = before;
			changed = false;
		}
	}
};

class PhysicalInference;

//! Where the input's pipelines end; made by them, filled in by the source.
struct InferenceSink : public GlobalSinkState {
	optional_ptr<struct InferenceRun> target;
};

//! One run of the operator over its input.
struct InferenceRun {
	InferenceRun(ClientContext &c, const PhysicalInference &op);

	const PhysicalInference &op;
	ClientContext &context;
	shared_ptr<Window> window;
	double ratio;
	//! As much as there is room for is handed over first: limits of what may be spent hold before
	//! the first token then, and a sample is of many rows.
	bool whole_first;
	bool started = false;

	//! Reads the input until there is something to do besides.
	enum class Input { MORE, ASLEEP, ENDED };
	Input Pull();
	void Sink(DataChunk &in);
	//! Hands over what waits, when there is enough of it or no reason to wait.
	void Submit(bool now);
	//! Lets go of what is the query's, and of the input. May be called again.
	void Shut();

private:
	mutex shutting;
	bool shut = false;
	vector<LogicalType> kept_types;
	unique_ptr<ExpressionExecutor> executor;
	DataChunk extra, kept;
	shared_ptr<WakeTask> input_woke;
	idx_t pipeline = 0; //! of the input, that runs
	unique_ptr<PipelineExecutor> running;
	vector<string> unsent; //! empty: a NULL request
	idx_t waiting = 0;     //! of them, those that are not NULL
	idx_t submitted = 0;
	std::chrono::steady_clock::time_point oldest; //! since when unsent has something

	void Start();
};

struct InferenceState : public GlobalSourceState {
	InferenceState(ClientContext &c, const PhysicalInference &op) : run(make_shared_ptr<InferenceRun>(c, op)) {
		// What is above may have enough (LIMIT): the pipeline then unblocks its source.
		stopped = make_shared_ptr<WakeTask>([this]() {
			goHsStop(run->window->id);
			run->Shut();
		});
		BlockTask(Lock(), InterruptState(weak_ptr<Task>(stopped)));
	}
	~InferenceState() override {
		Sleeper::Close(run->window->id);
	}
	shared_ptr<InferenceRun> run;
	shared_ptr<WakeTask> stopped;

	//! What is above needs no more.
	bool Stopped() {
		auto guard = Lock();
		return !CanBlock(guard);
	}
};

//! Goes when the pipeline above is done with the operator, however that came. In a
//! recursive CTE the state may have gone before: its thread is not waited for.
struct InferenceUse : public LocalSourceState {
	explicit InferenceUse(shared_ptr<InferenceRun> r) : run(std::move(r)) {
	}
	~InferenceUse() override {
		if (run) {
			Sleeper::Close(run->window->id);
			run->Shut();
		}
	}
	shared_ptr<InferenceRun> run; //! null: of an emptied pipeline
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
		for (idx_t c = 0; c < this->types.size(); c++) {
			if (std::find(slots.begin(), slots.end(), c) == slots.end()) {
				kept.push_back(c);
			}
		}
	}
	vector<unique_ptr<Expression>> requests; //! to append
	vector<idx_t> slots;                     //! output columns to fill
	vector<Called> calls;                    //! whose answers they are
	vector<idx_t> kept;                      //! the other columns
	vector<shared_ptr<Pipeline>> input;      //! the pipelines that end here; the operator runs them itself
	uint64_t estimate = 0;                   //! not 0: only counted, for that one

	bool Sampled() const {
		return std::any_of(calls.begin(), calls.end(), [](const Called &c) { return c.sampled; });
	}
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
		return make_uniq<InferenceState>(c, *this);
	}
	unique_ptr<LocalSourceState> GetLocalSourceState(ExecutionContext &c, GlobalSourceState &g) const override {
		bool empty = emptied.count(c.pipeline.get()) > 0;
		return make_uniq<InferenceUse>(empty ? nullptr : g.Cast<InferenceState>().run);
	}
	SourceResultType GetDataInternal(ExecutionContext &c, DataChunk &out, OperatorSourceInput &input) const override;
	void BuildPipelines(Pipeline &current, MetaPipeline &meta) override;

private:
	unordered_set<Pipeline *> emptied; //! what is left of the input's pipelines for DuckDB to schedule

	void Emit(Window::Part &part, const vector<idx_t> &which, const vector<Row> &answers, DataChunk &out) const {
		const idx_t w = slots.size();
		SelectionVector sel(which.size());
		for (idx_t i = 0; i < which.size(); i++) {
			sel.set_index(i, which[i]);
		}
		for (idx_t i = 0; i < kept.size(); i++) {
			out.data[kept[i]].Slice(part.data.data[i], sel, which.size());
		}
		for (idx_t k = 0; k < w; k++) {
			PutAnswers(out.data[slots[k]], which.size(), [&](idx_t i) -> const Row & { return answers[i * w + k]; });
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
	input.clear();
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
		state.SetPipelineSink(*mine, this, input.size());
		mine->Ready();
		input.push_back(std::move(mine));
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
			part = w.Take(answers, which);
		}
		if (part) {
			Emit(*part, which, answers, out);
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

InferenceRun::InferenceRun(ClientContext &c, const PhysicalInference &op_p)
    : op(op_p), context(c), window(make_shared_ptr<Window>(op_p.slots.size(), Settings::Get<PreserveInsertionOrderSetting>(c), op_p.Sampled())),
      ratio(MaxErrorRatio(c)) {
	auto l = TermsOf(c);
	whole_first = l.rows > 0 || l.tokens > 0 || l.seconds > 0 || op.Sampled();
	Sleeper::Open(window, c, op_p.estimate);
	auto w = window;
	input_woke = make_shared_ptr<WakeTask>([w]() { w->Wake(); });
}

void InferenceRun::Shut() {
	lock_guard<mutex> l(shutting);
	if (shut) {
		return;
	}
	shut = true;
	running.reset();
	executor.reset();
	if (started) {
		for (auto &p : op.input) {
			p->ClearSource(); // may hold locks of tables
		}
	}
	window->Clear();
	extra.Destroy();
	kept.Destroy();
}

void InferenceRun::Start() {
	started = true;
	for (auto c : op.kept) {
		kept_types.push_back(op.types[c]);
	}
	if (!kept_types.empty()) {
		kept.InitializeEmpty(kept_types);
	}
	if (!op.requests.empty()) {
		executor = make_uniq<ExpressionExecutor>(context, op.requests);
		vector<LogicalType> t(op.requests.size(), LogicalType::VARCHAR);
		extra.Initialize(Allocator::Get(context), t);
	}
	for (auto &p : op.input) { // a recursive CTE runs them again
		for (auto &o : p->GetOperators()) {
			o.get().op_state.reset();
		}
		p->ClearSource();
	}
}

InferenceRun::Input InferenceRun::Pull() {
	if (!started) {
		Start();
	}
	while (pipeline < op.input.size()) {
		auto &p = *op.input[pipeline];
		if (!running) {
			p.Reset();
			p.GetSink()->sink_state->Cast<InferenceSink>().target = this;
			running = make_uniq<PipelineExecutor>(context, p);
			running->SetTaskForInterrupts(weak_ptr<Task>(input_woke));
		}
		switch (running->Execute(1)) {
		case PipelineExecuteResult::NOT_FINISHED:
			return Input::MORE;
		case PipelineExecuteResult::INTERRUPTED:
			return Input::ASLEEP;
		case PipelineExecuteResult::FINISHED:
			running.reset();
			pipeline++;
		}
	}
	return Input::ENDED;
}

void InferenceRun::Sink(DataChunk &in) {
	const idx_t n = in.size(), made = op.requests.size(), w = op.slots.size(), there = w - made;
	if (made > 0) {
		extra.Reset();
		executor->Execute(in, extra);
	}
	vector<string> requests(n * w);
	for (idx_t k = 0; k < w; k++) {
		auto &v = k < there ? in.data[op.slots[k]] : extra.data[k - there];
		UnifiedVectorFormat f;
		v.ToUnifiedFormat(n, f);
		for (idx_t r = 0; r < n; r++) {
			auto ix = f.sel->get_index(r);
			if (f.validity.RowIsValid(ix)) {
				requests[r * w + k] = UnifiedVectorFormat::GetData<string_t>(f)[ix].GetString();
			}
		}
	}
	for (idx_t i = 0; i < op.kept.size(); i++) {
		kept.data[i].Reference(in.data[op.kept[i]]);
	}
	kept.SetCardinality(n);
	window->Add(Allocator::Get(context), kept, kept_types, requests, n);
	if (unsent.empty()) {
		oldest = std::chrono::steady_clock::now();
	}
	for (auto &r : requests) {
		waiting += r.empty() ? 0 : 1;
		unsent.push_back(std::move(r));
	}
}

void InferenceRun::Submit(bool now) {
	if (unsent.empty()) {
		return;
	}
	if (!now) {
		bool patient = std::chrono::steady_clock::now() - oldest < PATIENCE;
		bool enough = submitted == 0 ? waiting >= FIRST_PART && !whole_first : waiting >= LATER_PART;
		if (!enough && (patient || (submitted == 0 && whole_first))) {
			return;
		}
	}
	vector<hs_str> reqs(unsent.size());
	for (idx_t i = 0; i < unsent.size(); i++) {
		reqs[i] = unsent[i].empty() ? hs_str {nullptr, 0} : hs_str {unsent[i].data(), unsent[i].size()};
	}
	auto first = submitted;
	submitted += reqs.size();
	goHsSubmit(window->env, window->conn, window->id, first, reqs.size(), reqs.data());
	unsent.clear();
	waiting = 0;
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
	auto &op = planner.Make<PhysicalInference>(types, std::move(expressions), positions, calls, child.estimated_cardinality);
	op.Cast<PhysicalInference>().estimate = estimate;
	op.children.push_back(child);
	return op;
}
} // namespace hyprstream
