// Table functions whose rows the engine makes: they sleep, as the operator
// does, instead of holding a thread of DuckDB's.
#pragma once
#include "batch.hpp"
#include "duckdb/function/table_function.hpp"
#include "functions.hpp"
#include "duckdb/execution/physical_operator.hpp"
#include "duckdb/execution/physical_plan_generator.hpp"
#include "duckdb/planner/binder.hpp"
#include "duckdb/planner/operator/logical_extension_operator.hpp"

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
	bool estimate = false; //! its one argument is a SELECT, see estimate.hpp
	bool rows = false;     //! its second argument is a SELECT, see rows.hpp
};
//! replace: binds it instead, as another FROM; null: nothing does.
TableFunctionSet MakeStream(const StreamSpec &spec, table_function_bind_replace_t replace);

struct StreamState : public GlobalSourceState {
	StreamState(ClientContext &c, uint64_t estimate) : rows(make_shared_ptr<RowStream>()) {
		Sleeper::Open(rows, c, estimate);
	}
	~StreamState() override {
		Sleeper::Close(rows->id);
	}
	shared_ptr<RowStream> rows;
	bool started = false;
};

class PhysicalStream : public PhysicalOperator {
public:
	PhysicalStream(PhysicalPlan &plan, vector<LogicalType> types, string name_p, string request_p)
	    : PhysicalOperator(plan, PhysicalOperatorType::EXTENSION, std::move(types), 1), name(std::move(name_p)),
	      request(std::move(request_p)) {
	}
	string name, request;
	uint64_t estimate = 0; //! not 0: only counted, for that one

	string GetName() const override {
		return name;
	}
	InsertionOrderPreservingMap<string> ExtraSourceParams(GlobalSourceState &state, LocalSourceState &) const override {
		return state.Cast<StreamState>().rows->Spent(name);
	}
	bool IsSource() const override {
		return true;
	}
	unique_ptr<GlobalSourceState> GetGlobalSourceState(ClientContext &c) const override {
		return make_uniq<StreamState>(c, estimate);
	}
	SourceResultType GetDataInternal(ExecutionContext &c, DataChunk &out, OperatorSourceInput &input) const override {
		auto &s = input.global_state.Cast<StreamState>();
		if (c.client.IsInterrupted()) {
			throw InterruptException();
		}
		auto &b = *s.rows;
		if (!s.started) {
			s.started = true;
			goHsStream(b.env, b.conn, b.id, {request.data(), request.size()});
		}
		vector<vector<std::pair<bool, string>>> got;
		{
			lock_guard<mutex> l(b.lk);
			while (!b.rows.empty() && got.size() < STANDARD_VECTOR_SIZE) {
				got.push_back(std::move(b.rows.front()));
				b.rows.pop_front();
			}
			if (got.empty()) {
				if (b.failed) {
					Throw(b.message);
				}
				if (b.ended) {
					return SourceResultType::FINISHED;
				}
				b.waiter = input.interrupt_state;
				b.waiting = true;
				return SourceResultType::BLOCKED;
			}
		}
		for (idx_t col = 0; col < out.ColumnCount(); col++) {
			Vector text(LogicalType::VARCHAR, got.size());
			auto d = FlatVector::GetData<string_t>(text);
			for (idx_t r = 0; r < got.size(); r++) {
				if (col >= got[r].size() || got[r][col].first) {
					FlatVector::SetNull(text, r, true);
				} else {
					d[r] = StringVector::AddString(text, got[r][col].second);
				}
			}
			VectorOperations::DefaultCast(text, out.data[col], got.size());
		}
		out.SetCardinality(got.size());
		return SourceResultType::HAVE_MORE_OUTPUT;
	}
};

struct LogicalStream : public LogicalExtensionOperator {
	idx_t table_index = 0;
	string name, request;
	uint64_t estimate = 0; //! not 0: only counted, for that one
	vector<LogicalType> column_types;

