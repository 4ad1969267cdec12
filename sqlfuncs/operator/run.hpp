// One run of the operator: it reads its input as it has room for rows, and hands calls over.
#pragma once
#include "window.hpp"
#include "duckdb/execution/expression_executor.hpp"
#include "duckdb/main/client_config.hpp"
#include "duckdb/main/client_context_state.hpp"
#include "duckdb/main/settings.hpp"
#include "duckdb/parallel/pipeline.hpp"
#include "duckdb/parallel/pipeline_executor.hpp"
#include "duckdb/parallel/task.hpp"

namespace hyprstream {

//! How many requests are handed over in one go: the first ones soon, later ones in
//! batches in which the engine sees what they share.
static constexpr idx_t FIRST_PART = 512, LATER_PART = 8192;
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

//! Where the input's pipelines end; made by them, filled in by the source.
struct InferenceSink : public GlobalSinkState {
	optional_ptr<struct InferenceRun> target;
};

//! What a plan says of an operator.
struct InferenceSpec {
	vector<LogicalType> types;               //! of its output: the input's columns, then what is appended
	vector<unique_ptr<Expression>> requests; //! to append
	vector<idx_t> slots;                     //! output columns to fill
	vector<Called> calls;                    //! whose answers they are
	vector<idx_t> kept;                      //! the other columns
	uint64_t estimate = 0;                   //! not 0: only counted, for that one
	vector<shared_ptr<Pipeline>> input;      //! the pipelines that end here; the operator runs them itself

	bool Sampled() const {
		return std::any_of(calls.begin(), calls.end(), [](const Called &c) { return c.sampled; });
	}
	//! Rows leave in the order in which they came.
	bool Ordered(ClientContext &c) const {
		return Settings::Get<PreserveInsertionOrderSetting>(c) &&
		       std::none_of(calls.begin(), calls.end(), [](const Called &call) { return call.early; });
	}
};

//! One run of the operator over its input.
struct InferenceRun {
	InferenceRun(ClientContext &c, const InferenceSpec &spec);

	const InferenceSpec &spec;
	ClientContext &context;
	shared_ptr<Window> window;
	double ratio;
	//! As much as there is room for is handed over first: limits of what may be spent hold before
	//! the first token then, and a sample is of many rows.
	bool whole_first;
	bool started = false;
	//! A row has left. The first goes by itself: a streamed result begins for its reader when DuckDB
	//! cannot take a second chunk, however slow the rows after this one are.
	bool given = false;

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
	InferenceState(ClientContext &c, const InferenceSpec &spec) : run(make_shared_ptr<InferenceRun>(c, spec)) {
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

InferenceRun::InferenceRun(ClientContext &c, const InferenceSpec &spec_p)
    : spec(spec_p), context(c), window(make_shared_ptr<Window>(spec_p.slots.size(), spec_p.Ordered(c), spec_p.Sampled())),
      ratio(MaxErrorRatio(c)) {
	auto l = TermsOf(c);
	whole_first = l.rows > 0 || l.tokens > 0 || l.seconds > 0 || spec.Sampled();
	Sleeper::Open(window, c, spec_p.estimate);
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
		for (auto &p : spec.input) {
			p->ClearSource(); // may hold locks of tables
		}
	}
	window->Clear();
	extra.Destroy();
	kept.Destroy();
}

void InferenceRun::Start() {
	started = true;
	for (auto c : spec.kept) {
		kept_types.push_back(spec.types[c]);
	}
	if (!kept_types.empty()) {
		kept.InitializeEmpty(kept_types);
	}
	if (!spec.requests.empty()) {
		executor = make_uniq<ExpressionExecutor>(context, spec.requests);
		vector<LogicalType> t(spec.requests.size(), LogicalType::VARCHAR);
		extra.Initialize(Allocator::Get(context), t);
	}
	for (auto &p : spec.input) { // a recursive CTE runs them again
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
	while (pipeline < spec.input.size()) {
		auto &p = *spec.input[pipeline];
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
	const idx_t n = in.size(), made = spec.requests.size(), w = spec.slots.size(), there = w - made;
	if (made > 0) {
		extra.Reset();
		executor->Execute(in, extra);
	}
	vector<string> requests(n * w);
	for (idx_t k = 0; k < w; k++) {
		auto &v = k < there ? in.data[spec.slots[k]] : extra.data[k - there];
		UnifiedVectorFormat f;
		v.ToUnifiedFormat(n, f);
		for (idx_t r = 0; r < n; r++) {
			auto ix = f.sel->get_index(r);
			if (f.validity.RowIsValid(ix)) {
				requests[r * w + k] = UnifiedVectorFormat::GetData<string_t>(f)[ix].GetString();
			}
		}
	}
	for (idx_t i = 0; i < spec.kept.size(); i++) {
		kept.data[i].Reference(in.data[spec.kept[i]]);
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
} // namespace hyprstream
