// ai_agg and its kin: the aggregate gathers a group's texts, in order, into a
// request, which is answered above it as a call's is (rewrite.hpp). Without DuckDB's
// optimizer the groups of a vector are answered in place.
#pragma once
#include "functions.hpp"
#include "duckdb/common/serializer/deserializer.hpp"
#include "duckdb/common/serializer/serializer.hpp"
#include "duckdb/function/aggregate_function.hpp"
#include "duckdb/planner/expression/bound_aggregate_expression.hpp"
#include "duckdb/planner/expression/bound_window_expression.hpp"

namespace hyprstream {

//! The arguments of an aggregate are its model, the texts, and what else there is:
//! of these the first go by position after the text, the others by name.
static constexpr idx_t MODEL_ARG = 0, TEXT_ARG = 1, FIRST_OPTION = 2;

struct GatherInfo : public AggregateFunctionInfo {
	CallSpec spec;
	idx_t positional = 1; //! from TEXT_ARG on
};

struct GatherBindData : public FunctionData {
	GatherBindData(const CallSpec &s, ClientContext &c) : spec(s), env(EnvOf(c)), context(c) {
	}
	CallSpec spec;
	uint64_t env;
	reference<ClientContext> context; //! of the session; only groups in place need it
	idx_t positional = 1;
	vector<string> packed; //! constant arguments; empty: the text, and those that the rows give
	bool null = false;     //! a constant makes every group NULL
	bool request = false;  //! a group gives its request, not its answer