	vector<ColumnBinding> GetColumnBindings() override {
		return GenerateColumnBindings(table_index, column_types.size());
	}
	void ResolveTypes() override {
		types = column_types;
	}
	vector<idx_t> GetTableIndex() const override {
		return vector<idx_t> {table_index};
	}
	string GetName() const override {
		return name;
	}
	bool SupportSerialization() const override {
		return false;
	}
	string GetExtensionName() const override {
		return "hyprstream";
	}
	PhysicalOperator &CreatePlan(ClientContext &, PhysicalPlanGenerator &planner) override {
		auto &op = planner.Make<PhysicalStream>(types, name, request);
		op.Cast<PhysicalStream>().estimate = estimate;
		return op;
	}
};

struct StreamInfo : public TableFunctionInfo {
	StreamSpec spec;
	vector<uint8_t> positions; //! of this overload's positional arguments
};

unique_ptr<LogicalOperator> BindEstimate(ClientContext &context, TableFunctionBindInput &input, idx_t bind_index,
                                         vector<string> &return_names);

//! What was given by position and by name, in the order of spec.args.
static vector<Value> ArgumentsOf(TableFunctionBindInput &input) {
	auto &info = input.info->Cast<StreamInfo>();
	auto &args = info.spec.args;
	vector<Value> values(args.size());
	for (idx_t i = 0; i < input.inputs.size() && i < info.positions.size(); i++) {
		values[info.positions[i]] = input.inputs[i];
	}
	for (auto &p : input.named_parameters) {
		for (idx_t i = 0; i < args.size(); i++) {
			if (StringUtil::CIEquals(args[i], p.first)) {
				values[i] = p.second.DefaultCastAs(Fit(info.spec.name, args[i], info.spec.arg_types[i], p.second.type()));
			}
		}
	}
	return values;
}

static unique_ptr<LogicalOperator> BindStream(ClientContext &context, TableFunctionBindInput &input, idx_t bind_index,
                                              vector<string> &return_names) {
	auto &spec = input.info->Cast<StreamInfo>().spec;
	auto values = ArgumentsOf(input);
	RequestWriter w(spec.fn);
	for (auto &v : values) {
		bool list = v.type().id() == LogicalTypeId::LIST;
		w.Add(v.IsNull() ? Value()
		                 : v.DefaultCastAs(list ? LogicalType::LIST(LogicalType::VARCHAR) : LogicalType::VARCHAR));
	}
	CheckRequest(EnvOf(context), w);
	auto op = make_uniq<LogicalStream>();
	op->table_index = bind_index;
	op->name = StringUtil::Upper(spec.name);
	op->request = w.out;
	op->column_types = spec.column_types;
	return_names = spec.column_names;
	return std::move(op);
}

static void NotReached(ClientContext &, TableFunctionInput &, DataChunk &) {
	throw InternalException("a table function of the engine ran without its operator");
}

TableFunctionSet MakeStream(const StreamSpec &spec, table_function_bind_replace_t replace) {
	TableFunctionSet set(spec.name);
	for (auto &positions : spec.overloads) {
		vector<LogicalType> args;
		auto info = make_shared_ptr<StreamInfo>();
		info->spec = spec;
		info->positions = positions;
		for (auto p : positions) {
			args.push_back(spec.arg_types[p]);
		}
		TableFunction f(spec.name, args, NotReached);
		if (replace) {
			f.bind_replace = replace;
		} else {
			f.bind_operator = spec.estimate ? BindEstimate : BindStream;
		}
		f.function_info = info;
		for (idx_t i = 0; i < spec.args.size(); i++) {
			// What it is is looked at in BindStream.
			f.named_parameters[spec.args[i]] = spec.estimate ? spec.arg_types[i] : LogicalType::ANY;
		}
		set.AddFunction(f);
	}
	return set;
}
} // namespace hyprstream