	//! A group whose argument a is NULL is NULL.
	bool Required(idx_t a) const {
		return a == MODEL_ARG || (a > TEXT_ARG && a < TEXT_ARG + positional);
	}
	unique_ptr<FunctionData> Copy() const override {
		return make_uniq<GatherBindData>(*this);
	}
	bool Equals(const FunctionData &o) const override {
		auto &g = o.Cast<GatherBindData>();
		return g.spec.fn == spec.fn && g.env == env && g.packed == packed && g.request == request;
	}
};

//===-------------------------------------------------------------- state
struct Gathered {
	string texts; //! packed: length and bytes of each
	uint32_t count = 0;
	vector<string> given; //! packed: what rows give beside the text, equal for all
	string conflict;      //! the name of what was not
};
struct GatherState {
	Gathered *group; //! null: no text yet
};

//! DuckDB's strings, which requests are, end at 4 GiB.
static constexpr idx_t MAX_GROUP_BYTES = idx_t(1) << 31;

static idx_t GatherSize(const AggregateFunction &) {
	return sizeof(GatherState);
}

static void GatherInit(const AggregateFunction &, data_ptr_t state) {
	reinterpret_cast<GatherState *>(state)->group = nullptr;
}

static Gathered &GroupOf(GatherState &s) {
	if (!s.group) {
		s.group = new Gathered();
	}
	return *s.group;
}

static void GatherGiven(const GatherBindData &bind, Gathered &g, vector<string> given) {
	if (g.count == 0) {
		g.given = std::move(given);
		return;
	}
	idx_t k = 0;
	for (idx_t a = 0; a < bind.packed.size(); a++) {
		if (a == TEXT_ARG || !bind.packed[a].empty()) {
			continue;
		}
		if (g.given[k] != given[k] && g.conflict.empty()) {
			g.conflict = bind.spec.args[a]; // no error here: a window's frames may never put the two together
		}
		k++;
	}
}

static string PackValue(const Value &v) {
	RequestWriter w(0);
	const auto head = w.out.size();
	w.Add(v);
	return w.out.substr(head);
}

static void GatherUpdate(Vector inputs[], AggregateInputData &in, idx_t inputs_count, Vector &states, idx_t count) {
	auto &bind = in.bind_data->Cast<GatherBindData>();
	UnifiedVectorFormat text, state;
	inputs[0].ToUnifiedFormat(count, text);
	states.ToUnifiedFormat(count, state);
	for (idx_t r = 0; r < count; r++) {
		auto ix = text.sel->get_index(r);
		if (!text.validity.RowIsValid(ix)) {
			continue;
		}
		auto &g = GroupOf(*UnifiedVectorFormat::GetData<GatherState *>(state)[state.sel->get_index(r)]);
		if (inputs_count > 1) {
			vector<string> given;
			for (idx_t k = 1; k < inputs_count; k++) {
				given.push_back(PackValue(inputs[k].GetValue(r)));
			}
			GatherGiven(bind, g, std::move(given));
		}
		AddText(g.texts, UnifiedVectorFormat::GetData<string_t>(text)[ix].GetString());
		g.count++;
		if (g.texts.size() > MAX_GROUP_BYTES) {
			Throw("[INVALID_ARGUMENT] a group has more than 2 GiB of text");
		}
	}
}

static void GatherCombine(Vector &source, Vector &target, AggregateInputData &in, idx_t count) {
	auto &bind = in.bind_data->Cast<GatherBindData>();
	UnifiedVectorFormat from, to;
	source.ToUnifiedFormat(count, from);
	target.ToUnifiedFormat(count, to);
	for (idx_t r = 0; r < count; r++) {
		auto &s = *UnifiedVectorFormat::GetData<GatherState *>(from)[from.sel->get_index(r)];
		auto &t = *UnifiedVectorFormat::GetData<GatherState *>(to)[to.sel->get_index(r)];
		if (!s.group) {
			continue;
		}
		if (!t.group && in.combine_type == AggregateCombineType::ALLOW_DESTRUCTIVE) {
			std::swap(s.group, t.group);
			continue;
		}
		auto &g = GroupOf(t);
		GatherGiven(bind, g, s.group->given);
		if (g.conflict.empty()) {
			g.conflict = s.group->conflict;
		}
		g.texts += s.group->texts;
		g.count += s.group->count;
		if (g.texts.size() > MAX_GROUP_BYTES) {
			Throw("[INVALID_ARGUMENT] a group has more than 2 GiB of text");
		}
	}
}

static void GatherDestroy(Vector &states, AggregateInputData &, idx_t count) {
	UnifiedVectorFormat state;
	states.ToUnifiedFormat(count, state);
	for (idx_t r = 0; r < count; r++) {
		auto &s = *UnifiedVectorFormat::GetData<GatherState *>(state)[state.sel->get_index(r)];
		delete s.group;
		s.group = nullptr;
	}
}

//===-------------------------------------------------------------- finalize
//! A group's request; empty for NULL.
static string GatherRequest(const GatherBindData &bind, const GatherState &s) {
	if (bind.null || !s.group || s.group->count == 0) {
		return string();
	}
	auto &g = *s.group;
	if (!g.conflict.empty()) {
		Throw("[INVALID_ARGUMENT] " + bind.spec.name + ": " + g.conflict +
		      " differs within a group, which has one answer: GROUP BY it");
	}
	RequestWriter w(bind.spec.fn);
	idx_t k = 0;
	for (idx_t a = 0; a < bind.packed.size(); a++) {
		if (a == TEXT_ARG) {
			w.out.push_back(2);
			w.out.append((const char *)&g.count, 4);
			w.out.append(g.texts);
			continue;
		}
		auto &one = bind.packed[a].empty() ? g.given[k++] : bind.packed[a];
		if (bind.Required(a) && one[0] == 0) {
			return string();
		}
		w.out.append(one);
	}
	return std::move(w.out);
}

static void GatherFinalize(Vector &states, AggregateInputData &in, Vector &result, idx_t count, idx_t offset) {
	auto &bind = in.bind_data->Cast<GatherBindData>();
	const bool constant = states.GetVectorType() == VectorType::CONSTANT_VECTOR;
	UnifiedVectorFormat state;
	states.ToUnifiedFormat(count, state);
	vector<string> requests;
	for (idx_t r = 0; r < (constant ? 1 : count); r++) {
		requests.push_back(GatherRequest(bind, *UnifiedVectorFormat::GetData<GatherState *>(state)[state.sel->get_index(r)]));
	}
	shared_ptr<Together> answers;
	if (!bind.request) {
		answers = AnswerInPlace(bind.context, bind.env, 0, requests);
	}
	result.SetVectorType(constant ? VectorType::CONSTANT_VECTOR : VectorType::FLAT_VECTOR);
	for (idx_t r = 0; r < requests.size(); r++) {
		const bool null = answers ? answers->rows[r].status != HS_OK : requests[r].empty();
		if (constant) {
			ConstantVector::SetNull(result, null);
		} else if (null) {
			FlatVector::SetNull(result, offset + r, true);
		}
		if (!null) {
			auto &text = answers ? answers->rows[r].text : requests[r];
			auto d = constant ? ConstantVector::GetData<string_t>(result) : FlatVector::GetData<string_t>(result) + offset + r;
			*d = StringVector::AddStringOrBlob(result, text);
		}
	}
}

//===-------------------------------------------------------------- bind
//! Which option name is.
static idx_t OptionOf(const GatherInfo &info, const string &name) {
	vector<string> options;
	for (idx_t a = 0; a < info.spec.args.size(); a++) {
		if (a == MODEL_ARG || a >= TEXT_ARG + info.positional) {
			if (StringUtil::CIEquals(info.spec.args[a], name)) {
				return a;
			}
			options.push_back(info.spec.args[a]);
		}
	}
	auto list = StringUtil::Join(options, ", ");
	if (name.empty()) {
		throw BinderException("[INVALID_ARGUMENT] %s: options are given by name, as in max_tokens := 50. They are %s", info.spec.name, list);
	}
	auto nearest = StringUtil::TopNJaroWinkler(options, StringUtil::Lower(name), 1);
	throw BinderException("[INVALID_ARGUMENT] %s: there is no option %s%s Its options are %s", info.spec.name, name,
	                      nearest.empty() ? "." : "; did you mean " + nearest[0] + "?", list);
}

//! Sorts what was given by the order of a request.
static vector<unique_ptr<Expression>> SortArguments(ClientContext &context, const GatherInfo &info,
                                                    vector<unique_ptr<Expression>> &arguments) {
	auto &spec = info.spec;
	vector<unique_ptr<Expression>> given(spec.args.size());
	for (idx_t i = 0; i < arguments.size(); i++) {
		auto &e = arguments[i];
		idx_t a = TEXT_ARG + i;
		// A column has its name for an alias, wherever it stands.
		const bool named = !e->GetAlias().empty() && e->GetExpressionClass() != ExpressionClass::BOUND_COLUMN_REF &&
		                   a < TEXT_ARG + info.positional && !StringUtil::CIEquals(e->GetAlias(), spec.args[a]);
		if (named || a >= TEXT_ARG + info.positional) {
			a = OptionOf(info, e->GetAlias());
		}
		if (given[a]) {
			throw BinderException("[INVALID_ARGUMENT] %s: %s is given twice", spec.name, spec.args[a]);
		}
		auto type = Fit(spec.name, spec.args[a], spec.types[a], e->return_type);
		given[a] = BoundCastExpression::AddCastToType(context, std::move(e), type);
	}
	for (idx_t a = TEXT_ARG; a < TEXT_ARG + info.positional; a++) {
		if (!given[a]) {
			throw BinderException("[INVALID_ARGUMENT] %s: the argument %s is missing: %s(%s, … options by name)", spec.name, spec.args[a],
			                      spec.name, StringUtil::Join(vector<string>(spec.args.begin() + TEXT_ARG, spec.args.begin() + TEXT_ARG + info.positional), ", "));
		}
	}
	return given;
}

static Value ConstantArgument(ClientContext &context, const GatherInfo &info, idx_t a, Expression &e) {
	try {
		return ExpressionExecutor::EvaluateScalar(context, e);
	} catch (std::exception &ex) {
		throw BinderException("[INVALID_ARGUMENT] %s: %s: %s", info.spec.name, info.spec.args[a], ErrorData(ex).RawMessage());
	}
}

static unique_ptr<FunctionData> BindGather(ClientContext &context, AggregateFunction &function,
                                           vector<unique_ptr<Expression>> &arguments) {
	auto &info = function.function_info->Cast<GatherInfo>();
	auto &spec = info.spec;
	if (!arguments.empty() && arguments[0]->GetExpressionClass() == ExpressionClass::BOUND_CONSTANT &&
	    arguments[0]->Cast<BoundConstantExpression>().value.IsNull() && arguments[0]->return_type.id() != LogicalTypeId::SQLNULL) {
		// So list_aggregate binds; it would run, in place, while the statement is prepared.
		throw BinderException("[UNSUPPORTED] %s takes rows, not a list: SELECT %s(…) FROM (SELECT unnest(list) AS text)", spec.name, spec.name);
	}
	auto given = SortArguments(context, info, arguments);
	auto bind = make_uniq<GatherBindData>(spec, context);
	bind->positional = info.positional;
	bind->packed.resize(given.size());
	RequestWriter check(spec.fn);
	arguments.clear();
	arguments.push_back(std::move(given[TEXT_ARG]));
	for (idx_t a = 0; a < given.size(); a++) {
		auto &e = given[a];
		if (a == TEXT_ARG) {
			check.Unknown();
			continue;
		}
		if (e && (!e->IsFoldable() || e->HasParameter())) {
			check.Unknown();
			arguments.push_back(std::move(e));
			continue;
		}
		auto v = e ? ConstantArgument(context, info, a, *e) : a == MODEL_ARG ? Value("") : Value();
		bind->null = bind->null || (bind->Required(a) && v.IsNull());
		bind->packed[a] = PackValue(v);
		check.out.append(bind->packed[a]);
	}
	CheckRequest(bind->env, check);
	function.arguments.clear();
	for (auto &e : arguments) {
		function.arguments.push_back(e->return_type);
	}
	return std::move(bind);
}

//! DuckDB copies plans so; binding anew would miss the arguments that are constants.
static void GatherSerialize(Serializer &out, const optional_ptr<FunctionData> data, const AggregateFunction &) {
	auto &bind = data->Cast<GatherBindData>();
	out.WriteProperty(100, "packed", bind.packed);
	out.WriteProperty(101, "null", bind.null);
	out.WriteProperty(102, "request", bind.request);
}

static unique_ptr<FunctionData> GatherDeserialize(Deserializer &in, AggregateFunction &function) {
	auto &info = function.function_info->Cast<GatherInfo>();
	auto bind = make_uniq<GatherBindData>(info.spec, in.Get<ClientContext &>());
	bind->positional = info.positional;
	bind->packed = in.ReadProperty<vector<string>>(100, "packed");
	bind->null = in.ReadProperty<bool>(101, "null");
	bind->request = in.ReadProperty<bool>(102, "request");
	return std::move(bind);
}

static AggregateFunction MakeAggregate(CallSpec spec, idx_t positional) {
	auto info = make_shared_ptr<GatherInfo>();
	info->spec = std::move(spec);
	info->positional = positional;
	AggregateFunction f(info->spec.name, {}, LogicalType::VARCHAR, GatherSize, GatherInit, GatherUpdate, GatherCombine,
	                    GatherFinalize, FunctionNullHandling::SPECIAL_HANDLING, nullptr, BindGather, GatherDestroy);
	f.varargs = LogicalType::ANY;
	f.SetSerializeCallback(GatherSerialize);
	f.SetDeserializeCallback(GatherDeserialize);
	f.function_info = std::move(info);
	return f;
}

//===-------------------------------------------------------------- lifting
static GatherBindData *GatherOf(Expression &e) {
	optional_ptr<FunctionData> b;
	if (e.GetExpressionClass() == ExpressionClass::BOUND_AGGREGATE) {
		b = e.Cast<BoundAggregateExpression>().bind_info.get();
	} else if (e.GetExpressionClass() == ExpressionClass::BOUND_WINDOW) {
		b = e.Cast<BoundWindowExpression>().bind_info.get();
	}
	return b ? dynamic_cast<GatherBindData *>(b.get()) : nullptr;
}

//! Makes the groups of an aggregate, or the frames of a window, give their requests.
static Called GatherToRequest(GatherBindData &b) {
	b.request = true;
	RequestWriter known(b.spec.fn);
	for (auto &p : b.packed) {
		if (p.empty()) {
			known.Unknown();
		} else {
			known.out.append(p);
		}
	}
	return {b.spec.name, LogicalType::VARCHAR, b.env, known.out, false};
}
} // namespace hyprstream
